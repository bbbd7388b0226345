"""Has charts drawn by a process of its own: the loop neither loads matplotlib nor waits for it. Knows no database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("chart.py")))
WITHIN_S = 30.0
"""The first one on a machine looks at all its fonts."""
ASKED_FOR_MAX = 4
"""With the one that is drawn: nobody keeps a processor busy by asking again and again."""
PNG = b"\x89PNG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A bar for each, side by side, in their order."""

    title: str
    labels: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A bar for each, below one another."""

    title: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    shown: tuple[str, ...]
    """The values in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    title: str
    days: Columns
    hours: Columns
    models: Lines
    waits: Lines


class Charts:
    """One is drawn at a time; a few who come meanwhile wait."""

    def __init__(self, folder: Path, *, command: Sequence[str] = COMMAND, within_s: float = WITHIN_S) -> None:
        """`folder` is for what matplotlib remembers of this machine's fonts."""
        self._folder, self._command, self._within_s = folder, command, within_s
        self._turn = asyncio.Lock()
        self._asked_for = 0

    async def drawn(self, own: Chart, english: Chart) -> bytes | None:
        """A PNG, in English where no font here has the letters; None where none can be made here, or not in time."""
        if self._asked_for >= ASKED_FOR_MAX:
            return None
        self._asked_for += 1
        try:
            async with self._turn:
                return await self._ask(json.dumps([asdict(own), asdict(english)]).encode())
        finally:
            self._asked_for -= 1

    async def _ask(self, told: bytes) -> bytes | None:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=nothing, env=self._environment()
            )
        except OSError as error:  # no memory or no process number left
            log.warning("chart_not_drawn", why=str(error))
            return None
        picture, why = b"", ""
        try:
            async with asyncio.timeout(self._within_s):
                picture, _ = await process.communicate(told)
        except TimeoutError:
            why = f"not within {self._within_s:.0f} s"
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if not picture.startswith(PNG) or process.returncode:
            log.info("chart_not_drawn", why=why or f"exit code {process.returncode}")
            return None
        return picture

    def _environment(self) -> Mapping[str, str]:
        """Nothing that is anybody's secret: what it takes to find Python's packages, and their libraries."""
        kept = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "MPLCONFIGDIR": str(self._folder),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

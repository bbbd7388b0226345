"""One process that teaches: begun, suspended, let go on and ended. Knows the lines that it tells, and neither line nor store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import psutil
import structlog

from bot.redaction import environment
from engine.contract import EngineSettings
from engine.contract.training import Event, decode

log = structlog.get_logger(__name__)

_APART: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
"""Ctrl-C is not for it. And one that stands still when the bot is killed is woken and hung up on by the system, which does so
with a group that is left alone."""
_LINE_MAX = 2**20
"""Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a process is to teach."""

    model: str
    """The id of one that the engine offers."""
    told: Mapping[str, Any]
    """The settings of the training, by the names that `engine.training.settings` has for them."""
    folder: str
    """Of what is under way, among those of others."""


class Child(Protocol):
    """What is done to one that has ended does nothing."""

    async def heard(self) -> Event | None:
        """What it tells next; None once it tells nothing more."""
        ...

    async def ended(self) -> int:
        """Its exit code, negative after a signal."""
        ...

    def suspend(self) -> None:
        """At once: it keeps its memory, and computes nothing."""
        ...

    def resume(self) -> None: ...

    def stop(self) -> None:
        """It is to end after its step, and keep that one."""
        ...

    def kill(self) -> None: ...


Begin = Callable[[Lesson], Awaitable[Child]]
"""Raises OSError."""


def beginning(engine: EngineSettings) -> Begin:
    """Real ones, beside this engine. They are to be begun on the main thread, with whose end they end."""

    async def begin(lesson: Lesson) -> Child:
        told = json.dumps({**lesson.told, "model": lesson.model}, ensure_ascii=False)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "engine.training", json.dumps(asdict(engine)), told, "--guest", lesson.folder),
            stdin=PIPE,
            stdout=PIPE,
            stderr=None if sys.stderr is not None else DEVNULL,
            env=environment(),
            **_APART,
            limit=_LINE_MAX,
        )
        log.info("training_begins", pid=process.pid, folder=lesson.folder)
        return _Process(process)

    return begin


class _Process:
    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    async def heard(self) -> Event | None:
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
                return decode(line) if line else None
            except ValueError as error:  # too long, or no event: what matters is how it ends
                log.error("training_garbled", pid=self.pid, cause=repr(error)[:200])

    async def ended(self) -> int:
        return await self._process.wait()

    def suspend(self) -> None:
        self._tell_system(psutil.Process.suspend)

    def resume(self) -> None:
        self._tell_system(psutil.Process.resume)

    def _tell_system(self, what: Callable[[psutil.Process], None]) -> None:
        """Nobody else can have its number before it was waited for."""
        if self._process.returncode is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                what(psutil.Process(self.pid))

    def stop(self) -> None:
        if self._process.returncode is None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(b"stop\n")
        self.resume()

    def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

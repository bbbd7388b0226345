"""Whether the running bot is well: its loop, its gateway, its store. Told to systemd's watchdog and to a small file.

The file is what `easel health` reads, for containers. Knows no jobs and no engine: an engine that died is being
replaced, and a bot that is killed for it would only lose its place.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from bot.store.db import DatabaseError

log = structlog.get_logger(__name__)

FILE = "health.json"
NOTIFY_SOCKET = "NOTIFY_SOCKET"
"""Environment variable in which systemd names its socket."""
STALE_S = 45.0
"""A bot that has not written for so long hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vigilance:
    """When the running bot is unwell, and how often it looks."""

    every_s: float = 10.0
    gateway_s: float = 900.0
    """Discord's outages pass by themselves, and results go out meanwhile; after so long a new process may do better."""
    store_s: float = 20.0
    """So long may the database be silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """How the parts are asked; each may be asked at any time."""

    gateway: Callable[[], bool]
    """Whether the gateway is connected and answers."""
    store: Callable[[], Awaitable[Any]]
    """Reads something; raises DatabaseError where that fails."""


class Health:
    """Looks every few seconds, from the loop itself: a loop that hangs looks no more, and so feeds nobody."""

    def __init__(
        self,
        folder: Path,
        signs: Signs,
        *,
        vigilance: Vigilance | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`monotonic` decides when we are replaced, so it is a real clock, even where a simulation replaces time's."""
        self._file = folder / FILE
        self._signs = signs
        self._vigilance = vigilance or Vigilance()
        self._now = monotonic
        self._connected_at = monotonic()
        self._told: list[str] = []

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(self._vigilance.every_s)

    async def beat(self) -> None:
        """One look, told to whom it concerns."""
        problems = await self.problems()
        if problems and problems != self._told:
            log.warning("unwell", problems=problems)
        elif self._told and not problems:
            log.info("well_again")
        self._told = problems
        await asyncio.to_thread(self._tell, problems)

    async def problems(self) -> list[str]:
        """Sentences; empty when all is well."""
        problems: list[str] = []
        now = self._now()
        if self._signs.gateway():
            self._connected_at = now
        elif now - self._connected_at > self._vigilance.gateway_s:
            problems.append(
                f"Discord's gateway has been away for {(now - self._connected_at) / 60:.0f} minutes."
            )
        try:
            async with asyncio.timeout(self._vigilance.store_s):
                await self._signs.store()
        except TimeoutError:
            problems.append(f"The database has not answered for {self._vigilance.store_s:.0f} s.")
        except DatabaseError as error:
            problems.append(f"The database can't be read: {error}.")
        return problems

    def _tell(self, problems: list[str]) -> None:
        if not problems:
            notify("WATCHDOG=1")
        partial = self._file.with_suffix(".part")
        try:
            partial.write_text(json.dumps({"at": time.time(), "problems": problems}), encoding="utf-8")
            partial.replace(self._file)
        except OSError as error:
            log.warning("health_not_written", error=str(error))


def notify(state: str) -> None:
    """One line to systemd (sd_notify(3)); nobody there is fine."""
    if not (address := os.environ.get(NOTIFY_SOCKET)):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.connect("\0" + address[1:] if address.startswith("@") else address)
            line.sendall(state.encode())
    except OSError as error:
        log.warning("systemd_not_told", error=str(error))


def look(folder: Path, *, now: float) -> list[str]:
    """What the file of a running bot says is wrong; sentences, empty when all is well."""
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        at, problems = float(told["at"]), [str(problem) for problem in told["problems"]]
    except FileNotFoundError:
        return [f"No Easel has run in {folder} yet: start it with easel run."]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{folder / FILE} can't be read: is Easel running?"]
    age = now - at
    if age < -STALE_S:  # the clock was set back: a bot that lives has written since
        return [
            f"Easel's last sign is dated {-age:.0f} s from now: it has ended or hangs, or the clock is wrong."
        ]
    if age > STALE_S:
        return [f"Easel has given no sign for {age:.0f} s: it has ended or hangs."]
    return problems

"""Takes nothing new for a while, by the word of an admin for a server or of the operator for all; knows no Discord.

The rows say so first, then the doors, by which admission and the line go.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from bot.core.doors import Doors
from bot.core.happenings import Happening, JobEnded
from bot.core.line.errands import Errands
from bot.core.news import Drained
from bot.core.ports import Clock, Delivery
from bot.store import Store
from bot.store.halts import EVERYWHERE, Halt

log = structlog.get_logger(__name__)


class Line(Protocol):
    """Where people wait."""

    @property
    def errands(self) -> Errands: ...
    def held(self, guild_id: int) -> None: ...
    def released(self, guild_id: int) -> None: ...


class Halting:
    def __init__(self, line: Line, *, store: Store, doors: Doors, delivery: Delivery, clock: Clock) -> None:
        self._line = line
        self._store = store
        self._doors = doors
        self._delivery = delivery
        self._clock = clock
        self._is_told = False
        """The operator has heard that all is drained."""
        self._turns = asyncio.Lock()

    async def take_up(self) -> None:
        """What held when the bot ended holds on. Raises DatabaseError."""
        self._doors.halts = {halt.guild_id: halt for halt in await self._store.halts.all()}
        self._look()

    def halted(self, guild_id: int) -> Halt | None:
        """Why nothing new is taken from there."""
        return self._doors.halted(guild_id)

    async def halt(self, halt: Halt) -> Halt | None:
        """In place of the one that held there until now, which is returned."""
        async with self._turns:
            await self._store.halts.put(halt)
            before = self._doors.halts.get(halt.guild_id)
            self._doors.halts[halt.guild_id] = halt
            self._is_told = False
        log.info("halted", guild=halt.guild_id, by=halt.by_user_id, draining=halt.is_draining)
        if before is None or halt.is_draining == before.is_draining:
            self._line.held(halt.guild_id)
        else:
            self._line.released(halt.guild_id)
        self._look()
        return before

    async def lift(self, guild_id: int, *, by_user_id: int, now: float) -> bool:
        """False where nothing was halted."""
        async with self._turns:
            is_lifted = await self._store.halts.lift(guild_id, by_user_id=by_user_id, now=now)
            self._doors.halts.pop(guild_id, None)
        if is_lifted:
            log.info("resumed", guild=guild_id, by=by_user_id)
            self._line.released(guild_id)
        return is_lifted

    # -------------------------------------------------------------- drained

    def hear(self, happening: Happening) -> None:
        if isinstance(happening, JobEnded):
            self._look()

    def _look(self) -> None:
        halt = self._doors.halts.get(EVERYWHERE)
        if halt is not None and halt.is_draining and not self._is_told:
            self._line.errands.begin(self._tell_drained())

    async def _tell_drained(self) -> None:
        """Once nothing is left that may be drawn."""
        live = [job for job in await self._store.jobs.live() if not job.is_in_review]
        halt = self._doors.halts.get(EVERYWHERE)
        if halt is None or not halt.is_draining or self._is_told:  # by now
            return
        if all(self._doors.held(job.guild_id) is not None for job in live):
            self._is_told = True
            await self._delivery.tell_operator(Drained(at=self._clock.now(), waiting=len(live)))

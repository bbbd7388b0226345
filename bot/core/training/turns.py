"""Whether a training may go on, by what people wait for, the hour and the memory that is left. Knows no process and no rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bot.core.doors import Doors
from bot.core.engines.fleet import Fleet
from bot.core.engines.status import Phase
from bot.core.training.night import hours_until
from bot.core.training.told import ForHalt, ForMemory, ForNight, ForPictures, Wait
from bot.job import Job
from engine.contract import Unload

LOW_BYTES = 512 * 2**20
"""With less of the machine's memory free nothing is held for a training."""
_COMES_SOON = frozenset({Phase.STARTING, Phase.LOADING, Phase.RESTARTING})


class Line(Protocol):
    """Where people wait for pictures."""

    def line(self) -> list[Job]: ...
    def running(self) -> list[Job]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What is asked of the machine."""

    free_bytes: Callable[[], int]
    """Of its memory."""
    hour: Callable[[], float]
    """Of its clock, with the part that has passed."""


class Turns:
    def __init__(
        self, *, fleet: Fleet, line: Line, doors: Doors, host: Host, hours: tuple[int, int] | None
    ) -> None:
        """`hours`: only between these."""
        self._fleet, self._line, self._doors = fleet, line, doors
        self._host, self._hours = host, hours

    def waits(self, guild_id: int) -> Wait | None:
        """What keeps one of this server from going on now."""
        if self._doors.is_closing or self._doors.held(guild_id) is not None:
            return ForHalt()
        if self._hours is not None and hours_until(self._host.hour(), self._hours) > 0:
            return ForNight(hour=self._hours[0])
        free = self._host.free_bytes()
        if free < LOW_BYTES:
            return ForMemory(needed=0, free=free)
        if self._wanted() or not self._fleet.is_idle or self._fleet.status.phase in _COMES_SOON:
            return ForPictures()
        return None

    def wants_card(self) -> bool:
        """Whether somebody's model has to be read into the graphics card's memory."""
        loaded = self._fleet.status.loaded
        return any(job.request.model not in loaded for job in self._wanted())

    def unload(self) -> None:
        """Models that lie idle leave the graphics card, unless somebody has just asked for a picture."""
        if not self._wanted() and self._fleet.is_idle:
            self._fleet.send(Unload())

    def _wanted(self) -> list[Job]:
        """Pictures that are drawn, or wait and may be."""
        waiting = [job for job in self._line.line() if self._doors.held(job.guild_id) is None]
        return [*self._line.running(), *waiting]

"""The engines that a bot has, behind one Protocol: room, sending, whose death, blame. Knows jobs by their numbers, no row.

A fleet decides by what its engines tell, in the moment in which they tell it: who was aboard when one died and which of
them may have been the cause is settled before anybody else hears of the death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from bot.core.engines.engine_client import EngineClient, Paused
from bot.core.engines.generation import Lost
from bot.core.engines.status import EngineStatus
from engine.contract import (
    Cancel,
    Cancelled,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    Load,
    Ready,
    Started,
    Stepped,
    Submit,
    Unload,
)

DEATHS_MAX = 2
"""So many engines may die of loading one model before it is set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A job that was in the hands of an engine that died."""

    job_id: int
    attempt: int
    was_alone: bool
    """Whether the engine had begun it and nothing else, were it only by loading its model: nobody else can be to blame.

    A job that the engine never told of, or only to say that it waits, can't have been the cause, and was no company either.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """An engine died, or never was where something was sent to; its victims are in nobody's hands any more."""

    victims: tuple[Victim, ...]
    set_aside: str | None = None
    """The id of a model that is offered no more, since its loading has killed engines."""


Told = Event | Died | Paused


class Fleet(Protocol):
    """What the line knows of engines."""

    @property
    def status(self) -> EngineStatus:
        """What people are told, and which models are offered."""
        ...

    @property
    def described(self) -> asyncio.Event:
        """Set once it is known what is offered, or that nothing will be."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether some engine would begin another job soon."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether nothing is aboard, and nobody under suspicion."""
        ...

    def start(self, tell: Callable[[Told], None]) -> None:
        """Starts the engines, which are told of from now on. Call it inside the loop that wants to hear of them."""
        ...

    async def stop(self) -> None:
        """Ends the engines; nothing is told any more."""
        ...

    def send(self, control: Submit | Cancel | Load | Unload) -> None:
        """Without waiting. What is submitted stays aboard until its job is forgotten, or is told of as a victim."""
        ...

    def suspect(self, job_id: int) -> None:
        """An engine may have died of this job: until it is forgotten, jobs are drawn one at a time."""
        ...

    def blame(self, job_id: int) -> None:
        """This job has killed engines alone, and is out: those deaths were no device's fault."""
        ...

    def forget(self, job_id: int) -> None:
        """This job is over, or was never begun."""
        ...


@dataclass(slots=True, kw_only=True)
class _Guest:
    """A job in the engine's hands, as its events tell it."""

    attempt: int
    request: GenerationRequest
    is_started: bool = False
    is_loading: bool = False
    """Its model was being loaded when it was last heard of."""
    is_over: bool = False
    """The engine has nothing more to do with it."""

    @property
    def is_begun(self) -> bool:
        """Whether the engine works on it, were it only by loading its model."""
        return self.is_started or self.is_loading


class FleetOfOne:
    """One engine, whose generations follow one another."""

    def __init__(self, engine: EngineClient) -> None:
        self.engine = engine
        self._guests: dict[int, _Guest] = {}
        self._suspects: set[int] = set()
        self._deadly, self._deadly_at_start = _Deadly(), _Deadly()
        self._tell: Callable[[Told], None] = lambda _told: None

    @property
    def status(self) -> EngineStatus:
        return self.engine.status

    @property
    def described(self) -> asyncio.Event:
        return self.engine.described

    @property
    def has_room(self) -> bool:
        if not self.status.is_ready:
            return False
        if self._suspects:
            return not self._guests
        return sum(guest.request.images for guest in self._guests.values()) < self.status.slots

    @property
    def is_idle(self) -> bool:
        return not self._guests and not self._suspects

    def start(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell
        self.engine.start(self._receive)

    async def stop(self) -> None:
        await self.engine.stop()

    def send(self, control: Submit | Cancel | Load | Unload) -> None:
        taken = self.engine.send(control)
        if not isinstance(control, Submit):
            return
        if taken:
            self._guests[control.job_id] = _Guest(attempt=control.attempt, request=control.request)
        else:  # it died while this was on its way here
            victim = Victim(job_id=control.job_id, attempt=control.attempt, was_alone=False)
            self._tell(Died(victims=(victim,)))

    def suspect(self, job_id: int) -> None:
        self._suspects.add(job_id)

    def blame(self, job_id: int) -> None:
        del job_id  # there is but one device
        self.engine.blame_a_job()

    def forget(self, job_id: int) -> None:
        self._guests.pop(job_id, None)
        self._suspects.discard(job_id)

    # -------------------------------------------------------------- what the engine tells

    def _receive(self, event: Event | Lost | Paused) -> None:
        match event:
            case Lost():
                self._tell(self._died(event))
                return
            case Ready():
                self._deadly_at_start = _Deadly()
            case Started() | Stepped() | Finished() | Failed() | Cancelled():
                guest = self._guests.get(event.job_id)
                if guest is not None and guest.attempt == event.attempt:
                    self._follow(guest, event)
            case _:
                pass
        self._tell(event)

    def _follow(self, guest: _Guest, event: Started | Stepped | Finished | Failed | Cancelled) -> None:
        match event:
            case Started():
                guest.is_started = True
                self._deadly.acquit(guest.request.model)
            case Stepped():
                guest.is_loading = event.stage == "loading"
            case Finished() | Failed() | Cancelled():
                guest.is_over = True

    def _died(self, lost: Lost) -> Died:
        guests = {job_id: guest for job_id, guest in self._guests.items() if not guest.is_over}
        self._guests = {job_id: guest for job_id, guest in self._guests.items() if guest.is_over}
        begun = {job_id for job_id, guest in guests.items() if guest.is_begun}
        self._suspects |= begun
        victims = tuple(
            Victim(job_id=job_id, attempt=guest.attempt, was_alone=begun == {job_id})
            for job_id, guest in guests.items()
        )
        return Died(victims=victims, set_aside=self._set_aside(lost, [guests[job_id] for job_id in begun]))

    def _set_aside(self, lost: Lost, begun: Collection[_Guest]) -> str | None:
        """The model that the engine was loading with nothing else to do, if it was not the first to die of it."""
        if lost.reading is not None:
            model, deadly = lost.reading, self._deadly_at_start
        else:
            model = next(
                (guest.request.model for guest in begun if guest.is_loading and len(begun) == 1), None
            )
            deadly = self._deadly
        if model is None or not deadly.is_culprit(model):
            return None
        return model if self.engine.set_aside(model) else None


class _Deadly:
    """Which models engines died of while they loaded them."""

    def __init__(self) -> None:
        self._deaths: dict[str, int] = {}

    def is_culprit(self, model: str) -> bool:
        """An engine has just died of that model: whether it was not the first."""
        self._deaths[model] = self._deaths.get(model, 0) + 1
        return self._deaths[model] >= DEATHS_MAX

    def acquit(self, model: str) -> None:
        """It was loaded."""
        self._deaths.pop(model, None)

"""One engine of a fleet: its client, what is aboard it and how fast it has shown to be. Knows nothing of the others."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bot.core.engines.engine_client import EngineClient
from bot.core.engines.placement import Candidate, Wanted
from bot.core.engines.status import EngineView
from engine.contract import (
    Cancelled,
    Failed,
    Finished,
    GenerationRequest,
    InvalidRequest,
    Ready,
    Resident,
    Started,
    Stepped,
)

DRAWS_FIRST = 2.0
"""After it has read a model an engine draws with those in its memory for so many times as long, where somebody wants that.

A line of many models is slowed down by a half at most, however they alternate in it.
"""
REMEMBERED = 20
"""Jobs of each model by which an engine's pace is known."""


@dataclass(slots=True, kw_only=True)
class Guest:
    """A job in the engine's hands, as its events tell it."""

    attempt: int
    request: GenerationRequest
    is_started: bool = False
    is_loading: bool = False
    """Its model was being loaded when it was last heard of."""
    is_over: bool = False
    """The engine has nothing more to do with it."""
    done: float = 0.0
    """The share of it that is drawn."""
    engine_s: float = 0.0
    """The engine's time that was spent on it alone."""
    _wanted: Wanted = field(init=False)

    def __post_init__(self) -> None:
        self._wanted = Wanted.of(self.request)

    @property
    def left(self) -> Wanted:
        """What of it is to be drawn yet."""
        return replace(self._wanted, work=self._wanted.work * (1 - self.done)) if self.done else self._wanted

    @property
    def is_begun(self) -> bool:
        """Whether the engine works on it, were it only by loading its model."""
        return self.is_started or self.is_loading


class Member:
    def __init__(self, number: int, engine: EngineClient) -> None:
        self.number = number
        """Counted from 1, as people read it."""
        self.engine = engine
        self.guests: dict[int, Guest] = {}
        self.is_held = self.is_leaving = False
        """By an admin, until they resume it; until it was started anew."""
        self._drawn: dict[str, deque[tuple[float, float]]] = {}
        """Of each model, (work, seconds) of the last jobs."""
        self._paces: dict[str, float] = {}
        self.recalled: Mapping[str, Mapping[str, float]] = {}
        """Of each kind of engine and each model, the pace that was shown before the bot started."""
        self._readings: dict[str, float] = {}
        """Seconds that each model took, the last time it was read while others may have drawn."""
        self._reading: tuple[str, float] | None = None
        """What it reads, and since when."""
        self._may_read_at = -math.inf
        self._told_at = 0.0
        self._described_by: Ready | None = None
        self._kind = ""

    @property
    def is_open(self) -> bool:
        """Whether it takes jobs at all."""
        return self.engine.status.is_ready and not (self.is_held or self.is_leaving)

    @property
    def view(self) -> EngineView:
        return EngineView(
            number=self.number,
            status=self.engine.status,
            aboard=len(self.guests),
            is_held=self.is_held,
            is_leaving=self.is_leaving,
            kind=self.kind,
            pid=self.engine.pid,
        )

    @property
    def kind(self) -> str:
        """Of the pixels that it draws, "" while that is not known."""
        ready = self.engine.status.ready
        if ready is not self._described_by:
            self._described_by, self._kind = ready, "" if ready is None else ready.kind
        return self._kind

    @property
    def images(self) -> int:
        return sum(guest.request.images for guest in self.guests.values())

    @property
    def has_room(self) -> bool:
        return self.is_open and self.images < self.engine.status.slots

    def knows(self, model: str) -> bool:
        return any(each.id == model for each in self.engine.status.models)

    def offers(self, request: GenerationRequest) -> bool:
        """Whether it could draw that, by what it said of its models."""
        found = next((model for model in self.engine.status.models if model.id == request.model), None)
        if found is None:
            return False
        try:
            found.check(request)
        except InvalidRequest:
            return False
        return True

    def candidate(self, now: float, *, has_room: bool) -> Candidate:
        """What placement asks about it."""
        ready = self.engine.status.ready
        reading, since = self._reading or (None, now)
        return Candidate(
            number=self.number,
            has_room=has_room,
            aboard=tuple(guest.left for guest in self.guests.values() if not guest.is_over),
            loaded=frozenset(self.engine.status.loaded),
            reading=reading,
            read_s=now - since,
            paces={**self.recalled.get(self.kind, {}), **self._paces},
            readings=self._readings,
            may_read=now >= self._may_read_at,
            together=1 if ready is None else ready.together,
            kind=self.kind,
        )

    # -------------------------------------------------------------- what the engine tells

    def died(self) -> dict[int, Guest]:
        """Who was in its hands and is in nobody's any more; whose end was told stays until it is forgotten."""
        lost = {job_id: guest for job_id, guest in self.guests.items() if not guest.is_over}
        self.guests = {job_id: guest for job_id, guest in self.guests.items() if guest.is_over}
        self._reading = None
        return lost

    def resident(self, event: Resident, now: float) -> None:
        if self._reading is not None and self._reading[0] in event.models:
            self._has_read(now)

    def follow(
        self, job_id: int, event: Started | Stepped | Finished | Failed | Cancelled, now: float
    ) -> None:
        """`job_id` is aboard."""
        guest = self.guests[job_id]
        match event:
            case Started():
                if self._reading is not None and self._reading[0] == guest.request.model:
                    self._has_read(now)
                guest.is_started = True
            case Stepped():
                guest.is_loading, guest.done = event.stage == "loading", event.fraction
                if guest.is_loading and self._reading is None:
                    self._reading = guest.request.model, now
                if event.stage not in ("waiting", "loading"):
                    guest.engine_s += now - self._told_at
            case Finished() | Failed() | Cancelled():
                guest.is_over, guest.is_loading = True, False
                self._learn(guest, event)
        if not isinstance(event, Stepped) or event.stage != "waiting":
            self._told_at = now

    def _has_read(self, now: float) -> None:
        assert self._reading is not None
        model, since = self._reading
        self._readings[model], self._reading = now - since, None
        self._may_read_at = now + DRAWS_FIRST * (now - since)

    def _learn(self, guest: Guest, end: Finished | Failed | Cancelled) -> None:
        if self._reading is not None and not any(each.is_loading for each in self.guests.values()):
            self._reading = None  # whoever wanted it is gone
        if isinstance(end, Finished) and guest.engine_s > 0 and guest.request.work > 0:
            model = guest.request.model
            seen = self._drawn.setdefault(model, deque(maxlen=REMEMBERED))
            seen.append((guest.request.work, guest.engine_s))
            self._paces[model] = pace_of(seen)


def pace_of(seen: Collection[tuple[float, float]]) -> float:
    """Seconds for a unit of work, of (work, seconds) of some jobs."""
    return sum(seconds for _, seconds in seen) / sum(work for work, _ in seen)

"""When an engine counts as hung: how long it may be silent, by what it is doing. Pure; knows events, but no process.

Everything is read off the engine's own events, which its loop sends as it gets on: a timer in the engine would go on
ticking while a forward hangs. Slow machines come first: once an engine has made steps, every deadline grows with their
pace, and before that nothing is known and much is allowed.
"""

from __future__ import annotations

import statistics
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from engine.contract import (
    Cancelled,
    Control,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    Load,
    NotLoaded,
    Ready,
    Resident,
    Stage,
    Started,
    Stepped,
    Submit,
    Unload,
)

STEPS_REMEMBERED = 200
ASLEEP_S = 5.0
"""Nobody looked for so long: we were stopped ourselves, which says nothing about the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds that an engine may be silent. Real time, not a test's clock."""

    loading_s: float = 600.0
    """Between two signs of loading: the largest file of a model may come from a slow disk."""
    first_job_s: float = 900.0
    """To the first step while nothing is known of this engine's pace."""
    first_step_s: float = 120.0
    """To a job's first step: kernels are chosen, a new shape is probed."""
    step_s: float = 10.0
    decoding_s: float = 300.0
    """A large picture's decode may take a minute on two slow cores."""
    paces: float = 20.0
    """All but the first two grow to so many times what a step for everybody aboard takes by the median."""


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A job in the engine's hands, as its events tell it."""

    model: str
    images: int
    row_work: float
    """Pixels x UNet rows of one image."""
    is_tiled: bool
    """Its steps are tiles that an upscaler's network makes: the pace of steps says nothing of them, nor they of it."""
    stage: Stage = "waiting"
    step: int = 0
    at: float = 0.0
    """When it last got on."""

    @classmethod
    def of(cls, request: GenerationRequest, now: float) -> Self:
        return cls(
            model=request.model,
            images=request.images,
            row_work=_row_work(request),
            is_tiled=request.is_seedless,
            at=now,
        )


class Watch:
    """Follows one engine through its generations. May be used from any thread; `now` is time.monotonic()."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._lock = threading.Lock()
        self._guests: dict[tuple[int, int], _Watched] = {}
        self._ready = False
        self._wanted: str | None = None
        """The model that is loaded between the steps of others, for nobody yet."""
        self._since = self._looked = 0.0
        self._paces: dict[str, deque[float]] = {}
        """Of each model, seconds of a step by pixels x rows. Rather too long: others had their turns meanwhile."""
        self._fingerprint: Mapping[str, str] = {}

    @property
    def busy(self) -> bool:
        """Whether jobs are aboard."""
        return bool(self._guests)

    # -------------------------------------------------------------- what happens

    def started(self, now: float) -> None:
        """A new generation's process runs."""
        with self._lock:
            self._guests.clear()
            self._ready, self._wanted = False, None
            self._since = self._looked = now

    def sent(self, control: Control, now: float) -> None:
        with self._lock:
            match control:
                case Submit():
                    if not self.busy:  # an idle engine may have been silent for long
                        self._since = now
                    self._guests[control.job_id, control.attempt] = _Watched.of(control.request, now)
                case Load():
                    self._wanted = control.model
                case Unload() if control.model in (None, self._wanted):
                    self._wanted = None
                case _:
                    pass

    def told(self, event: Event, now: float) -> None:
        with self._lock:
            self._since = self._looked = now
            match event:
                case Ready():
                    self._ready = True
                    if event.fingerprint != self._fingerprint:  # another device has another pace
                        self._fingerprint = event.fingerprint
                        self._paces.clear()
                case Finished() | Failed() | Cancelled():
                    self._guests.pop((event.job_id, event.attempt), None)
                case Started() | Stepped():
                    if (guest := self._guests.get((event.job_id, event.attempt))) is not None:
                        self._follow(guest, event, now)
                case Resident() if self._wanted in event.models:
                    self._wanted = None
                case NotLoaded() if self._wanted == event.model:
                    self._wanted = None
                case _:
                    pass

    def _follow(self, guest: _Watched, event: Started | Stepped, now: float) -> None:
        stage, step = ("encoding", 0) if isinstance(event, Started) else (event.stage, event.step)
        gets_on = step > guest.step
        paced = stage == "denoising" and guest.stage in ("encoding", "denoising") and not guest.is_tiled
        if gets_on and paced:
            paces = self._paces.setdefault(guest.model, deque(maxlen=STEPS_REMEMBERED))
            paces.append((now - guest.at) / guest.row_work)
        if gets_on or stage != guest.stage:  # a preview of the last step is neither
            guest.at = now
        guest.stage, guest.step = stage, step

    # -------------------------------------------------------------- what follows from it

    def is_overdue(self, now: float) -> bool:
        """Whether the engine has been silent for too long. Ask once a second or so, for as long as nothing is told."""
        with self._lock:
            if now - self._looked > ASLEEP_S:
                self._since = now
            self._looked = now
            limit = self._limit()
            return limit is not None and now - self._since > limit

    def _limit(self) -> float | None:
        """Seconds of silence that are all right now; None for ever."""
        if not self._ready:
            return self._deadlines.loading_s
        if not self.busy:
            return None
        guests = self._guests.values()
        drawn = [guest for guest in guests if guest.stage not in ("waiting", "saving")]
        limit = max(self._limit_of(guest) for guest in drawn or guests)
        return limit if self._wanted is None else max(limit, self._deadlines.loading_s)

    def _limit_of(self, guest: _Watched) -> float:
        """By what comes next for it. It may be anybody's turn, but a forward is never more than everybody's rows."""
        aboard = [other for other in self._guests.values() if not other.is_tiled]
        if not self._paces or any(other.model not in self._paces for other in aboard):
            return self._deadlines.first_job_s
        pace = {model: statistics.median(paces) for model, paces in self._paces.items()}
        work = sum(other.images * other.row_work * pace[other.model] for other in aboard)
        usual = self._deadlines.paces * work
        match guest.stage:
            case "waiting" | "encoding":
                return max(self._deadlines.first_step_s, usual)
            case "denoising" if guest.is_tiled:
                return max(self._deadlines.first_step_s, usual)
            case "denoising":
                return max(self._deadlines.step_s, usual)
            case "loading":
                return max(self._deadlines.loading_s, usual)
            case "decoding" | "saving":
                return max(self._deadlines.decoding_s, usual)


def _row_work(request: GenerationRequest) -> float:
    return request.pixels * request.mean_rows

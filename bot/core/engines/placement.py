"""Which engine gets a job: decided from what each has, before anything is done. Pure; knows no process, no clock and no row.

A job goes where it is likely to be done first: behind what is aboard, its model in memory or to be read, at the pace that
each engine has shown. It may be kept for an engine that is full while another has room, if even so it is done sooner, as
where that other one would have to read its model first. Others pass it meanwhile, and it is never kept for longer than
going elsewhere at once would have taken: nobody waits longer than alone because of others' models. What is about as good
is decided by what spares others: no model is read anew, pictures that can share a forward stay together for as long as
that pays, and a model that lies in one engine's memory alone stays there. An engine that has just read a model draws with
what it has before it reads another, while somebody wants that, so that models that alternate in the line are not read by turns.

Whoever plays a fleet without processes makes `Candidate`s of its own, and for each look along its line a `Round`, which is
asked for the waiting jobs in the line's order.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from engine.contract import GenerationRequest

ALIKE = 1.1
"""Forecasts are no better than this: up to so many times the best one's time is as good."""
PACE_UNKNOWN_S = 1e-6
"""For a unit of work, before any engine has drawn."""
READING_UNKNOWN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job, as far as its place depends on it."""

    model: str
    group: Hashable
    """Equal for jobs whose pictures may share forwards: model, adapters and size."""
    work: float
    """Pixels × UNet rows of all its pictures; of one that is aboard, of what is left."""
    images: int = 1
    kind: str = ""
    """It repeats what engines of this kind drew: where one of them is up, only these are asked. "": it repeats nothing."""
    kept_s: float = 0.0
    """For so long it has been kept for an engine while others had room."""

    @classmethod
    def of(cls, request: GenerationRequest, *, kind: str = "", kept_s: float = 0.0) -> Self:
        return cls(
            model=request.model,
            group=(request.model, request.loras, request.size),
            work=request.work,
            images=request.images,
            kind=kind,
            kept_s=kept_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An engine that is up and offers what is wanted."""

    number: int
    has_room: bool
    """Whether it would begin another job soon."""
    aboard: tuple[Wanted, ...] = ()
    """What it has to do; `work` is what is left of it."""
    loaded: frozenset[str] = frozenset()
    """The models in its memory."""
    reading: str | None = None
    """The model that it reads at present."""
    read_s: float = 0.0
    """For so long it has been at it."""
    paces: Mapping[str, float] = field(default_factory=dict[str, float])
    """Of each model that it has drawn with, seconds for a unit of work."""
    readings: Mapping[str, float] = field(default_factory=dict[str, float])
    """Of each model that it has read while it worked, how many seconds that took."""
    may_read: bool = True
    """False: it has just read a model, and whoever wants what lies in its memory goes before others that would be read."""
    together: int = 1
    """So many pictures of one group take little longer than one."""
    kind: str = ""
    """Engines of one kind draw the same pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forecast:
    engine: Candidate
    done_s: float
    is_guess: bool
    """Something that it depends on was never seen on this engine."""
    reads: bool
    """Its model has to be read first."""
    is_awaited: bool
    """Somebody aboard has it read already."""
    joins: bool
    """It shares forwards of others."""


class Round:
    """One look along the line: who is kept for an engine counts as aboard there for all that come later."""

    def __init__(self, candidates: Iterable[Candidate], *, may_read: bool = False) -> None:
        """`may_read`: nobody who waits wants what lies in the engines' memories, so they read whatever is wanted next."""
        self._candidates = {each.number: each for each in candidates}
        self._may_read = may_read
        self._paces: dict[str, float] = {}
        """Of each model, what engines that have drawn with it take for a unit of work; 0 where none has."""

    def place(self, wanted: Wanted, able: Iterable[int] | None = None) -> int | None:
        """The number of the engine that gets it; None where it is to wait. `able`: only these are asked."""
        numbers = self._candidates if able is None else able
        asked = _of_kind(wanted.kind, [self._candidates[number] for number in numbers])
        forecasts = [self._forecast(wanted, each) for each in asked]
        chosen = self._best([each for each in forecasts if each.engine.has_room and self._may_begin(each)])
        busy = [each for each in forecasts if not each.engine.has_room]
        soonest = min(busy, key=lambda each: each.done_s, default=None)
        if chosen is None or soonest is None or not _is_worth_waiting(wanted, soonest, chosen):
            return None if chosen is None else chosen.engine.number
        kept_at = soonest.engine
        self._candidates[kept_at.number] = replace(kept_at, aboard=(*kept_at.aboard, wanted))
        return None

    def _may_begin(self, forecast: _Forecast) -> bool:
        return not forecast.reads or forecast.is_awaited or forecast.engine.may_read or self._may_read

    def _best(self, forecasts: Sequence[_Forecast]) -> _Forecast | None:
        if not forecasts:
            return None
        least_s = min(each.done_s for each in forecasts)
        alike = [each for each in forecasts if each.done_s <= ALIKE * least_s]
        return min(
            alike,
            key=lambda each: (
                each.reads,
                not each.joins,
                self._alone_with(each.engine) if each.reads else 0,
                len(each.engine.aboard),
                each.engine.number,
            ),
        )

    def _alone_with(self, engine: Candidate) -> int:
        """How many models lie in its memory alone: reading another one may push them out."""
        others = [each.loaded for each in self._candidates.values() if each is not engine]
        return len(engine.loaded.difference(*others))

    def _forecast(self, wanted: Wanted, engine: Candidate) -> _Forecast:
        company = [other for other in engine.aboard if other.group == wanted.group]
        images = sum(other.images for other in company) + wanted.images
        joins = engine.has_room and bool(company) and images <= engine.together
        ahead = [other for other in engine.aboard if not (joins and other.group == wanted.group)]
        unread = {wanted.model, *(other.model for other in engine.aboard)} - engine.loaded
        drawing_s = sum(other.work * self._pace(other.model, engine) for other in (*ahead, wanted))
        return _Forecast(
            engine=engine,
            done_s=drawing_s + sum(_reading_s(model, engine) for model in unread),
            is_guess=wanted.model not in engine.paces or not unread <= engine.readings.keys(),
            reads=wanted.model in unread,
            is_awaited=any(other.model == wanted.model for other in engine.aboard),
            joins=joins,
        )

    def _pace(self, model: str, engine: Candidate) -> float:
        """As seen on that engine, else on others with that model, else on that engine with any."""
        if (own := engine.paces.get(model)) is not None:
            return own
        if model not in self._paces:
            seen = [each.paces[model] for each in self._candidates.values() if model in each.paces]
            self._paces[model] = _mean(seen)
        return self._paces[model] or _mean([*engine.paces.values()]) or PACE_UNKNOWN_S


def _of_kind(kind: str, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    equal = [each for each in candidates if kind and each.kind == kind]
    return equal or candidates


def _is_worth_waiting(wanted: Wanted, soonest: _Forecast, chosen: _Forecast) -> bool:
    """Not on a guess, and never for longer than it would have taken elsewhere."""
    if soonest.is_guess or chosen.is_guess:
        return False
    return wanted.kept_s + soonest.done_s < chosen.done_s


def _reading_s(model: str, engine: Candidate) -> float:
    whole = engine.readings.get(model, READING_UNKNOWN_S)
    return max(0.0, whole - engine.read_s) if model == engine.reading else whole


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0

"""What people are told about an engine, and what is offered. Values alone; knows no process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.core.engines.deaths import EngineEnd
from engine.contract import ModelInfo, Ready


class Phase(StrEnum):
    """The order is that of use: of several engines people are told what the best one is at."""

    READY = "ready"
    LOADING = "loading"
    STARTING = "starting"
    RESTARTING = "restarting"
    PAUSED = "paused"
    BROKEN = "broken"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What people are told about an engine."""

    phase: Phase = Phase.STARTING
    stage: str = ""
    fraction: float | None = None
    reason: str = ""
    """Why it is broken: the engine's own sentence."""
    end: EngineEnd | None = None
    """How it ended the last time, while it is paused."""
    again_s: float = 0.0
    """While it is paused: it is tried again every so many seconds."""
    models: tuple[ModelInfo, ...] = ()
    loaded: tuple[str, ...] = ()
    """The ids of those that lie in memory."""
    ready: Ready | None = None

    @property
    def is_ready(self) -> bool:
        return self.phase is Phase.READY

    @property
    def slots(self) -> int:
        return self.ready.slots if self.ready and self.is_ready else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """One engine of a fleet, as it is shown to whoever runs the bot."""

    number: int
    """Counted from 1."""
    status: EngineStatus
    aboard: int
    """Jobs in its hands."""
    is_held: bool
    """It is given nothing until somebody resumes it."""
    is_leaving: bool
    """It is given nothing until it was started anew, which it is once nothing is aboard."""
    kind: str
    """Engines of one kind draw the same pixels; "" while that is not known."""
    pid: int | None

    @property
    def is_up(self) -> bool:
        """Whether it is given jobs."""
        return self.status.is_ready and not (self.is_held or self.is_leaving)


_ORDER = [*Phase]
_OUT = frozenset({Phase.PAUSED, Phase.BROKEN, Phase.STOPPED})


def of_all(engines: Sequence[EngineStatus], before: EngineStatus) -> EngineStatus:
    """What is told of several engines together, at least one: what the best one is at, and what any that works offers.

    `before` is what was told last: models that have not changed stay the same object.
    """
    if len(engines) == 1:
        return engines[0]
    best = min(engines, key=lambda engine: _ORDER.index(engine.phase))
    up = [engine for engine in engines if engine.is_ready]
    offered: dict[str, ModelInfo] = {}
    for engine in engines:
        if engine.phase not in _OUT or best.phase in _OUT:
            for model in engine.models:
                offered.setdefault(model.id, model)
    models = tuple(offered.values())
    return replace(
        best,
        models=before.models if models == before.models else models,
        loaded=tuple(dict.fromkeys(model for engine in up for model in engine.loaded)),
        ready=None if best.ready is None else replace(best.ready, slots=sum(engine.slots for engine in up)),
    )

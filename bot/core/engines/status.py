"""What people are told about an engine, and what is offered. Values alone; knows no process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.core.engines.deaths import EngineEnd
from engine.contract import ModelInfo, Ready


class Phase(StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"
    RESTARTING = "restarting"
    PAUSED = "paused"
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

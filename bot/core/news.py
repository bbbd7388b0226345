"""What whoever runs the bot is told: facts, a closed union. Pure; `bot.texts.for_operator` has the sentences."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.engines.deaths import EngineEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPaused:
    """No engine is started for a while."""

    end: EngineEnd
    """How the last one ended."""
    deaths: int
    within_s: float
    again_s: float
    waiting: int
    engine: int | None = None
    """Its number, where there are others, which draw on; None where it is the only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCantWork:
    """Nothing is drawn there before they have mended it."""

    reason: str
    """The engine's own sentence."""
    engine: int | None = None
    """Its number, where there are others; None where it is the only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSetAside:
    """It kills engines."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNotLoaded:
    """Somebody wanted it made ready."""

    model: str
    reason: str
    """The engine's own sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseDamaged:
    """Only they can mend it."""

    problem: str
    """The store's own words."""
    is_tried_on: bool = False
    """It was met again and again, and may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseContradicts:
    """Something in it can't be true."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBackedUp:
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoom:
    """Nothing new is taken."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Nothing new is taken, and all that could be drawn was."""

    at: float
    waiting: int
    """Requests of servers that are paused themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsNotPushed:
    outage: str
    """What keeps Discord from us: a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalFound:
    """Another bot answers with our token."""


News = (
    GpuPaused
    | EngineCantWork
    | ModelSetAside
    | ModelNotLoaded
    | DatabaseDamaged
    | DatabaseContradicts
    | NotBackedUp
    | NoRoom
    | Drained
    | CommandsNotPushed
    | RivalFound
)

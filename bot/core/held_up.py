"""What keeps everybody waiting, or from asking at all, besides the line: facts, a closed union. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.engines.status import EngineStatus, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The bot is about to end, and comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStarts:
    """Its process has not said anything yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoads:
    stage: str
    """What it loads, in the engine's words."""
    fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBroken:
    reason: str
    """The engine's own sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRestarts:
    """One has died, and the next is about to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePaused:
    """It died again and again."""

    again_s: float
    """It is tried again every so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStopped:
    """The bot has ended it, and ends."""


NotOffered = EngineStarts | EngineBroken | EnginePaused
"""Why a request can't even be read or taken."""
HeldUp = Closing | EngineStarts | EngineLoads | EngineBroken | EngineRestarts | EnginePaused | EngineStopped
"""Why waiting jobs wait."""


def held_up_by(status: EngineStatus, *, is_closing: bool = False) -> HeldUp | None:
    """What keeps waiting jobs waiting, besides the line; None while the engine works."""
    if is_closing:
        return Closing()
    match status.phase:
        case Phase.READY:
            return None
        case Phase.STARTING:
            return EngineStarts()
        case Phase.LOADING:
            return EngineLoads(stage=status.stage, fraction=status.fraction)
        case Phase.BROKEN:
            return EngineBroken(reason=status.reason)
        case Phase.RESTARTING:
            return EngineRestarts()
        case Phase.PAUSED:
            return EnginePaused(again_s=status.again_s)
        case Phase.STOPPED:
            return EngineStopped()


def why_nothing_is_offered(status: EngineStatus) -> NotOffered:
    """While the engine does not work, or has not said what it offers."""
    found = held_up_by(status)
    return found if isinstance(found, EngineBroken | EnginePaused) else EngineStarts()

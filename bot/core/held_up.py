"""What keeps everybody waiting, or from asking at all, besides the line: facts, a closed union. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bot.core.engines.status import EngineStatus, Phase

if TYPE_CHECKING:
    from bot.store.halts import Halt


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The bot is about to end, and comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """By an admin, or by whoever runs the bot."""

    reason: str
    """In their words."""
    is_everywhere: bool
    is_draining: bool = False
    """What waits is drawn."""

    @classmethod
    def by(cls, halt: Halt) -> Self:
        return cls(
            reason=halt.reason,
            is_everywhere=halt.is_everywhere,
            is_draining=halt.is_draining,
        )


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
HeldUp = (
    Closing
    | Halted
    | EngineStarts
    | EngineLoads
    | EngineBroken
    | EngineRestarts
    | EnginePaused
    | EngineStopped
)
"""Why waiting jobs wait."""


def held_up_by(status: EngineStatus, *, is_closing: bool = False, held: Halt | None = None) -> HeldUp | None:
    """What keeps waiting jobs waiting, besides the line; None while the engine works. `held`: they are not begun."""
    if is_closing:
        return Closing()
    return _held_up_by_engine(status) if held is None else Halted.by(held)


def _held_up_by_engine(status: EngineStatus) -> HeldUp | None:
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

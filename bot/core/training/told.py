"""What the chat is told of trainings: facts, a closed union, and the port that takes them. Pure; knows no process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from engine.contract.training import Stage

# ------------------------------------------------------------------ what it is at


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """Before its first step, or before it goes on."""

    stage: Stage | None = None
    """None while its process has said nothing yet."""
    share: float | None = None
    """How much of the stage, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    done: int
    steps: int
    loss: float | None = None
    """Smoothed: that of one step says little."""
    left_s: float | None = None
    """If nobody wants a picture meanwhile."""


# ------------------------------------------------------------------ why it is at nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class InLine:
    """Others are taught first, one at a time."""

    ahead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForPictures:
    """Somebody waits for a picture; it goes on when nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForNight:
    """It goes on at this full hour of the host's clock."""

    hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForHalt:
    """Drawing is paused there, or the bot is about to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForMemory:
    """There is not enough free for it beside the models; it looks again soon."""

    needed: int
    """Bytes; 0 while that is not known."""
    free: int


Wait = InLine | ForPictures | ForNight | ForHalt | ForMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How a training that has not ended stands, as far as it is known."""

    doing: Preparing | Learning | None = None
    """What it is at, or was before it had to wait; None before it began, and after a restart of the bot."""
    waits: Wait | None = None
    """Why it does not go on now; None while it does."""
    samples: int = 0
    """How often their sheet was drawn since the bot came: another number, another sheet."""


class EndCode(StrEnum):
    """Why one failed, as codes of its row's reason; besides them `ReasonCode`'s "told", "cancelled", "withdrawn" and "removed"."""

    CRASHED = "training_crashed"
    """The process that taught it died again and again."""
    FLAGGED = "pictures_flagged"
    """By a safety checker; `pictures` are their numbers, with commas."""


class TrainingTold(Protocol):
    """One writer per status message; both may be called for trainings of an earlier process."""

    def show(self, training_id: int, seen: Seen) -> None:
        """Best effort, at most once per interval: newer states replace older ones. Called often."""
        ...

    async def ended(self, training_id: int) -> None:
        """Its row is DONE, FAILED or CANCELLED: makes that visible, with the result or the refund.

        Idempotent; waits for outages; raises nothing for a message or channel that is gone. Called again after a
        restart for those that ended while nobody could be told.
        """
        ...

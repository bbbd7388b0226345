"""The nouns of trainings that people begin in the chat. Knows neither Discord, SQL nor the process that teaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.job import Reason


class TrainingState(StrEnum):
    COLLECTING = "collecting"
    """Its pictures are added; it costs nothing so far."""
    WAITING = "waiting"
    """Paid for; others come first, or the bot was started anew under it."""
    RUNNING = "running"
    """Begun, whether or not it has to stand still for pictures just now."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: Mapping[TrainingState, frozenset[TrainingState]] = {
    TrainingState.COLLECTING: frozenset({TrainingState.WAITING}),
    TrainingState.WAITING: frozenset({TrainingState.RUNNING, TrainingState.CANCELLED}),
    TrainingState.RUNNING: frozenset(
        {TrainingState.WAITING, TrainingState.DONE, TrainingState.FAILED, TrainingState.CANCELLED}
    ),
    TrainingState.DONE: frozenset(),
    TrainingState.FAILED: frozenset(),
    TrainingState.CANCELLED: frozenset(),
}
UNDER_WAY = (TrainingState.WAITING, TrainingState.RUNNING)


class Sharing(StrEnum):
    """Who may draw with what came of it."""

    MAKER = "maker"
    ROLE = "role"
    ALL = "all"
    """Everybody in its server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    id: int
    guild_id: int
    user_id: int
    name: str
    """Of the LoRA."""
    trigger: str
    model: str
    """The id of the one that it is taught to."""
    steps: int
    state: TrainingState
    cost: int = 0
    charged: int = 0
    done: int = 0
    """Steps that are kept, whatever happens."""
    reason: Reason | None = None
    channel_id: int | None = None
    message_id: int | None = None
    sharing: Sharing = Sharing.MAKER
    role_id: int | None = None
    locale: str = ""
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPicture:
    training_id: int
    number: int
    """From 1."""
    digest: str
    """SHA-256 of its file."""
    caption: str = ""
    size_bytes: int
    width: int
    height: int

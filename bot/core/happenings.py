"""What happens to jobs, and to the engines that draw them: one closed union, told once to everybody who listens.

A happening is told after its row says so. What it means is each listener's own business: a line of the log, a figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bot.core.asking.refused import Refused
from bot.core.engines.deaths import EngineEnd
from bot.job import Job, Reason
from engine.contract import InvalidRequest, Ready

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did something."""

    user_id: int
    name: str
    """As it is shown to people."""


# ------------------------------------------------------------------ a job's way


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAccepted:
    """It is stored and charged; its person has seen nothing yet."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUnanswered:
    """Its person saw no answer, or only one from too long ago: it never runs and costs nothing."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueued:
    """Its person sees its message: it waits in line."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBegun:
    """It is in an engine's hands."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequeued:
    """Engine or bot died under it: it waits again, at its old place."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRendered:
    """Its images lie in the spool."""

    job: Job
    seconds: float
    """From the engine's first work on it to its last."""
    forwards: int = 0
    """That the engine made, for whomever, since the last one that was rendered."""
    rows: int = 0
    """In them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused:
    """Somebody asked for what they may not have, or nobody can draw, and is told why; there is no job."""

    what: str
    """The command, or the verb of what was pressed."""
    why: Refused | InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHeld:
    """Moderators were asked about its flagged images."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReviewed:
    """What becomes of those is decided."""

    job: Job


# ------------------------------------------------------------------ its end


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDelivered:
    """Its images were shown."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUndeliverable:
    """Its images could be shown nowhere, and it was refunded; it may still be fetched."""

    job: Job
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """It can't be drawn, and was refunded."""

    job: Job
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled:
    job: Job
    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWithdrawn:
    """It waited, and its person was blocked."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAbandoned:
    """The bot was removed from its server."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFetched:
    """Its person has got what could not be posted, and paid for it."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionAsked:
    """Message and images are to go for good, and that is written down."""

    job: Job
    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDeleted:
    """Message and images are gone."""

    job: Job


# ------------------------------------------------------------------ what draws and what remembers


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineGotReady:
    ready: Ready
    engine: int = 1
    """Its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRead:
    """The engine has loaded one more: a picture's turn had come, or an admin wanted it to be ready."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDied:
    exitcode: int | None
    """None for a process that not even SIGKILL has ended so far."""
    reading: str | None
    """The id of the model that it was reading before it got ready."""
    engine: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRests:
    """It died too often: none is started for a while."""

    end: EngineEnd
    """How it ended the last time."""
    deaths: int
    for_s: float
    engine: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDamaged:
    """Promises can't be kept any more, and whoever runs the bot has been told. Happens once."""

    problem: str


JobEnded = (
    JobDelivered | JobUndeliverable | JobFailed | JobCancelled | JobUnanswered | JobWithdrawn | JobAbandoned
)
"""It is over, one way or another."""
Happening = (
    JobAccepted
    | JobUnanswered
    | RequestRefused
    | JobQueued
    | JobBegun
    | JobRequeued
    | JobRendered
    | JobHeld
    | JobReviewed
    | JobDelivered
    | JobUndeliverable
    | JobFailed
    | JobCancelled
    | JobWithdrawn
    | JobAbandoned
    | JobFetched
    | DeletionAsked
    | JobDeleted
    | EngineGotReady
    | ModelRead
    | EngineDied
    | EngineRests
    | StoreDamaged
)
Listener = Callable[[Happening], None]


class Happenings:
    """Tells whoever listens, in their order; a listener that fails costs nobody else anything."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = [*listeners]

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def tell(self, happening: Happening) -> None:
        for listener in self._listeners:
            try:
                listener(happening)
            except Exception:  # a bug in a figure must not cost a job
                log.exception("listener_failed", happening=type(happening).__name__)

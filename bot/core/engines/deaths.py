"""How an engine ended: facts, a closed union. Pure; `bot.texts.engine_ends` has the sentences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    UNKILLABLE = "unkillable"
    """It hangs inside its driver, and SIGKILL does not end it."""
    HUNG = "hung"
    """It made no progress any more, and was killed."""
    GARBLED = "garbled"
    """It sent what no engine sends, and was killed."""
    DEVICE_LOST = "device_lost"
    """The GPU reported an error after which only a new process can use it."""
    HOST_LOST = "host_lost"
    """Nothing was heard any more of the host on which it ran."""
    SIGNALLED = "signalled"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Perished:
    """Its process ended without a word."""

    way: Way
    code: int | None = None
    """The signal's number or the exit code; None where neither tells more than the way."""
    reading: str | None = None
    """The id of the model that it was reading before it got ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """There never was a process."""

    problem: str
    """The operating system's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidWhy:
    """It told what keeps it from working before it ended."""

    reason: str
    """The engine's own sentence."""


EngineEnd = Perished | NotStarted | SaidWhy

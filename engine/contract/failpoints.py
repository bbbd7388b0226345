"""Named moments in the life of a job at which a test may end the process. In use they do nothing; standard library only."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path


class Failpoint(StrEnum):
    """Each stands right after what its name says, in the order of a job's life."""

    DEFERRED = "deferred"
    """Only where a picture is attached, like the next: Discord shows that we are at it; nothing is stored."""
    KEPT = "kept"
    """The picture lies in the spool; no row knows it."""
    ADMITTED = "admitted"
    """The row is there; the person has seen nothing of it."""
    ANSWERED = "answered"
    """Discord took the answer; its id is not stored."""
    QUEUED = "queued"
    TAKEN = "taken"
    """The row says running; the engine has not been told."""
    SUBMITTED = "submitted"
    STARTED = "started"
    STEPPED = "stepped"
    FORWARDED = "forwarded"
    """In the engine, like the next two: a step is done."""
    DECODED = "decoded"
    """The picture is in memory only."""
    SPOOLED = "spooled"
    """The picture's file is there; the bot has not been told."""
    FINISHED = "finished"
    """The bot was told; the row still says running."""
    RENDERED = "rendered"
    SHOWN = "shown"
    """Discord took the pictures; the row does not say so."""
    DELIVERED = "delivered"
    ENDED = "ended"
    """The row says failed or cancelled; the message does not."""


Hook = Callable[[Failpoint], None]
_hook: Hook | None = None


def arm(hook: Hook | None) -> None:
    """From now on `hook` is called wherever this process reaches one."""
    global _hook  # noqa: PLW0603 - a process has one
    _hook = hook


def dies_once(name: str, marker: Path) -> Hook:
    """Ends the process by SIGKILL at that failpoint, unless the file `marker` tells that one died there before."""

    def hook(point: Failpoint) -> None:
        if point == name and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def reach(point: Failpoint) -> None:
    if _hook is not None:
        _hook(point)

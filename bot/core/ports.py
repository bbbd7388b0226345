"""What core needs from outside: a clock and somebody who keeps a job's message up to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bot.core.held_up import HeldUp
from bot.core.news import News
from bot.job import Claim, Copy, Job, Reason
from engine.contract import Stepped


class Irremovable(Exception):
    """A message can't be deleted."""

    def __init__(self, *, is_forbidden: bool) -> None:
        super().__init__("forbidden" if is_forbidden else "not taken")
        self.is_forbidden = is_forbidden
        """We may not; else trying again later may help."""


class Undeliverable(Exception):
    """The images can't be posted anywhere."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is known of a live job besides its row."""

    place: int | None = None
    """Place in line, 1 = next; None once it runs."""
    eta_s: float | None = None
    """Seconds until it is done, None while unknown."""
    step: Stepped | None = None
    elapsed_s: float = 0.0
    """Seconds since it began to run."""
    is_overtaken: bool = False
    """It had begun, and the engine draws others before it goes on."""
    preview: bytes | None = None
    """How far its picture has come: the newest small JPEG, None before the first."""
    held_up: HeldUp | None = None
    """What holds everybody up, such as an engine that is loading."""


class Delivery(Protocol):
    """One writer per message. All methods may be called for jobs of an earlier process."""

    def show(self, job: Job, progress: Progress, *, now: bool = False) -> None:
        """Shows a live job's state soon; best effort: newer states replace older ones. `now` ignores the interval."""
        ...

    async def finish(self, job: Job) -> int:
        """Makes the job's end visible: images, or why there are none. Idempotent; waits for outages.

        Returns the id of the message in the job's channel. Raises Undeliverable when trying again is useless:
        neither message, channel nor person takes it. Never returns while the bot's own token is refused.
        """
        ...

    async def ask_moderators(self, job: Job, channel_id: int) -> int | None:
        """Shows them a job's flagged images, with two buttons to decide; the message's id, also where it stood there before.

        Waits for outages. None where that channel takes nothing.
        """
        ...

    async def find_answer(self, job: Job) -> int | None:
        """The id of the job's first message, if there is one; a deferred answer becomes one, a private one is sent."""
        ...

    async def remove(self, job: Job) -> None:
        """Deletes the job's message; a message already gone is fine. Waits for outages; raises Irremovable."""
        ...

    async def remove_copy(self, copy: Copy) -> None:
        """The same with a message that shows pictures of a job besides its own."""
        ...

    async def find_claimed(self, claim: Claim) -> int | None:
        """The id of the message that came of a claim, None where none did. Waits for outages; raises Irremovable."""
        ...

    async def tell_operator(self, news: News) -> None:
        """Tells whoever runs the bot, the same at most once an hour. Best effort, never raises."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since 1970 (UTC)."""
        ...

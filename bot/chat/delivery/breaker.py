"""Which ways to write in a channel Discord refused, so that they rest for a while. Sends nothing; knows no message.

Discord bans an address that sends 10,000 requests with no right to in ten minutes: a channel that was shut
must not be knocked at once for every job and step.
"""

from __future__ import annotations

from enum import StrEnum

import discord

from bot.core.ports import Clock
from bot.job import Job, Reason, ReasonCode

REST_S = 10 * 60.0
UNKNOWN_CHANNEL, ARCHIVED_THREAD, LOCKED_THREAD = 10003, 50083, 160005


class Way(StrEnum):
    """How a channel is written to."""

    PROGRESS = "progress"
    EDIT = "edit"
    """With the bot's own token; where this is shut, everything is."""
    CREATE = "create"


class Breaker:
    """The refusals of the last minutes, by channel and way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shut: dict[tuple[int, Way], tuple[float, Reason]] = {}

    def shut(self, channel_id: int, way: Way, reason: Reason) -> None:
        """A request was refused."""
        now = self._clock.now()
        self._shut = {key: entry for key, entry in self._shut.items() if 0 <= now - entry[0] < REST_S}
        self._shut[channel_id, way] = (now, reason)

    def why_not(self, job: Job, way: Way) -> Reason | None:
        """What keeps this job from trying; None where it may.

        What was asked for after the refusal may try: its admission found every permission there.
        """
        now = self._clock.now()
        for tried in (way, Way.EDIT):
            at, reason = self._shut.get((job.channel_id, tried), (float("-inf"), None))
            # a clock that was set back would keep it shut for as long: then it is asked anew
            if job.created_at <= at and 0 <= now - at < REST_S:
                return reason
        return None


def why_shut(error: discord.HTTPException) -> Reason | None:
    """Why the whole place takes nothing more; None for any other refusal."""
    if error.code == UNKNOWN_CHANNEL:
        return Reason.of(ReasonCode.CHANNEL_GONE)
    if error.code == ARCHIVED_THREAD:
        return Reason.of(ReasonCode.THREAD_ARCHIVED)
    if error.code == LOCKED_THREAD:
        return Reason.of(ReasonCode.THREAD_LOCKED)
    return Reason.of(ReasonCode.SHUT_OUT) if error.status == 403 else None

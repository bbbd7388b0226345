"""How a job ends for the person who asked: its pictures, or why there are none. Knows rows and messages, no engine.

An end is settled in the row first and told then, so a bot that is killed in between owes a message its last words;
`owed` finds them at the next start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import stamina
import structlog

from bot.core.ports import Clock, Delivery, Undeliverable
from bot.jobs import Job
from bot.store import Store
from bot.store.db import DatabaseError
from engine.failpoints import Failpoint, reach

log = structlog.get_logger(__name__)

BUSY_RETRY_S = 1.0
REMOVED = "The bot was removed from the server."


class Endings:
    def __init__(self, *, store: Store, delivery: Delivery, clock: Clock) -> None:
        self._store = store
        self._delivery = delivery
        self._clock = clock
        self._left: set[int] = set()
        """Guilds that the bot was removed from: nothing is posted there, and nothing charged."""

    # -------------------------------------------------------------- servers

    def guild_left(self, guild_id: int) -> None:
        self._left.add(guild_id)

    def guild_joined(self, guild_id: int) -> None:
        self._left.discard(guild_id)

    def is_out_of_reach(self, job: Job) -> bool:
        return job.guild_id in self._left

    # -------------------------------------------------------------- ends

    async def deliver(self, job: Job) -> None:
        """Ends a rendered job exactly once: delivered where it was shown, else failed, refunded, with the reason.

        Its images stay in the spool, and so in /history, until their retention ends.
        """
        try:
            if self.is_out_of_reach(job):
                raise Undeliverable(REMOVED)
            message_id, problem = await self._delivery.finish(job), ""
            reach(Failpoint.SHOWN)
        except Undeliverable as error:
            message_id, problem = 0, str(error)
        ended: Job | None = None
        async for attempt in persistent():
            with attempt:
                now = self._clock.now()
                if problem:
                    ended = await self._store.jobs.failed(job, reason=problem, now=now)
                else:
                    ended = await self._store.jobs.delivered(job, message_id=message_id, now=now)
        log.info("job_undeliverable" if problem else "job_delivered", job=job.id, problem=problem or None)
        if problem and ended is not None:
            await self.show(ended)
        else:
            reach(Failpoint.DELIVERED)

    async def show(self, job: Job) -> None:
        """Tells the end of a failed or cancelled job, whose row is settled: a message nobody can write harms nobody."""
        reach(Failpoint.ENDED)
        try:
            if not self.is_out_of_reach(job):
                await self._delivery.finish(job)
        except Undeliverable as problem:
            log.warning("end_not_shown", job=job.id, reason=str(problem))
        async for attempt in persistent():
            with attempt:
                await self._store.jobs.mark_shown(job.id, now=self._clock.now())

    async def delete(self, job: Job) -> None:
        """Takes message and images away for good."""
        await self._delivery.remove(job)
        if await self._store.jobs.mark_deleted(job.id, now=self._clock.now()):
            for image in job.shown_images:
                Path(str(image.path)).unlink(missing_ok=True)
            log.info("job_deleted", job=job.id)

    async def owed(self) -> list[Job]:
        """Jobs that ended without their messages saying so, since the bot was killed in that moment."""
        return await self._store.jobs.ends_to_show()


def persistent() -> AsyncIterator[stamina.Attempt]:
    """Attempts at a write that must not be given up: a stranger's lock passes."""
    return stamina.retry_context(on=DatabaseError, attempts=None, timeout=None, wait_max=BUSY_RETRY_S)

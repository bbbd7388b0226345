"""How a job ends for the person who asked: its pictures, or why there are none. Knows rows and messages, no engine.

An end is settled in the row first and told then, so a bot that is killed in between owes a message its last words, or a
deleted job the rest of its removal; `owed` finds them at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from bot.core.happenings import (
    Actor,
    DeletionAsked,
    JobDeleted,
    JobDelivered,
    JobUndeliverable,
    Listener,
)
from bot.core.line.errands import Errands
from bot.core.line.retries import Retries
from bot.core.ports import Clock, Delivery, Irremovable, Undeliverable
from bot.core.spool import Spool
from bot.job import Claim, Copy, Job, Reason, ReasonCode
from bot.store import Store
from engine.contract.failpoints import Failpoint, reach

log = structlog.get_logger(__name__)

DELETED_WITHIN_S = 1.5
"""What takes longer goes on behind the answer, which is due after 3 s."""
REMOVED = Reason.of(ReasonCode.REMOVED)


class Endings:
    def __init__(
        self,
        *,
        store: Store,
        delivery: Delivery,
        clock: Clock,
        spool: Spool,
        retries: Retries,
        errands: Errands,
        tell: Listener,
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._clock = clock
        self._spool = spool
        self._retries = retries
        self._errands = errands
        self._tell = tell
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
            message_id, problem = await self._delivery.finish(job), None
            reach(Failpoint.SHOWN)
        except Undeliverable as error:
            message_id, problem = 0, error.reason
        ended: Job | None = None
        async for attempt in self._retries.persistent():
            with attempt:
                now = self._clock.now()
                if problem is not None:
                    ended = await self._store.jobs.failed(job, reason=problem, now=now)
                else:
                    ended = await self._store.jobs.delivered(job, message_id=message_id, now=now)
        if problem is None:
            if ended is not None:
                self._tell(JobDelivered(job=ended))
            reach(Failpoint.DELIVERED)
        elif ended is not None:
            self._tell(JobUndeliverable(job=ended, reason=problem))
            await self.show(ended)

    async def show(self, job: Job) -> None:
        """Tells the end of a failed or cancelled job, whose row is settled: a message nobody can write harms nobody."""
        reach(Failpoint.ENDED)
        try:
            if not self.is_out_of_reach(job):
                await self._delivery.finish(job)
        except Undeliverable as problem:
            log.warning("end_not_shown", job=job.id, reason=str(problem))
        async for attempt in self._retries.persistent():
            with attempt:
                await self._store.jobs.mark_shown(job.id, now=self._clock.now())

    async def show_late(self, job: Job, message_id: int | None) -> None:
        """The same for a job that was cancelled while its answer was under way: by now that is known, if there is one."""
        ended: Job | None = None
        async for attempt in self._retries.persistent():
            with attempt:
                if message_id is None:
                    await self._store.jobs.mark_shown(job.id, now=self._clock.now())
                else:
                    ended = await self._store.jobs.answered_late(job.id, message_id=message_id)
        if ended is not None:
            await self.show(ended)

    async def _find_and_show(self, job: Job) -> None:
        await self.show_late(job, await self._delivery.find_answer(job))

    # -------------------------------------------------------------- deletions

    async def delete(self, *jobs: Job, by: Actor) -> None:
        """Takes a finished job's message and images away for good; it stays charged. The row says so first.

        Several are all those that one message gathers. What takes longer than an answer may goes on behind it, and
        after a restart. Raises Irremovable where the message can't go: then everything stays what it was.
        """
        numbers = [job.id for job in jobs]
        await self._store.jobs.mark_deleted(*numbers, now=self._clock.now(), by_user_id=by.user_id)
        is_late = False
        try:
            async with asyncio.timeout(DELETED_WITHIN_S):
                await self._delivery.remove(jobs[0])
        except Irremovable:
            await self._store.jobs.unmark_deleted(*numbers)
            raise
        except TimeoutError:
            is_late = True
        for job in jobs:
            self._tell(DeletionAsked(job=job, by=by))
            if is_late:
                self._errands.begin(self._remove(job))
            elif await self._store.favourites.has_copies(job.id):
                self._errands.begin(self._clear(job))
            else:
                await self._clear(job)

    async def _remove(self, job: Job) -> None:
        """What was promised goes, even if its message has to stay."""
        await self._take_away(job)
        await self._clear(job)

    async def _take_away(self, job: Job) -> None:
        try:
            await self._delivery.remove(job)
        except Irremovable as problem:
            log.warning("message_not_removed", job=job.id, reason=str(problem))

    async def delete_copy(self, copy: Copy) -> None:
        """Takes that message alone away. Raises Irremovable."""
        await self._delivery.remove_copy(copy)
        await self._store.copies.forget(copy.message_id)

    async def remove_emptied(self, job: Job) -> None:
        """The messages of one whose words and files are gone already."""
        await self._take_away(job)
        await self._settle_removal(job)

    async def _clear(self, job: Job) -> None:
        if await self._discard(job):  # else the next start tries again
            await self._settle_removal(job)

    async def _settle_removal(self, job: Job) -> None:
        await self.clear_copies(job.id)
        async for attempt in self._retries.persistent():
            with attempt:
                await self._store.jobs.mark_removed(job.id, now=self._clock.now())
        self._tell(JobDeleted(job=job))

    async def clear_copies(self, job_id: int) -> None:
        """Takes all away that shows a deleted job besides its message; what can't go is tried again at the next start."""
        for claim in await self._store.favourites.unsettled(job_id):
            await self._tried(self._settle(claim), job_id)
        for copy in await self._store.copies.of(job_id):
            await self._tried(self.delete_copy(copy), job_id)

    async def _tried(self, removal: Coroutine[Any, Any, None], job_id: int) -> None:
        try:
            await removal
        except Irremovable as problem:
            log.warning("copy_not_removed", job=job_id, reason=str(problem))

    async def _settle(self, claim: Claim) -> None:
        """What came of it is a copy like any other, or nothing."""
        if (found := await self._delivery.find_claimed(claim)) is None:
            await self._store.favourites.released(claim)
        else:
            await self._store.favourites.posted(
                claim, channel_id=claim.channel_id, message_id=found, now=self._clock.now()
            )

    async def forget_files(self, job: Job) -> None:
        """Nobody will ask for what an engine drew of this job."""
        await self._discard(job)

    async def _discard(self, job: Job) -> bool:
        """Whether its files are gone."""
        try:
            await self._spool.discard(job)
        except OSError as error:
            log.error("files_not_removed", job=job.id, error=str(error))
            return False
        return True

    # -------------------------------------------------------------- after a restart

    async def owed(self) -> list[Coroutine[Any, Any, None]]:
        """What had been settled when the bot was killed, but not told or not finished: to be begun."""
        jobs = self._store.jobs
        untold, unfound, unremoved, copied = (
            await jobs.ends_to_show(),
            await jobs.ends_to_find(),
            await jobs.removals_owed(),
            await self._store.favourites.owed(),
        )
        return [
            *map(self.show, untold),
            *map(self._find_and_show, unfound),
            *map(self._remove, unremoved),
            *map(self.clear_copies, copied),
        ]

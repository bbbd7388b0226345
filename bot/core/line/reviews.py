"""Flagged pictures that moderators look at before anybody else does: asked for, decided once, then delivered. Knows no Discord.

While it is asked, the job stays rendered and its row says so: a restart asks where it was not asked yet, and delivers nothing.
"""

from __future__ import annotations

from bot.core.asking.price import price_of
from bot.core.happenings import JobHeld, JobReviewed, Listener
from bot.core.line.endings import Endings
from bot.core.line.errands import Errands
from bot.core.line.retries import Retries
from bot.core.moderation.flagged import released
from bot.core.ports import Delivery, Progress
from bot.job import Job, Review
from bot.store import Store
from bot.store.audit import AuditEntry
from bot.store.preferences import MODERATORS


class Reviews:
    def __init__(
        self,
        *,
        store: Store,
        delivery: Delivery,
        retries: Retries,
        errands: Errands,
        endings: Endings,
        tell: Listener,
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._retries = retries
        self._errands = errands
        self._endings = endings
        self._tell = tell

    def begin(self, job: Job) -> None:
        """Its moderators are asked, unless they were before."""
        self._errands.begin(self._ask(job))

    async def _ask(self, job: Job) -> None:
        self._delivery.show(job, Progress(), now=True)
        if job.review_message_id is not None:
            return
        channel_id = await self._channel_of(job.guild_id)
        if channel_id is None:
            await self._settle(job, Review.UNASKED)
            return
        asked = await self._delivery.ask_moderators(job, channel_id)
        if asked is None:
            await self._settle(job, Review.UNREACHED)
            return
        self._tell(JobHeld(job=job))
        async for attempt in self._retries.persistent():
            with attempt:
                await self._store.jobs.asked(job, message_id=asked, channel_id=channel_id)

    async def _channel_of(self, guild_id: int) -> int | None:
        """Where moderators are; None where nobody has said."""
        chosen: int | None = None
        async for attempt in self._retries.persistent():
            with attempt:
                chosen = await self._store.taste.channel_of(guild_id, MODERATORS)
        return chosen

    async def decide(self, job: Job, entry: AuditEntry, *, approved: bool) -> bool:
        """What a moderator wants done with it; `entry` is written with it. False where it was decided before."""
        review = Review.APPROVED if approved else Review.REMOVED
        images = released(job.images) if approved else job.images
        decided = await self._store.jobs.reviewed(
            job, review=review, images=images, charged=price_of(job.cost, images), entry=entry
        )
        if decided is None:
            return False
        self._go_on(decided)
        return True

    async def expire(self, *, before: float) -> None:
        """Nobody has answered about those that began before that moment: they are withheld. Raises DatabaseError."""
        for job in await self._store.jobs.live():
            if job.is_in_review and (job.started_at or 0.0) < before:
                await self.withdraw(job)

    async def withdraw(self, job: Job) -> None:
        """Nobody is to answer about it any more: it is withheld, and its question goes."""
        await self._settle(job, Review.EXPIRED)
        self._errands.begin(self._endings.clear_copies(job.id))

    async def _settle(self, job: Job, review: Review) -> None:
        """Withholds what was flagged without anybody's word."""
        decided: Job | None = None
        async for attempt in self._retries.persistent():
            with attempt:
                decided = await self._store.jobs.reviewed(
                    job, review=review, images=job.images, charged=price_of(job.cost, job.images)
                )
        if decided is not None:
            self._go_on(decided)

    def _go_on(self, decided: Job) -> None:
        self._tell(JobReviewed(job=decided))
        self._errands.begin(self._endings.deliver(decided))

"""Takes up, at a start, everything that was alive when the bot ended. Knows no engine: what it finds goes back into the line."""

from __future__ import annotations

from typing import Protocol

from bot.core.line.endings import Endings
from bot.core.line.errands import Errands
from bot.core.line.reviews import Reviews
from bot.core.moderation.flagged import released
from bot.core.ports import Clock, Delivery
from bot.core.spool import Spool
from bot.job import TOKEN_LIFE_S, Job, JobState, Reason, ReasonCode
from bot.store import Store

TOO_LATE = Reason.of(ReasonCode.TOO_LATE)


class Line(Protocol):
    """Where what was found goes on."""

    async def answered(self, job: Job, message_id: int) -> None: ...
    async def unanswered(self, job: Job, *, reason: Reason = ..., message_id: int | None = None) -> None: ...
    async def withdraw(self, *, guild_id: int, user_id: int) -> int: ...
    async def back_in_line(self, job: Job, *, faults: int) -> None: ...
    def enqueue(self, job: Job) -> None: ...


class Recovery:
    def __init__(
        self,
        line: Line,
        *,
        store: Store,
        delivery: Delivery,
        clock: Clock,
        spool: Spool,
        endings: Endings,
        errands: Errands,
        reviews: Reviews,
    ) -> None:
        self._reviews = reviews
        self._line = line
        self._store = store
        self._delivery = delivery
        self._clock = clock
        self._spool = spool
        self._endings = endings
        self._errands = errands

    async def take_up(self) -> None:
        """All that is alive, and what was settled but not told. Raises DatabaseError."""
        jobs, now = self._store.jobs, self._clock.now()
        await jobs.purge_tokens(before=now - TOKEN_LIFE_S)
        for guild_id, user_id in await jobs.blocked(now=now):  # the bot was killed while they were
            await self._line.withdraw(guild_id=guild_id, user_id=user_id)
        for job in await jobs.live():
            await self._recover(job)
        for work in await self._endings.owed():
            self._errands.begin(work)

    async def _recover(self, job: Job) -> None:
        match job.state:
            case JobState.ACCEPTED:
                self.look_for_answer(job)
            case JobState.QUEUED:
                self._line.enqueue(job)
            case JobState.RUNNING:  # a restart of the bot is nobody's fault
                await self._line.back_in_line(job, faults=job.faults)
            case JobState.RENDERED:
                if not await self._spool.are_intact(released(job.images) if job.is_in_review else job.images):
                    await self._line.back_in_line(job, faults=job.faults)
                elif job.is_in_review:
                    self._reviews.begin(job)
                else:
                    self._errands.begin(self._endings.deliver(job))
            case JobState.DELIVERED | JobState.FAILED | JobState.CANCELLED:
                pass

    def look_for_answer(self, job: Job) -> None:
        """Whether somebody was told of the job is looked up behind the answers: then it runs, else it is refunded."""
        self._errands.begin(self._find_answer(job))

    async def _find_answer(self, job: Job) -> None:
        message_id = await self._delivery.find_answer(job)
        if message_id is None:
            await self._line.unanswered(job)
        elif job.token is None:
            await self._line.unanswered(job, reason=TOO_LATE, message_id=message_id)
        else:
            await self._line.answered(job, message_id)

"""Takes out all that is kept of a person who asked for that, behind the answers. Knows no Discord and no SQL.

It is written down before they are told, and each step is found in the rows: a bot that is killed goes on at its next start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from bot.config import Settings
from bot.core.happenings import Actor
from bot.core.line.dispatcher import Dispatcher
from bot.core.ports import Clock
from bot.core.spool import by_job, remove
from bot.store import Store
from bot.store.database_errors import DatabaseError, Unusable
from bot.store.erasures import ROWS, Erasure
from bot.store.threads import unawaited
from bot.training import UNDER_WAY

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""Until what was in the way is looked at again: a picture that is being posted, a reader of the database."""
REMOVED_AT_ONCE = 20
"""Messages, until it is looked for others who want theirs emptied, which goes first."""


class Teaching(Protocol):
    """What becomes of somebody's trainings. Both raise DatabaseError."""

    async def cancel(self, training_id: int, *, by: Actor) -> bool: ...
    async def delete(self, training_id: int) -> bool:
        """Raises OSError, too."""
        ...


class Erasing:
    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        tell_moderators: Callable[[int], Coroutine[Any, Any, None]],
        teaching: Teaching,
    ) -> None:
        """`tell_moderators` brings what is read in a server about reports up to date."""
        self._teaching = teaching
        self._tell_moderators = tell_moderators
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._settings = settings
        self._wanted = asyncio.Event()

    async def ask(self, user_id: int) -> bool:
        """From now on it happens, whatever becomes of this process; False where it was under way. Raises DatabaseError."""
        is_new = await self._store.erasures.ask(user_id, now=self._clock.now())
        log.info("erasure_asked", user=user_id)
        self._wanted.set()
        return is_new

    async def run(self) -> None:
        """Until cancelled; what was begun before is found at once."""
        while True:
            self._wanted.clear()
            is_done = False
            try:
                is_done = await self._round()
            except Unusable as error:
                self._dispatcher.errands.meet_damage(error)
                return
            except (DatabaseError, OSError) as error:
                log.warning("erasure_waits", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if is_done else AGAIN_S):
                    await self._wanted.wait()

    async def _round(self) -> bool:
        """Whether nothing is left to do."""
        are_done = [await self._empty(erasure) for erasure in await self._store.erasures.under_way()]
        while not self._wanted.is_set():
            jobs = await self._store.erasures.unremoved(count=REMOVED_AT_ONCE)
            for job in jobs:
                await self._dispatcher.endings.remove_emptied(job)
            if not jobs:
                break
        return all(are_done)

    async def _empty(self, erasure: Erasure) -> bool:
        """Whether nothing of theirs can be read any more; else something is still under way, such as a picture that is posted."""
        erasures = self._store.erasures
        by = Actor(user_id=erasure.user_id, name=f"<@{erasure.user_id}>")
        await erasures.take_little(erasure)
        for number in await erasures.live(erasure):
            await self._dispatcher.cancel(number, by=by)
        for job in await erasures.held(erasure):
            await self._dispatcher.reviews.withdraw(job)
        files = await unawaited(lambda: by_job(self._settings.spool))
        numbers = await erasures.jobs(erasure)
        for first in range(0, len(numbers), ROWS):
            await self._empty_some(numbers[first : first + ROWS], files)
        while await erasures.unstar(erasure):
            pass
        await self._forget_trainings(erasure, by)
        await erasures.leave_nameless(erasure)
        if await erasures.jobs(erasure) or await erasures.trainings(erasure):
            return False
        for guild_id in await self._store.reports.guilds_owed():
            self._dispatcher.errands.begin(self._tell_moderators(guild_id))
        await self._store.database.clean()
        await erasures.emptied(erasure, now=self._clock.now())
        log.info("erased", user=erasure.user_id, jobs=len(numbers))
        return True

    async def _empty_some(self, numbers: Sequence[int], files: Mapping[int, Sequence[Path]]) -> None:
        """Files first: afterwards no row says which they were."""
        jobs = await self._store.erasures.settled(numbers)
        if not jobs:
            return
        gone = {path for job in jobs for path in files.get(job.id, ())}
        if given := {digest for job in jobs for digest in job.inputs}:
            live = await self._store.jobs.live()
            given -= {digest for job in live for digest in job.request.inputs}  # others wait for these
            gone |= {self._settings.inputs / digest for digest in given}
        if gone:
            await unawaited(lambda: remove(gone))
        await self._store.erasures.empty([job.id for job in jobs], now=self._clock.now())

    async def _forget_trainings(self, erasure: Erasure, by: Actor) -> None:
        """One that is under way ends, and goes in the next round at the latest."""
        for training in await self._store.erasures.trainings(erasure):
            if training.state in UNDER_WAY:
                await self._teaching.cancel(training.id, by=by)
            await self._teaching.delete(training.id)

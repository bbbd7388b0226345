"""What goes on behind the answers: begun here, and waited for when the bot ends. Knows no job.

It also meets the damage that a database may take: that is told to whoever runs the bot, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from bot.core.happenings import Listener, StoreDamaged
from bot.core.news import DatabaseDamaged
from bot.core.ports import Delivery
from bot.store.database_errors import Unusable

log = structlog.get_logger(__name__)


class Errands:
    def __init__(self, *, delivery: Delivery, tell: Listener) -> None:
        self._delivery = delivery
        self._tell = tell
        self._is_damaged = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.moved = asyncio.Event()
        """Set whenever one has ended."""

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.moved.set()
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Unusable):
            self.meet_damage(error)
        else:
            log.error("background_task_failed", exc_info=error)

    async def stop(self) -> None:
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -------------------------------------------------------------- damage

    def meet_damage(self, error: Unusable) -> None:
        """What was promised can't be written down any more: the operator is told, once, and has to act."""
        log.error("store_damaged", error=str(error))
        if not self._is_damaged:
            self._is_damaged = True
            self.begin(self._tell_damage(str(error)))

    async def _tell_damage(self, problem: str) -> None:
        await self.warn_of_damage(problem)
        self._tell(StoreDamaged(problem=problem))

    async def warn_of_damage(self, problem: str, *, is_tried_on: bool = False) -> None:
        """Tells the operator what is the matter with the database: the same problem at most once an hour."""
        await self._delivery.tell_operator(DatabaseDamaged(problem=problem, is_tried_on=is_tried_on))

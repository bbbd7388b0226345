"""Lives of an engine without a process, in the loop's own time: they load, draw, die, and are silent when they are told to be.

What one does with its life is a subclass's; how it takes controls, tells of events and is lost is the same for all, and
what the bot's client sees of a real one.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from bot.core.engines.generation import Lost, Tell
from bot.core.engines.watch import Watch
from engine.contract import Cancel, Cancelled, Control, Event, Failed, Finished, Ready, Started, Submit

KILLED = -9


class SimGeneration(ABC):
    """One life, until it dies or is stopped."""

    def __init__(self, watch: Watch, tell: Tell) -> None:
        self._watch, self._tell = watch, tell
        self._loop = asyncio.get_running_loop()
        self._aboard: dict[int, asyncio.Task[None]] = {}
        self._attempts: dict[int, int] = {}
        self._unread: list[Control] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.begun: set[int] = set()
        """Jobs that it has told of beginning."""
        self.is_dead = self.is_frozen = self.is_ready = False

    def begin(self) -> None:
        self.later(self.load())

    # -------------------------------------------------------------- what it does with its life

    @abstractmethod
    async def load(self) -> None:
        """Until it emits Ready, or dies."""

    @abstractmethod
    async def draw(self, submit: Submit) -> None:
        """Until it emits the job's end, or dies."""

    @abstractmethod
    async def give_up(self, cancel: Cancel) -> float:
        """Takes its time to hear of it; the share that was drawn."""

    @abstractmethod
    async def lag(self) -> None:
        """Until its death is noticed."""

    # -------------------------------------------------------------- what the bot does with it

    @property
    def pid(self) -> None:
        return None

    @property
    def busy(self) -> bool:
        """Whether jobs are aboard."""
        return bool(self._aboard)

    def send(self, control: Control) -> None:
        if self.is_dead:  # of which the bot has perhaps not heard: what it sends is lost
            return
        if self.is_frozen or not self.is_ready:
            self._unread.append(control)
        else:
            self._obey(control)

    async def stop(self, timeout_s: float) -> None:
        del timeout_s
        self.is_dead = True
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _obey(self, control: Control) -> None:
        match control:
            case Submit():
                assert control.job_id not in self._aboard, "a job is aboard twice"
                self._attempts[control.job_id] = control.attempt
                self._aboard[control.job_id] = self.later(self.draw(control))
            case Cancel():
                if self._attempts.get(control.job_id) == control.attempt:
                    self.later(self._cancel(control))
            case _:
                raise AssertionError(f"{control} was not expected")

    async def _cancel(self, cancel: Cancel) -> None:
        done = await self.give_up(cancel)
        if self._attempts.get(cancel.job_id) == cancel.attempt:
            self._aboard[cancel.job_id].cancel()
            self.emit(Cancelled(job_id=cancel.job_id, attempt=cancel.attempt, done=done))

    # -------------------------------------------------------------- what it tells

    def emit(self, event: Event) -> None:
        if self.is_dead or self.is_frozen:
            return
        match event:
            case Started():
                self.begun.add(event.job_id)
            case Finished() | Failed() | Cancelled():
                self._aboard.pop(event.job_id, None)
                self._attempts.pop(event.job_id, None)
                self.begun.discard(event.job_id)
            case _:
                pass
        self._watch.told(event, self._loop.time())
        self._tell(event)
        if isinstance(event, Ready):
            self.is_ready, unread, self._unread = True, self._unread, []
            for control in unread:
                self._obey(control)

    def freeze(self) -> None:
        """It neither tells nor hears anything any more, and lives."""
        self.is_frozen = True

    def die(self, exitcode: int = KILLED, *, hung: bool = False) -> None:
        """The bot hears of it a moment later."""
        if self.is_dead:
            return
        self.is_dead = True
        for task in self._aboard.values():
            task.cancel()
        self._aboard.clear()
        self._attempts.clear()  # a cancellation may still be on its way
        self.later(self._be_lost(Lost(exitcode=exitcode, hung=hung)))

    async def _be_lost(self, lost: Lost) -> None:
        await self.lag()
        self._tell(lost)

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

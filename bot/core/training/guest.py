"""The guest of lowest rank: one training at a time beside the pictures. Knows processes by a Protocol; neither rows nor chat.

While anybody waits for a picture it stands still, at once. It goes on after a moment in which nobody did. Where it has to give its
memory back it ends after a step, with a checkpoint, and whoever asked for it begins it again later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import structlog

from bot.core.training.child import Begin, Child, Lesson
from engine.contract.training import (
    EXIT_NO_ROOM,
    EXIT_STOPPED,
    Event,
    Failed,
    Flagged,
    Needs,
    Taught,
)

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5
"""So often it is asked whether it may go on; that it may not is also told at once."""


class Turn(Enum):
    """What others leave to a guest."""

    GO = auto()
    YIELD = auto()
    """Somebody waits for a picture."""
    LEAVE = auto()
    """Its memory is wanted too, or it is not its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a guest gives way."""

    grace_s: float = 1.0
    """Nobody has waited for a picture so long before it goes on: people ask for several in a row."""
    leaves_within_s: float = 10.0
    """Then it is killed, and loses what it learned since its last checkpoint."""


# ------------------------------------------------------------------ how it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """It had to go, and goes on from its last checkpoint when it is begun again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoom:
    """There was not enough memory for it."""

    needs: Needs | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed:
    exitcode: int
    """Negative after a signal."""


End = Taught | Failed | Flagged | Left | NoRoom | Crashed


class Guest:
    """May be asked to `teach` again once it has ended; `stop` ends it for good."""

    def __init__(
        self,
        begin: Begin,
        *,
        turn: Callable[[], Turn],
        manners: Manners | None = None,
    ) -> None:
        self._begin, self._turn = begin, turn
        self._manners = manners or Manners()
        self._child: Child | None = None
        self._is_suspended = False
        self._is_leaving = False
        self._free_since: float | None = None
        """When it was first seen that nobody waits any more."""
        self._moved = asyncio.Event()
        self._told: Callable[[Event | Turn], None] = lambda _event: None

    # -------------------------------------------------------------- what others say

    def give_way(self) -> None:
        """Somebody has just asked for a picture."""
        self._free_since = None
        self._suspend()
        self._moved.set()

    def leave(self) -> None:
        """It is not wanted any more."""
        self._is_leaving = True
        self._moved.set()

    @property
    def may_begin(self) -> bool:
        """Whether nobody has waited for a picture for a moment."""
        return self._is_free(self._turn())

    def _is_free(self, turn: Turn) -> bool:
        if turn is not Turn.GO:
            self._free_since = None
            return False
        if self._free_since is None:
            self._free_since = _now()
        return _now() - self._free_since >= self._manners.grace_s

    # -------------------------------------------------------------- a lesson

    async def teach(self, lesson: Lesson, told: Callable[[Event | Turn], None]) -> End:
        """Until it ends, one way or another. `told` hears what it tells, and its turn whenever that changes. Raises OSError.

        Cancelled, it leaves no process behind.
        """
        assert self._child is None
        self._is_leaving = self._is_suspended = False
        self._told = told
        child = self._child = await self._begin(lesson)
        ear = asyncio.create_task(self._listen(child, told))
        try:
            if await self._look_after(child, ear):
                await self._see_off(child, ear)
            return _end(await ear, await child.ended(), was_asked=self._is_leaving)
        finally:
            self._child = None
            child.kill()
            ear.cancel()
            await asyncio.shield(asyncio.gather(ear, child.ended(), return_exceptions=True))

    async def _listen(self, child: Child, told: Callable[[Event | Turn], None]) -> list[Event]:
        """Those events that tell how it ended."""
        found: list[Event] = []
        while (event := await child.heard()) is not None:
            if isinstance(event, Taught | Failed | Flagged | Needs):
                found.append(event)
            try:
                told(event)
            except Exception:  # a bug in what is shown must not end what was paid for
                log.exception("training_untold", event_type=type(event).__name__)
        return found

    async def _look_after(self, child: Child, ear: asyncio.Task[list[Event]]) -> bool:
        """Until it has ended, or has to: then True."""
        ear.add_done_callback(lambda _task: self._moved.set())
        while not ear.done():
            turn = Turn.LEAVE if self._is_leaving else self._turn()
            if turn is Turn.LEAVE:
                self._is_leaving = True
                return True
            is_free = self._is_free(turn)
            if turn is Turn.YIELD:
                self._suspend()
            elif self._is_suspended and is_free:
                self._is_suspended = False
                child.resume()
                self._told(Turn.GO)
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._moved.wait()
        return False

    async def _see_off(self, child: Child, ear: asyncio.Task[list[Event]]) -> None:
        child.stop()
        done, _ = await asyncio.wait({ear}, timeout=self._manners.leaves_within_s)
        if not done:
            log.warning("training_killed")
            child.kill()

    def _suspend(self) -> None:
        if self._child is not None and not self._is_suspended and not self._is_leaving:
            self._is_suspended = True
            self._child.suspend()
            self._told(Turn.YIELD)


def _end(heard: list[Event], exitcode: int, *, was_asked: bool) -> End:
    last = heard[-1] if heard else None
    if isinstance(last, Taught | Failed | Flagged):
        return last
    if exitcode == EXIT_NO_ROOM:
        return NoRoom(needs=next((each for each in heard if isinstance(each, Needs)), None))
    return Left() if was_asked or exitcode == EXIT_STOPPED else Crashed(exitcode=exitcode)


def _now() -> float:
    """Seconds, by the loop's own clock."""
    return asyncio.get_running_loop().time()

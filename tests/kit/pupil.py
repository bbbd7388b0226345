"""A process that teaches, without a process: it learns a step in so many seconds of the loop's time, if it is let."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from signal import SIGKILL

from bot.core.training.child import Lesson
from engine.contract.training import (
    EXIT_FAILED,
    EXIT_NO_ROOM,
    EXIT_STOPPED,
    EXIT_TAUGHT,
    Checkpointed,
    Event,
    Failed,
    Flagged,
    Needs,
    Preparing,
    Sampled,
    Stage,
    Stepped,
    Taught,
)

STEP_S = 0.25
SAVE_EVERY = 5


@dataclass(slots=True, kw_only=True)
class Desk:
    """What such processes leave behind, and what becomes of the next ones."""

    step_s: float = STEP_S
    saved: dict[str, int] = field(default_factory=dict[str, int])
    """Steps of the last checkpoint, by folder."""
    begun: list[Pupil] = field(default_factory=list["Pupil"])
    crashes_at: list[int] = field(default_factory=list[int])
    """The next process dies at this step; one entry for each."""
    fails: Sequence[Event] = ()
    """What the next ones tell instead of learning."""
    needs: Needs | None = None
    hears_stop: bool = True
    done: Callable[[str], None] = lambda _name: None
    """The LoRA of this name lies there, and its samples."""

    async def begin(self, lesson: Lesson) -> Pupil:
        pupil = Pupil(self, lesson)
        self.begun.append(pupil)
        return pupil

    @property
    def last(self) -> Pupil:
        return self.begun[-1]


class Pupil:
    def __init__(self, desk: Desk, lesson: Lesson) -> None:
        self.desk, self.lesson = desk, lesson
        self.step = desk.saved.get(lesson.folder, 0)
        self.steps: int = lesson.told["steps"]
        self.calls: list[str] = []
        self.exitcode: int | None = None
        self._crash_at = desk.crashes_at.pop(0) if desk.crashes_at else None
        self._events = asyncio.Queue[Event | None]()
        self._may_go = asyncio.Event()
        self._may_go.set()
        self._is_told = False
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._learn())

    @property
    def is_suspended(self) -> bool:
        return not self._may_go.is_set()

    async def _learn(self) -> None:
        tell = self._events.put_nowait
        tell(Preparing(stage=Stage.MODEL, share=None))
        if (needs := self.desk.needs) is not None:
            tell(needs)
            if needs.needed > needs.free:
                self._end(EXIT_NO_ROOM)
                return
        for event in self.desk.fails:
            tell(event)
            if isinstance(event, Failed | Flagged):
                self._end(EXIT_FAILED)
                return
        while self.step < self.steps:
            await asyncio.sleep(self.desk.step_s)
            await self._may_go.wait()
            self.step += 1
            left = (self.steps - self.step) * self.desk.step_s
            tell(Stepped(done=self.step, steps=self.steps, loss=0.5, left_s=left))
            if self.step == self._crash_at:
                self._end(-11)
                return
            if self.step % SAVE_EVERY == 0 or self._is_told:
                self.desk.saved[self.lesson.folder] = self.step
                tell(Checkpointed(done=self.step))
            if self._is_told and self.step < self.steps:
                self._end(EXIT_STOPPED)
                return
        self.desk.done(self.lesson.told["name"])
        tell(Sampled(sheet="/nowhere/samples.png"))
        tell(Taught(file=f"/nowhere/{self.lesson.told['name']}.safetensors"))
        self._end(EXIT_TAUGHT)

    def _end(self, code: int) -> None:
        if self.exitcode is None:
            self.exitcode = code
            self._events.put_nowait(None)
            self._over.set()

    # -------------------------------------------------------------- as a Child

    async def heard(self) -> Event | None:
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
        return event

    async def ended(self) -> int:
        await self._over.wait()
        assert self.exitcode is not None
        return self.exitcode

    def suspend(self) -> None:
        self.calls.append("suspend")
        self._may_go.clear()

    def resume(self) -> None:
        self.calls.append("resume")
        self._may_go.set()

    def stop(self) -> None:
        self.calls.append("stop")
        if self.desk.hears_stop:
            self._is_told = True
            self._may_go.set()

    def kill(self) -> None:
        if self.exitcode is None:
            self.calls.append("kill")
            self._task.cancel()
            self._end(-SIGKILL)

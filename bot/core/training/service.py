"""The life of a training once it is paid for: waits its turn, is taught as a guest, and ends as a LoRA or a refund. Knows no SQL.

The rows say first how it stands. What is held in memory here, how far it is and why it waits, is only shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import structlog

from bot.config import Settings
from bot.core.happenings import Actor, Happening, JobAccepted, JobQueued
from bot.core.line.retries import Retries
from bot.core.ports import Clock
from bot.core.training import told as facts
from bot.core.training.child import Begin, Lesson
from bot.core.training.files import Places, label
from bot.core.training.guest import Crashed, End, Guest, Left, Manners, NoRoom, Turn
from bot.core.training.told import (
    EndCode,
    ForMemory,
    ForPictures,
    InLine,
    Seen,
    TrainingTold,
)
from bot.core.training.turns import Turns
from bot.job import Reason, ReasonCode
from bot.store.audit import AuditEntry
from bot.training import Training, TrainingPicture, TrainingState
from engine.contract import ModelInfo
from engine.contract.training import (
    Checkpointed,
    Event,
    Failed,
    Flagged,
    Needs,
    Preparing,
    Sampled,
    Stepped,
    Taught,
)

log = structlog.get_logger(__name__)

FAMILIES = ("sd", "sdxl")
"""Of models that can be taught."""
CRASHES_MAX = 2
"""So often in a row a process may die without having kept a step more; then the training fails."""
_SMOOTH = 0.95


class NotOffered(StrEnum):
    OFF = "off"
    """Whoever runs the bot has not switched it on."""
    RAY = "ray"
    """Its engines run in a cluster, where nothing can be suspended from here."""


class Rows(Protocol):
    """The store's, guarded by state: what a row says already changes nothing, and gives None. All raise DatabaseError."""

    async def listed(self, guild_id: int, user_id: int | None) -> list[Training]: ...
    async def pictures(self, training_id: int) -> list[TrainingPicture]: ...
    async def waiting(self) -> list[Training]:
        """In their order."""
        ...

    async def next_waiting(self) -> Training | None: ...
    async def run(self, training_id: int, *, now: float) -> Training | None: ...
    async def progress(self, training_id: int, done: int) -> None: ...
    async def finish(self, training_id: int, *, now: float) -> Training | None: ...
    async def fail(self, training_id: int, *, reason: Reason, now: float) -> Training | None: ...
    async def cancel(self, training_id: int, *, reason: Reason, now: float) -> Training | None: ...
    async def close(self, training_id: int, *, now: float) -> Training | None:
        """Nothing can be started of it any more. None while it is under way."""
        ...

    async def delete(self, training_id: int, *, now: float, entry: AuditEntry | None) -> bool: ...
    async def recover(self) -> object: ...
    async def shown(self, training_id: int, *, now: float) -> object:
        """Its message says that it is over."""
        ...

    async def unshown(self) -> list[Training]:
        """Those that ended, and whose message does not say so yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long what is waited for."""

    look_s: float = 1.0
    """Until it is asked again whether one may begin."""
    room_s: float = 60.0
    """Until memory that was short is looked at again."""
    crash_s: float = 10.0
    """Until a process that died is begun anew."""
    manners: Manners = field(default_factory=Manners)
    retries: Retries = field(default_factory=Retries)


@dataclass(slots=True, kw_only=True)
class _Current:
    """The one that is being taught, as far as it is known."""

    training: Training
    seen: Seen = field(default_factory=Seen)
    loss: float | None = None
    crashes: int = 0
    """Since the last step that was kept."""
    needs: Needs | None = None
    end: Reason | None = None
    """It is not wanted any more."""
    kept: int = 0
    """Steps."""
    again_at: float = -math.inf
    """Before that it is not begun again."""
    is_short: bool = False
    """Of memory, until then."""


class TrainingService:
    def __init__(
        self,
        *,
        settings: Settings,
        rows: Rows,
        turns: Turns,
        told: TrainingTold,
        clock: Clock,
        begin: Begin,
        pauses: Pauses | None = None,
    ) -> None:
        self._settings, self._rows, self._turns = settings, rows, turns
        self._told, self._clock = told, clock
        self._pauses = pauses or Pauses()
        self._places = Places.of(settings)
        self._guest = Guest(begin, turn=self._turn, manners=self._pauses.manners)
        self._current: _Current | None = None
        self._moved = asyncio.Event()
        self._pace: dict[str, float] = {}
        """Seconds of a step, by model."""
        self._errands: set[asyncio.Task[None]] = set()

    # -------------------------------------------------------------- what the chat asks

    @property
    def offered(self) -> NotOffered | None:
        """Why nobody may begin one; None where they may."""
        if not self._settings.training.enabled:
            return NotOffered.OFF
        return NotOffered.RAY if self._settings.engine.fleet == "ray" else None

    def can_teach(self, model: ModelInfo) -> bool:
        """As far as it is known before its files were read."""
        return model.family in FAMILIES and not model.needs_mask

    def price(self, steps: int) -> int:
        """Credits."""
        return self._settings.training.price(steps)

    def expected_s(self, model: str, steps: int) -> float | None:
        """Seconds that it takes if nobody wants a picture meanwhile; None before the model was ever taught."""
        pace = self._pace.get(model)
        return None if pace is None else pace * steps

    def wake(self) -> None:
        """One was paid for."""
        self._moved.set()

    async def seen(self, training: Training) -> Seen:
        """How one that is under way stands. Raises DatabaseError."""
        if self._current is not None and self._current.training.id == training.id:
            return self._current.seen
        waiting = [each for each in await self._rows.waiting() if each.id < training.id]
        ahead = {each.id for each in waiting}
        if self._current is not None:
            ahead.add(self._current.training.id)
        return Seen(waits=InLine(ahead=len(ahead)) if ahead else None)

    async def cancel(self, training_id: int, *, by: Actor) -> bool:
        """What was not done of it is given back. False where it is over already. Raises DatabaseError."""
        return await self._cancel(training_id, Reason.of(ReasonCode.CANCELLED, by=by.name))

    async def withdraw(self, *, guild_id: int, user_id: int) -> int:
        """Ends all of a person who was just blocked. How many. Raises DatabaseError."""
        return await self._cancel_all(guild_id, user_id, Reason.of(ReasonCode.WITHDRAWN))

    async def guild_left(self, guild_id: int) -> int:
        """Removed from a server: what is under way there ends. How many. Raises DatabaseError."""
        return await self._cancel_all(guild_id, None, Reason.of(ReasonCode.REMOVED))

    async def delete(self, training_id: int, entry: AuditEntry | None = None) -> bool:
        """Its row, its pictures and what came of it are gone. False while it is under way. Raises DatabaseError and OSError.

        The files go before the row, which alone says which they were.
        """
        closed = await self._rows.close(training_id, now=self._clock.now())
        if closed is None:
            return False
        await self._places.forget(closed, with_result=closed.state is TrainingState.DONE)
        return await self._rows.delete(training_id, now=self._clock.now(), entry=entry)

    async def _cancel_all(self, guild_id: int, user_id: int | None, reason: Reason) -> int:
        found = await self._rows.listed(guild_id, user_id)
        ended = [await self._cancel(each.id, reason) for each in found]
        return sum(ended)

    async def _cancel(self, training_id: int, reason: Reason) -> bool:
        if self._current is not None and self._current.training.id == training_id:
            await self._rows.progress(training_id, self._current.kept)
        ended = await self._rows.cancel(training_id, reason=reason, now=self._clock.now())
        if ended is None:
            return False
        if self._current is not None and self._current.training.id == training_id:
            self._current.end = reason
            self._guest.leave()
        else:
            self._errand(self._clear(training_id))
        self._moved.set()
        return True

    # -------------------------------------------------------------- whose turn it is

    def hear(self, happening: Happening) -> None:
        """Whoever has just asked for a picture is not even to wait for a look."""
        if isinstance(happening, JobAccepted | JobQueued):
            self._guest.give_way()

    def _turn(self) -> Turn:
        assert self._current is not None
        current = self._current
        waits = self._turns.waits(current.training.guild_id)
        self._show(waits=waits)
        match waits:
            case None:
                return Turn.GO
            case ForPictures():
                holds = current.needs is not None and current.needs.on_card
                return Turn.LEAVE if holds and self._turns.wants_card() else Turn.YIELD
            case _:
                return Turn.LEAVE

    # -------------------------------------------------------------- one after the other

    async def take_up(self) -> None:
        """What was being taught when the bot ended waits again, and what ended unseen is told. Raises DatabaseError."""
        await self._rows.recover()
        for training in await self._rows.unshown():
            self._tell_end(training.id)

    async def run(self) -> None:
        """Until cancelled; then no process is left, and the rows say what is to go on at the next start.

        Where it is not offered what was started before waits.
        """
        try:
            while True:
                self._moved.clear()
                training = None if self.offered else await self._kept(self._rows.next_waiting)
                if training is None:
                    await self._moved.wait()
                    continue
                self._current = _Current(training=training, kept=training.done)
                try:
                    await self._teach(self._current)
                except Exception:  # a bug in one must not keep all others waiting
                    log.exception("training_failed", training=training.id)
                    await self._fail(training.id, Reason(code=EndCode.CRASHED))
                finally:
                    self._current = None
        finally:
            errands = [*self._errands]
            for errand in errands:
                errand.cancel()
            await asyncio.gather(*errands, return_exceptions=True)

    async def _teach(self, current: _Current) -> None:
        """Until its row says that it is over."""
        while current.end is None:
            await self._until_its_turn(current)
            if current.end is not None:
                break
            running = await self._kept(lambda: self._rows.run(current.training.id, now=self._clock.now()))
            if running is None and current.training.state is TrainingState.WAITING:
                break  # it ended in this moment
            current.training = running or current.training
            if await self._settle(current, await self._taught(current)):
                return
        await self._clear(current.training.id)

    async def _until_its_turn(self, current: _Current) -> None:
        """Nobody waits for a picture, it is its time, and memory that was short is looked at again."""
        while current.end is None:
            is_early = asyncio.get_running_loop().time() < current.again_at
            if self._guest.may_begin and not is_early:
                current.is_short = False
                return
            if is_early and current.is_short and (needs := current.needs) is not None:
                self._show(waits=ForMemory(needed=needs.needed, free=needs.free))
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pauses.look_s):
                    await self._moved.wait()

    async def _taught(self, current: _Current) -> End:
        training = current.training
        self._show(doing=facts.Preparing(), waits=None)
        try:
            pictures = await self._kept(lambda: self._rows.pictures(training.id))
            await self._places.prepare(training.id, pictures)
            if current.end is not None:
                return Left()
            return await self._guest.teach(self._lesson(training), self._hear_child)
        except OSError as error:
            log.warning("training_not_begun", training=training.id, error=str(error))
            return Crashed(exitcode=0)

    def _lesson(self, training: Training) -> Lesson:
        told = {
            "name": training.name,
            "trigger": training.trigger,
            "folder": str(self._places.pictures_of(training.id)),
            "steps": training.steps,
            "seed": training.id % 2**32,
        }
        return Lesson(model=training.model, told=told, folder=label(training.id))

    def _hear_child(self, event: Event | Turn) -> None:
        current = self._current
        if current is None:
            return
        match event:
            case Needs():
                current.needs = event
            case Preparing(stage=stage, share=share):
                self._show(doing=facts.Preparing(stage=stage, share=share))
            case Stepped():
                self._hear_step(current, event)
            case Checkpointed(done=done):
                current.crashes, current.kept = 0, done
                self._errand(self._note(current.training.id, done))
            case Sampled():
                self._show(samples=current.seen.samples + 1)
            case _:
                pass

    def _hear_step(self, current: _Current, step: Stepped) -> None:
        if step.loss is not None:
            before = current.loss
            current.loss = step.loss if before is None else _SMOOTH * before + (1 - _SMOOTH) * step.loss
        if step.left_s is not None and step.done < step.steps:
            self._pace[current.training.model] = step.left_s / (step.steps - step.done)
        doing = facts.Learning(done=step.done, steps=step.steps, loss=current.loss, left_s=step.left_s)
        self._show(doing=doing)

    def _show(self, **changed: Any) -> None:
        """Of the current one: what is new."""
        current = self._current
        if current is None:
            return
        seen = replace(current.seen, **changed)
        if seen != current.seen:
            current.seen = seen
            if current.end is None:
                self._told.show(current.training.id, seen)

    # -------------------------------------------------------------- how it ended

    async def _settle(self, current: _Current, end: End) -> bool:
        """Whether its row says that it is over; else it is begun again."""
        training_id = current.training.id
        if current.end is not None:
            if isinstance(end, Taught):  # in the very moment
                await self._places.forget_result(current.training.name)
            return False
        match end:
            case Taught():
                now = self._clock.now()
                await self._note(training_id, current.training.steps)
                await self._kept(lambda: self._rows.finish(training_id, now=now))
                self._tell_end(training_id)
                return True
            case Failed(text=text):
                await self._fail(training_id, Reason.told(text))
                return True
            case Flagged(files=files):
                await self._fail(training_id, await self._flagged(training_id, files))
                return True
            case NoRoom(needs=needs):
                self._find_room(current, needs)
            case Crashed(exitcode=code):
                log.warning("training_crashed", training=training_id, exitcode=code)
                current.crashes += 1
                if current.crashes > CRASHES_MAX:
                    await self._fail(training_id, Reason(code=EndCode.CRASHED))
                    return True
                current.again_at = asyncio.get_running_loop().time() + self._pauses.crash_s
            case Left():
                pass
        return False

    def _find_room(self, current: _Current, needs: Needs | None) -> None:
        """Nobody has waited for a moment: models that lie idle on its card leave, and it is tried again."""
        current.needs, current.is_short = needs, True
        current.again_at = asyncio.get_running_loop().time() + self._pauses.room_s
        if needs is not None and needs.on_card:
            log.info("training_unloads", training=current.training.id, needed=needs.needed, free=needs.free)
            self._turns.unload()

    async def _flagged(self, training_id: int, files: tuple[str, ...]) -> Reason:
        """Names the pictures by their numbers."""
        numbers = {each.digest: each.number for each in await self._rows.pictures(training_id)}
        named = sorted(numbers.get(Path(file).stem, 0) for file in files)
        return Reason(code=EndCode.FLAGGED, values={"pictures": ", ".join(map(str, named))})

    async def _fail(self, training_id: int, reason: Reason) -> None:
        log.info("training_fails", training=training_id, reason=str(reason))
        now = self._clock.now()
        if self._current is not None:
            await self._note(training_id, self._current.kept)
        await self._kept(lambda: self._rows.fail(training_id, reason=reason, now=now))
        await self._clear(training_id)

    async def _clear(self, training_id: int) -> None:
        """It is over without a LoRA: nothing goes on from what was kept."""
        try:
            await self._places.forget_unfinished(training_id)
        except OSError as error:
            log.warning("training_not_cleared", training=training_id, error=str(error))
        self._tell_end(training_id)

    def _tell_end(self, training_id: int) -> None:
        self._errand(self._shown(training_id))

    async def _shown(self, training_id: int) -> None:
        await self._told.ended(training_id)
        await self._kept(lambda: self._rows.shown(training_id, now=self._clock.now()))

    async def _note(self, training_id: int, done: int) -> None:
        await self._kept(lambda: self._rows.progress(training_id, done))

    async def _kept(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Of the store, which may be busy."""
        async for attempt in self._pauses.retries.persistent():
            with attempt:
                return await ask()
        return None

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errand_ended)

    def _errand_ended(self, task: asyncio.Task[None]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("training_errand_failed", exc_info=error)

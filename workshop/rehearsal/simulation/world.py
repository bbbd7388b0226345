"""What outlives a bot: its database, the spool, the messages in Discord; and the neighbours of one bot's life.

A neighbour belongs to one `Life`. Once that is over nothing that it began goes on: what a killed process had asked for
is either done or never happens.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bot.core.engines.client import EngineStatus, Lost, Phase
from bot.core.ports import Progress, Undeliverable
from bot.job import Job, Reason, ReasonCode
from bot.store.db import DatabaseError
from bot.store.schema import migrations, statements
from engine.contract import (
    Cancel,
    Cancelled,
    Control,
    Event,
    Failed,
    Finished,
    Ready,
    SpooledImage,
    Started,
    Stepped,
    Submit,
)
from engine.fake import MODEL

EPOCH = 1_800_000_000.0
STEPS = 3
CRASH, FAIL = "CRASH", "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often what goes wrong."""

    bot_kills: int = 0
    engine_kills: int = 0
    busy: float = 0.0
    """Share of writes that meet a stranger's lock."""
    undeliverable: float = 0.0


@dataclass(slots=True, kw_only=True)
class World:
    random: Random
    faults: Faults
    connection: sqlite3.Connection = field(default_factory=lambda: _database())  # noqa: PLW0108 - it stands below
    spool: set[str] = field(default_factory=set[str])
    answers: dict[int, int] = field(default_factory=dict[int, int])
    """Interaction id -> id of the message that Discord took as its answer."""
    ends: dict[int, Job] = field(default_factory=dict[int, Job])
    """Message id -> the end that it shows."""
    nowhere: set[int] = field(default_factory=set[int])
    """Jobs whose channel is gone."""
    deaths_alone: dict[int, int] = field(default_factory=dict[int, int])
    """Job id -> how often an engine died that had begun nothing else."""
    calm: bool = False
    """Nothing goes wrong any more."""

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    async def pause(self, most_s: float) -> None:
        """Some time passes, or only everybody else's turn."""
        await asyncio.sleep(self.random.choice((0.0, self.random.uniform(0, most_s))))


def _database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys=ON")
    for _, script in migrations():
        for statement in statements(script):
            connection.execute(statement)
    return connection


@dataclass(slots=True)
class Life:
    """One process of the bot, until it is killed."""

    is_over: bool = False

    async def goes_on(self) -> None:
        """Never returns in a process that was killed."""
        if self.is_over:
            await asyncio.get_running_loop().create_future()


class SimDatabase:
    """Stands in for `bot.store.db.Database`: the real statements on the real schema, in memory, with pauses."""

    def __init__(self, world: World, life: Life) -> None:
        self._world, self._life = world, life
        self._lock = asyncio.Lock()

    async def write(self, sql: str, params: dict[str, Any]) -> list[sqlite3.Row]:
        async with self._lock:
            await self._before()
            rows = self._world.connection.execute(sql, params).fetchall()
        await self._after()
        return rows

    @asynccontextmanager
    async def tx(self) -> AsyncGenerator[Any]:
        raise NotImplementedError("no dispatcher needs more than one statement at once")
        yield

    async def read(self, sql: str, params: dict[str, Any]) -> list[sqlite3.Row]:
        await self._after()
        return self._world.connection.execute(sql, params).fetchall()

    async def _before(self) -> None:
        await self._world.pause(0.01)
        await self._life.goes_on()
        if not self._world.calm and self._world.random.random() < self._world.faults.busy:
            raise DatabaseError("somebody else holds the lock")

    async def _after(self) -> None:
        await self._world.pause(0.01)
        await self._life.goes_on()


class SimDelivery:
    """Implements `Delivery`. Discord may have done something that a killed bot never hears of."""

    def __init__(self, world: World, life: Life) -> None:
        self._world, self._life = world, life

    def show(self, job: Job, progress: Progress, *, now: bool = False) -> None:
        del job, progress, now

    async def finish(self, job: Job) -> int:
        world = self._world
        await world.pause(5.0)
        await self._life.goes_on()
        if job.id in world.nowhere:
            raise Undeliverable(Reason.of(ReasonCode.CHANNEL_GONE))
        assert job.message_id is not None
        world.ends[job.message_id] = job
        await world.pause(5.0)
        await self._life.goes_on()
        return job.message_id

    async def find_answer(self, job: Job) -> int | None:
        await self._world.pause(5.0)
        await self._life.goes_on()
        return self._world.answers.get(job.interaction_id)

    async def remove(self, job: Job) -> None:
        raise NotImplementedError("nobody deletes anything here")

    async def tell_operator(self, text: str) -> None:
        del text


class SimEngine:
    """Stands in for `EngineClient`: generations that load, draw by turns, die and come back."""

    def __init__(self, world: World, life: Life, *, slots: int) -> None:
        self.status = EngineStatus(phase=Phase.LOADING, models=(MODEL,))
        self.generation = 0
        self.described = asyncio.Event()
        self.described.set()
        self._world, self._life = world, life
        self._slots = slots
        self._aboard: dict[int, asyncio.Task[None]] = {}
        self._attempts: dict[int, int] = {}
        self._begun: set[int] = set()
        """Jobs that it has told of beginning."""
        self._is_dead, self._is_loading = True, False
        self._unread: list[Control] = []
        self._on_event: Callable[[Event | Lost], None] = lambda _event: None

    # -------------------------------------------------------------- what the bot does with it

    def start(self, on_event: Callable[[Event | Lost], None]) -> None:
        self._on_event = on_event
        self._later(self._load())

    def send(self, control: Control) -> None:
        if self._is_loading:  # the new process will read it
            self._unread.append(control)
        elif not self._is_dead:  # of which the bot has perhaps not heard: what it sends is lost
            self._obey(control)

    def _obey(self, control: Control) -> None:
        match control:
            case Submit():
                assert control.job_id not in self._aboard, "a job is aboard twice"
                assert len(self._aboard) < self._slots, "more jobs than slots"
                self._attempts[control.job_id] = control.attempt
                self._aboard[control.job_id] = self._later(self._draw(control))
            case Cancel():
                if self._attempts.get(control.job_id) == control.attempt:
                    self._later(self._cancel(control))
            case _:
                raise AssertionError(f"{control} was not expected")

    async def stop(self) -> None:
        raise NotImplementedError("bots are killed here")

    def blame_a_job(self) -> None:
        """Nothing is paused here."""

    @property
    def busy(self) -> bool:
        """Whether jobs are aboard."""
        return bool(self._aboard)

    # -------------------------------------------------------------- what happens to it

    def die(self) -> None:
        """As by the system's memory killer; the bot hears of it a moment later."""
        if self._is_dead or not self.status.is_ready:
            return
        self._is_dead = True
        if len(self._begun) == 1:
            (job_id,) = self._begun
            self._world.deaths_alone[job_id] = self._world.deaths_alone.get(job_id, 0) + 1
        self._begun.clear()
        for task in self._aboard.values():
            task.cancel()
        self._aboard.clear()
        self._attempts.clear()
        self._later(self._bury())

    async def _bury(self) -> None:
        await self._world.pause(0.05)
        await self._life.goes_on()
        self.status = EngineStatus(phase=Phase.RESTARTING, models=(MODEL,))
        self._on_event(Lost(exitcode=-9, generation=self.generation))
        await self._load()

    def _later(self, work: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    def _emit(self, event: Event) -> None:
        if not self._life.is_over:
            self._on_event(event)

    async def _load(self) -> None:
        self.generation += 1
        self._is_loading = True
        await self._world.pause(10.0)
        await self._life.goes_on()
        ready = Ready(
            device="simulated",
            dtype="none",
            models=(MODEL,),
            slots=self._slots,
            fingerprint={"engine": "simulated"},
        )
        self.status, self._is_dead = EngineStatus(phase=Phase.READY, models=(MODEL,), ready=ready), False
        self._is_loading, unread, self._unread = False, self._unread, []
        self._on_event(ready)
        for control in unread:
            self._obey(control)

    async def _draw(self, control: Submit) -> None:
        world, job_id, attempt = self._world, control.job_id, control.attempt
        prompt = control.request.prompt
        await world.pause(0.5)
        self._begun.add(job_id)
        self._emit(Started(job_id=job_id, attempt=attempt))
        for step in range(1, STEPS + 1):
            await world.pause(1.0)
            if CRASH in prompt:
                asyncio.get_running_loop().call_soon(self.die)
                return
            self._emit(Stepped(job_id=job_id, attempt=attempt, step=step, steps=STEPS, stage="denoising"))
        if FAIL in prompt:
            self._leave(job_id, Failed(job_id=job_id, attempt=attempt, reason="It can't be drawn."))
            return
        name = f"{job_id}-{attempt}.png"
        world.spool.add(name)
        await world.pause(0.2)
        images = (SpooledImage(path=name, seed=control.request.seed),)
        self._leave(job_id, Finished(job_id=job_id, attempt=attempt, images=images, seconds=1.0))

    async def _cancel(self, control: Cancel) -> None:
        await self._world.pause(0.5)
        if self._attempts.get(control.job_id) == control.attempt:
            self._aboard[control.job_id].cancel()
            done = self._world.random.random()
            self._leave(control.job_id, Cancelled(job_id=control.job_id, attempt=control.attempt, done=done))

    def _leave(self, job_id: int, event: Event) -> None:
        self._aboard.pop(job_id, None)
        self._attempts.pop(job_id, None)
        self._begun.discard(job_id)
        self._emit(event)

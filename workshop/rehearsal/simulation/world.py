"""What outlives a bot: its database, the spool, the messages in Discord; and the neighbours of one bot's life.

A neighbour belongs to one `Life`. Once that is over nothing that it began goes on: what a killed process had asked for
is either done or never happens.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from bot.core.engines.generation import Generation, Lost, Tell
from bot.core.engines.restarts import Patience
from bot.core.engines.watch import Watch
from bot.core.news import News
from bot.core.ports import Progress, Undeliverable
from bot.core.spool import Spool
from bot.job import Claim, Copy, Job, Reason, ReasonCode
from bot.store.db import DatabaseError
from bot.store.schema import migrations, statements
from engine.contract import (
    Cancel,
    EngineSettings,
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
from workshop.rehearsal.simulation.engine import KILLED, SimGeneration

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
    patience: Patience = field(default_factory=Patience)
    """Mostly without an end: an engine that rests for ten minutes sees little of what goes wrong."""


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


@dataclass(frozen=True, slots=True)
class _Together:
    """Statements of one transaction, between which nothing else happens."""

    connection: sqlite3.Connection

    async def execute_fetchall(self, sql: str, params: dict[str, Any]) -> list[sqlite3.Row]:
        return self.connection.execute(sql, params).fetchall()


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
        async with self._lock:
            await self._before()
            connection = self._world.connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Together(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.execute("COMMIT")
        await self._after()

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

    async def ask_moderators(self, job: Job, channel_id: int) -> int | None:
        raise NotImplementedError("nothing is flagged here")

    async def find_answer(self, job: Job) -> int | None:
        await self._world.pause(5.0)
        await self._life.goes_on()
        return self._world.answers.get(job.interaction_id)

    async def remove(self, job: Job) -> None:
        raise NotImplementedError("nobody deletes anything here")

    async def remove_copy(self, copy: Copy) -> None:
        raise NotImplementedError("nobody takes anything out here")

    async def find_claimed(self, claim: Claim) -> int | None:
        raise NotImplementedError("nobody stars anything here")

    async def tell_operator(self, news: News) -> None:
        del news


class SimSpool(Spool):
    """Files that are only names."""

    def __init__(self, world: World) -> None:
        super().__init__(Path("/"))
        self._world = world

    async def are_intact(self, images: Sequence[SpooledImage]) -> bool:
        return all(image.path in self._world.spool for image in images)

    async def discard(self, job: Job) -> None:
        self._world.spool.difference_update(str(image.path) for image in job.shown_images)


class SimMachine:
    """What the engines of one bot run on: starts them, and kills the one that runs."""

    def __init__(self, world: World, life: Life, *, slots: int) -> None:
        self._world, self._life, self._slots = world, life, slots
        self._runs: SimEngine | None = None

    def start(self, settings: EngineSettings, watch: Watch, tell: Tell) -> Generation:
        del settings

        def tell_the_living(event: Event | Lost) -> None:
            if not self._life.is_over:
                tell(event)

        self._runs = SimEngine(self._world, self._life, watch, tell_the_living, slots=self._slots)
        if not self._life.is_over:  # else a timer of a bot that was killed
            self._runs.begin()
        return self._runs

    def kill(self) -> None:
        """As by the system's memory killer."""
        if self._runs is not None:
            self._runs.die()

    @property
    def is_busy(self) -> bool:
        return self._runs is not None and self._runs.busy


class SimEngine(SimGeneration):
    """Draws by turns, with pauses from the dice, and dies of some prompts."""

    def __init__(self, world: World, life: Life, watch: Watch, tell: Tell, *, slots: int) -> None:
        self._world, self._life, self._slots = world, life, slots
        super().__init__(watch, tell)

    async def load(self) -> None:
        await self._world.pause(10.0)
        await self._life.goes_on()
        ready = Ready(
            device="simulated",
            dtype="none",
            models=(MODEL,),
            slots=self._slots,
            fingerprint={"engine": "simulated"},
        )
        self.emit(ready)

    async def draw(self, submit: Submit) -> None:
        world, job_id, attempt = self._world, submit.job_id, submit.attempt
        prompt = submit.request.prompt
        assert len(self._aboard) <= self._slots, "more jobs than slots"
        await world.pause(0.5)
        self.emit(Started(job_id=job_id, attempt=attempt))
        for step in range(1, STEPS + 1):
            await world.pause(1.0)
            if CRASH in prompt:
                asyncio.get_running_loop().call_soon(self.die)
                return
            self.emit(Stepped(job_id=job_id, attempt=attempt, step=step, steps=STEPS, stage="denoising"))
        if FAIL in prompt:
            self.emit(Failed(job_id=job_id, attempt=attempt, reason="It can't be drawn."))
            return
        name = f"{job_id}-{attempt}.png"
        world.spool.add(name)
        await world.pause(0.2)
        images = (SpooledImage(path=name, seed=submit.request.seed),)
        self.emit(Finished(job_id=job_id, attempt=attempt, images=images, seconds=1.0))

    async def give_up(self, cancel: Cancel) -> float:
        del cancel
        await self._world.pause(0.5)
        return self._world.random.random()

    async def lag(self) -> None:
        await self._world.pause(0.05)
        await self._life.goes_on()

    def die(self, exitcode: int = KILLED, *, hung: bool = False) -> None:
        if not self.is_dead and len(self.begun) == 1:
            (job_id,) = self.begun
            self._world.deaths_alone[job_id] = self._world.deaths_alone.get(job_id, 0) + 1
        super().die(exitcode, hung=hung)

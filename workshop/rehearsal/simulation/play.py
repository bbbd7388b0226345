"""One schedule from one seed: people ask and cancel, bot and engine die, and in the end every promise is checked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bot.config import CeilingsSection, DataSection, LimitsSection, QueueSection, Settings
from bot.core.asking.admission import Admission
from bot.core.asking.catalogue import Catalogue
from bot.core.asking.refused import Refused
from bot.core.doors import Doors
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet
from bot.core.engines.restarts import Patience
from bot.core.happenings import Actor, Happenings
from bot.core.line.dispatcher import FAULTS_MAX, Dispatcher
from bot.job import LIVE, Action, Asker, Job, JobState, Origin, ReasonCode
from bot.store import Store
from bot.store.database_errors import DatabaseError
from engine.contract import EngineSettings
from workshop.rehearsal.props import GUILD, picture
from workshop.rehearsal.simulation.loop import run
from workshop.rehearsal.simulation.world import (
    CRASH,
    FAIL,
    Faults,
    Life,
    SimDatabase,
    SimDelivery,
    SimMachine,
    SimSpool,
    World,
)

JOBS, PEOPLE, SLOTS, PENDING, CREDITS = 9, 3, 3, 4, 7
SOMEBODY = Actor(user_id=0, name="somebody")
ASKING_S = 40.0
CALM_S = 4 * 3600.0
SETTINGS = Settings(
    limits=LimitsSection(credits_per_day=CREDITS, pending=PENDING),
    ceilings=CeilingsSection(),
    queue=QueueSection(max=100),
    data=DataSection(dir=Path("/"), free_mb=0),
)


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request that the store took."""

    job: Job
    message_id: int
    is_cancelled: bool = False
    """Somebody pressed Cancel and was told yes."""


class Clock:
    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.now()


class Play:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(random=self.random, faults=_faults(self.random))
        self.asked: list[Asked] = []
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        """The next process of the bot."""
        world, life = self.world, Life()
        database: Any = SimDatabase(world, life)
        self.machine = SimMachine(world, life, slots=SLOTS)
        engine = EngineClient(
            EngineSettings(model="fake", spool="/"),
            patience=world.faults.patience,
            start=self.machine.start,
            monotonic=asyncio.get_running_loop().time,
        )
        self.fleet = LocalFleet([engine], monotonic=asyncio.get_running_loop().time)
        store = Store.on(database)
        self.life = life
        doors, clock, tell = Doors(), Clock(world), Happenings().tell
        self.admission = Admission(
            store=store,
            catalogue=Catalogue(self.fleet),
            clock=clock,
            settings=SETTINGS,
            doors=doors,
            tell=tell,
        )
        self.dispatcher = Dispatcher(
            store=store,
            fleet=self.fleet,
            delivery=SimDelivery(world, life),
            clock=clock,
            spool=SimSpool(world),
            doors=doors,
            tell=tell,
        )

    # -------------------------------------------------------------- the schedule

    async def whole(self) -> list[str]:
        """Everything that the seed says; the promises that were broken."""
        await self._start()
        events = sorted(self._events(), key=lambda event: event[0])
        for at, act in events:
            await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
            await act()
        self.world.calm = True
        await asyncio.sleep(CALM_S)
        broken = list(self._broken())
        await self._end_life()
        return broken

    def _events(self) -> Iterator[tuple[float, Any]]:
        faults, when = self.world.faults, lambda: self.random.uniform(0, ASKING_S)
        for _ in range(JOBS):
            yield when(), self._ask
        for _ in range(self.random.randrange(4)):
            yield when(), self._cancel_one
        for _ in range(faults.engine_kills):
            yield when(), self._kill_engine
        for _ in range(faults.bot_kills):
            yield when(), self._kill_bot

    async def _kill_engine(self) -> None:
        self.machine.kill()

    async def _kill_bot(self) -> None:
        await self._end_life()
        await self.world.pause(5.0)
        self._begin()
        await self._start()

    async def _start(self) -> None:
        """Nobody can ask before the bot has started; one that can't start is started again, as systemd does."""
        while True:
            try:
                return await self.dispatcher.start()
            except DatabaseError:
                await self._end_life()
                await self.world.pause(5.0)
                self._begin()

    async def _end_life(self) -> None:
        self.life.is_over = True
        others = sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=_number_of)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    # -------------------------------------------------------------- people

    async def _ask(self) -> None:
        self._number += 1
        self._background(self._imagine(self._number, self.random.randrange(PEOPLE)))

    def _background(self, work: Any) -> None:
        asyncio.get_running_loop().create_task(work).add_done_callback(_raise)

    async def _imagine(self, number: int, user: int) -> None:
        dispatcher, world = self.dispatcher, self.world
        word = self.random.choices(("", CRASH, FAIL), (14, 1, 1))[0]
        try:
            job = await self.admission.admit(
                picture(f"{word} {number}"),
                asker=Asker(user_id=user, guild_id=GUILD),
                origin=Origin(interaction_id=number, application_id=9, token=f"{number}", channel_id=5),
                action=Action.IMAGINE,
            )
        except DatabaseError:
            return  # said in a sentence; nothing is stored
        if isinstance(job, Refused):
            return
        if self.random.random() < world.faults.undeliverable:
            world.nowhere.add(job.id)
        self.asked.append(Asked(job=job, message_id=1000 + number))
        await world.pause(1.0)
        await self.life.goes_on()
        match self.random.choices(("taken", "refused", "lost", "lost but taken"), (16, 1, 1, 1))[0]:
            case "taken":
                world.answers[number] = 1000 + number
                await world.pause(1.0)
                await dispatcher.answered(job, 1000 + number)
            case "refused":
                await dispatcher.unanswered(job)
            case "lost":
                dispatcher.answer_unknown(job)
            case _:
                world.answers[number] = 1000 + number
                dispatcher.answer_unknown(job)

    async def _cancel_one(self) -> None:
        if self.asked:
            self._background(self._cancel(self.random.choice(self.asked)))

    async def _cancel(self, asked: Asked) -> None:
        try:
            if await self.dispatcher.cancel(asked.job.id, by=SOMEBODY):
                asked.is_cancelled = True
        except DatabaseError:
            pass  # said in a sentence

    # -------------------------------------------------------------- the end

    def _broken(self) -> Iterator[str]:
        rows = {row["id"]: row for row in self.world.connection.execute("SELECT * FROM job")}
        for asked in self.asked:
            for sentence in self._of(asked, rows[asked.job.id]):
                yield f"job {asked.job.id} ({rows[asked.job.id]['state']}): {sentence}"
        for user in range(PEOPLE):
            used = sum(row["charged"] for row in rows.values() if row["user_id"] == user)
            if used > CREDITS:
                yield f"person {user} got {used} credits of {CREDITS}"
        for number in rows.keys() - {
            asked.job.id for asked in self.asked
        }:  # the bot was killed right behind it
            row = rows[number]
            if (row["state"], row["charged"], row["attempt"]) != (JobState.CANCELLED, 0, 0):
                yield f"job {number} ({row['state']}): nobody knows of it"
        dispatcher = self.dispatcher
        if dispatcher.line() or dispatcher.running() or not self.fleet.is_idle or self.machine.is_busy:
            yield "something is left in memory"

    def _of(self, asked: Asked, row: Any) -> Iterator[str]:
        state, world = JobState(row["state"]), self.world
        is_told = asked.job.interaction_id in world.answers
        shown = world.ends.get(asked.message_id)
        if state in LIVE:
            yield f"has not ended, with {world.answers.get(asked.job.interaction_id)} as its message"
            return
        if asked.is_cancelled and state is not JobState.CANCELLED:
            yield "was cancelled, and somebody told so"
        if state is JobState.DELIVERED:
            if row["charged"] != row["cost"]:
                yield f"{row['charged']} of {row['cost']} were charged"
            if asked.job.id in world.nowhere:
                yield "was delivered nowhere"
        elif state is JobState.FAILED:
            if row["charged"]:
                yield "failed, but was charged"
            yield from self._why_failed(asked, row)
        elif not is_told:
            if row["charged"] or row["attempt"]:
                yield "nobody was told of it, but it ran or was charged"
        elif not asked.is_cancelled and row["reason_code"] != ReasonCode.CANCELLED:
            yield f"was acknowledged, but cancelled: {row['reason_code']}"
        due = (JobState.RENDERED if state is JobState.DELIVERED else state, row["attempt"])
        if (
            is_told
            and asked.job.id not in world.nowhere
            and (shown is None or (shown.state, shown.attempt) != due)
        ):
            yield f"its message shows {shown and shown.state}"

    def _why_failed(self, asked: Asked, row: Any) -> Iterator[str]:
        prompt, world = asked.job.request.prompt, self.world
        if row["reason_code"] == ReasonCode.DIED_TWICE:
            alone = world.deaths_alone.get(asked.job.id, 0)
            if alone < FAULTS_MAX:
                yield f"was given up after {alone} deaths of its own"
        elif FAIL not in prompt and asked.job.id not in world.nowhere:
            yield f"failed without a reason: {row['reason_code']}"


def _number_of(task: Any) -> int:
    """In the order in which they began: a set has none that comes again."""
    return int(task.get_name().removeprefix("Task-"))


def _raise(task: asyncio.Task[None]) -> None:
    """A bug in what a person does ends the play."""
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


def _faults(dice: Random) -> Faults:
    """Many schedules have few kinds of trouble: then what breaks is easier to see."""
    return Faults(
        bot_kills=dice.choice((0, 0, 1, 2, 4)),
        engine_kills=dice.choice((0, 0, 1, 3)),
        busy=dice.choice((0.0, 0.0, 0.1)),
        undeliverable=dice.choice((0.0, 0.1)),
        patience=dice.choice((Patience(), *3 * (Patience(deaths_max=1000),))),
    )


def play(seed: int) -> list[str]:
    """The promises that this seed's schedule broke."""

    async def whole() -> list[str]:
        return await Play(seed).whole()

    random.seed(seed)  # pauses between repeated writes are drawn from it
    return run(whole())

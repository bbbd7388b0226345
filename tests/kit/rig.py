"""A dispatcher with everything real around it but Discord: a SQLite file, the fake engine's process, a delivery that
only takes notes. Times are short, and whatever was started is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bot.app import Timings
from bot.config import CeilingsSection, DataSection, LimitsSection, QueueSection, Settings
from bot.core.asking.admission import Admission
from bot.core.asking.catalogue import Catalogue
from bot.core.asking.refused import Refused
from bot.core.doors import Doors
from bot.core.engines import generation
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet
from bot.core.engines.own_cluster import OwnCluster
from bot.core.engines.restarts import Patience
from bot.core.happenings import Actor, Happening, Happenings
from bot.core.line.dispatcher import Dispatcher
from bot.core.line.retries import Retries
from bot.core.news import News
from bot.core.ports import Progress, Undeliverable
from bot.core.spool import Spool
from bot.job import Action, Asker, Claim, Copy, Flagged, Job, JobState, Origin, Reason
from bot.store import Store
from bot.vitals import journal
from engine.contract import ClusterSettings, EngineSettings, FakeSettings
from tests.kit import said
from workshop.rehearsal.props import GUILD, TestClock, picture

PATIENCE_S = 20.0
BUSY_TIMEOUT_S = 0.05
SHORT = Timings(patience=Patience(backoff_s=(0.02,), pause_s=0.02), retries=Retries(pause_s=0.02))
"""Restarts and repeated writes come soon."""
ADA = Actor(user_id=77, name="Ada")
_interactions = itertools.count(1)
QUICK = FakeSettings()
SLOW = FakeSettings(step_s=0.02, slots=1)
"""A picture of 20 steps takes 0.4 s, one at a time: long enough to meddle with it."""


async def eventually(condition: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Returns once the condition holds; fails when it never does."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "this never became true"
        await asyncio.sleep(0.005)


@dataclass(slots=True)
class Showing:
    job: Job
    progress: Progress
    now: bool


@dataclass(slots=True)
class RecordingDelivery:
    """Implements `Delivery` by taking notes; obeys what a test tells it."""

    shown: list[Showing] = field(default_factory=list[Showing])
    finished: list[Job] = field(default_factory=list[Job])
    removed: list[int] = field(default_factory=list[int])
    asked: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(job, channel) of what moderators were asked about."""
    told: list[str] = field(default_factory=list[str])
    """What the operator was told."""
    answers: dict[int, int] = field(default_factory=dict[int, int])
    """What `find_answer` finds: interaction id -> message id."""
    undeliverable: str | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is clear, `finish` waits."""

    def __post_init__(self) -> None:
        self.gate.set()

    def show(self, job: Job, progress: Progress, *, now: bool = False) -> None:
        self.shown.append(Showing(job, progress, now))

    async def finish(self, job: Job) -> int:
        await self.gate.wait()
        self.finished.append(job)
        if self.undeliverable is not None:
            raise Undeliverable(Reason.told(self.undeliverable))
        return job.message_id or 0

    async def ask_moderators(self, job: Job, channel_id: int) -> int | None:
        self.asked.append((job.id, channel_id))
        return 1000 + job.id

    async def find_answer(self, job: Job) -> int | None:
        return self.answers.get(job.interaction_id)

    async def remove(self, job: Job) -> None:
        self.removed.append(job.id)

    async def remove_copy(self, copy: Copy) -> None:
        self.removed.append(copy.job_id)

    async def find_claimed(self, claim: Claim) -> int | None:
        return None

    async def tell_operator(self, news: News) -> None:
        self.told.append(said.news(news))

    def of(self, job: Job) -> list[Showing]:
        return [showing for showing in self.shown if showing.job.id == job.id]

    def ends_of(self, job: Job) -> list[Job]:
        return [end for end in self.finished if end.id == job.id]


def end_of(job: Job) -> str | None:
    """The sentence with which it failed or was cancelled."""
    return None if job.reason is None else said.why(job.reason)


class Rig:
    """One bot on one data folder; `restart` is the next process on the same folder."""

    def __init__(self, folder: Path, *, fake: FakeSettings, timings: Timings, settings: Settings) -> None:
        self.folder = folder
        self.clock = TestClock()
        self.delivery = RecordingDelivery()
        self.settings = settings
        self.timings = timings
        self.happened: list[Happening] = []
        self.happenings = Happenings(journal.write, self.happened.append)
        self.fake = fake
        self.engines = 1
        """How many there are from the next start on."""
        self.cluster: OwnCluster | None = None
        """Where they run, if not beside the bot."""
        self.store: Store
        self.fleet: LocalFleet
        self.doors: Doors
        self.catalogue: Catalogue
        self.admission: Admission
        self.dispatcher: Dispatcher
        self._open = False

    @property
    def file(self) -> Path:
        return self.folder / "easel.sqlite3"

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def engine(self) -> EngineClient:
        return self.fleet.members[0].engine

    # -------------------------------------------------------------- its life

    async def start(self, *, ready: bool = True) -> None:
        self.store = await self.open_store()
        self._open = True
        self.fleet = self.new_fleet()
        self.doors, self.catalogue = Doors(), Catalogue(self.fleet)
        self.admission = Admission(
            store=self.store,
            catalogue=self.catalogue,
            clock=self.clock,
            settings=self.settings,
            doors=self.doors,
            tell=self.happenings.tell,
        )
        self.dispatcher = Dispatcher(
            store=self.store,
            fleet=self.fleet,
            delivery=self.delivery,
            clock=self.clock,
            spool=self.new_spool(),
            doors=self.doors,
            retries=self.timings.retries,
            tell=self.happenings.tell,
        )
        await self.dispatcher.start()
        if ready:
            await eventually(lambda: all(engine.status.is_ready for engine in self.fleet.engines))

    async def open_store(self) -> Store:
        return await Store.open(self.file, busy_timeout_s=BUSY_TIMEOUT_S)

    def new_spool(self) -> Spool:
        return Spool(self.spool)

    def new_fleet(self) -> LocalFleet:
        return LocalFleet([self.new_engine(number) for number in range(1, self.engines + 1)])

    def new_engine(self, number: int) -> EngineClient:
        settings = EngineSettings(model="fake", spool=str(self.spool), fake=self.fake)
        if self.cluster is not None:
            cluster = ClusterSettings(address="", namespace=f"easel-{self.folder.name}", number=number)
            settings = replace(settings, cluster=cluster)
        return EngineClient(
            settings,
            start=generation.start if self.cluster is None else self.cluster.start,
            number=number,
            deadlines=self.timings.deadlines,
            patience=self.timings.patience,
            tell=self.happenings.tell,
        )

    async def stop(self) -> None:
        if self._open:
            self._open = False
            for engine in (member.engine for member in self.fleet.members):
                if engine.pid is not None and not engine.status.is_ready:
                    with contextlib.suppress(ProcessLookupError):  # one that is broken leaves by itself
                        os.kill(engine.pid, signal.SIGKILL)  # a fake engine that loads does not listen
            await self.dispatcher.stop()
            await self.store.close()

    async def restart(self, *, fake: FakeSettings | None = None, ready: bool = True) -> None:
        """A new process: nothing but the folder is known, and messages are written by a new delivery."""
        await self.stop()
        self.fake = fake or self.fake
        self.delivery = RecordingDelivery(answers=self.delivery.answers)
        await self.start(ready=ready)

    # -------------------------------------------------------------- what people do

    async def admit(
        self,
        prompt: str = "a red circle",
        *,
        user: int = 1,
        roles: tuple[int, ...] = (),
        parent_id: int | None = None,
        flagged: Flagged = Flagged.WITHHOLD,
        **values: Any,
    ) -> Job | Refused:
        number = next(_interactions)
        return await self.admission.admit(
            picture(prompt, **values),
            asker=Asker(user_id=user, guild_id=GUILD, role_ids=roles),
            origin=Origin(
                interaction_id=number,
                application_id=9,
                token=f"token-{number}",
                channel_id=5,
                flagged=flagged,
            ),
            action=Action.IMAGINE if parent_id is None else Action.REROLL,
            parent_id=parent_id,
        )

    async def accepted(self, prompt: str = "a red circle", **values: Any) -> Job:
        job = await self.admit(prompt, **values)
        assert isinstance(job, Job), job
        return job

    async def imagine(self, prompt: str = "a red circle", **values: Any) -> Job:
        """Asked and answered: the job is in line."""
        job = await self.accepted(prompt, **values)
        await self.dispatcher.answered(job, 1000 + job.id)
        return job

    # -------------------------------------------------------------- what became of it

    async def row(self, job: Job) -> Job:
        row = await self.store.jobs.get(job.id)
        assert row is not None
        return row

    async def until(self, job: Job, *states: JobState, also: Callable[[Job], bool] = lambda _: True) -> Job:
        """The row once it is in one of the states."""
        row = await self.row(job)
        deadline = time.monotonic() + PATIENCE_S
        while row.state not in states or not also(row):
            assert time.monotonic() < deadline, f"{row} never became {states}"
            await asyncio.sleep(0.005)
            row = await self.row(job)
        return row

    async def ended(self, job: Job) -> Job:
        return await self.until(job, JobState.DELIVERED, JobState.FAILED, JobState.CANCELLED)

    async def all_ended(self, jobs: list[Job]) -> list[Job]:
        return [await self.ended(job) for job in jobs]

    async def used(self, user: int = 1) -> int:
        usage = await self.store.jobs.usage(guild_id=GUILD, user_id=user, window_start=0)
        return usage.used

    async def audit(self) -> list[str]:
        """What contradicts the books."""
        return await self.store.history.audit()

    async def assert_books(self) -> None:
        """What must always hold: the audit is silent, and nothing is left behind in memory once all is over."""
        assert await self.audit() == []
        if not await self.store.jobs.live():
            dispatcher = self.dispatcher
            await eventually(lambda: not dispatcher.running())
            assert dispatcher.line() == []
            assert self.fleet.is_idle
            assert not any(member.engine._watch.busy for member in self.fleet.members)


def settings_for(folder: Path, **limits: int) -> Settings:
    """Roomy limits, but for those named; `queue_max` is the length of the line."""
    queue_max = limits.pop("queue_max", 200)
    roomy = {"credits_per_day": 1000, "pending": 50, "max_images": 10} | limits
    return Settings(
        limits=LimitsSection(**roomy),
        ceilings=CeilingsSection(),
        queue=QueueSection(max=queue_max),
        data=DataSection(dir=folder),
    )


MakeRig = Callable[..., Awaitable[Rig]]

"""A rig without processes, threads or a database's file: hours pass in milliseconds, and always in the same way.

Tests that use it are marked `virtual`: they run in the simulation's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

from bot.app import Timings
from bot.config import Settings
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet
from bot.core.spool import Spool, all_intact
from bot.store import Store
from bot.store.checks import AUDIT
from engine.contract import EngineSettings, FakeSettings, SpooledImage
from tests.kit.rig import PATIENCE_S, Rig
from tests.kit.scripted import Machine
from workshop.rehearsal.simulation.world import Faults, Life, SimDatabase, World


async def eventually(condition: Callable[[], object]) -> None:
    """Returns once the condition holds, however much virtual time that takes; fails when it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "this never became true"
        await asyncio.sleep(0.02)


class SpoolAtOnce(Spool):
    """Real files, looked at in the loop itself."""

    async def are_intact(self, images: Sequence[SpooledImage]) -> bool:
        return all_intact(tuple(images))


class VirtualRig(Rig):
    """The dispatcher, the fleet and its clients are the real ones; the engines are scripted."""

    def __init__(self, folder: Path, *, fake: FakeSettings, timings: Timings, settings: Settings) -> None:
        super().__init__(folder, fake=fake, timings=timings, settings=settings)
        folder.mkdir(parents=True, exist_ok=True)
        self._world = World(random=Random(0), faults=Faults())
        self.machines = [Machine(fake)]
        self.clock = self._world

    async def open_store(self) -> Store:
        database = SimDatabase(self._world, Life())
        return Store.on(database)  # pyright: ignore[reportArgumentType] - stands in for it

    def new_spool(self) -> Spool:
        return SpoolAtOnce(self.spool)

    @property
    def machine(self) -> Machine:
        """Of the first engine."""
        return self.machines[0]

    def new_fleet(self) -> LocalFleet:
        self.machines = [Machine(self.fake) for _ in range(self.engines)]
        engines = [self.new_engine(number) for number in range(1, self.engines + 1)]
        return LocalFleet(engines, monotonic=asyncio.get_running_loop().time)

    def new_engine(self, number: int) -> EngineClient:
        return EngineClient(
            EngineSettings(model="fake", spool=str(self.spool), fake=self.fake),
            number=number,
            deadlines=self.timings.deadlines,
            patience=self.timings.patience,
            tell=self.happenings.tell,
            start=self.machines[number - 1].start,
            monotonic=asyncio.get_running_loop().time,
        )

    async def audit(self) -> list[str]:
        broken = (
            (sentence, row["id"])
            for sentence, condition in AUDIT.items()
            for row in self._world.connection.execute(f"SELECT id FROM job WHERE {condition}")
        )
        return [f"Job {job_id} {sentence}." for sentence, job_id in broken]

    async def stop(self) -> None:
        if self._open:
            self._open = False
            await self.dispatcher.stop()


MakeVirtualRig = Callable[..., Awaitable[VirtualRig]]

"""`easel bench --fleet`: pictures a second with several engines beside those with one, and what the bot's process holds.

Engines without torch, at a real clock. For the pictures line, store and engines' processes are the real ones, without people
and their chat: what is measured is whether the bot keeps its engines busy. For the memory it is the whole bot on a loopback
Discord. Knows no GPU.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from rich.console import Console
from rich.table import Table

from bot.app import SystemClock
from bot.config import CeilingsSection, DataSection, LimitsSection, QueueSection, Settings
from bot.config.engine import each_placed
from bot.core.asking.admission import Admission
from bot.core.asking.catalogue import Catalogue
from bot.core.doors import Doors
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet
from bot.core.happenings import Happening, JobDelivered
from bot.core.line.dispatcher import Dispatcher
from bot.core.ports import Delivery
from bot.core.spool import Spool
from bot.job import Asker, Job, Origin
from bot.store import Store
from bot.vitals import logs
from engine.contract import EngineSettings, FakeSettings, GenerationRequest
from engine.fake import MODEL
from workshop.rehearsal.bot import easel_evening

STEP_S = 0.1
STEPS = 8
EACH = 12
"""Pictures for each engine."""
PEOPLE = 10
WITHIN_S = 600.0
LIMITS = """
[limits]
credits_per_day = 10000
pending = 50
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    engines: int
    images_s: float
    times: float
    """Of what the first of the numbers brings for each of its engines."""
    bot_ms: float
    """Of a processor's time that the bot's own process takes for a picture."""
    bot_mib: float
    """What the bot's own process holds once all of them are ready."""


def main(numbers: Sequence[int], json_path: Path | None) -> int:
    """Prints a table, and writes JSON where asked. Returns the exit code."""
    logs.configure("warning")
    rows = scaled(numbers)
    table = Table(
        "engines", "pictures a second", "of one engine", "the bot's time for one", "the bot's process"
    )
    for row in rows:
        figures = (
            f"{row.images_s:.2f}",
            f"{row.times:.2f} ×",
            f"{row.bot_ms:.1f} ms",
            f"{row.bot_mib:.0f} MiB",
        )
        table.add_row(str(row.engines), *figures)
    Console().print(table)
    if json_path is not None:
        json_path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")
    return 0


def scaled(numbers: Sequence[int]) -> list[Scaled]:
    """One row for each number of engines."""
    drawn = [asyncio.run(_drawn(number)) for number in numbers]
    held = [asyncio.run(_bot_mib(number)) for number in numbers]
    first_s, _ = drawn[0]
    return [
        Scaled(
            engines=number,
            images_s=round(number * EACH / whole_s, 3),
            times=round(number * first_s / (numbers[0] * whole_s), 2),
            bot_ms=round(1000 * bot_s / (number * EACH), 2),
            bot_mib=round(mib, 1),
        )
        for number, (whole_s, bot_s), mib in zip(numbers, drawn, held, strict=True)
    ]


async def _bot_mib(engines: int) -> float:
    with tempfile.TemporaryDirectory(prefix="easel-scaling-") as folder:
        toml = f"{LIMITS}[engine]\nengines = {engines}\n"
        async with easel_evening(Path(folder), fake={"step_s": 0.01}, toml=toml) as evening:
            bot = evening.bot
            await bot.start(ready=False)
            await evening.discord.wait_ready(WITHIN_S)
            await evening.discord.until(
                lambda: bot.log().count("engine_ready") == engines, WITHIN_S, "its engines"
            )
            assert bot.process is not None
            return psutil.Process(bot.process.pid).memory_info().rss / 2**20


async def _drawn(engines: int) -> tuple[float, float]:
    """Seconds for all pictures, by the clock and of a processor in this process."""
    with tempfile.TemporaryDirectory(prefix="easel-scaling-") as folder:
        line = await _Line.of(Path(folder), engines)
        try:
            await line.drawn(engines)  # every engine has begun once
            begin, used = time.monotonic(), time.process_time()
            await line.drawn(engines * EACH)
            return time.monotonic() - begin, time.process_time() - used
        finally:
            await line.stop()


class _Nobody:
    """Whom pictures are delivered to: takes all, at once."""

    def show(self, job: Job, progress: object, *, now: bool = False) -> None:
        pass

    async def finish(self, job: Job) -> int:
        return job.message_id or 0

    async def tell_operator(self, news: object) -> None:
        raise RuntimeError(str(news))


class _Line:
    """A line of people before so many engines."""

    def __init__(self, store: Store, folder: Path, engines: int) -> None:
        self.delivered, self._asked, self._moved = 0, 0, asyncio.Event()
        template = EngineSettings(
            model=MODEL.id,
            spool=str(folder / "spool"),
            device="cpu",
            data=str(folder),
            fake=FakeSettings(step_s=STEP_S),
        )
        self.fleet = LocalFleet(
            [
                EngineClient(each, number=at, tell=self._hear)
                for at, each in enumerate(each_placed(template, engines), 1)
            ]
        )
        doors, clock = Doors(), SystemClock()
        self._admission = Admission(
            store=store,
            catalogue=Catalogue(self.fleet),
            clock=clock,
            settings=_settings(folder),
            doors=doors,
            tell=self._hear,
        )
        self.dispatcher = Dispatcher(
            store=store,
            fleet=self.fleet,
            delivery=cast("Delivery", _Nobody()),
            clock=clock,
            spool=Spool(folder / "spool"),
            doors=doors,
            tell=self._hear,
        )
        self._store = store

    @classmethod
    async def of(cls, folder: Path, engines: int) -> _Line:
        """Once all engines are ready."""
        line = cls(await Store.open(folder / "easel.sqlite3"), folder, engines)
        await line.dispatcher.start()
        await line.until(lambda: all(each.is_up for each in line.fleet.engines))
        return line

    async def stop(self) -> None:
        await self.dispatcher.stop()
        await self._store.close()

    def _hear(self, happening: Happening) -> None:
        self.delivered += isinstance(happening, JobDelivered)
        self._moved.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Looked at whenever something has happened."""
        while not condition():
            self._moved.clear()
            await self._moved.wait()

    async def drawn(self, pictures: int) -> None:
        """So many are asked for at once, and all are delivered."""
        due = self.delivered + pictures
        for _ in range(pictures):
            await self._ask()
        await self.until(lambda: self.delivered >= due)

    async def _ask(self) -> None:
        self._asked += 1
        job: Any = await self._admission.admit(
            _picture(self._asked),
            asker=Asker(user_id=self._asked % PEOPLE, guild_id=1),
            origin=Origin(interaction_id=self._asked, application_id=1, token=str(self._asked), channel_id=1),
        )
        await self.dispatcher.answered(job, self._asked)


def _picture(seed: int) -> GenerationRequest:
    return MODEL.request(prompt="a red circle", seed=seed, steps=STEPS)


def _settings(folder: Path) -> Settings:
    return Settings(
        limits=LimitsSection(credits_per_day=10_000, pending=1000),
        ceilings=CeilingsSection(credits_per_day=10_000, pending=1000),
        queue=QueueSection(max=10_000),
        data=DataSection(dir=folder, free_mb=0),
    )

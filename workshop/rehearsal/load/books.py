"""`python -m workshop.rehearsal.load.books --rows 1000000`: how long people wait for an answer while the audit reads all that was ever drawn."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from bot.config import CeilingsSection, DataSection, LimitsSection, QueueSection, Settings
from bot.core.asking.admission import Admission
from bot.core.asking.catalogue import Catalogue
from bot.core.doors import Doors
from bot.core.engines.client import EngineClient
from bot.core.engines.fleet import FleetOfOne
from bot.core.happenings import Happenings
from bot.job import Asker, Job, Origin
from bot.store import Store
from engine.contract import EngineSettings
from workshop.rehearsal.load.__main__ import at
from workshop.rehearsal.props import TestClock, picture

GUILD, CROWD, ONE, DAYS = 7, 1000, 5000, 365
ASKED, PAGES = 400, 20
PAUSE_S = 0.02
FIRST_ANSWER_MS, HISTORY_MS = 100, 300
"""The goals."""


def fill(path: Path, rows: int) -> None:
    """Pictures of a year: every second one a single person's, every hundredth one that nobody took."""
    request = json.dumps(picture(prompt="a lighthouse in a storm, oil on canvas").to_dict())
    image = json.dumps(
        [{"seed": 1, "path": "/var/lib/easel/spool/1-1-0.png", "sha256": "0" * 64, "size_bytes": 400_000,
          "width": 512, "height": 512, "flagged": False}]
    )  # fmt: skip
    now = time.time()
    sql = """INSERT INTO job (state, attempt, request, action, user_id, guild_id, channel_id, message_id, interaction_id,
                              application_id, cost, charged, created_at, queued_at, started_at, finished_at, shown_at,
                              reason_code, reason_values, images)
             VALUES (?, 1, ?, 'imagine', ?, ?, 3, 4, ?, 5, 1, ?, ?, 1, 1, 1, 1, ?, ?, ?)"""
    connection = sqlite3.connect(path)
    try:
        connection.executemany(
            sql,
            (
                (
                    "delivered" if n % 100 else "failed",
                    request,
                    ONE if n % 2 else n % CROWD,
                    GUILD,
                    n,
                    int(n % 100 > 0),
                    now - DAYS * 86_400 * (1 - n / rows),
                    None if n % 100 else "channel_gone",
                    None if n % 100 else "{}",
                    image,
                )
                for n in range(rows)
            ),
        )
        connection.commit()
    finally:
        connection.close()


async def timed(act: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    begin = time.perf_counter()
    await act()
    return 1000 * (time.perf_counter() - begin)


class Bench:
    def __init__(self, store: Store, folder: Path) -> None:
        settings = Settings(
            limits=LimitsSection(credits_per_day=1_000_000, pending=1000),
            ceilings=CeilingsSection(credits_per_day=1_000_000, pending=1000),
            queue=QueueSection(max=10_000),
            data=DataSection(dir=folder, free_mb=0),
        )
        fleet = FleetOfOne(EngineClient(EngineSettings(model="fake", spool=str(folder))))
        self.store = store
        self.admission = Admission(
            store=store,
            catalogue=Catalogue(fleet),
            clock=TestClock(),
            settings=settings,
            doors=Doors(),
            tell=Happenings().tell,
        )
        self.audits: list[float] = []

    async def ask(self, number: int) -> float:
        """All that is read and written before somebody sees the first answer."""

        async def admit() -> None:
            job = await self.admission.admit(
                picture(),
                asker=Asker(user_id=ONE if number % 2 else number, guild_id=GUILD),
                origin=Origin(
                    interaction_id=10**15 + number, application_id=5, token=f"{number}", channel_id=3
                ),
            )
            assert isinstance(job, Job), job

        return await timed(admit)

    async def leaf(self, user_id: int, offset: int) -> float:
        """One page of somebody's history."""
        page = self.store.history.page
        return await timed(lambda: page(guild_id=GUILD, user_id=user_id, offset=offset, count=8))

    async def audit_for_ever(self) -> None:
        while True:
            self.audits.append(await timed(self.store.history.audit))

    async def run(self, rows: int) -> None:
        auditing = asyncio.create_task(self.audit_for_ever())
        answers: list[float] = []
        pages: dict[str, list[float]] = {"somebody": [], "one with half of all": [], "their last page": []}
        for number in range(ASKED):
            answers.append(await self.ask(number))
            await asyncio.sleep(PAUSE_S)
        for number in range(PAGES):
            for (who, times), (user, offset) in zip(
                pages.items(), ((2 * number, 0), (ONE, 0), (ONE, rows // 2 - 8)), strict=True
            ):
                del who
                times.append(await self.leaf(user, offset))
        answers += [await self.ask(ASKED + number) for number in range(PAGES)]
        auditing.cancel()
        print(
            f"{rows:,} jobs; {len(self.audits)} audits meanwhile, of {statistics.median(self.audits):.0f} ms each"
        )
        print(
            f"first answer (reads and writes of an admission), {len(answers)} asked: p50 {at(answers, 50):.1f} ms, "
            f"p99 {at(answers, 99):.1f} ms, worst {max(answers):.1f} ms (goal: p99 of {FIRST_ANSWER_MS})"
        )
        for who, times in pages.items():
            print(
                f"/history of {who}: p50 {at(times, 50):.1f} ms, worst {max(times):.1f} ms (goal: {HISTORY_MS})"
            )


async def measure(rows: int, folder: Path) -> None:
    path = folder / "easel.sqlite3"
    store = await Store.open(path)
    try:
        await asyncio.to_thread(fill, path, rows)
        await Bench(store, folder).run(rows)
    finally:
        await store.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workshop.rehearsal.load.books", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="easel-books-") as folder:
        asyncio.run(measure(options.rows, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m workshop.rehearsal.load.books --rows 1000000`: how long people wait for answers, searches and suggestions.

First answers while others search, while the audit reads all that was ever drawn, and while /stats counts and draws.

Each is told by the clock, and where it was alone by what it took of a processor, which others on the machine change little.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import itertools
import json
import logging
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from bot.config import CeilingsSection, DataSection, LimitsSection, QueueSection, Settings
from bot.core.asking.admission import Admission
from bot.core.asking.catalogue import Catalogue
from bot.core.doors import Doors
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet
from bot.core.happenings import Happenings
from bot.job import Asker, Job, Origin
from bot.store import Store, schema
from bot.store.finished import Search
from bot.vitals.charts import Chart, Charts, Columns, Lines
from engine.contract import EngineSettings
from workshop.rehearsal.load import suggested
from workshop.rehearsal.load.__main__ import at
from workshop.rehearsal.props import TestClock, picture

GUILD, CROWD, ONE, DAYS = 7, 1000, 5000, 365
ASKED, PAGES = 400, 20
PAUSE_S = 0.02
FIRST_ANSWER_MS, HISTORY_MS = 100, 300
"""The goals."""
VOCABULARY, WORDS_EACH = 30_000, 15
SEARCHES, SEARCH_MS, ADMIT_MS, STARS = 150, 50, 5, 1000
"""Of searches, and of admissions meanwhile: the goals for p99."""
MODELS = ("fake", "other", "third")
SUGGESTED_MS = 10
"""The goal for what is suggested."""
ADMISSION_BYTES = 40_000
COUNTED, ADMIT_BESIDE_STATS_MS, STATS_MS = 10, 10, 15_000
"""/stats that are asked for; the goal of admissions meanwhile; within which Discord has to see its answer is far more."""
PARTS = ("searches", "audit", "stats", "suggested")


@functools.cache
def vocabulary() -> tuple[list[str], list[float]]:
    """(words, how often each is used, as sums): as in any language, the second half as often as the first, and so on."""
    chance = random.Random(1)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    words = {"".join(chance.choices(syllables, k=chance.randint(2, 5))): None for _ in range(VOCABULARY)}
    return [*words], [*itertools.accumulate(1 / place for place in range(1, len(words) + 1))]


def prompts() -> Iterator[str]:
    """One in two ends with the same words, as people's favourite endings go."""
    chance, (words, sums) = random.Random(2), vocabulary()
    for number in itertools.count():
        told = " ".join(chance.choices(words, cum_weights=sums, k=WORDS_EACH))
        yield f"{told}, masterpiece, best quality" if number % 4 < 2 else told


def fill(path: Path, rows: int, *, of_one: int = 2) -> None:
    """Pictures of a year, before they could be searched: every `of_one`-th a single person's, every hundredth one that nobody took."""
    requests = (
        json.dumps(
            {**picture().to_dict(), "prompt": prompt, "negative_prompt": "blurry", "model": MODELS[n % 3]}
        )
        for n, prompt in enumerate(prompts())
    )
    image = json.dumps(
        [{"seed": 1, "path": "/var/lib/easel/spool/1-1-0.png", "sha256": "0" * 64, "size_bytes": 400_000,
          "width": 512, "height": 512, "flagged": False}]
    )  # fmt: skip
    now = time.time()
    sql = """INSERT INTO job (state, attempt, request, action, user_id, guild_id, channel_id, message_id, interaction_id,
                              application_id, cost, charged, created_at, queued_at, started_at, finished_at, shown_at,
                              reason_code, reason_values, images)
             VALUES (?, 1, ?, 'imagine', ?, ?, 3, 4, ?, 5, 1, ?, ?, 1, 1, ?, 1, ?, ?, ?)"""
    first = dict(schema.migrations())[schema.FIRST]
    connection = sqlite3.connect(path)
    try:
        connection.executescript(f"PRAGMA journal_mode=WAL; {first} PRAGMA user_version={schema.FIRST};")
        connection.executemany(
            sql,
            (
                (
                    "delivered" if n % 100 else "failed",
                    next(requests),
                    ONE if n % of_one == 1 % of_one else n % CROWD,
                    GUILD,
                    n,
                    int(n % 100 > 0),
                    (asked := now - DAYS * 86_400 * (1 - n / rows)),
                    asked + n % 3001 / 10,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Milliseconds."""

    wall: float
    cpu: float
    """Of this whole process: the act's own where nothing else went on."""


async def timed(act: Callable[[], Awaitable[object]]) -> Took:
    begin, cpu = time.perf_counter(), time.process_time()
    await act()
    return Took(wall=1000 * (time.perf_counter() - begin), cpu=1000 * (time.process_time() - cpu))


def synced(file: BinaryIO) -> Took:
    """As much as an admission writes made safe on this disk by itself, with nobody in between."""
    begin, cpu = time.perf_counter(), time.process_time()
    file.write(bytes(ADMISSION_BYTES))
    file.flush()
    os.fdatasync(file.fileno())
    return Took(wall=1000 * (time.perf_counter() - begin), cpu=1000 * (time.process_time() - cpu))


class Bench:
    def __init__(self, store: Store, folder: Path) -> None:
        settings = Settings(
            limits=LimitsSection(credits_per_day=1_000_000, pending=1000),
            ceilings=CeilingsSection(credits_per_day=1_000_000, pending=1000),
            queue=QueueSection(max=10_000),
            data=DataSection(dir=folder, free_mb=0),
        )
        fleet = LocalFleet([EngineClient(EngineSettings(model="fake", spool=str(folder)))])
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

    async def ask(self, number: int) -> Took:
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

    async def leaf(self, user_id: int, offset: int) -> Took:
        """One page of somebody's history."""
        page = self.store.history.page
        return await timed(lambda: page(guild_id=GUILD, user_id=user_id, offset=offset, count=8))

    async def look_for(self, search: Search, user_id: int) -> Took:
        """The first page of what somebody looks for."""
        channels = range(3, 53)
        return await timed(
            lambda: self.store.history.search(
                search, guild_id=GUILD, user_id=user_id, channels=channels, offset=0, count=8
            )
        )

    async def search_while_asked(self) -> None:
        """People search one after another while others ask for pictures, whose rows are delivered into the index meanwhile."""
        alone: list[Took] = []
        disk: list[Took] = []
        with (self.store.database.path.parent / "beside").open("wb") as file:
            for number in range(ASKED):
                alone.append(await self.ask(20_000 + number))
                disk.append(await asyncio.to_thread(synced, file))
                await asyncio.sleep(PAUSE_S)
        tell_searches("searches alone", await self.search_all())
        searching = asyncio.create_task(self.search_all())
        answers: list[Took] = []
        delivering: list[Took] = []
        while not searching.done():
            answers.append(await self.ask(10_000 + len(answers)))
            delivering.append(await timed(self.deliver_one))
            await asyncio.sleep(PAUSE_S)
        tell_searches("searches while others ask", await searching, is_alone=False)
        tell("the disk alone: 40 kB written and synced", disk, ADMIT_MS)
        tell("admissions alone", alone, ADMIT_MS)
        tell("admissions while others search", answers, ADMIT_MS, is_alone=False)
        tell("rows that become delivered, and so searchable", delivering, ADMIT_MS, is_alone=False)

    async def deliver_one(self) -> None:
        """The newest admitted job becomes a delivered one, as far as the index can tell."""
        sql = """UPDATE job SET state = 'delivered', message_id = 1, queued_at = 1, attempt = 1, started_at = 1,
                 finished_at = 1, images = '[{"path": "x"}]' WHERE id = (SELECT MAX(id) FROM job)"""
        await self.store.database.write(sql, {})

    async def search_all(self) -> dict[str, list[Took]]:
        """What people look for, each kind for the person with half of all and for one with few pictures."""
        chance, (words, sums) = random.Random(3), vocabulary()
        times: dict[str, list[Took]] = {}
        for number in range(SEARCHES):
            one, *two = chance.choices(words, cum_weights=sums, k=3)
            kinds = {
                "one word": Search(words=one),
                "two words": Search(words=" ".join(two)),
                "a word of every second picture": Search(words="masterpiece"),
                "a phrase of every second picture": Search(words='"best quality"'),
                "the beginning of a word": Search(words=f"{one[:4]}q"[:4]),
                "a word by model": Search(words=one, model=MODELS[number % 3]),
                "a word, everybody's in 50 channels": Search(words=one, everybody=True),
                "all favourites": Search(favourites=True),
                "a word among 1,000 favourites": Search(words=one, favourites=True),
            }
            for what, search in kinds.items():
                user = ONE if number % 2 else chance.randrange(CROWD) // 2 * 2
                times.setdefault(what, []).append(await self.look_for(search, user))
                await asyncio.sleep(PAUSE_S)
        return times

    async def count_while_asked(self) -> None:
        """/stats of the server and of who has half of all, one after another, picture and all, while people ask."""
        alone = await self.ask_for(30_000)
        counting = asyncio.create_task(self.count_all())
        answers: list[Took] = []
        while not counting.done():
            answers.append(await self.ask(40_000 + 2 * len(answers)))
            await asyncio.sleep(PAUSE_S)
        for what, times in (await counting).items():
            tell(what, times, STATS_MS, is_alone=False)
        tell("admissions alone", alone, ADMIT_BESIDE_STATS_MS)
        tell("admissions while /stats runs", answers, ADMIT_BESIDE_STATS_MS, is_alone=False)

    async def ask_for(self, first: int) -> list[Took]:
        answers: list[Took] = []
        for number in range(ASKED):
            answers.append(await self.ask(first + 2 * number))  # everybody once: nobody has thousands waiting
            await asyncio.sleep(PAUSE_S)
        return answers

    async def count_all(self) -> dict[str, list[Took]]:
        charts = Charts(self.store.database.path.parent / "matplotlib")
        chart = an_example()
        counts, now = self.store.counts, time.time()
        acts: dict[str, Callable[[], Awaitable[object]]] = {
            "/stats counts a server": lambda: counts.of_server(guild_id=GUILD, now=now, days=30),
            "/stats counts who has half of all": lambda: counts.of_person(
                guild_id=GUILD, user_id=ONE, now=now, days=30
            ),
            "/stats draws": lambda: charts.drawn(chart, chart),
        }
        assert (await counts.of_server(guild_id=GUILD, now=now, days=30)).pictures
        times: dict[str, list[Took]] = {}
        for _ in range(COUNTED):
            for what, act in acts.items():
                times.setdefault(what, []).append(await timed(act))
        return times

    async def audit_for_ever(self) -> None:
        while True:
            self.audits.append((await timed(self.store.history.audit)).wall)

    async def run(self, rows: int) -> None:
        auditing = asyncio.create_task(self.audit_for_ever())
        answers: list[Took] = []
        pages: dict[str, list[float]] = {"somebody": [], "one with half of all": [], "their last page": []}
        for number in range(ASKED):
            answers.append(await self.ask(number))
            await asyncio.sleep(PAUSE_S)
        for number in range(PAGES):
            for (who, times), (user, offset) in zip(
                pages.items(), ((2 * number, 0), (ONE, 0), (ONE, rows // 2 - 8)), strict=True
            ):
                del who
                times.append((await self.leaf(user, offset)).wall)
        answers += [await self.ask(ASKED + number) for number in range(PAGES)]
        auditing.cancel()
        print(
            f"{rows:,} jobs; {len(self.audits)} audits meanwhile, of {statistics.median(self.audits):.0f} ms each"
        )
        tell("first answers while the audit reads", answers, FIRST_ANSWER_MS, is_alone=False)
        for who, times in pages.items():
            print(
                f"/history of {who}: p50 {at(times, 50):.1f} ms, worst {max(times):.1f} ms (goal: {HISTORY_MS})"
            )


def an_example() -> Chart:
    """As many bars as /stats has."""
    days, hours = Columns(title="", labels=("1",) * 30, values=(1,) * 30), ("1",) * 24
    few = Lines(title="", labels=("a", "b"), values=(2, 1), shown=("2", "1"))
    across = Columns(title="", labels=hours, values=(1,) * 24)
    return Chart(title="", days=days, hours=across, models=few, waits=few)


def tell_searches(what: str, by_kind: Mapping[str, list[Took]], *, is_alone: bool = True) -> None:
    tell(what, [each for times in by_kind.values() for each in times], SEARCH_MS, is_alone=is_alone)
    for kind, times in by_kind.items():
        tell(f"  {kind}", times, SEARCH_MS, is_alone=is_alone)


def tell(what: str, times: Sequence[Took], goal_ms: float, *, is_alone: bool = True) -> None:
    wall, cpu = [each.wall for each in times], [each.cpu for each in times]
    of_cpu = f"; of a processor p50 {at(cpu, 50):.1f}, p99 {at(cpu, 99):.1f}, worst {max(cpu):.1f}"
    print(
        f"{what} ({len(times)}): p50 {at(wall, 50):.1f} ms, p99 {at(wall, 99):.1f}, worst {max(wall):.1f}, "
        f"goal {goal_ms}{of_cpu if is_alone else ''}",
        flush=True,
    )


def tell_load() -> None:
    print(f"-- {os.cpu_count()} cores, load {Path('/proc/loadavg').read_text().strip()}", flush=True)


async def measure(rows: int, folder: Path, parts: Sequence[str]) -> None:
    path = folder / "data" / "easel.sqlite3"
    path.parent.mkdir()
    await asyncio.to_thread(fill, path, rows)
    before, begin = path.stat().st_size / 2**20, time.perf_counter()
    store = await Store.open(path)
    opened_s = time.perf_counter() - begin
    try:
        mib = path.stat().st_size / 2**20
        print(f"the words of {rows:,} jobs indexed in {opened_s:.0f} s: {before:.0f} MiB became {mib:.0f}")
        stars = """INSERT INTO favourite SELECT :who, id, -1, 1 FROM job WHERE state = 'delivered'
                   ORDER BY id DESC LIMIT :stars"""
        await store.database.write(stars, {"who": ONE, "stars": STARS})
        bench = Bench(store, path.parent)
        acts: dict[str, Callable[[], Awaitable[None]]] = {
            "searches": bench.search_while_asked,
            "audit": lambda: bench.run(rows),
            "stats": bench.count_while_asked,
        }
        for part, act in acts.items():
            if part in parts:
                tell_load()
                await act()
    finally:
        await store.close()
    tell_load()
    if "suggested" not in parts:
        return
    for what, (times, cpu) in (await suggested.measure(folder)).items():
        print(
            f"suggested for {what} ({len(times)}): p50 {at(times, 50):.1f} ms, p99 {at(times, 99):.1f}, worst "
            f"{max(times):.1f}, goal {SUGGESTED_MS}; of a processor {cpu:.1f} on average"
        )
    tell_load()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workshop.rehearsal.load.books", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--parts", default=",".join(PARTS), help="of: %(default)s")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.freeze()  # as `easel run` does
    with tempfile.TemporaryDirectory(prefix="easel-books-") as folder:
        asyncio.run(measure(options.rows, Path(folder), options.parts.split(",")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m workshop.rehearsal.load.leaving`: one of many people has all of theirs sent, then deleted; how long others wait.

A person of 100,000 pictures among a million: the export is put together, then every trace of it goes, up to where Discord's own
pace begins (messages are removed one after the other behind that). Others ask for pictures all the while.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from typing import cast

import structlog

from bot.chat.look.keepsake_view import link
from bot.config import DataSection, Settings
from bot.core.doors import Doors
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet
from bot.core.erasing import Erasing
from bot.core.exports import Exports
from bot.core.happenings import Actor, Happenings
from bot.core.line.dispatcher import Dispatcher
from bot.core.ports import Delivery
from bot.core.spool import Spool
from bot.job import Job
from bot.store import Store
from bot.store.checks import audit
from engine.contract import EngineSettings
from workshop.rehearsal.load.books import ONE, PAUSE_S, Bench, Took, fill, tell, tell_load
from workshop.rehearsal.props import TestClock

ALONE = 400
KEPT, OTHERS_KEPT, PICTURE_BYTES = 400, 20_000, 400_000
"""Files in the spool: the person's newest, and others'."""
ANSWER_MS, DONE_S = 100, 60
"""The goals: of others' answers at p99, of the whole."""


class Elsewhere:
    """A Discord that takes no time: each message is gone at once, and nothing else is asked of it."""

    async def remove(self, job: Job) -> None:
        del job


def lay_out(spool: Path, database: Path) -> None:
    """Each picture is called as its own row says."""
    spool.mkdir()
    named = "UPDATE job SET images = json_set(images, '$[0].path', ? || id || '-1-0.png')"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(named, (f"{spool}/",))
        connection.commit()
        mine = connection.execute(
            "SELECT id FROM job WHERE user_id = ? ORDER BY id DESC LIMIT ?", (ONE, KEPT)
        ).fetchall()
        others = connection.execute(
            "SELECT id FROM job WHERE user_id <> ? LIMIT ?", (ONE, OTHERS_KEPT)
        ).fetchall()
    for (number,) in mine:
        (spool / f"{number}-1-0.png").write_bytes(bytes(PICTURE_BYTES))
    for (number,) in others:
        (spool / f"{number}-1-0.png").touch()


async def meanwhile(bench: Bench, what: str, act: Awaitable[str], first: int) -> None:
    """Others ask for pictures until it is done."""
    begin, cpu, doing = time.perf_counter(), time.process_time(), asyncio.ensure_future(act)
    answers: list[Took] = []
    while not doing.done():
        answers.append(await bench.ask(first + 2 * len(answers)))
        await asyncio.sleep(PAUSE_S)
    took_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    print(f"{what}: {took_s:.1f} s (goal {DONE_S}), {cpu_s:.1f} of a processor; {await doing}", flush=True)
    tell("  admissions of others meanwhile", answers, ANSWER_MS, is_alone=False)


async def exported(exports: Exports) -> str:
    async with exports.of(ONE) as made:
        sizes = [part.seek(0, 2) for part in made.parts]
        return (
            f"{made.jobs:,} jobs and {made.pictures} pictures in {len(sizes)} archives, "
            f"the largest of {max(sizes) / 2**20:.1f} MiB"
        )


async def erased(erasing: Erasing, store: Store) -> str:
    await erasing.ask(ONE)
    while True:
        if not await store.erasures.under_way():
            break
        await asyncio.sleep(PAUSE_S)
    sizes = (path.stat().st_size / 2**20 for path in (store.database.path, wal_of(store)))
    return "file and log of {:.0f} and {:.1f} MiB".format(*sizes)


def wal_of(store: Store) -> Path:
    return store.database.path.with_name(f"{store.database.path.name}-wal")


class NobodyTeaches:
    """In these books there are no trainings."""

    async def cancel(self, training_id: int, *, by: Actor) -> bool:
        raise LookupError(training_id, by)

    async def delete(self, training_id: int) -> bool:
        raise LookupError(training_id)


def erasing_of(store: Store, folder: Path) -> Erasing:
    happenings, delivery, spool = Happenings(), cast("Delivery", Elsewhere()), folder / "spool"
    dispatcher = Dispatcher(
        store=store,
        fleet=LocalFleet([EngineClient(EngineSettings(model="fake", spool=str(spool)))]),
        delivery=delivery,
        clock=TestClock(),
        spool=Spool(spool),
        doors=Doors(),
        tell=happenings.tell,
    )

    async def nobody_reads(_guild_id: int) -> None:
        """Nothing was reported."""

    return Erasing(
        store,
        settings_of(folder),
        dispatcher=dispatcher,
        clock=TestClock(),
        tell_moderators=nobody_reads,
        teaching=NobodyTeaches(),
    )


def settings_of(folder: Path) -> Settings:
    return Settings(data=DataSection(dir=folder))


async def measure(rows: int, jobs: int, folder: Path) -> None:
    path = folder / "easel.sqlite3"
    await asyncio.to_thread(fill, path, rows, of_one=max(1, rows // jobs))
    await asyncio.to_thread(lay_out, folder / "spool", path)
    store = await Store.open(path)
    try:
        bench, spool = Bench(store, folder), folder / "spool"
        tell_load()
        tell("admissions alone", [await bench.ask(2 * number) for number in range(ALONE)], ANSWER_MS)
        exports = Exports(store, settings_of(folder), link=link)
        await meanwhile(bench, "put together", exported(exports), 10_000)
        tell_load()
        erasing = erasing_of(store, folder)
        going_on = asyncio.create_task(erasing.run())
        await meanwhile(bench, "deleted", erased(erasing, store), 1_000_000)
        going_on.cancel()
        await asyncio.gather(going_on, return_exceptions=True)
        tell_load()
        print(
            f"the books: {await asyncio.to_thread(audit, path) or 'agree'}; {len(list(spool.iterdir()))} files left"
        )
    finally:
        await store.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workshop.rehearsal.load.leaving", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=100_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.freeze()  # as `easel run` does
    with tempfile.TemporaryDirectory(prefix="easel-leaving-") as folder:
        asyncio.run(measure(options.rows, options.jobs, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

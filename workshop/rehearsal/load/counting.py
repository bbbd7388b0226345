"""`python -m workshop.rehearsal.load.counting`: what the metrics take of the bot's loop, by the processor's clock."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from prometheus_client import generate_latest
from yarl import URL

from bot.core.engines.status import EngineStatus
from bot.core.happenings import (
    Happening,
    JobAccepted,
    JobBegun,
    JobDelivered,
    JobQueued,
    JobRendered,
)
from bot.job import Action, Job, JobState
from bot.vitals.metrics import Gauges, Metrics
from engine.contract import SpooledImage
from workshop.rehearsal.props import GUILD, picture

EDITS = 15
"""Requests to Discord for a job: its answer, progress and end."""
RATE, SCRAPED_EVERY_S = 20, 15
"""Jobs a second (`make load`); as Prometheus does by default."""
GOAL_PERCENT = 1.0


def a_life(number: int) -> Sequence[Happening]:
    """What happens to a job that is drawn and shown."""
    now = time.time()
    job = Job(
        id=number,
        state=JobState.QUEUED,
        attempt=1,
        faults=0,
        request=picture(),
        action=Action.IMAGINE,
        parent_id=None,
        user_id=1,
        guild_id=GUILD,
        channel_id=3,
        message_id=4,
        interaction_id=6,
        application_id=9,
        token=None,
        cost=1,
        charged=1,
        created_at=now - 9,
    )
    job = replace(job, queued_at=now - 8, started_at=now - 3, images=(SpooledImage(seed=1, path="x"),))
    return (
        JobAccepted(job=job),
        JobQueued(job=job),
        JobBegun(job=job),
        JobRendered(job=job, seconds=2.5, forwards=20, rows=40),
        JobDelivered(job=job),
    )


async def live(metrics: Metrics, answered: Callable[..., Awaitable[object]], lives: int) -> float:
    """Microseconds of the processor that a job takes, its requests to Discord with it."""
    told = [happening for number in range(lives) for happening in a_life(number)]
    url = URL("https://discord.com/api/v10/webhooks/9/token/messages/@original")
    about: Any = SimpleNamespace(method="PATCH", url=url, response=SimpleNamespace(status=200))
    begin = time.process_time()
    for happening in told:
        metrics.hear(happening)
    for _ in range(lives * EDITS):
        await answered(None, None, about)
    return 1e6 * (time.process_time() - begin) / lives


def scrape(metrics: Metrics) -> float:
    """Milliseconds of the processor, on a thread of its own; while Python runs there, the loop stands still."""
    begin = time.process_time()
    generate_latest(metrics.registry)
    return 1000 * (time.process_time() - begin)


async def measure(folder: Path, rounds: int, lives: int) -> None:
    metrics, trace = Metrics(folder / "easel.sqlite3"), aiohttp.TraceConfig()
    metrics.watch(trace)
    metrics.look_at(
        Gauges(lengths=lambda: (0, 0), engine=EngineStatus, engines=lambda: ()),
    )
    (answered,) = trace.on_request_end
    jobs = [await live(metrics, answered, lives) for _ in range(rounds)]
    scrapes = [scrape(metrics) for _ in range(rounds * 10)]
    job_us, scrape_ms = statistics.median(jobs), statistics.median(scrapes)
    share = 100 * (RATE * job_us / 1e6 + scrape_ms / 1000 / SCRAPED_EVERY_S)
    print(
        f"a job with {EDITS} requests to Discord: {job_us:.1f} µs (best {min(jobs):.1f}, worst {max(jobs):.1f})"
    )
    print(f"a scrape: {scrape_ms:.2f} ms (best {min(scrapes):.2f}, worst {max(scrapes):.2f})")
    print(
        f"{RATE} jobs a second, scraped every {SCRAPED_EVERY_S} s: {share:.2f} % of the loop's time, goal {GOAL_PERCENT}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workshop.rehearsal.load.counting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--lives", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="easel-counting-") as folder:
        asyncio.run(measure(Path(folder), options.rounds, options.lives))
    return 0


if __name__ == "__main__":
    sys.exit(main())

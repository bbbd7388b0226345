"""`python -m workshop.rehearsal.load --rate 20 --minutes 5`: people ask at that rate while the line is full; prints what it was like."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from workshop.rehearsal.bot import Bot
from workshop.rehearsal.load.child import NOTES_VARIABLE
from workshop.rehearsal.loopback.driver import Channel, Interaction, LoopbackDiscord, User

PEOPLE, SAMPLE_S, SETTLED_SHARE = 40, 5.0, 0.2
FAKE = {"step_s": 0.012, "slots": 4}
"""Slower than twenty commands a second, so that the line is full; faster than two, so that a soak's is short."""
LIMITS = """
[limits]
credits_per_day = 1000000
pending = 50
[ceilings]
credits_per_day = 1000000
[queue]
max = 200
"""
COMMANDS = {"imagine": 17, "quota": 1, "queue": 1, "history": 1}
"""How often each is typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The bot's process at one moment."""

    at_s: float
    rss_mb: float
    files: int
    waiting: int


@dataclass(slots=True, kw_only=True)
class Load:
    discord: LoopbackDiscord
    bot: Bot
    channel: Channel
    people: list[User]
    random: Random
    sent: list[Interaction] = field(default_factory=list[Interaction])
    answered_ms: list[float] = field(default_factory=list[float])
    unanswered: int = 0
    samples: list[Sample] = field(default_factory=list[Sample])

    async def ask(self, rate: float, seconds: float) -> None:
        """Asks at a steady rate, whatever the answers are."""
        begin = due = time.monotonic()
        while time.monotonic() - begin < seconds:
            (name,) = self.random.choices(list(COMMANDS), list(COMMANDS.values()))
            options: dict[str, Any] = {"prompt": f"picture {len(self.sent)}"} if name == "imagine" else {}
            self.sent.append(
                await self.discord.send_slash(self.random.choice(self.people), self.channel, name, **options)
            )
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.forget_old()

    def forget_old(self) -> None:
        """A Discord of hours must not grow either: what was answered is counted and let go."""
        now, state = self.discord.clock.uptime_ms(), self.discord.state
        while self.sent and (self.sent[0].answer is not None or now - self.sent[0].sent_ms > 4000):
            one = self.sent.pop(0)
            if one.answered_ms is None:
                self.unanswered += 1
            else:
                self.answered_ms.append(one.answered_ms - one.sent_ms)
        del state.requests[:-100]

    async def sample(self) -> None:
        begin = time.monotonic()
        while True:
            assert self.bot.process is not None
            with contextlib.suppress(OSError):
                process = Path(f"/proc/{self.bot.process.pid}")
                pages = int((process / "statm").read_text().split()[1])
                self.samples.append(
                    Sample(
                        at_s=time.monotonic() - begin,
                        rss_mb=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
                        files=len(list((process / "fd").iterdir())),
                        waiting=self.bot.rows("SELECT COUNT(*) FROM job WHERE state = 'queued'")[0][0],
                    )
                )
            await asyncio.sleep(SAMPLE_S)


async def run(rate: float, minutes: float, folder: Path) -> None:
    notes = folder / "loop.notes"
    os.environ[NOTES_VARIABLE] = str(notes)
    async with LoopbackDiscord() as discord:
        guild = discord.add_guild()
        bot = Bot(
            discord=discord, folder=folder, module=["workshop.rehearsal.load.child"], toml=LIMITS, fake=FAKE
        )
        load = Load(
            discord=discord,
            bot=bot,
            channel=discord.add_channel(guild),
            people=[discord.add_user(f"user-{number}") for number in range(PEOPLE)],
            random=Random(1),
        )
        await bot.start()
        await discord.until(lambda: "engine_ready" in bot.log(), timeout_s=60)
        sampler = asyncio.create_task(load.sample())
        try:
            await load.ask(rate, 60 * minutes)
            await asyncio.sleep(4)
            load.forget_old()
        finally:
            sampler.cancel()
            code = await bot.stop()
        tell(load, notes, code)


def tell(load: Load, notes: Path, code: int) -> None:
    late, tasks = zip(*(json.loads(line) for line in notes.read_text().splitlines()[:-1]), strict=True)
    answered = load.answered_ms
    print(f"{len(answered)} answered, {load.unanswered} not; the bot left with {code}")
    print(f"answer ms: p50 {at(answered, 50):.0f}, p99 {at(answered, 99):.0f}, worst {max(answered):.0f}")
    print(f"loop late ms: p50 {at(late, 50):.1f}, p99 {at(late, 99):.1f}, worst {max(late):.0f}")
    states = dict(load.bot.rows("SELECT state, COUNT(*) FROM job GROUP BY state"))
    print(f"jobs: {states}")
    half = len(tasks) // 2
    print(
        f"tasks: p50 of the first half {at(tasks[:half], 50):.0f}, of the second {at(tasks[half:], 50):.0f}"
    )
    settled = load.samples[int(SETTLED_SHARE * len(load.samples)) :]
    waiting = [one.waiting for one in settled]
    print(f"in line: {at(waiting, 50):.0f} at the median, {max(waiting)} at most")
    print(
        f"memory MB: {load.samples[0].rss_mb:.0f} at first, {settled[0].rss_mb:.0f} settled, {settled[-1].rss_mb:.0f} "
        f"at the end; slope {slope(settled):.1f} MB/h; open files {settled[0].files} -> {settled[-1].files}"
    )


def at(values: Sequence[float], percent: float) -> float:
    """The percentile."""
    return sorted(values)[min(len(values) - 1, int(percent / 100 * len(values)))]


def slope(samples: list[Sample]) -> float:
    """MB an hour, by least squares."""
    mean_t = sum(one.at_s for one in samples) / len(samples)
    mean_m = sum(one.rss_mb for one in samples) / len(samples)
    over = sum((one.at_s - mean_t) * (one.rss_mb - mean_m) for one in samples)
    under = sum((one.at_s - mean_t) ** 2 for one in samples)
    return 3600 * over / under if under else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workshop.rehearsal.load", description=__doc__)
    parser.add_argument("--rate", type=float, default=20.0, help="commands a second")
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="easel-load-") as folder:
        asyncio.run(run(options.rate, options.minutes, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

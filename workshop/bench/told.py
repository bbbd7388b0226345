"""How far the time that people are told while they wait is from the time it takes: a bot in this process on the loopback Discord.

Knows no table: gives one share of the real time for each picture that waited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.app import Timings, create_app
from bot.chat.client import EaselClient
from bot.config import Settings
from bot.config.engine import engine_settings
from bot.job import Job
from engine.contract import EngineSettings
from workshop.rehearsal.loopback.driver import Channel, LoopbackDiscord, User, client_options

LEARNED, ASKED, PEOPLE = 4, 12, 4
"""Pictures from which it learns the machine's pace, one after the other; pictures that are asked for at once, by so many."""
LENGTHS = (0.5, 1.0, 1.5)
"""Of the model's usual number of steps."""
WITHIN_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    job_id: int
    at: float
    eta_s: float


async def errors_of(folder: Path, model: str, *, engine: EngineSettings | None = None) -> list[float]:
    """|told − real| as a share of what it really took, for each picture that was told a time when it joined the line.

    `engine`: another than the one for this model.
    """
    settings = Settings.model_validate(
        {
            "data": {"dir": str(folder)},
            "engine": {"model": model},
            "limits": {"credits_per_day": 10_000, "pending": 50},
        }
    )
    async with LoopbackDiscord() as discord, running(discord, settings, engine) as client:
        guild = discord.add_guild()
        channel = discord.add_channel(guild)
        await discord.announce(guild)
        people = [discord.add_user(f"user{number}") for number in range(PEOPLE)]
        for number in range(LEARNED):
            await _ask(discord, client, people[0], channel, number)
            await _all_ended(discord, client)
        told = [
            await _ask(discord, client, people[number % PEOPLE], channel, number) for number in range(ASKED)
        ]
        await _all_ended(discord, client)
        jobs = client.services.store.jobs
        rows = [(each, await jobs.get(each.job_id)) for each in told if each is not None]
    took = [(each, (row.shown_at or 0.0) - each.at) for each, row in rows if row is not None]
    return [abs(each.eta_s - real) / real for each, real in took if real > 0]


@asynccontextmanager
async def running(
    discord: LoopbackDiscord,
    settings: Settings,
    engine: EngineSettings | None = None,
    timings: Timings | None = None,
) -> AsyncGenerator[EaselClient]:
    """A bot in this process whose engine draws."""
    options = client_options(discord.address, discord.ca_pem)
    client = create_app(
        settings, engine or engine_settings(settings), supervised=False, timings=timings, **options
    )
    service = asyncio.create_task(client.start(discord.token))
    try:
        await discord.wait_ready(60.0)
        await discord.until(lambda: client.services.dispatcher.can_draw, WITHIN_S, "an engine that draws")
        yield client
    finally:
        await client.close()
        await asyncio.gather(service, return_exceptions=True)


async def _ask(
    discord: LoopbackDiscord, client: EaselClient, who: User, channel: Channel, number: int
) -> Told | None:
    """What who asks is told of the time; None for a picture that need not wait."""
    steps = max(1, round(client.services.catalogue.model().steps * LENGTHS[number % len(LENGTHS)]))
    options: dict[str, Any] = {"prompt": "a red circle", "seed": number, "steps": steps}
    answer = await discord.slash(who, channel, "imagine", **options)
    dispatcher = client.services.dispatcher

    def in_line() -> Job | None:
        known = (*dispatcher.line(), *dispatcher.running())
        return next((job for job in known if job.interaction_id == answer.interaction.id), None)

    job = await discord.until(in_line, 60.0, answer.text)
    assert job is not None
    progress = dispatcher.progress_of(job)
    if progress.place is None or progress.eta_s is None:
        return None
    return Told(job_id=job.id, at=time.time(), eta_s=progress.eta_s)


async def _all_ended(discord: LoopbackDiscord, client: EaselClient) -> None:
    """Nobody waits, nothing is drawn, and whatever was drawn is shown."""
    line = client.services.dispatcher
    await discord.until(lambda: not (line.line() or line.running() or line.errands), WITHIN_S)

"""The whole bot inside a simulated Discord, with the shipped fake engine, or a real one, in its own process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import simcord

from bot.app import create_app
from bot.chat.client import EaselClient
from bot.config import Settings
from bot.config.engine import engine_settings
from bot.core.engines.client import EngineClient
from bot.core.engines.fleet import FleetOfOne
from bot.core.engines.status import Phase
from bot.core.line.dispatcher import Dispatcher
from bot.job import Job, JobState
from bot.shell.demo import from_simulation, measure_images
from bot.store import Store
from engine.contract import EngineSettings, FakeSettings


class TurnableClock:
    """Real time that a test can move forward."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now(self) -> float:
        return time.time() + self.offset_s


def settings_for(folder: Path, **changes: dict[str, Any]) -> Settings:
    values: dict[str, dict[str, Any]] = {
        "data": {"dir": str(folder)},
        "progress": {"interval_s": 0.2},
        **changes,
    }
    return Settings.model_validate(values)


@dataclass(slots=True)
class World:
    """One guild with one channel, a member and an admin."""

    settings: Settings
    fake: FakeSettings | None
    """None: the real engine, with the configured model."""
    clock: TurnableClock
    client: EaselClient
    env: simcord.Env
    guild: Any = None
    channel: Any = None
    alice: Any = None
    admin: Any = None

    @classmethod
    async def start(cls, folder: Path, *, fake: FakeSettings | None, **changes: dict[str, Any]) -> World:
        settings, clock = settings_for(folder, **changes), TurnableClock()
        client = _client(settings, fake, clock)
        world = cls(
            settings=settings,
            fake=fake,
            clock=clock,
            client=client,
            env=simcord.Env(client, settle_timeout=20),
        )
        measure_images(world.env)
        await world.env.start()
        world.guild = world.env.create_guild("Testers")
        world.channel = world.guild.create_text_channel("imagine")
        role = world.guild.create_role(
            "admins", permissions=discord.Permissions(manage_guild=True, manage_messages=True)
        )
        world.alice = world.guild.add_member(world.env.create_user("alice"))
        world.admin = world.guild.add_member(world.env.create_user("theo"), roles=[role])
        await world.models_known()
        return world

    async def stop(self) -> None:
        engine = self.engine
        if engine.status.phase is Phase.LOADING and engine.pid is not None:
            os.kill(engine.pid, signal.SIGKILL)  # while it loads it hears nothing: it would be waited for
        await self.client.close()
        await self.env.shutdown()

    async def restart(self) -> None:
        """A new process, as far as the bot can tell: new client, new engine, same database and Discord."""
        await self.client.close()
        self.client = _client(self.settings, self.fake, self.clock)
        await self.env.restart_bot(self.client)
        await self.models_known()

    # -------------------------------------------------------------- shortcuts

    @property
    def dispatcher(self) -> Dispatcher:
        return self.client.services.dispatcher

    @property
    def engine(self) -> EngineClient:
        fleet = self.dispatcher.fleet
        assert isinstance(fleet, FleetOfOne)
        return fleet.engine

    @property
    def store(self) -> Store:
        return self.client.services.store

    async def until(self, condition: Callable[[], Any], *, timeout_s: float = 15.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.env.transcript()[-3000:]
            await asyncio.sleep(0.02)

    async def models_known(self) -> None:
        await self.until(lambda: self.engine.status.models or self.engine.status.reason)

    async def job(self, job_id: int) -> Job:
        job = await self.store.jobs.get(job_id)
        assert job is not None
        return job

    async def reaches(self, job_id: int, state: JobState, *, timeout_s: float = 15.0) -> Job:
        deadline = time.monotonic() + timeout_s
        while (job := await self.job(job_id)).state is not state:
            assert time.monotonic() < deadline, f"{job}\n{self.env.transcript()[-3000:]}"
            await asyncio.sleep(0.02)
        await self.env.settle()
        return job

    async def imagine(self, who: Any = None, **options: Any) -> Any:
        options.setdefault("prompt", "a red circle")
        return await (who or self.alice).slash(self.channel, "imagine", **options)

    async def imagined(self, job_id: int = 1, **options: Any) -> discord.Message:
        """The message of a delivered job."""
        await self.imagine(**options)
        await self.reaches(job_id, JobState.DELIVERED)
        return self.message(job_id)

    def message(self, job_id: int) -> discord.Message:
        """The message whose buttons belong to a job."""
        for message in reversed(self.channel.history()):
            if any(
                re.fullmatch(rf"easel:1:[a-z]+:{job_id}(:\d+)?", custom_id)
                for custom_id in custom_ids(message)
            ):
                return message
        raise AssertionError(f"no message for job {job_id}")

    async def jobs_stored(self) -> int:
        (row,) = await self.store.database.read("SELECT COUNT(*) AS n FROM job", {})
        return int(row["n"])


def _client(settings: Settings, fake: FakeSettings | None, clock: TurnableClock) -> EaselClient:
    engine = engine_settings(settings)
    if fake is not None:
        engine = EngineSettings(model="fake", spool=str(settings.spool), fake=fake)
    client = create_app(
        settings, engine, clock=clock, supervised=False, fetch=from_simulation(lambda: client)
    )
    return client


def text_of(message: discord.Message | Any) -> str:
    """Everything that can be read in a message, components included."""
    texts = [getattr(item, "content", "") for item in _walk(message.components)]
    return "\n".join([message.content, *texts])


def custom_ids(message: discord.Message) -> list[str]:
    return [str(getattr(item, "custom_id", "")) for item in _walk(message.components)]


def labels(message: discord.Message) -> list[str]:
    return [str(item.label) for item in _walk(message.components) if getattr(item, "label", None)]


def _walk(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in items:
        found += [item, *_walk(getattr(item, "children", []))]
    return found

"""The demo's simulated Discord in real time, and the clocks that decide over processes in any simulation."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from discord import Message
from simcord.actors import _slash_resolved
from simcord.components import walk_components

from bot.app import create_app
from bot.chat.client import EaselClient
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet
from bot.core.engines.watch import Deadlines
from bot.job import JobState
from bot.shell.demo import from_simulation, measure_images
from bot.shell.live_page import ANSWER_S, LiveEnv, LivePage
from bot.texts.commands import IMAGINE
from bot.texts.language import language
from engine.contract import EngineSettings, FakeSettings
from tests.kit.rig import eventually
from tests.kit.world import WITHIN_S, settings_for
from workshop.rehearsal.bot import png


@dataclass(slots=True)
class Demo:
    """What `easel demo` is made of, but for the page and with a fake engine."""

    bot: Callable[[], EaselClient]
    env: LiveEnv
    channel: Any
    alice: Any

    @property
    def client(self) -> EaselClient:
        assert isinstance(self.env.bot, EaselClient)
        return self.env.bot

    @property
    def engine(self) -> EngineClient:
        fleet = self.client.services.dispatcher.fleet
        assert isinstance(fleet, LocalFleet)
        return fleet.members[0].engine

    async def imagine(self, **options: Any) -> None:
        await self.alice.slash(self.channel, "imagine", **{"prompt": "a red circle", **options})

    async def delivered(self, number: int = 1) -> Message:
        """The newest message, once that job is over."""
        jobs, deadline = self.client.services.store.jobs, time.monotonic() + WITHIN_S
        while (job := await jobs.get(number)) is None or job.state is not JobState.DELIVERED:
            assert time.monotonic() < deadline, job
            await asyncio.sleep(0.02)
        return self.channel.last_message


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Demo]:
    settings = settings_for(tmp_path)
    engine = EngineSettings(model="fake", spool=str(settings.spool), fake=FakeSettings())

    def bot() -> EaselClient:
        return create_app(settings, engine, supervised=False, fetch=from_simulation(lambda: env.bot))

    env = LiveEnv(bot())
    measure_images(env)
    await env.start()
    guild = env.create_guild("Testers")
    alice = guild.add_member(env.create_user("alice"))
    demo = Demo(bot=bot, env=env, channel=guild.create_text_channel("imagine"), alice=alice)
    await eventually(lambda: demo.engine.status.is_ready)
    yield demo
    await demo.client.close()
    await env.shutdown()


def owned(world: Demo, coroutine) -> asyncio.Task:
    """A task of the bot's, as far as the simulation knows."""
    with world.env._bot_scope():
        return asyncio.get_running_loop().create_task(coroutine)


async def test_nobody_waits_for_a_bot_that_is_never_quiet(live: Demo) -> None:
    """A task of the bot's that wakes all the time, or all but now, holds up neither a command nor the page."""

    async def restless() -> None:
        for _ in range(10_000):
            await asyncio.sleep(0.01)

    task = owned(live, restless())
    chore = owned(live, asyncio.sleep(20))
    began = time.monotonic()
    await live.alice.slash(live.channel, "queue")
    assert time.monotonic() - began < 2 * ANSWER_S
    task.cancel()
    chore.cancel()


async def test_the_bots_time_is_the_walls(live: Demo) -> None:
    """A sleep takes as long as anywhere, nothing makes it shorter, and time.monotonic() goes on meanwhile."""

    async def nap() -> float:
        began = time.monotonic()
        await asyncio.sleep(0.3)
        return time.monotonic() - began

    began, napping = time.monotonic(), owned(live, nap())
    await live.env.settle()
    assert 0.29 < await napping < 5
    assert time.monotonic() - began > 0.29


async def test_a_page_is_published_when_the_bot_edited_something(live: Demo) -> None:
    """Without news nothing is published, with an edit it is, whatever the bot still does."""
    preview = live.env.preview(live.channel, viewers=[live.alice], layout="channel", port=0)
    page = LivePage(live.env, preview, title="A test")
    async with preview:
        chore = owned(live, asyncio.sleep(20))
        await live.imagine()
        await live.delivered()
        await page.publish()
        own = preview._python
        assert own is not None
        shown = own.revision
        await page.publish()
        assert own.revision == shown
        await live.imagine()
        await eventually(lambda: any(request.method != "POST" for request in live.env.http_requests))
        await asyncio.wait_for(page.publish(), ANSWER_S)
        assert own.revision > shown
        chore.cancel()


def pressable(message: Message) -> dict[str, int]:
    """What buttons and menus are called, and how the page tells them apart."""
    return {
        part["custom_id"]: part["id"]
        for part in walk_components([each.to_dict() for each in message.components])
        if "custom_id" in part
    }


async def test_a_restarted_bot_knows_its_buttons(live: Demo) -> None:
    """Another client on the same database, in a new session; messages stay, and so does what their buttons do."""
    preview = live.env.preview(live.channel, viewers=[live.alice], layout="channel", port=0)
    page = LivePage(live.env, preview, title="A test")
    async with preview:
        await live.imagine()
        message, before = await live.delivered(), live.client
        await page.restart(live.bot())
        assert live.client is not before
        assert before.is_closed()
        await live.alice.click(message, label="Reroll")
        assert (await live.delivered(2)).id != message.id


async def test_a_picture_that_a_restart_interrupts_is_drawn_after_it(live: Demo) -> None:
    """It is begun again."""
    page = LivePage(live.env, live.env.preview(live.channel, viewers=[live.alice], port=0), title="A test")
    assert live.engine.pid is not None
    os.kill(live.engine.pid, signal.SIGSTOP)  # so that it can't be finished before
    await live.imagine()
    await page.restart(live.bot())
    await live.delivered()


async def test_a_button_keeps_its_number(live: Demo) -> None:
    """A click on its way while the message changes means what was seen, and never another button."""
    assert live.engine.pid is not None
    os.kill(live.engine.pid, signal.SIGSTOP)
    try:
        await live.imagine()
        waiting = pressable(live.channel.last_message)
    finally:
        os.kill(live.engine.pid, signal.SIGCONT)
    finished = pressable(await live.delivered())
    assert waiting.keys().isdisjoint(finished)
    numbers = {**waiting, **finished}
    assert len(set(numbers.values())) == len(numbers)


async def test_whose_discord_is_german(live: Demo) -> None:
    """Options are named and commands described as the bot said for that language, and what is typed there is understood."""
    live.env.languages.speak(live.alice.id, "de")
    commands = live.env.backend.visible_commands(user_id=live.alice.id, channel_id=live.channel.id)
    (imagine,) = (each for each in commands if each["name"] == "imagine")
    assert imagine["description"] == language("de").gettext(IMAGINE)
    await _slash_resolved(
        live.alice, live.channel, "imagine", {"prompt": "ein Kreis", "bilder": 2}, imagine
    )  # as the page does
    await live.delivered()
    job = await live.client.services.store.jobs.get(1)
    assert job is not None
    assert (job.request.images, job.locale) == (2, "de")


async def test_the_demo_draws_from_what_is_attached(live: Demo) -> None:
    """Files lie in the simulation's memory, which tells their size as Discord does."""
    await live.imagine(image=("wide.png", png(256, 128)), strength=0.6)
    message = await live.delivered()
    assert [(file.width, file.height) for file in message.attachments] == [(184, 88)]


async def test_the_simulated_gateway_is_well(live: Demo) -> None:
    """It counts as connected, so that the demo never calls itself unwell."""
    assert live.client.is_connected


async def test_a_simulated_clock_kills_no_engine(live: Demo) -> None:
    """In SimCord time.monotonic() stands near zero for the bot; an idle engine is not silent since the machine's start."""
    assert time.monotonic() > 60, "a machine that has just started could not tell"
    engine = live.engine
    assert engine.pid is not None
    engine._watch._deadlines = Deadlines(
        first_job_s=30, first_step_s=30, step_s=30, decoding_s=30, loading_s=30
    )

    os.kill(engine.pid, signal.SIGSTOP)  # so that it says nothing to the order
    try:
        await live.imagine()
        is_busy, is_overdue = engine._watch.busy, engine._watch.is_overdue(time.monotonic())
    finally:
        os.kill(engine.pid, signal.SIGCONT)

    assert (is_busy, is_overdue) == (True, False)
    await live.delivered()
    assert engine.generation == 1

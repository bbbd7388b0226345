"""The demo's simulated Discord in real time, and the clocks that decide over processes in any simulation."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
import simcord

from bot.core.engines.watch import Deadlines
from bot.job import JobState
from bot.shell.live_page import ANSWER_S, LiveEnv, LivePage
from engine.contract import FakeSettings
from tests.kit.world import World


@pytest.fixture
async def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The whole bot with a fake engine in the demo's Discord."""
    monkeypatch.setattr(simcord, "Env", lambda client, **_options: LiveEnv(client))
    world = await World.start(tmp_path, fake=FakeSettings())
    yield world
    await world.stop()


def owned(world: World, coroutine) -> asyncio.Task:
    """A task of the bot's, as far as the simulation knows."""
    with world.env._bot_scope():
        return asyncio.get_running_loop().create_task(coroutine)


async def test_nobody_waits_for_a_bot_that_is_never_quiet(live: World) -> None:
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


async def test_the_bots_time_is_the_walls(live: World) -> None:
    """A sleep takes as long as anywhere, nothing makes it shorter, and time.monotonic() goes on meanwhile."""

    async def nap() -> float:
        began = time.monotonic()
        await asyncio.sleep(0.3)
        return time.monotonic() - began

    began, napping = time.monotonic(), owned(live, nap())
    await live.env.settle()
    assert 0.29 < await napping < 5
    assert time.monotonic() - began > 0.29


async def test_a_page_is_published_when_the_bot_edited_something(live: World) -> None:
    """Without news nothing is published, with an edit it is, whatever the bot still does."""
    preview = live.env.preview(live.channel, viewers=[live.alice], layout="channel", port=0)
    page = LivePage(live.env, preview, title="A test")  # type: ignore[arg-type]
    async with preview:
        chore = owned(live, asyncio.sleep(20))
        await live.imagined()
        await page.publish()
        own = preview._python
        assert own is not None
        shown = own.revision
        await page.publish()
        assert own.revision == shown
        await live.imagine()
        await live.until(lambda: any(request.method != "POST" for request in live.env.http_requests))
        await asyncio.wait_for(page.publish(), ANSWER_S)
        assert own.revision > shown
        chore.cancel()


async def test_a_simulated_clock_kills_no_engine(tmp_path: Path) -> None:
    """In SimCord time.monotonic() stands near zero for the bot; an idle engine is not silent since the machine's start."""
    assert time.monotonic() > 60, "a machine that has just started could not tell"
    world = await World.start(tmp_path, fake=FakeSettings())
    engine = world.engine
    await world.until(lambda: engine.status.is_ready)
    assert engine.pid is not None
    engine._watch._deadlines = Deadlines(
        first_job_s=30, first_step_s=30, step_s=30, decoding_s=30, loading_s=30
    )

    os.kill(engine.pid, signal.SIGSTOP)  # so that it says nothing to the order
    try:
        await world.imagine()
        is_busy, is_overdue = engine._watch.busy, engine._watch.is_overdue(time.monotonic())
    finally:
        os.kill(engine.pid, signal.SIGCONT)

    assert (is_busy, is_overdue) == (True, False)
    await world.reaches(1, JobState.DELIVERED)
    assert engine.generation == 1
    await world.stop()

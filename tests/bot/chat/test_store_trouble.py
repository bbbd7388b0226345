"""What a person reads when the database or its disk is in trouble: one private sentence, no job, no charge."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from bot import app
from bot.job import JobState
from bot.store.db import Unusable
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World


async def test_a_strangers_lock_is_told_and_passes(world: World) -> None:
    """While another program holds the database the answer says to try again; then it works, and only that is charged."""
    with contextlib.closing(sqlite3.connect(world.settings.database, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        refused = await world.imagine()
    assert refused.ephemeral
    assert refused.text == "Easel is busy right now and nothing was charged: try again in a moment."
    assert await world.jobs_stored() == 0
    await world.imagined()
    assert await world.jobs_stored() == 1


async def test_a_damaged_database_asks_for_an_admin(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying again would not help: the sentence says whom to tell."""

    async def damaged(*_: object) -> None:
        raise Unusable("the database is damaged: stop Easel and run `easel restore`")

    monkeypatch.setattr(world.store.jobs, "admit", damaged)
    refused = await world.imagine()
    assert refused.ephemeral
    assert "needs repair and nothing was charged: please tell an admin" in refused.text


async def test_a_full_disk_refuses_what_is_new(
    start_world: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands and buttons alike: nothing new is taken, and nothing is stored."""
    world = await start_world()
    message = await world.imagined()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    for refused in (await world.imagine(), await world.alice.click(message, "Reroll")):
        assert refused.ephemeral
        assert "disk is almost full" in refused.text
        assert "ask an admin" in refused.text
    assert await world.jobs_stored() == 1
    assert (await world.job(1)).state is JobState.DELIVERED


async def test_a_chore_does_not_end_in_silence(
    start_world: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in what the bot does beside its answers is logged with what happened; the answers go on."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(app, "keep_house", broken)
    with capture_logs() as lines:
        world = await start_world()
        await world.imagined()
    (line,) = [line for line in lines if line["event"] == "chore_ended"]
    assert line["log_level"] == "error"
    assert str(line["exc_info"]) == "a bug"


async def test_an_event_in_the_bots_last_moment_is_no_error(world: World) -> None:
    """Discord tells of servers until the end, when the store is closed by then; at any other time that is a bug, and told."""

    async def ready() -> None:
        await world.store.jobs.live()
        raise RuntimeError("a bug")

    with capture_logs() as lines:
        await world.client._run_event(ready, "on_ready")
        await world.client.close()
        await world.client._run_event(ready, "on_ready")
    told = [(line["event"], line["log_level"]) for line in lines if line["event"].startswith("event_")]
    assert told == [("event_failed", "error"), ("event_lost", "info")]
    assert "Easel is ending" in str(lines)

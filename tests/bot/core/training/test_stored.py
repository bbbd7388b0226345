"""A training from its payment to its end over a real database, beside a line in which nobody waits. The process only pretends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bot.app import SystemClock
from bot.config import Settings
from bot.core.doors import Doors
from bot.core.engines.status import EngineStatus, Phase
from bot.core.happenings import Actor
from bot.core.training.guest import Manners
from bot.core.training.host import this_host
from bot.core.training.service import Pauses, TrainingService
from bot.core.training.told import Learning, Seen
from bot.core.training.turns import Turns
from bot.store import Store
from bot.training import Training, TrainingPicture, TrainingState
from tests.kit.pupil import Desk

QUICK = Pauses(look_s=0.01, crash_s=0.01, manners=Manners(grace_s=0.0))


class Told:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.ends = asyncio.Queue[int]()
        self.moved = asyncio.Event()

    def show(self, training_id: int, seen: Seen) -> None:
        assert training_id
        self.seen.append(seen)
        self.moved.set()

    async def ended(self, training_id: int) -> None:
        self.ends.put_nowait(training_id)

    async def learning(self) -> None:
        while not (self.seen and isinstance(self.seen[-1].doing, Learning)):
            self.moved.clear()
            await self.moved.wait()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "easel.sqlite3", backups=tmp_path / "backups")
    yield store
    await store.close()


async def paid(store: Store, name: str, steps: int) -> Training:
    asked = Training(
        id=0, guild_id=5, user_id=1, name=name, trigger="snail toy", model="starter", steps=steps,
        state=TrainingState.COLLECTING, created_at=1.0,
    )  # fmt: skip
    made = await store.trainings.new(asked, most=3)
    assert isinstance(made, Training)
    picture = TrainingPicture(
        training_id=made.id, number=0, digest="a" * 64, caption="a snail", size_bytes=9, width=64, height=64
    )
    await store.trainings.add_picture(picture, user_id=1, most=3, most_bytes=99)
    started = await store.trainings.start(made.id, cost=50, credits_most=200, window_start=0.0, now=2.0)
    assert isinstance(started, Training)
    await store.trainings.stands(made.id, channel_id=7, message_id=8)
    return started


async def test_paid_taught_and_cancelled(tmp_path: Path, store: Store) -> None:
    """One is taught and its end is told and noted; the next is cancelled while it learns, and only what was kept is charged."""
    settings = Settings.model_validate({"data": {"dir": tmp_path}, "training": {"enabled": True}})
    told, desk, doors = Told(), Desk(), Doors()
    fleet = SimpleNamespace(is_idle=True, status=EngineStatus(phase=Phase.READY))
    nobody = SimpleNamespace(line=list[object], running=list[object])
    turns = Turns(fleet=fleet, line=nobody, doors=doors, host=this_host(), hours=None)  # type: ignore[arg-type]
    service = TrainingService(
        settings=settings,
        rows=store.trainings,
        turns=turns,
        told=told,
        clock=SystemClock(),
        begin=desk.begin,
        pauses=QUICK,
    )
    first = await paid(store, "snail", 2)
    for training_id in (1, 2):
        (tmp_path / "trainings" / str(training_id)).mkdir(parents=True)
    await service.take_up()
    chore = asyncio.create_task(service.run())
    assert await told.ends.get() == first.id
    done = await store.trainings.get(first.id)
    assert done is not None
    assert (done.state, done.done, done.charged) == (TrainingState.DONE, 2, 50)
    assert (tmp_path / "trainings" / "1" / f"{'a' * 64}.txt").read_text("utf-8") == "a snail"
    told.seen.clear()
    second = await paid(store, "owl", 1000)
    service.wake()
    await told.learning()
    assert await service.cancel(second.id, by=Actor(user_id=9, name="ada"))
    assert await told.ends.get() == second.id
    ended = await store.trainings.get(second.id)
    assert ended is not None
    assert (ended.state, ended.charged) == (TrainingState.CANCELLED, -(-50 * ended.done // 1000))
    while await store.trainings.unshown():  # noqa: ASYNC110 - rows set no event
        await asyncio.sleep(0)
    chore.cancel()
    await asyncio.gather(chore, return_exceptions=True)

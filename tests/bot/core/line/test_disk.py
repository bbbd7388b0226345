"""A disk that fills up: nothing new is taken, what was promised is kept, nothing is corrupt."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bot.core.asking.refused import Refused
from bot.job import Job, JobState
from bot.store import checks
from bot.store.db import DatabaseError
from engine.contract import FakeSettings
from tests.kit import said
from tests.kit.faulty_disk import FaultyDisk, faulty_disk
from tests.kit.rig import SLOW, MakeRig, eventually


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """How much is free, as a test likes it; told where everybody asks."""
    usage = SimpleNamespace(free=10 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    return usage


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    with faulty_disk() as disk:
        yield disk


async def test_below_the_floor_nothing_new_is_taken(rig_of: MakeRig, free: SimpleNamespace) -> None:
    """New requests get a sentence and cost nothing, the one that runs is delivered."""
    rig = await rig_of(fake=SLOW)
    running = await rig.until(await rig.imagine(), JobState.RUNNING)
    free.free = 512 * 2**20 - 1
    refusals = [await rig.admit(user=2) for _ in range(3)]
    assert (await rig.ended(running)).state is JobState.DELIVERED
    free.free = 512 * 2**20
    taken = await rig.admit(user=2)
    assert {said.refusal(refusal) for refusal in refusals if isinstance(refusal, Refused)} == {
        "Easel's disk is almost full, so nothing new is taken: please ask an admin to make room."
    }
    assert isinstance(taken, Job)
    assert taken.id == running.id + 1
    assert await rig.used(user=2) == 1


async def test_a_floor_of_zero_refuses_nobody(rig_of: MakeRig, free: SimpleNamespace) -> None:
    """free_mb = 0 leaves it to the owner."""
    rig = await rig_of(fake=FakeSettings(load_s=60.0), start=False)
    data = rig.settings.data.model_copy(update={"free_mb": 0})
    rig.settings = rig.settings.model_copy(update={"data": data})
    await rig.start(ready=False)
    free.free = 0
    assert isinstance(await rig.admit(), Job)


async def test_a_database_without_room_loses_nothing(disk: FaultyDisk, rig_of: MakeRig) -> None:
    """The disk is full for a while in the middle of everything: nobody is charged for nothing, all jobs end as promised."""
    rig = await rig_of(fake=FakeSettings(step_s=0.005, slots=2))
    jobs = [await rig.imagine(user=user) for user in range(4)]
    await rig.until(jobs[0], JobState.RUNNING)
    disk.arm(1, forever=True, is_full=True)
    with pytest.raises(DatabaseError, match="disk is full"):
        await rig.admit(user=9)
    await eventually(lambda: disk.injected > 10)
    await asyncio.sleep(0.2)
    assert disk.disarm() > 10
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.charged, row.faults) for row in rows] == [(JobState.DELIVERED, 1, 0)] * 4
    await eventually(lambda: len(rig.delivery.finished) == len(jobs))
    assert await rig.used(user=9) == 0
    assert checks.damage(rig.file, thorough=True) == []
    await rig.assert_books()

"""What need not be kept is forgotten; what is still owed never is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bot.core import housekeeping
from bot.store.db import DatabaseError
from engine.contract import FakeSettings
from tests.core.rig import MakeRig, eventually

HELD = FakeSettings(load_s=60.0)


def old_file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"x")
    os.utime(path, (1, 1))
    return path


def test_a_sweep_takes_old_files_and_leaves_the_rest(tmp_path: Path) -> None:
    """Files older than the retention go, unless they are still owed; young ones stay."""
    gone, owed = old_file(tmp_path, "1-1-0.png"), old_file(tmp_path, "2-1-0.png")
    young = tmp_path / "3-1-0.png"
    young.write_bytes(b"x")

    assert housekeeping.sweep(tmp_path, before=1000.0, keep={str(owed)}) == 1
    assert not gone.exists()
    assert owed.exists()
    assert young.exists()


async def test_it_goes_on_after_a_busy_store(
    rig_of: MakeRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's lock costs one turn: expired tokens are forgotten at the next one."""
    rig = await rig_of(fake=HELD, ready=False)
    job = await rig.accepted()
    rig.clock.offset += 16 * 60
    real, calls = rig.store.jobs.purge_tokens, 0

    async def purge(*, before: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise DatabaseError("the database is busy")
        await real(before=before)

    monkeypatch.setattr(rig.store.jobs, "purge_tokens", purge)
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.01)
    keeping = asyncio.create_task(
        housekeeping.keep_house(rig.store, tmp_path, retention_days=1, clock=rig.clock)
    )
    try:
        await eventually(lambda: calls >= 3)
    finally:
        keeping.cancel()

    assert (await rig.row(job)).token is None

"""What need not be kept is forgotten, what is still owed never is; backups are made, and made up for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from bot.config import Settings
from bot.core.housekeeping import Rounds, keep_house
from bot.job import Flagged, JobState
from bot.store.backup import backups, name_for
from bot.store.checks import verify
from bot.store.db import DatabaseError
from bot.store.preferences import MODERATORS, Scope
from engine.contract import FakeSettings
from tests.kit.rig import GUILD, SLOW, MakeRig, Rig, eventually

HELD = FakeSettings(load_s=60.0)
DAY_S = 86_400.0
USUAL = Rounds()
OFTEN = Rounds(every_s=0.01, sweeps=1, backup_looks=1)
"""Every chore comes again at once."""


def with_days(rig: Rig, days: int) -> Settings:
    return rig.settings.model_copy(
        update={"data": rig.settings.data.model_copy(update={"retention_days": days})}
    )


@contextlib.asynccontextmanager
async def kept(rig: Rig, settings: Settings | None = None, *, rounds: Rounds = USUAL) -> AsyncIterator[None]:
    keeping = asyncio.create_task(
        keep_house(
            rig.store,
            settings or rig.settings,
            clock=rig.clock,
            tell_operator=rig.delivery.tell_operator,
            rounds=rounds,
            end_reviews=lambda before: rig.dispatcher.reviews.expire(before=before),
        )
    )
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


# ------------------------------------------------------------------ files


def file_of(folder: Path, name: str, *, age_s: float, now: float) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(b"x")
    os.utime(path, (now - age_s, now - age_s))
    return path


async def test_old_images_go_and_young_ones_stay(rig_of: MakeRig) -> None:
    """Files of jobs that have ended go when their days are over, not before."""
    rig = await rig_of(fake=HELD, ready=False)
    now = rig.clock.now()
    old = file_of(rig.spool, "900-1-0.png", age_s=2 * DAY_S, now=now)
    young = file_of(rig.spool, "901-1-0.png", age_s=0.5 * DAY_S, now=now)
    async with kept(rig, with_days(rig, 1)):
        await eventually(lambda: not old.exists())
    assert young.exists()


async def test_what_is_withheld_goes_sooner(rig_of: MakeRig) -> None:
    """After days of its own, though images are kept for ever; not while moderators may still look at it."""
    rig = await rig_of()
    withheld = await rig.ended(await rig.imagine("NSFW"))
    await rig.store.taste.put(Scope.SERVER, GUILD, {MODERATORS: "77"})
    held = await rig.until(
        await rig.imagine("NSFW", flagged=Flagged.HOLD),
        JobState.RENDERED,
        also=lambda job: job.review_message_id is not None,
    )
    assert rig.delivery.asked == [(held.id, 77)]
    gone, kept_file = (Path(str(job.images[0].aside)) for job in (withheld, held))
    for days, is_there in ((6, True), (8, False)):
        probe = file_of(rig.spool, f"90{days}-1-0.png.part", age_s=2 * DAY_S, now=rig.clock.now())
        for path in (gone, kept_file):
            stamp = rig.clock.now() - days * DAY_S
            os.utime(path, (stamp, stamp))
        async with kept(rig, with_days(rig, 0)):
            await eventually(
                lambda probe=probe, is_there=is_there: not probe.exists() and gone.exists() == is_there
            )
        assert kept_file.exists()


async def test_half_written_files_of_dead_engines_go_after_an_hour(rig_of: MakeRig) -> None:
    """A .part file is renamed within seconds or never: it goes long before the images, even if those are kept for ever."""
    rig = await rig_of(fake=HELD, ready=False)
    now = rig.clock.now()
    dead = file_of(rig.spool, ".7-1-0.png.4242.part", age_s=3700, now=now)
    being_written = file_of(rig.spool, ".8-1-0.png.4242.part", age_s=60, now=now)
    image = file_of(rig.spool, "7-1-0.png", age_s=400 * DAY_S, now=now)
    async with kept(rig, with_days(rig, 0)):
        await eventually(lambda: not dead.exists())
    assert being_written.exists()
    assert image.exists()


async def test_what_is_owed_stays_however_old(rig_of: MakeRig) -> None:
    """Images that wait to be posted survive a clock that jumps by a year, and are posted as they were drawn."""
    rig = await rig_of()
    rig.delivery.gate.clear()
    job = await rig.until(await rig.imagine(images=2), JobState.RENDERED)
    paths = [Path(str(image.path)) for image in job.images]
    other = file_of(rig.spool, "900-1-0.png", age_s=0, now=rig.clock.now())
    rig.clock.offset += 365 * DAY_S
    async with kept(rig, with_days(rig, 1), rounds=OFTEN):
        await eventually(lambda: not other.exists())
        assert all(path.exists() for path in paths)
        await rig.restart()
        assert (await rig.ended(job)).state is JobState.DELIVERED
        assert (await rig.row(job)).attempt == 1


async def test_a_file_whose_job_still_runs_stays(rig_of: MakeRig) -> None:
    """An image that lies in the spool before its job's row says so is owed too, and one that is being written."""
    rig = await rig_of(fake=FakeSettings(step_s=0.2, slots=1))
    job = await rig.until(await rig.imagine(), JobState.RUNNING)
    early = file_of(rig.spool, f"{job.id}-1-0.png", age_s=400 * DAY_S, now=rig.clock.now())
    half = file_of(rig.spool, f".{job.id}-1-0.png.1-2.part", age_s=400 * DAY_S, now=rig.clock.now())
    other = file_of(rig.spool, f"{job.id}0-1-0.png", age_s=400 * DAY_S, now=rig.clock.now())
    async with kept(rig, with_days(rig, 1), rounds=OFTEN):
        await eventually(lambda: not other.exists())
        assert early.exists()
        assert half.exists()


async def test_what_killed_attempts_left_goes_at_once(rig_of: MakeRig) -> None:
    """An image that its own row does not name belongs to an attempt that died: it goes, however young and long kept."""
    rig = await rig_of(fake=FakeSettings(step_s=0.2, slots=1))
    done = await rig.ended(await rig.imagine())
    running = await rig.until(await rig.imagine(), JobState.RUNNING)
    now = rig.clock.now()
    gone = [
        file_of(rig.spool, name, age_s=0, now=now)
        for name in (
            f"{done.id}-7-0.png",
            f".{done.id}-1-0.png.1-2.part",
            f"{running.id}-0-0.png",
            f".{running.id}-0-1.png.1-2.part",
        )
    ]
    kept = [
        Path(str(done.images[0].path)),
        file_of(rig.spool, f"{running.id}-1-3.png", age_s=0, now=now),
        file_of(rig.spool, f".{running.id}-1-3.png.1-2.part", age_s=0, now=now),
        file_of(rig.spool, "notes.txt", age_s=0, now=now),
        file_of(rig.spool, "900-1-0.png", age_s=0, now=now),
    ]
    async with kept_house(rig, 0, rounds=OFTEN):
        await eventually(lambda: not any(path.exists() for path in gone))
        assert [path.name for path in kept if not path.exists()] == []


async def test_a_deletion_that_was_cut_short_is_completed(rig_of: MakeRig) -> None:
    """Killed between the row and the file: what somebody wanted gone goes at the next start."""
    rig = await rig_of()
    job = await rig.ended(await rig.imagine())
    path = Path(str(job.images[0].path))
    assert await rig.store.jobs.mark_deleted(job.id, now=rig.clock.now(), by_user_id=1)
    async with kept_house(rig, 0):
        await eventually(lambda: not path.exists())


async def test_half_made_backups_are_swept_too(rig_of: MakeRig) -> None:
    """Also where no backup is due, as after a storm of kills."""
    rig = await rig_of(fake=HELD, ready=False)
    half = file_of(rig.settings.backups, ".easel-x.sqlite3.2147483646.part", age_s=0, now=rig.clock.now())
    async with kept_house(rig, 0):
        await eventually(lambda: not half.exists())


def kept_house(
    rig: Rig, days: int, *, rounds: Rounds = USUAL
) -> contextlib.AbstractAsyncContextManager[None]:
    return kept(rig, with_days(rig, days), rounds=rounds)


# ------------------------------------------------------------------ chores that fail


async def test_it_goes_on_after_a_busy_store(rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
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
    async with kept(rig, rounds=Rounds(every_s=0.01)):
        await eventually(lambda: calls >= 3)
    assert (await rig.row(job)).token is None


# ------------------------------------------------------------------ what a person must mend


async def test_the_owner_hears_of_a_full_disk(rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the floor, in one sentence that names the folder; not before, and not after."""
    rig = await rig_of(fake=HELD, ready=False)
    usage = SimpleNamespace(free=512 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    async with kept(rig, rounds=OFTEN):
        await asyncio.sleep(0.1)
        assert rig.delivery.told == []
        usage.free -= 1
        await eventually(lambda: rig.delivery.told)
    assert set(rig.delivery.told) == {
        f"Easel takes no new requests, to have room for those in line: less than 512 MB are free in {rig.settings.data_dir}."
    }


async def test_the_owner_hears_of_a_backup_that_failed(rig_of: MakeRig) -> None:
    """A folder that can't be made costs the backup, and nothing else."""
    rig = await rig_of(fake=HELD, ready=False)
    rig.settings.backups.parent.mkdir(parents=True, exist_ok=True)
    rig.settings.backups.write_text("in the way")
    async with kept(rig, rounds=OFTEN):
        await eventually(lambda: rig.delivery.told)
    assert rig.delivery.told[0].startswith("Easel's database could not be backed up: ")


async def test_the_owner_hears_of_books_that_do_not_agree(rig_of: MakeRig) -> None:
    """What the audit finds is told as well as logged."""
    rig = await rig_of(fake=HELD, ready=False)
    job = await rig.accepted()
    await rig.store.database.write("UPDATE job SET charged = 0 WHERE id = :id", {"id": job.id})
    async with kept(rig, rounds=OFTEN):
        await eventually(lambda: len(set(rig.delivery.told)) == 2)
    sentence = f"Job {job.id} is alive but holds less than its cost."
    assert f"Easel's database contradicts itself: {sentence}" in rig.delivery.told


# ------------------------------------------------------------------ backups


async def test_the_running_bot_backs_up_when_it_is_time(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One backup at once, the next a day later and not before; each holds, the oldest go, and drawing goes on."""
    rounds = replace(OFTEN, sweeps=10**9)  # the moved clock makes files of this moment look old
    rig = await rig_of(fake=SLOW)
    rig.settings = rig.settings.model_copy(
        update={"backup": rig.settings.backup.model_copy(update={"keep": 2})}
    )
    folder = rig.settings.backups
    seen: set[Path] = set()

    def made() -> int:
        seen.update(one.path for one in backups(folder))
        return len(seen)

    jobs = [await rig.imagine(user=user) for user in (1, 2, 3)]
    async with kept(rig, rounds=rounds):
        for day in range(4):
            await eventually(lambda: made() > day)  # noqa: B023 - it is over before the next day
            rig.clock.offset += 0.9 * DAY_S
            await asyncio.sleep(0.1)
            assert made() == day + 1
            rig.clock.offset += 0.2 * DAY_S
        await eventually(lambda: len(backups(folder)) == 2)
        rows = await rig.all_ended(jobs)
    assert [row.state for row in rows] == [JobState.DELIVERED] * 3
    assert all(verify(one.path) == [] for one in backups(folder))


async def test_a_restart_makes_no_second_backup(rig_of: MakeRig) -> None:
    """When the next one is due is told by the files: a bot that restarts often neither floods nor forgets."""
    rig = await rig_of(fake=HELD, ready=False)
    async with kept(rig, rounds=OFTEN):
        await eventually(lambda: backups(rig.settings.backups))
    await rig.restart(ready=False)
    async with kept(rig, rounds=OFTEN):
        await asyncio.sleep(0.2)
    assert len(backups(rig.settings.backups)) == 1


async def test_backups_that_an_owner_makes_pile_up_no_higher(rig_of: MakeRig) -> None:
    """With `easel backup` run more often than the bot's own are due, the oldest beyond `keep` go all the same."""
    rig = await rig_of(fake=HELD, ready=False)
    rig.settings = rig.settings.model_copy(
        update={"backup": rig.settings.backup.model_copy(update={"keep": 2})}
    )
    folder, now = rig.settings.backups, rig.clock.now()
    by_hand = [folder / name_for(now - minutes * 60) for minutes in (5, 4, 3, 2)]
    for target in by_hand:
        await rig.store.back_up(target)
    async with kept(rig, rounds=OFTEN):
        await eventually(lambda: len(backups(folder)) == 2)
    assert [each.path for each in backups(folder)] == [by_hand[3], by_hand[2]]


async def test_a_clock_that_was_wrong_stops_no_backup(rig_of: MakeRig) -> None:
    """A backup dated next year does not keep the bot from backing up today, once."""
    rig = await rig_of(fake=HELD, ready=False)
    rig.clock.offset += 365 * DAY_S
    async with kept(rig, rounds=OFTEN):
        await eventually(lambda: len(backups(rig.settings.backups)) == 1)
    rig.clock.offset = 0.0
    async with kept(rig, rounds=OFTEN):
        await eventually(lambda: len(backups(rig.settings.backups)) == 2)
        await asyncio.sleep(0.2)
    assert len(backups(rig.settings.backups)) == 2


async def test_a_backup_that_fails_is_told_and_made_up_for(rig_of: MakeRig) -> None:
    """Books that disagree: an error in the log, no backup and no half of one; once they agree there is one."""
    rig = await rig_of(fake=HELD, ready=False)
    job = await rig.imagine(images=2)
    await rig.store.database.write("UPDATE job SET charged = 1", {})
    with capture_logs() as lines:
        async with kept(rig, rounds=OFTEN):
            await eventually(lambda: any(line["event"] == "backup_failed" for line in lines))
            assert list(rig.settings.backups.iterdir()) == []
            await rig.store.database.write("UPDATE job SET charged = 2", {})
            await eventually(lambda: backups(rig.settings.backups))
    told = next(line for line in lines if line["event"] == "backup_failed")
    assert told["log_level"] == "error"
    assert f"Job {job.id} is alive but holds less" in told["error"]


async def test_no_backups_where_none_are_wanted(rig_of: MakeRig) -> None:
    """every_hours = 0 turns them off."""
    rig = await rig_of(fake=HELD, ready=False)
    rig.settings = rig.settings.model_copy(
        update={"backup": rig.settings.backup.model_copy(update={"every_hours": 0})}
    )
    async with kept(rig, rounds=OFTEN):
        await asyncio.sleep(0.2)
    assert not rig.settings.backups.exists()


# ------------------------------------------------------------------ the books


async def test_the_books_are_audited_at_the_start(rig_of: MakeRig) -> None:
    """A row that contradicts them is named in the log."""
    rig = await rig_of()
    job = await rig.ended(await rig.imagine())
    forged = "UPDATE job SET state = 'cancelled', attempt = 0, charged = 1 WHERE id = :id"
    await rig.store.database.write(forged, {"id": job.id})
    with capture_logs() as told:
        async with kept(rig):
            await eventually(lambda: any(entry["event"] == "audit" for entry in told))
    (problem,) = [entry["problem"] for entry in told if entry["event"] == "audit"]
    assert problem == f"Job {job.id} was cancelled before it ran but costs credits."

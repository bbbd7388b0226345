"""What was promised is in the row before anybody is told, so that neither the engine nor a kill can take it back."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from bot.core.ports import Irremovable
from bot.job import Job, JobState
from bot.limits import LimitEntry, Subject
from engine.contract import FakeSettings, Finished, SpooledImage, Started, Stepped
from tests.kit.rig import ADA, QUICK, SLOW, MakeRig, RecordingDelivery, Rig, end_of, eventually
from workshop.rehearsal.props import GUILD

HELD = FakeSettings(load_s=60.0)
"""An engine that never gets ready while a test lasts."""
CANCELLED = "Cancelled by Ada."


async def deaf(rig: Rig, **values: Any) -> Job:
    """A running job whose engine hears and tells nothing any more, until it is killed."""
    job = await rig.until(await rig.imagine("HANG", **values), JobState.RUNNING)
    await eventually(lambda: rig.dispatcher.progress_of(job).step)
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGSTOP)
    return job


async def die(rig: Rig, *, ready: bool = True, fake: FakeSettings = QUICK) -> None:
    """The bot is killed, its engine with it, and started again: nothing that was under way gets to its end."""
    tasks = [*rig.dispatcher.errands._tasks, *([rig.dispatcher._drainer] if rig.dispatcher._drainer else [])]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await rig.restart(fake=fake, ready=ready)


# ------------------------------------------------------------------ cancel


async def test_a_cancel_before_the_answer_is_noted_holds(rig_of: MakeRig) -> None:
    """Pressed while the answer's id is still being written down: the job never runs, is free, and its message says so."""
    rig = await rig_of()
    job = await rig.accepted(images=3)
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    assert await rig.used() == 0
    await rig.dispatcher.answered(job, 555)
    await eventually(lambda: rig.delivery.ends_of(job))
    row = await rig.row(job)
    assert (row.state, row.charged, row.attempt, end_of(row)) == (JobState.CANCELLED, 0, 0, CANCELLED)
    assert [(end.state, end.message_id) for end in rig.delivery.ends_of(job)] == [(JobState.CANCELLED, 555)]
    await eventually(lambda: not rig.dispatcher.errands)
    assert await rig.store.jobs.ends_to_find() == []
    await rig.assert_books()


@pytest.mark.parametrize("has_token", [True, False])
@pytest.mark.parametrize("is_found", [True, False])
async def test_a_cancel_before_the_answer_is_noted_outlives_a_kill(
    rig_of: MakeRig, is_found: bool, has_token: bool
) -> None:
    """The next start finds the message, if there is one, however late that is, and shows the end there; nothing runs."""
    rig = await rig_of(fake=HELD, ready=False)
    job = await rig.accepted()
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    if not has_token:
        await rig.store.jobs.purge_tokens(before=job.created_at + 1)
    if is_found:
        rig.delivery.answers[job.interaction_id] = 4242
    await die(rig)
    await rig.ended(await rig.imagine(user=2))
    await eventually(lambda: not rig.dispatcher.errands)
    row = await rig.row(job)
    assert (row.state, row.charged, row.attempt) == (JobState.CANCELLED, 0, 0)
    assert [end.message_id for end in rig.delivery.ends_of(job)] == ([4242] if is_found else [])
    assert await rig.store.jobs.ends_to_find() == []


@pytest.mark.parametrize("is_known", [True, False])
async def test_an_answer_that_fails_after_a_cancel_changes_nothing(rig_of: MakeRig, is_known: bool) -> None:
    """Cancelled, and then Discord says that it never took the answer: still cancelled, free, and shown to nobody. No end is owed."""
    rig = await rig_of()
    job = await rig.accepted()
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    if is_known:
        await rig.dispatcher.unanswered(job)
    else:
        rig.dispatcher.answer_unknown(job)
    await eventually(lambda: not rig.dispatcher.errands)
    row = await rig.row(job)
    assert (row.state, row.charged, end_of(row)) == (JobState.CANCELLED, 0, CANCELLED)
    assert row.shown_at is not None
    assert rig.delivery.ends_of(job) == []
    assert await rig.store.jobs.ends_to_find() == []


async def test_a_picture_that_comes_after_its_cancel_is_neither_shown_nor_kept(rig_of: MakeRig) -> None:
    """The engine was done when it was told: no picture is posted or lies about, and only the share done till then is paid."""
    rig = await rig_of()
    job = await deaf(rig)
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    file = rig.spool / f"{job.id}-{job.attempt}-0.png"
    file.write_bytes(b"a picture")
    done = SpooledImage(seed=42, path=str(file))
    rig.dispatcher._post(Finished(job_id=job.id, attempt=job.attempt, images=(done,), seconds=1.0))
    await eventually(lambda: not rig.dispatcher.running() and not rig.dispatcher.errands)
    row = await rig.row(job)
    assert (row.state, row.images, row.charged) == (JobState.CANCELLED, (), 0)
    assert not file.exists()
    assert [end.state for end in rig.delivery.ends_of(job)] == [JobState.CANCELLED]
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGKILL)


async def test_a_cancelled_message_shows_no_further_step(rig_of: MakeRig) -> None:
    """What the engine still tells of it never replaces the end that its message shows."""
    rig = await rig_of()
    job = await deaf(rig)
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    shown = len(rig.delivery.of(job))
    rig.dispatcher._post(Started(job_id=job.id, attempt=job.attempt))
    rig.dispatcher._post(
        Stepped(job_id=job.id, attempt=job.attempt, stage="denoising", step=7, steps=20, preview=b"late")
    )
    await eventually(lambda: not rig.dispatcher._inbox)
    assert len(rig.delivery.of(job)) == shown
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGKILL)
    await eventually(lambda: not rig.dispatcher.running())
    assert (await rig.row(job)).state is JobState.CANCELLED
    assert (await rig.ended(await rig.imagine(user=2))).state is JobState.DELIVERED


async def test_a_cancel_outlives_a_kill(rig_of: MakeRig) -> None:
    """Told yes, and the bot is killed before the engine hears of it: the job is not drawn again, and its message says so."""
    rig = await rig_of()
    job = await deaf(rig, images=4)
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    await die(rig)
    await rig.ended(await rig.imagine(user=2))
    row = await rig.row(job)
    assert (row.state, row.attempt, end_of(row)) == (JobState.CANCELLED, 1, CANCELLED)
    assert row.charged < row.cost
    assert {end.state for end in rig.delivery.ends_of(job)} <= {JobState.CANCELLED}
    await rig.assert_books()


# ------------------------------------------------------------------ block


async def test_a_block_reaches_what_is_not_answered_yet(rig_of: MakeRig) -> None:
    """A blocked person's job whose answer is under way is cancelled like those in line."""
    rig = await rig_of()
    job = await rig.accepted()
    assert await rig.dispatcher.withdraw(guild_id=GUILD, user_id=1) == 1
    await rig.dispatcher.answered(job, 555)
    await eventually(lambda: rig.delivery.ends_of(job))
    row = await rig.row(job)
    assert (row.state, row.charged, row.attempt) == (JobState.CANCELLED, 0, 0)
    await rig.assert_books()


@pytest.mark.parametrize("field", ["credits_per_day", "pending"])
async def test_a_block_that_was_killed_halfway_is_completed(rig_of: MakeRig, field: str) -> None:
    """The limit was set, and the bot died: at its next start what they had waiting is cancelled, and nobody else's."""
    rig = await rig_of(fake=HELD, ready=False)
    theirs = [await rig.imagine(user=1), await rig.accepted(user=1)]
    rig.delivery.answers[theirs[1].interaction_id] = 4242
    other = await rig.imagine(user=2)
    entry = LimitEntry.of(Subject.MEMBER, 1, {field: 0})
    await rig.store.settings.set_limits(GUILD, entry, by_user_id=9, now=rig.clock.now())
    await die(rig)
    rows = await rig.all_ended([*theirs, other])
    assert [row.state for row in rows] == [JobState.CANCELLED, JobState.CANCELLED, JobState.DELIVERED]
    assert [row.charged for row in rows] == [0, 0, 1]
    await eventually(lambda: all(rig.delivery.ends_of(job) for job in theirs))
    await rig.assert_books()


# ------------------------------------------------------------------ a server that is left


async def test_a_server_that_is_left_is_settled_in_every_state_before_a_kill(rig_of: MakeRig) -> None:
    """Not answered, waiting, running and being posted: all are over in the rows at once, free, and stay so."""
    rig = await rig_of(fake=SLOW)
    rig.delivery.gate.clear()
    rendered = await rig.until(await rig.imagine(user=1), JobState.RENDERED)
    running = await rig.until(await rig.imagine(user=2, images=4), JobState.RUNNING)
    jobs = [rendered, running, await rig.imagine(user=3), await rig.accepted(user=4)]
    await rig.dispatcher.guild_left(GUILD)
    rows = [await rig.row(job) for job in jobs]
    assert [row.state for row in rows] == [JobState.FAILED, *[JobState.CANCELLED] * 3]
    assert {(row.charged, end_of(row)) for row in rows} == {(0, "The bot was removed from the server.")}
    await die(rig)
    await rig.ended(await rig.imagine(user=5))
    assert [(await rig.row(job)).state for job in jobs] == [row.state for row in rows]
    assert {end.user_id for end in rig.delivery.finished} == {5}
    await rig.assert_books()


# ------------------------------------------------------------------ delete


async def history(rig: Rig, user: int = 1) -> list[int]:
    jobs, _ = await rig.store.history.page(guild_id=GUILD, user_id=user, offset=0, count=10)
    return [job.id for job in jobs]


def files_of(rig: Rig, job: Job) -> list[str]:
    return sorted(path.name for path in rig.spool.iterdir() if path.name.lstrip(".").startswith(f"{job.id}-"))


def left_behind(rig: Rig, job: Job) -> list[Path]:
    """What earlier attempts drew, or were drawing when they died."""
    names = (f"{job.id}-0-0.png", f"{job.id}-9-1.png", f".{job.id}-1-0.png.12-34.part")
    paths = [rig.spool / name for name in names]
    for path in paths:
        path.write_bytes(b"x")
    return paths


async def test_a_delete_takes_what_earlier_attempts_drew(rig_of: MakeRig) -> None:
    """Every file of that job goes, half-written ones too; those of jobs with a similar number stay."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine(images=2))
    left_behind(rig, row)
    similar = [rig.spool / f"{row.id}{name}" for name in ("0-1-0.png", ".png")]
    similar.append(rig.spool / f"9{row.id}-1-0.png")
    for path in similar:
        path.write_bytes(b"x")
    await rig.dispatcher.endings.delete(row, by=ADA)
    assert files_of(rig, row) == []
    assert all(path.exists() for path in similar)


async def test_a_delete_of_a_failed_job_takes_its_files(rig_of: MakeRig) -> None:
    """A job that ended without pictures may have left some of an attempt that died."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine("FAIL"))
    left_behind(rig, row)
    await rig.dispatcher.endings.delete(row, by=ADA)
    assert files_of(rig, row) == []


@pytest.mark.parametrize("is_gone", [True, False], ids=["its message is gone", "its message still stands"])
async def test_a_delete_that_was_killed_halfway_is_completed(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    """Killed while Discord deletes the message: nobody finds the picture any more, and at the next start all of it goes."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine(images=2))
    left_behind(rig, row)
    entered = asyncio.Event()

    async def remove(delivery: RecordingDelivery, job: Job) -> None:
        if is_gone:
            delivery.removed.append(job.id)
        entered.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(RecordingDelivery, "remove", remove)
        deleting = asyncio.ensure_future(rig.dispatcher.endings.delete(row, by=ADA))
        await entered.wait()
        assert await history(rig) == []
        deleting.cancel()
        await asyncio.gather(deleting, return_exceptions=True)
    await die(rig, fake=HELD, ready=False)
    await eventually(lambda: not files_of(rig, row) and not rig.dispatcher.errands)
    after = await rig.row(row)
    assert (after.deleted_at is not None, after.removed_at is not None, after.charged) == (True, True, 2)
    assert rig.delivery.removed == [row.id]
    assert await history(rig) == []
    await die(rig, fake=HELD, ready=False)
    assert rig.delivery.removed == []


async def test_a_delete_that_takes_long_goes_on_behind_its_answer(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord is away: the delete is promised within an answer's time, and done when Discord is back."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine())
    back, real = asyncio.Event(), RecordingDelivery.remove

    async def remove(delivery: RecordingDelivery, job: Job) -> None:
        await back.wait()
        await real(delivery, job)

    monkeypatch.setattr(RecordingDelivery, "remove", remove)
    async with asyncio.timeout(3):
        await rig.dispatcher.endings.delete(row, by=ADA)
    assert rig.delivery.removed == []
    assert await history(rig) == []
    back.set()
    await eventually(lambda: not files_of(rig, row))
    assert rig.delivery.removed == [row.id]


async def test_a_message_that_must_stay_keeps_its_picture(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Discord lets nobody delete it, that is said, and file and history stay what they were."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine())

    async def remove(_delivery: RecordingDelivery, _job: Job) -> None:
        raise Irremovable(is_forbidden=True)

    monkeypatch.setattr(RecordingDelivery, "remove", remove)
    with pytest.raises(Irremovable, match="forbidden"):
        await rig.dispatcher.endings.delete(row, by=ADA)
    assert await rig.row(row) == row
    assert await history(rig) == [row.id]
    assert len(files_of(rig, row)) == 1

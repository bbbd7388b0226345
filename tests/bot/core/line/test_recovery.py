"""Restarts of the bot: what was promised before is kept afterwards, and nothing is drawn or told twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.core.engines.status import Phase
from bot.job import TOKEN_LIFE_S, Job, JobState
from bot.limits import LimitEntry, Subject
from engine.contract import FakeSettings
from tests.kit.rig import QUICK, SLOW, MakeRig, Rig, eventually
from workshop.rehearsal.props import GUILD

HELD = FakeSettings(load_s=60.0)
"""An engine that never gets ready while a test lasts."""


async def rendered(rig: Rig, **values: int) -> Job:
    """A job whose images lie in the spool while its message does not show them yet."""
    rig.delivery.gate.clear()
    job = await rig.imagine(**values)  # type: ignore[arg-type]
    return await rig.until(job, JobState.RENDERED)


async def test_queued_jobs_wait_again_in_the_same_order(rig_of: MakeRig) -> None:
    """Jobs in line are in line again after a restart, in their order, and all are delivered."""
    rig = await rig_of(fake=HELD, ready=False)
    jobs = [await rig.imagine(user=1) for _ in range(4)]
    await rig.restart(fake=HELD, ready=False)
    assert [job.id for job in rig.dispatcher.line()] == [job.id for job in jobs]
    assert await rig.used() == 4
    await rig.restart(fake=QUICK)
    rows = await rig.all_ended(jobs)
    assert {row.state for row in rows} == {JobState.DELIVERED}
    assert {(row.attempt, row.faults) for row in rows} == {(1, 0)}
    await rig.assert_books()


async def test_weights_hold_after_a_restart(rig_of: MakeRig) -> None:
    """Somebody of weight 2 gets two turns for one of others, by what they weighed when they asked for it."""
    rig = await rig_of(fake=HELD, ready=False)
    entry = LimitEntry.of(Subject.MEMBER, 2, {"weight": 2})
    await rig.store.settings.set_limits(GUILD, entry, by_user_id=9, now=0.0)
    for user in (1, 1, 2, 2, 2, 2):
        await rig.imagine(user=user)
    order = [job.user_id for job in rig.dispatcher.line()]
    assert order == [1, 2, 2, 1, 2, 2]
    await rig.store.settings.reset_limits(GUILD, Subject.MEMBER, 2, by_user_id=9, now=0.0)
    await rig.restart(fake=HELD, ready=False)
    assert [job.user_id for job in rig.dispatcher.line()] == order


async def test_a_running_job_is_drawn_again_without_a_fault(rig_of: MakeRig) -> None:
    """A restart of the bot is nobody's fault: the job runs again under the next attempt and is delivered once."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine(images=5)
    await rig.until(job, JobState.RUNNING)
    await rig.restart(fake=QUICK)
    row = await rig.ended(job)
    assert (row.state, row.attempt, row.faults, row.charged) == (JobState.DELIVERED, 2, 0, 5)
    assert len(rig.delivery.ends_of(job)) == 1
    await rig.assert_books()


async def test_many_restarts_are_still_nobodys_fault(rig_of: MakeRig) -> None:
    """However often the bot is restarted in the middle of a job, it is neither given up nor charged twice."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine(images=5)
    for attempt in range(1, 4):
        await rig.until(job, JobState.RUNNING, also=lambda row, attempt=attempt: row.attempt == attempt)
        await rig.restart(fake=SLOW if attempt < 3 else QUICK)
    row = await rig.ended(job)
    assert (row.state, row.attempt, row.faults, row.charged) == (JobState.DELIVERED, 4, 0, 5)


async def test_a_rendered_job_is_delivered_without_an_engine(rig_of: MakeRig) -> None:
    """Images that lie intact in the spool are posted after a restart, though no engine ever gets ready."""
    rig = await rig_of()
    before = await rendered(rig, images=2)
    await rig.restart(fake=HELD, ready=False)
    row = await rig.ended(before)
    assert (row.state, row.attempt, row.images) == (JobState.DELIVERED, 1, before.images)
    assert rig.engine.status.phase is not Phase.READY
    assert [end.id for end in rig.delivery.finished] == [before.id]


async def test_a_rendered_job_with_a_missing_file_is_drawn_again(rig_of: MakeRig) -> None:
    """A lost file is drawn again from the same request; the bill stays the same."""
    rig = await rig_of()
    before = await rendered(rig, images=2)
    Path(str(before.images[1].path)).unlink()
    await rig.restart()
    row = await rig.ended(before)
    assert (row.state, row.attempt, row.charged) == (JobState.DELIVERED, 2, 2)
    assert all(Path(str(image.path)).is_file() for image in row.images)
    await rig.assert_books()


async def test_a_rendered_job_with_a_changed_file_is_drawn_again(rig_of: MakeRig) -> None:
    """A file that is not what the engine wrote is never posted."""
    rig = await rig_of()
    before = await rendered(rig)
    Path(str(before.images[0].path)).write_bytes(b"half a picture")
    await rig.restart()
    row = await rig.ended(before)
    assert (row.state, row.attempt) == (JobState.DELIVERED, 2)
    assert [end.attempt for end in rig.delivery.ends_of(before)] == [2]


async def test_a_rendered_job_whose_images_were_flagged_is_delivered(rig_of: MakeRig) -> None:
    """A withheld image has no file to miss: the job is told, not drawn again."""
    rig = await rig_of()
    rig.delivery.gate.clear()
    job = await rig.until(await rig.imagine("NSFW"), JobState.RENDERED)
    await rig.restart(fake=HELD, ready=False)
    row = await rig.ended(job)
    assert (row.state, row.attempt, row.charged) == (JobState.DELIVERED, 1, 0)


async def test_an_accepted_job_with_an_answer_is_queued(rig_of: MakeRig) -> None:
    """The bot died between its answer and the note of it: the message is found, and the job runs under it."""
    rig = await rig_of(fake=HELD, ready=False)
    job = await rig.accepted()
    rig.delivery.answers[job.interaction_id] = 4242
    await rig.restart(fake=QUICK)
    row = await rig.ended(job)
    assert (row.state, row.message_id, row.charged) == (JobState.DELIVERED, 4242, 1)


async def test_an_accepted_job_without_an_answer_is_cancelled(rig_of: MakeRig) -> None:
    """Nobody was told of it, so it never runs and costs nothing, and its place among the pending ones is free."""
    rig = await rig_of(pending=1)
    job = await rig.accepted()
    await rig.restart()
    row = await rig.ended(job)
    assert (row.state, row.attempt, row.charged) == (JobState.CANCELLED, 0, 0)
    assert row.reason
    assert rig.delivery.finished == []
    assert (await rig.ended(await rig.imagine())).state is JobState.DELIVERED
    assert await rig.used() == 1


async def test_an_accepted_job_whose_token_expired_is_cancelled(rig_of: MakeRig) -> None:
    """After a quarter of an hour nothing can be asked any more: the token is forgotten and the job refunded."""
    rig = await rig_of(fake=HELD, ready=False)
    job = await rig.accepted()
    rig.delivery.answers[job.interaction_id] = 4242
    rig.clock.offset += TOKEN_LIFE_S + 1
    await rig.restart(fake=HELD, ready=False)
    row = await rig.ended(job)
    assert (row.state, row.charged, row.token) == (JobState.CANCELLED, 0, None)


async def test_finished_jobs_are_left_alone(rig_of: MakeRig) -> None:
    """What had ended before the restart is neither drawn, posted nor charged again."""
    rig = await rig_of()
    good, bad = await rig.imagine(), await rig.imagine("FAIL", user=2)
    ends = (JobState.DELIVERED, JobState.FAILED)
    rows = [await rig.until(job, *ends, also=lambda row: row.shown_at is not None) for job in (good, bad)]
    await rig.restart()
    await rig.ended(await rig.imagine(user=3))
    assert [await rig.row(job) for job in (good, bad)] == rows
    assert {end.user_id for end in rig.delivery.finished} == {3}


async def test_a_whole_evening_of_restarts(rig_of: MakeRig) -> None:
    """Jobs in every state at once survive a restart: each ends as it should, once, and the books are right."""
    rig = await rig_of(fake=SLOW)
    done = await rendered(rig, user=1)
    running = await rig.imagine(user=2, images=3)
    await rig.until(running, JobState.RUNNING)
    waiting = [await rig.imagine(user=user) for user in (3, 4)]
    untold, told = await rig.accepted(user=5), await rig.accepted(user=6)
    rig.delivery.answers[told.interaction_id] = 66
    await rig.restart(fake=QUICK)
    jobs = [done, running, *waiting, told, untold]
    states = [row.state for row in await rig.all_ended(jobs)]
    assert states == [JobState.DELIVERED] * 5 + [JobState.CANCELLED]
    await eventually(lambda: len(rig.delivery.finished) == 5)
    assert sorted(end.id for end in rig.delivery.finished) == sorted(job.id for job in jobs[:5])
    await rig.assert_books()


async def test_what_begins_while_it_is_told_to_stop_is_finished(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row says running and the engine is about to hear of it: that job is drawn before the bot leaves."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01))
    real, taken, told_to_stop = rig.store.jobs.running, asyncio.Event(), asyncio.Event()

    async def slowly(job: Job, *, now: float) -> Job | None:
        running = await real(job, now=now)
        taken.set()
        await told_to_stop.wait()
        return running

    monkeypatch.setattr(rig.store.jobs, "running", slowly)
    job = await rig.imagine()
    await taken.wait()
    draining = asyncio.create_task(rig.dispatcher.drain(limit_s=10))
    await asyncio.sleep(0.05)
    told_to_stop.set()
    await draining
    assert (await rig.row(job)).state is JobState.DELIVERED

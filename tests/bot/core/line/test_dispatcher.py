"""The life of a job, with the fake engine's process, a real store and a delivery that takes notes."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot.core.asking.refused import Refused, Unmet
from bot.core.engines.status import EngineStatus, Phase
from bot.core.line.dispatcher import PLACES_SHOWN
from bot.core.ports import Progress
from bot.job import Asker, Flagged, Job, JobState
from bot.limits import LimitEntry, Subject
from bot.store.audit import Deed
from engine.contract import (
    Cancelled,
    Event,
    Failed,
    FakeSettings,
    Finished,
    GenerationRequest,
    InvalidRequest,
    SpooledImage,
    Started,
    Stepped,
)
from engine.fake import MODEL
from tests.kit import said
from tests.kit.books import entry
from tests.kit.rig import ADA, SLOW, MakeRig, Rig, end_of, eventually
from workshop.rehearsal.props import GUILD, picture

ADMIN = 99


# ------------------------------------------------------------------ a good life


async def test_the_whole_life_of_a_job(rig_of: MakeRig) -> None:
    """Asked, answered, drawn and delivered once: with its files, its price, its times and its message."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01))
    accepted = await rig.accepted(images=2)
    assert (accepted.state, accepted.charged, await rig.used()) == (JobState.ACCEPTED, 2, 2)
    await rig.dispatcher.answered(accepted, 555)
    row = await rig.ended(accepted)

    assert row.state is JobState.DELIVERED
    assert (row.attempt, row.faults, row.charged, row.message_id) == (1, 0, 2, 555)
    assert row.queued_at is not None
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.created_at <= row.queued_at <= row.started_at <= row.finished_at
    assert row.render_seconds is not None
    assert [image.seed for image in row.images] == [42, 43]
    assert all(Path(str(image.path)).stat().st_size == image.size_bytes for image in row.images)
    (end,) = rig.delivery.finished
    assert (end.state, end.images) == (JobState.RENDERED, row.images)
    await rig.assert_books()


async def test_progress_is_shown_in_order(rig_of: MakeRig) -> None:
    """First the place in line, at the start one forced edit, then steps that only grow, and nothing after the end."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine()
    await rig.ended(job)
    shown = rig.delivery.of(job)
    places = [showing.progress.place for showing in shown]
    begun = next(index for index, showing in enumerate(shown) if showing.job.state is JobState.RUNNING)
    assert all(place == 1 for place in places[:begun])
    assert all(place is None for place in places[begun:])
    forced = [showing for showing in shown if showing.now]
    assert len(forced) == 1
    assert forced[0].job.state is JobState.RUNNING
    steps = [showing.progress.step for showing in shown if showing.progress.step is not None]
    assert steps
    assert all(before.step <= after.step for before, after in pairwise(steps))
    assert steps[-1].fraction == 1.0
    count = len(shown)
    await asyncio.sleep(0.05)
    assert len(rig.delivery.of(job)) == count


async def test_a_job_nobody_answered_never_runs(rig_of: MakeRig) -> None:
    """When Discord did not take the answer the job is cancelled and free, though it was paid for at first."""
    rig = await rig_of()
    job = await rig.accepted()
    assert await rig.used() == 1
    await rig.dispatcher.unanswered(job)
    row = await rig.row(job)
    assert (row.state, row.charged, row.attempt) == (JobState.CANCELLED, 0, 0)
    assert await rig.used() == 0
    await rig.ended(await rig.imagine())
    assert rig.delivery.of(job) == []
    assert rig.delivery.ends_of(job) == []


async def test_an_answer_that_comes_twice_is_one_place_in_line(rig_of: MakeRig) -> None:
    """A repeated or late answer puts nothing in line a second time."""
    rig = await rig_of(fake=SLOW)
    first = await rig.imagine()
    job = await rig.accepted()
    await asyncio.gather(*(rig.dispatcher.answered(job, 555) for _ in range(3)))
    assert [waiting.id for waiting in rig.dispatcher.line()].count(job.id) == 1
    await rig.all_ended([first, job])
    await rig.dispatcher.answered(job, 556)
    assert rig.dispatcher.line() == []
    assert (await rig.row(job)).message_id == 555


async def test_a_failed_request_is_refunded_with_its_reason(rig_of: MakeRig) -> None:
    """What the engine can't draw costs nothing, says why, and disturbs nobody else."""
    rig = await rig_of()
    bad, good = await rig.imagine("FAIL", images=3), await rig.imagine(user=2)
    row, other = await rig.all_ended([bad, good])
    assert (row.state, row.charged) == (JobState.FAILED, 0)
    assert end_of(row) == "The fake engine was asked to fail here."
    assert other.state is JobState.DELIVERED
    await eventually(lambda: rig.delivery.ends_of(bad))
    assert rig.delivery.ends_of(bad)[0].reason == row.reason
    assert await rig.used() == 0
    await rig.assert_books()


async def test_flagged_images_are_neither_posted_nor_charged(rig_of: MakeRig) -> None:
    """What the safety checker flagged is not shown and costs nothing; the job is delivered all the same. Its files stay for days."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine("NSFW", images=3))
    assert (row.state, row.charged, row.cost) == (JobState.DELIVERED, 0, 3)
    assert [image.flagged for image in row.images] == [True] * 3
    assert row.shown_images == ()
    assert sorted(map(str, rig.spool.glob("*.png"))) == [image.aside for image in row.images]
    await rig.assert_books()


async def test_undeliverable_images_are_refunded(rig_of: MakeRig) -> None:
    """Images that can be posted nowhere cost nothing, and the row says why."""
    rig = await rig_of()
    rig.delivery.undeliverable = "The channel is gone."
    row = await rig.ended(await rig.imagine())
    assert (row.state, row.charged, end_of(row)) == (JobState.FAILED, 0, "The channel is gone.")
    await eventually(
        lambda: [end.state for end in rig.delivery.ends_of(row)] == [JobState.RENDERED, JobState.FAILED]
    )
    assert await rig.used() == 0
    await rig.assert_books()


async def test_posting_holds_up_nobody(rig_of: MakeRig) -> None:
    """While one job's images are being posted the next one is drawn."""
    rig = await rig_of(fake=FakeSettings(slots=1))
    rig.delivery.gate.clear()
    jobs = [await rig.imagine(), await rig.imagine(user=2)]
    for job in jobs:
        await rig.until(job, JobState.RENDERED)
    rig.delivery.gate.set()
    assert [row.state for row in await rig.all_ended(jobs)] == [JobState.DELIVERED] * 2


async def test_deleting_removes_files_and_message_and_refunds_nothing(rig_of: MakeRig) -> None:
    """The picture is gone from disk and channel, once; what it cost stays."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine(images=2))
    for _ in range(2):
        await rig.dispatcher.endings.delete(row, by=ADA)
    assert list(rig.spool.glob("*.png")) == []
    after = await rig.row(row)
    assert (after.deleted_at is not None, after.charged) == (True, 2)
    assert set(rig.delivery.removed) == {row.id}


# ------------------------------------------------------------------ what the engine tells meanwhile


async def hanging(rig: Rig, **options: Any) -> Job:
    """A job that is aboard and tells nothing any more, so that a test can speak for it."""
    job = await rig.imagine("HANG", **options)
    row = await rig.until(job, JobState.RUNNING)
    # Its own last word before it hangs is that it encodes.
    await eventually(lambda: any(showing.progress.step for showing in rig.delivery.of(job)))
    rig.delivery.shown.clear()
    return row


def stepped(job: Job, **values: Any) -> Stepped:
    usual: dict[str, Any] = {"stage": "denoising", "step": 5, "steps": 20}
    return Stepped(job_id=job.id, attempt=job.attempt, **(usual | values))


async def tell(rig: Rig, *events: Event) -> None:
    for event in events:
        rig.dispatcher._post(event)
    await eventually(lambda: not rig.dispatcher._inbox)


async def test_the_newest_preview_is_kept_until_a_newer_one_comes(rig_of: MakeRig) -> None:
    """Most steps bring no preview: the last one stays what is shown, and a newer one takes its place."""
    rig = await rig_of()
    job = await hanging(rig, flagged=Flagged.POST)
    assert rig.dispatcher.progress_of(job).preview is None
    previews = (b"first", None, None, b"second", None)
    await tell(rig, *(stepped(job, step=step, preview=preview) for step, preview in enumerate(previews, 1)))
    shown = [showing.progress.preview for showing in rig.delivery.of(job)]
    assert shown == [b"first", b"first", b"first", b"second", b"second"]
    assert rig.dispatcher.progress_of(job).preview == b"second"


async def test_what_is_looked_at_first_has_no_preview(rig_of: MakeRig) -> None:
    """Where flagged pictures are not simply posted none is kept of a model that is looked at, or that nobody knows any more."""
    for model, is_seen in ((MODEL, False), (replace(MODEL, safety_checker=False), True), (None, False)):
        rig = await rig_of()
        job = await hanging(rig)
        models = () if model is None else (model,)
        rig.engine.status = replace(rig.engine.status, models=models)
        await tell(rig, stepped(job, preview=b"first"))
        assert rig.dispatcher.progress_of(job).preview == (b"first" if is_seen else None)


async def test_a_job_back_in_line_has_no_preview(rig_of: MakeRig) -> None:
    """The engine died and everything starts anew: neither in line nor at its next start is the old preview shown."""
    rig = await rig_of()
    job = await hanging(rig)
    await tell(rig, stepped(job, preview=b"first"))
    rig.delivery.shown.clear()
    os.kill(rig.engine.pid or 0, signal.SIGKILL)
    await rig.until(job, JobState.RUNNING, also=lambda row: row.attempt == 2)
    await eventually(lambda: any(showing.progress.step for showing in rig.delivery.of(job)))
    shown = rig.delivery.of(job)
    assert {showing.job.state for showing in shown} == {JobState.QUEUED, JobState.RUNNING}
    assert [showing.progress.preview for showing in shown] == [None] * len(shown)


async def test_the_engines_word_on_the_time_left_comes_first(rig_of: MakeRig) -> None:
    """Where the engine says how long a job will take, that is told; where it doesn't, what history says."""
    rig = await rig_of()
    await rig.ended(await rig.imagine())
    job = await hanging(rig)
    own = rig.dispatcher.progress_of(job).eta_s
    await tell(rig, stepped(job, step=0, seconds_left=1234.5))
    assert rig.dispatcher.progress_of(job).eta_s == 1234.5
    await tell(rig, stepped(job, step=0))
    later = rig.dispatcher.progress_of(job).eta_s
    assert own is not None and later is not None
    assert abs(later - own) < 1  # the clock runs on between them


async def test_waiting_in_the_engine_is_nobodys_engine_time(rig_of: MakeRig) -> None:
    """A job that waits for its turn inside the engine is not charged the time before it, or no estimate would hold."""
    rig = await rig_of()
    job = await hanging(rig)
    rig.clock.offset += 5000
    await tell(rig, stepped(job, stage="waiting", step=0))
    assert rig.dispatcher._aboard[job.id].engine_s < 1000
    assert rig.delivery.of(job)[-1].progress.step == stepped(job, stage="waiting", step=0)
    await tell(rig, stepped(job))
    assert rig.dispatcher._aboard[job.id].engine_s >= 5000


# ------------------------------------------------------------------ the line


async def test_places_in_line(rig_of: MakeRig) -> None:
    """Everybody sees their place, and it moves up as those before them are done."""
    rig = await rig_of(fake=SLOW)
    jobs = [await rig.imagine(user=user) for user in (1, 2, 3, 4)]
    await rig.until(jobs[0], JobState.RUNNING)
    await eventually(lambda: len(rig.dispatcher.line()) == 3)
    assert [rig.dispatcher.progress_of(job).place for job in jobs] == [None, 1, 2, 3]
    assert [job.id for job in rig.dispatcher.running()] == [jobs[0].id]
    waiting = await rig.accepted(user=5)
    assert rig.dispatcher.progress_of(waiting).place == 4
    await rig.all_ended(jobs)
    places = [
        showing.progress.place
        for showing in rig.delivery.of(jobs[3])
        if showing.progress.place and showing.job.state is JobState.QUEUED
    ]
    assert places == sorted(places, reverse=True)
    assert {1, 2, 3} <= set(places)


async def test_a_long_line_is_no_storm_of_edits(rig_of: MakeRig) -> None:
    """Only the front of the line is shown its place; the last of many hears of it when it comes near."""
    rig = await rig_of(ready=False, fake=FakeSettings(load_s=60))
    jobs = [await rig.imagine(user=user) for user in range(1, PLACES_SHOWN + 6)]
    await eventually(lambda: rig.delivery.of(jobs[0]))
    assert rig.delivery.of(jobs[PLACES_SHOWN + 4]) == []
    assert [rig.dispatcher.progress_of(job).place for job in jobs] == list(range(1, PLACES_SHOWN + 6))


async def test_the_time_left_is_told_anew(rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the one before is drawn, who waits hears of the time left as often as it has changed much, not at every step."""
    monkeypatch.setattr("bot.core.line.dispatcher.LINE_EVERY_S", 0.0)
    rig = await rig_of(fake=SLOW)
    rig.dispatcher._pace.observe(picture().work, 100.0)
    first, waiting = await rig.imagine(user=1), await rig.imagine(user=2)
    await rig.all_ended([first, waiting])
    told = [showing.progress for showing in rig.delivery.of(waiting) if showing.progress.place == 1]
    left = [round(progress.eta_s or 0.0) for progress in told if progress.eta_s]

    assert left[0] == 200
    assert 3 <= len(set(left)) <= 6
    assert all(
        before - after >= 0.2 * before for before, after in pairwise(dict.fromkeys(left)) if after > 100
    )


async def test_two_people_are_served_alternately(rig_of: MakeRig) -> None:
    """Six jobs of one person and three of another who came later: they take turns until the second has none left."""
    rig = await rig_of(fake=FakeSettings(step_s=0.003, slots=1))
    mine = [await rig.imagine(user=1) for _ in range(6)]
    theirs = [await rig.imagine(user=2) for _ in range(3)]
    rows = await rig.all_ended([*mine, *theirs])
    turns = [row.user_id for row in sorted(rows, key=lambda row: row.started_at or 0.0)]
    first_of_two = turns.index(2)
    assert first_of_two <= 2
    assert turns[first_of_two : first_of_two + 5] == [2, 1, 2, 1, 2]
    for owned in (mine, theirs):
        starts = [row.started_at for row in rows if row.id in {job.id for job in owned}]
        assert starts == sorted(starts, key=lambda at: at or 0.0)


async def test_an_engine_gets_no_more_than_it_has_slots_for(rig_of: MakeRig) -> None:
    """With two slots at most two single images are aboard at any time."""
    rig = await rig_of(fake=FakeSettings(step_s=0.003, slots=2))
    jobs = [await rig.imagine(user=user) for user in range(1, 7)]
    aboard: list[int] = []
    while len(rig.delivery.finished) < len(jobs):
        aboard.append(len(rig.dispatcher.running()))
        await asyncio.sleep(0)
    assert max(aboard) == 2
    await rig.all_ended(jobs)


async def test_eta_is_known_after_the_first_job(rig_of: MakeRig) -> None:
    """Nobody is promised a time before anything was drawn here; afterwards waiting and running jobs are."""
    rig = await rig_of(fake=SLOW)
    first = await rig.imagine()
    assert rig.dispatcher.progress_of(first).eta_s is None
    row = await rig.ended(first)
    jobs = [await rig.imagine(user=user) for user in (1, 2, 3)]
    await rig.until(jobs[0], JobState.RUNNING)
    await eventually(lambda: len(rig.dispatcher.line()) == 2)
    etas = [rig.dispatcher.progress_of(job).eta_s for job in jobs]
    assert all(eta is not None and eta > 0 for eta in etas)
    assert etas[1] < etas[2]  # type: ignore[operator]
    assert row.render_seconds is not None
    last = etas[2]
    assert last is not None
    assert row.render_seconds < last < 6 * row.render_seconds


async def test_eta_outlives_the_process(rig_of: MakeRig) -> None:
    """A restarted bot knows from its history how long a picture takes."""
    rig = await rig_of(fake=SLOW)
    await rig.ended(await rig.imagine())
    await rig.restart()
    job = await rig.accepted()
    assert rig.dispatcher.progress_of(job).eta_s is not None


async def test_a_restart_does_not_change_the_pace(rig_of: MakeRig) -> None:
    """What is learned while jobs share an engine is its time for each, before a restart and after it."""
    rig = await rig_of(fake=FakeSettings(step_s=0.005, slots=4))
    await rig.all_ended([await rig.imagine(user=user) for user in range(8)])
    job = await rig.accepted()
    before = rig.dispatcher.progress_of(job).eta_s
    await rig.restart()
    after = rig.dispatcher.progress_of(await rig.accepted()).eta_s
    assert before is not None
    assert after is not None
    assert before / 2 < after < before * 2


# ------------------------------------------------------------------ cancelling


async def test_cancel_while_waiting_is_free(rig_of: MakeRig) -> None:
    """A job cancelled in line costs nothing, never runs, and its message says who cancelled it."""
    rig = await rig_of(fake=SLOW)
    first, job, last = [await rig.imagine(user=user) for user in (1, 2, 3)]
    await rig.until(first, JobState.RUNNING)
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    row = await rig.row(job)
    assert (row.state, row.charged, row.attempt) == (JobState.CANCELLED, 0, 0)
    assert end_of(row) == "Cancelled by Ada."
    assert rig.dispatcher.progress_of(last).place == 1
    await eventually(lambda: rig.delivery.ends_of(job))
    assert not await rig.dispatcher.cancel(job.id, by=ADA)
    await rig.all_ended([first, last])
    assert await rig.used(2) == 0
    assert len(rig.delivery.ends_of(job)) == 1
    await rig.assert_books()


async def test_cancel_while_running_costs_the_share_done(rig_of: MakeRig) -> None:
    """A job cancelled under way is charged for what was drawn, its images are never delivered, the next one runs."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, slots=1))
    job = await rig.imagine(images=10)
    other = await rig.imagine(user=2)
    step = None
    while step is None or step.step < 30:
        step = rig.dispatcher.progress_of(job).step
        await asyncio.sleep(0.005)
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    row = await rig.ended(job)
    assert (row.state, row.images) == (JobState.CANCELLED, ())
    assert math.ceil(10 * step.fraction) <= row.charged < 10
    assert (await rig.ended(other)).state is JobState.DELIVERED
    await eventually(lambda: rig.delivery.ends_of(job))
    assert [end.state for end in rig.delivery.ends_of(job)] == [JobState.CANCELLED]
    assert list(rig.spool.glob(f"{job.id}-*")) == []
    assert await rig.used() == row.charged
    await rig.assert_books()


async def test_cancel_at_every_moment_ends_one_way(rig_of: MakeRig) -> None:
    """Pressed at any moment, a cancel that was promised ends the job once: cancelled, or delivered if it came too late."""
    rig = await rig_of(fake=FakeSettings(step_s=0.001, slots=2))
    jobs = [await rig.imagine(user=user) for user in range(1, 13)]
    promised: dict[int, bool] = {}
    for job in jobs:
        await asyncio.sleep(0.01)
        promised[job.id] = await rig.dispatcher.cancel(job.id, by=ADA)
    rows = await rig.all_ended(jobs)
    for row in rows:
        assert row.state in (JobState.CANCELLED, JobState.DELIVERED)
        if not promised[row.id]:
            assert row.state is JobState.DELIVERED
    await eventually(lambda: len(rig.delivery.finished) == len(jobs))
    await rig.assert_books()


async def test_a_finished_or_unknown_job_can_not_be_cancelled(rig_of: MakeRig) -> None:
    """Cancel answers False where nothing is left to cancel, and changes nothing."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine())
    assert not await rig.dispatcher.cancel(row.id, by=ADA)
    assert not await rig.dispatcher.cancel(12345, by=ADA)
    assert await rig.row(row) == row


# ------------------------------------------------------------------ admission


async def refused(rig: Rig, **values: int) -> str:
    answer = await rig.admit(**values)  # type: ignore[arg-type]
    return said.refusal(answer)


async def test_a_limit_acts_on_the_next_request(rig_of: MakeRig) -> None:
    """What an admin sets holds at once, for those it names, and a reset gives the wider limit back."""
    rig = await rig_of()
    await rig.accepted(user=1, images=4)
    entry = LimitEntry.of(Subject.MEMBER, 1, {"max_images": 2, "credits_per_day": 6})
    await rig.store.settings.set_limits(GUILD, entry, by_user_id=ADMIN, now=rig.clock.now())
    assert "limit of 2" in await refused(rig, user=1, images=4)
    await rig.accepted(user=1, images=2)
    assert "0 of 6 left today" in await refused(rig, user=1)
    await rig.accepted(user=2, images=4)
    await rig.store.settings.reset_limits(GUILD, Subject.MEMBER, 1, by_user_id=ADMIN, now=rig.clock.now())
    await rig.accepted(user=1, images=4)


async def test_a_limit_lowered_while_jobs_wait_leaves_them_alone(rig_of: MakeRig) -> None:
    """What is reserved goes on and is delivered; the next request meets the new limit, and nothing left is negative."""
    rig = await rig_of(fake=SLOW)
    jobs = [await rig.imagine() for _ in range(3)]
    entry = LimitEntry.of(Subject.EVERYONE, 0, {"credits_per_day": 1})
    await rig.store.settings.set_limits(GUILD, entry, by_user_id=ADMIN, now=rig.clock.now())
    refused = await rig.admit()
    assert "you have 0 of 1 left today" in said.refusal(refused)
    assert [row.state for row in await rig.all_ended(jobs)] == [JobState.DELIVERED] * 3
    assert await rig.used() == 3
    await rig.assert_books()


async def test_a_blocked_person_loses_what_waits(rig_of: MakeRig) -> None:
    """Cancelled by a moderator: what waits is refunded, what is drawn goes on, and nobody else is touched."""
    rig = await rig_of(fake=FakeSettings(step_s=0.1, slots=1))
    running = await rig.imagine(user=1)
    await rig.until(running, JobState.RUNNING)
    waiting = [await rig.imagine(user=1) for _ in range(2)]
    other = await rig.imagine(user=2)
    assert await rig.dispatcher.withdraw(guild_id=GUILD + 1, user_id=1) == 0
    assert await rig.dispatcher.withdraw(guild_id=GUILD, user_id=1) == 2

    rows = await rig.all_ended([running, *waiting, other])
    delivered, cancelled = JobState.DELIVERED, JobState.CANCELLED
    assert [row.state for row in rows] == [delivered, cancelled, cancelled, delivered]
    assert [row.charged for row in rows] == [1, 0, 0, 1]
    assert {end_of(row) for row in rows[1:3]} == {"Cancelled by a moderator, not charged."}
    await eventually(lambda: all(rig.delivery.ends_of(job) for job in waiting))
    await rig.assert_books()


async def test_a_guild_that_is_left_costs_and_shows_nothing(rig_of: MakeRig) -> None:
    """Waiting and running jobs are cancelled, one that is just being finished has failed; none is posted or charged."""
    rig = await rig_of(fake=FakeSettings(step_s=0.1, slots=1))
    jobs = [await rig.imagine() for _ in range(3)]
    await rig.until(jobs[0], JobState.RUNNING)
    await rig.dispatcher.guild_left(GUILD)
    rows = await rig.all_ended(jobs)
    assert {row.state for row in rows} <= {JobState.CANCELLED, JobState.FAILED}
    assert {(row.charged, end_of(row)) for row in rows} == {(0, "The bot was removed from the server.")}

    late = await rig.ended(await rig.imagine())  # its admission was under way meanwhile
    assert (late.state, late.charged, late.attempt) == (JobState.CANCELLED, 0, 0)
    assert rig.delivery.finished == []
    rig.dispatcher.endings.guild_joined(GUILD)
    assert (await rig.ended(await rig.imagine())).state is JobState.DELIVERED
    await rig.assert_books()


async def test_a_role_gives_more_and_the_owners_ceiling_caps_it(rig_of: MakeRig) -> None:
    """A role's limit holds for those who have it; nobody gets more than the owner allows."""
    rig = await rig_of(pending=1)
    entry = LimitEntry.of(Subject.ROLE, 5, {"pending": 10**6})
    await rig.store.settings.set_limits(GUILD, entry, by_user_id=ADMIN, now=rig.clock.now())
    await rig.imagine("HANG", user=1)
    assert "1 of 1" in await refused(rig, user=1)
    allowance = await rig.admission.allowance(_asker(1, 5))
    assert allowance.limits.pending == rig.settings.ceilings.pending
    assert isinstance(await rig.admit(user=1, roles=(5,)), Job)


def _asker(user: int, *roles: int) -> Asker:
    return Asker(user_id=user, guild_id=GUILD, role_ids=roles)


async def test_two_hundred_requests_at_once_against_a_quota_of_ten(rig_of: MakeRig) -> None:
    """The whole way in, not only its SQL: exactly ten are admitted, the others get the sentence about credits."""
    rig = await rig_of(credits_per_day=10, pending=1000, start=True, ready=False)
    answers = await asyncio.gather(*(rig.admit() for _ in range(200)))
    assert sum(isinstance(answer, Job) for answer in answers) == 10
    sentences = {said.refusal(answer) for answer in answers if isinstance(answer, Refused)}
    assert len(sentences) == 1
    assert "0 of 10 left today" in sentences.pop()
    assert await rig.used() == 10


async def test_the_line_has_an_end(rig_of: MakeRig) -> None:
    """When the line is full for everybody, a newcomer is told so."""
    rig = await rig_of(queue_max=2, ready=False, fake=FakeSettings(load_s=60))
    for user in (1, 2):
        await rig.imagine(user=user)
    assert "line is full" in await refused(rig, user=3)


async def test_a_second_press_is_told_so(rig_of: MakeRig) -> None:
    """The same button, pressed again while its image is being made, is one sentence and no second job."""
    rig = await rig_of()
    parent = await rig.ended(await rig.imagine())
    first = await rig.imagine("HANG", parent_id=parent.id)
    assert "already pressed" in await refused(rig, parent_id=parent.id)
    await rig.imagine(user=2, parent_id=parent.id)
    assert await rig.dispatcher.cancel(first.id, by=ADA)
    await rig.ended(first)
    await rig.ended(await rig.imagine(parent_id=parent.id))


async def test_credits_renew_at_midnight_of_the_guilds_zone(rig_of: MakeRig) -> None:
    """Use is counted in the guild's calendar day; a day later everything is there again."""
    rig = await rig_of(credits_per_day=2)
    await rig.store.settings.set_time_zone(GUILD, "Pacific/Kiritimati", entry(Deed.TIME_ZONE, GUILD))
    await rig.ended(await rig.imagine(images=2))
    told = await refused(rig)
    allowance = await rig.admission.allowance(_asker(1))
    assert f"<t:{int(allowance.window.end)}:R>" in told
    rig.clock.offset += allowance.window.end - rig.clock.now() + 1
    assert (await rig.admission.allowance(_asker(1))).usage.used == 0
    await rig.accepted(images=2)


async def test_a_broken_engine_says_so_instead_of_queueing(rig_of: MakeRig) -> None:
    """While the engine can't work at all nothing is stored or charged, and the person hears why."""
    rig = await rig_of(fake=FakeSettings(broken="There is no file unet.safetensors."), ready=False)
    await eventually(lambda: rig.engine.status.phase is Phase.BROKEN)
    assert "There is no file unet.safetensors." in await refused(rig)
    assert await rig.store.jobs.live() == []
    assert await rig.used() == 0


async def test_a_loading_engine_queues_with_a_hint(rig_of: MakeRig) -> None:
    """While the engine loads people may ask already; their message says what holds them up, and then they are served."""
    rig = await rig_of(fake=FakeSettings(load_s=0.5), ready=False)
    await eventually(lambda: rig.engine.status.phase is Phase.LOADING)
    job = await rig.imagine()
    progress = rig.dispatcher.progress_of(job)
    assert progress.place == 1
    assert progress.eta_s is None
    assert "loading" in said.hint(progress.held_up)
    await eventually(lambda: rig.delivery.of(job))
    assert (await rig.ended(job)).state is JobState.DELIVERED


# ------------------------------------------------------------------ models


async def test_models_are_found_by_id_and_title(rig_of: MakeRig) -> None:
    """A model may be named as its id or title, in any case; without a name it is the first one."""
    rig = await rig_of()
    for name in (None, "", "fake", "FAKE", "fake MODEL"):
        assert rig.catalogue.model(name).id == "fake"


async def test_unknown_models_are_a_sentence(rig_of: MakeRig) -> None:
    """A model that is not here is named, shortened, with those that are."""
    rig = await rig_of()
    with pytest.raises(Unmet) as caught:
        rig.catalogue.model("sdxl")
    assert said.refusal(caught.value.refused).endswith("no model “sdxl” here: use fake.")
    with pytest.raises(Unmet) as caught:
        rig.catalogue.model("x" * 5000)
    assert len(said.refusal(caught.value.refused)) < 200


async def test_an_old_messages_request_is_checked_against_todays_model(rig_of: MakeRig) -> None:
    """A button of long ago asks for what its message had; what can't be drawn here any more is a sentence."""
    rig = await rig_of()

    def check_offered(request: GenerationRequest) -> None:
        rig.catalogue.model(request.model).check(request)

    check_offered(picture())
    with pytest.raises(Unmet) as caught:
        check_offered(picture(model="gone"))
    assert "no model “gone”" in said.refusal(caught.value.refused)
    with pytest.raises(InvalidRequest, match="2048"):
        check_offered(picture(width=2048, height=64))


async def test_before_the_engine_spoke_no_model_is_known(rig_of: MakeRig) -> None:
    """In the first moments of a start the answer is to try again, not that there is no such model."""
    rig = await rig_of(ready=False)
    rig.engine.status = EngineStatus()
    with pytest.raises(Unmet) as caught:
        rig.catalogue.model("fake")
    assert "just starting" in said.refusal(caught.value.refused)


# ------------------------------------------------------------------ late messages


async def test_events_of_an_older_attempt_change_nothing(rig_of: MakeRig) -> None:
    """A late message under another attempt's number moves neither the row nor what is shown."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine("HANG")
    row = await rig.until(job, JobState.RUNNING)
    # Its own last word before it hangs is that it encodes: nothing true comes after that.
    await eventually(lambda: any(showing.progress.step for showing in rig.delivery.of(job)))
    shown = len(rig.delivery.of(job))
    for attempt in (row.attempt - 1, row.attempt + 1):
        for event in _lies(job.id, attempt):
            rig.dispatcher._post(event)
    await eventually(lambda: not rig.dispatcher._inbox)
    assert await rig.row(job) == row
    assert len(rig.delivery.of(job)) == shown
    assert rig.delivery.finished == []


def _lies(job_id: int, attempt: int) -> tuple[Event, ...]:
    image = SpooledImage(seed=1, path="/nowhere.png")
    return (
        Started(job_id=job_id, attempt=attempt),
        Stepped(job_id=job_id, attempt=attempt, stage="denoising", step=1, steps=20),
        Finished(job_id=job_id, attempt=attempt, images=(image,), seconds=1.0),
        Failed(job_id=job_id, attempt=attempt, reason="no"),
        Cancelled(job_id=job_id, attempt=attempt, done=1.0),
    )


async def test_events_of_unknown_jobs_change_nothing(rig_of: MakeRig) -> None:
    """A message about a job that is over, or never was, is dropped, and the next job runs."""
    rig = await rig_of()
    row = await rig.ended(await rig.imagine())
    for job_id in (row.id, 12345):
        for event in _lies(job_id, row.attempt):
            rig.dispatcher._post(event)
    assert (await rig.ended(await rig.imagine())).state is JobState.DELIVERED
    assert await rig.row(row) == row


async def test_another_number_of_pictures_than_asked_for(rig_of: MakeRig) -> None:
    """An engine that says so is not believed: the job has failed and is refunded."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine("HANG", images=2)
    row = await rig.until(job, JobState.RUNNING)
    image = SpooledImage(seed=1, path="/nowhere.png")
    rig.dispatcher._post(Finished(job_id=job.id, attempt=row.attempt, images=(image,), seconds=1.0))
    ended = await rig.ended(job)
    assert (ended.state, ended.charged) == (JobState.FAILED, 0)
    assert await rig.store.history.audit() == []


async def test_somebody_overtaken_sees_why_and_the_seconds_go_on(rig_of: MakeRig) -> None:
    """While the engine draws a shorter request, the one that stands still is shown anew: overtaken, later, with time for both."""
    rig = await rig_of(fake=FakeSettings(slots=2))
    first, second = [await rig.imagine(prompt) for prompt in ("HANG", "HANG")]
    for job in (first, second):
        await rig.until(job, JobState.RUNNING)
    await eventually(lambda: all(aboard.since is not None for aboard in rig.dispatcher._aboard.values()))
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGSTOP)  # from here on the test is the engine

    async def stepped(job: Job, step: int, after_s: float) -> Progress:
        """What `first` is shown as when the engine tells this, so long after the last word."""
        rig.clock.offset += after_s
        event = Stepped(job_id=job.id, attempt=1, stage="denoising", step=step, steps=20, seconds_left=4.0)
        before = len(rig.delivery.shown)
        rig.dispatcher._post(event)
        await eventually(lambda: any(showing.job.id == job.id for showing in rig.delivery.shown[before:]))
        return rig.delivery.of(first)[-1].progress

    begun = await stepped(first, 5, 1.0)
    assert not begun.is_overtaken
    overtaken = await stepped(second, 1, 5.0)
    assert overtaken.is_overtaken
    assert overtaken.elapsed_s >= begun.elapsed_s + 5.0
    assert overtaken.step == begun.step
    longer = await stepped(second, 2, 5.0)
    assert longer.elapsed_s >= overtaken.elapsed_s + 5.0
    assert not (await stepped(first, 6, 1.0)).is_overtaken
    os.kill(rig.engine.pid, signal.SIGCONT)

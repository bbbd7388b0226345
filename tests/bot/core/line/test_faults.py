"""Engines that die and a store that is busy: no event, job or credit gets lost, and only the guilty carry a fault."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from bot.core.engines.restarts import Patience
from bot.core.engines.status import Phase
from bot.core.engines.watch import Deadlines
from bot.job import Job, JobState
from bot.store.db import DatabaseError
from engine.contract import FakeSettings
from tests.kit import said
from tests.kit.rig import ADA, SHORT, SLOW, MakeRig, Rig, end_of, eventually

Stranger = Callable[[Rig], AbstractContextManager[sqlite3.Connection]]
FOUR_SLOW = FakeSettings(step_s=0.01, slots=4)


def kill(rig: Rig) -> None:
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGKILL)


async def aboard(rig: Rig, *jobs: Job) -> None:
    """Until these jobs are drawn, and no others."""
    wanted = {job.id for job in jobs}

    def steps() -> bool:
        progress = [rig.dispatcher.progress_of(job).step for job in jobs]
        return {job.id for job in rig.dispatcher.running()} == wanted and all(progress)

    await eventually(steps)


async def running_again(rig: Rig, job: Job, attempt: int) -> Job:
    return await rig.until(job, JobState.RUNNING, also=lambda row: row.attempt == attempt)


# ------------------------------------------------------------------ engines that die


async def test_a_job_that_was_alone_comes_back_once_with_a_fault(rig_of: MakeRig) -> None:
    """An engine killed with one job aboard: the job is back in line with one fault, and is delivered."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine(images=2)
    await aboard(rig, job)
    kill(rig)
    again = await running_again(rig, job, 2)
    assert (again.faults, again.charged, again.message_id) == (1, 2, 1000 + job.id)
    row = await rig.ended(job)
    assert (row.state, row.attempt, row.faults, row.charged) == (JobState.DELIVERED, 2, 1, 2)
    await rig.assert_books()


async def test_the_second_death_is_the_end_and_free(rig_of: MakeRig) -> None:
    """A request that kills its engine twice has failed, is refunded, and the next person is served."""
    rig = await rig_of(fake=FakeSettings(slots=1))
    bad = await rig.imagine("CRASH", images=3)
    good = await rig.imagine(user=2)
    row = await rig.ended(bad)
    assert (row.state, row.faults, row.attempt, row.charged) == (JobState.FAILED, 1, 2, 0)
    assert "died twice" in str(end_of(row))
    assert (await rig.ended(good)).state is JobState.DELIVERED
    await eventually(lambda: len(rig.delivery.ends_of(bad)) == 1)
    assert await rig.used() == 0
    await rig.assert_books()


async def test_of_several_the_innocent_finish(rig_of: MakeRig) -> None:
    """A killer among four: afterwards they run one at a time, the innocent are delivered without a fault."""
    rig = await rig_of(fake=FakeSettings(step_s=0.003, slots=4))
    jobs = [await rig.imagine("CRASH" if user == 3 else "fine", user=user) for user in (1, 2, 3, 4)]
    rows = await rig.all_ended(jobs)
    assert [row.state for row in rows] == [
        JobState.DELIVERED,
        JobState.DELIVERED,
        JobState.FAILED,
        JobState.DELIVERED,
    ]
    assert [row.faults for row in rows if row.user_id != 3] == [0, 0, 0]
    assert [row.charged for row in rows] == [1, 1, 0, 1]
    await rig.assert_books()


async def test_after_a_crash_with_several_they_run_one_at_a_time(rig_of: MakeRig) -> None:
    """Nobody carries a fault for a death in company; until all are cleared no two are aboard, then they are again."""
    rig = await rig_of(fake=FOUR_SLOW)
    jobs = [await rig.imagine(user=user) for user in (1, 2, 3)]
    await aboard(rig, *jobs)
    kill(rig)
    await eventually(lambda: len(rig.dispatcher.line()) == len(jobs))
    together: list[int] = []
    while len(rig.delivery.finished) < len(jobs):
        together.append(len(rig.dispatcher.running()))
        await asyncio.sleep(0)
    assert max(together) == 1
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.faults, row.attempt) for row in rows] == [(JobState.DELIVERED, 0, 2)] * 3
    later = [await rig.imagine(user=user) for user in (1, 2, 3)]
    await aboard(rig, *later)
    await rig.all_ended(later)
    await rig.assert_books()


async def test_jobs_keep_their_place_through_a_crash(rig_of: MakeRig) -> None:
    """Who was being served is served first afterwards, before those who waited and those who came meanwhile."""
    rig = await rig_of(fake=SLOW)
    first, second = await rig.imagine(user=1), await rig.imagine(user=2)
    await aboard(rig, first)
    kill(rig)
    third = await rig.imagine(user=3)
    rows = await rig.all_ended([first, second, third])
    starts = [row.started_at or 0.0 for row in rows]
    assert starts == sorted(starts)


async def test_a_cancelled_job_does_not_come_back(rig_of: MakeRig) -> None:
    """Cancelled, but the engine died before it could say so: the job ends cancelled and is not drawn again."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine(images=5)
    await aboard(rig, job)
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGSTOP)  # it will never hear of the cancel
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    kill(rig)
    row = await rig.ended(job)
    assert (row.state, row.attempt, end_of(row)) == (JobState.CANCELLED, 1, "Cancelled by Ada.")
    assert row.charged < row.cost
    await rig.assert_books()


async def test_a_hung_engine_is_replaced_and_its_job_served(rig_of: MakeRig) -> None:
    """A job that hangs its engine twice fails and is refunded; the others are served."""
    rig = await rig_of(
        fake=FakeSettings(slots=1), timings=replace(SHORT, deadlines=Deadlines(first_job_s=2.0))
    )
    bad = await rig.imagine("HANG")
    good = await rig.imagine(user=2)
    row = await rig.ended(bad)
    assert (row.state, row.charged) == (JobState.FAILED, 0)
    assert (await rig.ended(good)).state is JobState.DELIVERED
    await rig.assert_books()


async def test_people_are_told_why_they_wait(rig_of: MakeRig) -> None:
    """Between two engines the waiting are shown what holds them up and that their place is kept."""
    rig = await rig_of(fake=SLOW, timings=replace(SHORT, patience=Patience(backoff_s=(0.3,))))
    job = await rig.imagine()
    await aboard(rig, job)
    kill(rig)
    await eventually(lambda: rig.engine.status.phase is Phase.RESTARTING and rig.dispatcher.line())
    progress = rig.delivery.of(job)[-1].progress
    assert progress.place == 1
    assert progress.eta_s is None
    assert "your place in line is kept" in said.hint(progress.held_up)
    await rig.ended(job)


async def test_an_engine_that_dies_idle_harms_nobody(rig_of: MakeRig) -> None:
    """Nothing was aboard, so nothing has a fault, and the next request is drawn by the next engine."""
    rig = await rig_of()
    pid = rig.engine.pid
    kill(rig)
    await eventually(lambda: rig.engine.pid != pid and rig.engine.status.is_ready)
    row = await rig.ended(await rig.imagine())
    assert (row.state, row.attempt, row.faults) == (JobState.DELIVERED, 1, 0)


async def test_a_storm_of_kills_loses_and_doubles_nothing(rig_of: MakeRig) -> None:
    """Engines killed again and again at any moment: every job ends once, delivered and paid or failed and free."""
    rig = await rig_of(fake=FakeSettings(step_s=0.004, slots=2))
    jobs = [await rig.imagine(user=user % 3) for user in range(9)]
    for number in range(6):
        await eventually(lambda: rig.engine.status.is_ready)
        await asyncio.sleep(0.03 * number)
        if rig.engine.pid is not None:
            kill(rig)
            await eventually(lambda: not rig.engine.status.is_ready)
    rows = await rig.all_ended(jobs)
    assert {row.state for row in rows} <= {JobState.DELIVERED, JobState.FAILED}
    assert sum(await asyncio.gather(*(rig.used(user) for user in range(3)))) == sum(
        row.state is JobState.DELIVERED for row in rows
    )
    await eventually(lambda: len(rig.delivery.finished) >= len(jobs))
    assert sorted(end.id for end in rig.delivery.finished) == sorted(job.id for job in jobs)
    await rig.assert_books()


# ------------------------------------------------------------------ a store that is busy


async def held(rig: Rig, stranger: Stranger, seconds: float) -> None:
    """A stranger holds the write lock for a while."""
    with stranger(rig) as connection:
        await asyncio.sleep(seconds)
        connection.execute("COMMIT")


async def test_a_job_is_not_lost_when_its_turn_comes_while_the_store_is_busy(
    rig_of: MakeRig, stranger: Stranger
) -> None:
    """A stranger holds the lock in the moment of a job's turn: it keeps its place and runs when the lock is gone."""
    rig = await rig_of(fake=SLOW)
    first, second, third = [await rig.imagine(user=user) for user in (1, 2, 3)]
    await rig.until(first, JobState.RUNNING)
    real, refusals = rig.store.jobs.running, 0

    async def running(job: Job, *, now: float) -> Job | None:
        nonlocal refusals
        if refusals == 2:
            return await real(job, now=now)
        refusals += 1
        with stranger(rig):
            return await real(job, now=now)

    rig.store.jobs.running = running  # type: ignore[method-assign]
    rows = await rig.all_ended([first, second, third])
    assert refusals == 2
    assert [row.state for row in rows] == [JobState.DELIVERED] * 3
    starts = [row.started_at or 0.0 for row in rows]
    assert starts == sorted(starts)
    await rig.assert_books()


async def test_nothing_is_lost_while_a_stranger_comes_and_goes(rig_of: MakeRig, stranger: Stranger) -> None:
    """Events wait in order for the store: with a lock every other moment all jobs are delivered and paid once."""
    rig = await rig_of(fake=FakeSettings(step_s=0.002, slots=2))
    jobs = [await rig.imagine(user=user % 3) for user in range(9)]

    async def meddle() -> None:
        while len(rig.delivery.finished) < len(jobs):
            await held(rig, stranger, 0.15)
            await asyncio.sleep(0.05)

    meddler = asyncio.ensure_future(meddle())
    rows = await rig.all_ended(jobs)
    await meddler
    assert [(row.state, row.charged, row.faults) for row in rows] == [(JobState.DELIVERED, 1, 0)] * 9
    assert sorted(end.id for end in rig.delivery.finished) == sorted(job.id for job in jobs)
    await rig.assert_books()


async def test_a_busy_store_blames_nobody(rig_of: MakeRig, stranger: Stranger) -> None:
    """An engine dies with three aboard while the store is busy in between: it was nobody's fault alone."""
    rig = await rig_of(fake=FOUR_SLOW)
    jobs = [await rig.imagine(user=user) for user in (1, 2, 3)]
    await aboard(rig, *jobs)
    real, calls = rig.store.jobs.requeued, 0

    async def requeued(job: Job, *, faults: int) -> Job | None:
        nonlocal calls
        calls += 1
        if calls == 3:  # two are back in line when the lock comes
            raise DatabaseError("the database is busy")
        return await real(job, faults=faults)

    rig.store.jobs.requeued = requeued  # type: ignore[method-assign]
    kill(rig)
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.faults) for row in rows] == [(JobState.DELIVERED, 0)] * 3
    await rig.assert_books()


async def test_an_answer_survives_a_busy_store(rig_of: MakeRig, stranger: Stranger) -> None:
    """A job whose message is out is put in line as soon as the store lets it, however long that takes."""
    rig = await rig_of()
    job = await rig.accepted()
    with stranger(rig) as connection:
        answering = asyncio.ensure_future(rig.dispatcher.answered(job, 555))
        await asyncio.sleep(0.3)
        assert not answering.done()
        connection.execute("COMMIT")
    await answering
    assert (await rig.ended(job)).state is JobState.DELIVERED


async def test_a_busy_store_refuses_in_time_and_stores_nothing(rig_of: MakeRig, stranger: Stranger) -> None:
    """An admission that can't be written is an error at once, not a job that appears later."""
    rig = await rig_of()
    with stranger(rig):
        begun = time.monotonic()
        with pytest.raises(DatabaseError):
            await rig.admit()
        assert time.monotonic() - begun < 2.8
    assert await rig.store.jobs.live() == []
    assert await rig.used() == 0


async def test_a_delivery_survives_a_busy_store(rig_of: MakeRig, stranger: Stranger) -> None:
    """Images are posted; that they were is written down once the store lets it, without posting again."""
    rig = await rig_of()
    rig.delivery.gate.clear()
    job = await rig.until(await rig.imagine(), JobState.RENDERED)
    with stranger(rig) as connection:
        rig.delivery.gate.set()
        await eventually(lambda: rig.delivery.finished)
        await asyncio.sleep(0.2)
        connection.execute("COMMIT")
    assert (await rig.ended(job)).state is JobState.DELIVERED
    assert len(rig.delivery.finished) == 1


async def test_cancel_in_the_moment_of_ones_turn(rig_of: MakeRig) -> None:
    """Pressed exactly while the row becomes running, a cancel is not answered with "too late"."""
    rig = await rig_of(fake=SLOW)
    real, entered, go = rig.store.jobs.running, asyncio.Event(), asyncio.Event()

    async def running(job: Job, *, now: float) -> Job | None:
        entered.set()
        await go.wait()
        return await real(job, now=now)

    rig.store.jobs.running = running  # type: ignore[method-assign]
    job = await rig.imagine(images=5)
    await entered.wait()
    pressing = asyncio.ensure_future(rig.dispatcher.cancel(job.id, by=ADA))
    await asyncio.sleep(0.05)
    go.set()
    assert await pressing
    row = await rig.ended(job)
    assert row.state is JobState.CANCELLED
    await rig.assert_books()


async def test_a_cancel_in_the_moment_of_a_crash_holds(rig_of: MakeRig) -> None:
    """Promised while the job goes back in line after its engine's death, a cancel is kept."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine(images=2)
    await aboard(rig, job)
    real, entered, go = rig.store.jobs.requeued, asyncio.Event(), asyncio.Event()

    async def requeued(job: Job, *, faults: int) -> Job | None:
        entered.set()
        await go.wait()
        return await real(job, faults=faults)

    rig.store.jobs.requeued = requeued  # type: ignore[method-assign]
    kill(rig)
    await entered.wait()
    pressing = asyncio.ensure_future(rig.dispatcher.cancel(job.id, by=ADA))
    await asyncio.sleep(0.05)
    go.set()
    promised = await pressing
    row = await rig.ended(job)
    assert promised == (row.state is JobState.CANCELLED)
    await rig.assert_books()


async def test_a_store_that_refuses_for_long_is_told_to_the_operator(
    rig_of: MakeRig, stranger: Stranger
) -> None:
    """The event is tried on, in order, but whoever runs the bot hears of it; then it is handled."""
    timings = replace(SHORT, retries=replace(SHORT.retries, refusals_max=3))
    rig = await rig_of(fake=SLOW, timings=timings)
    job = await rig.imagine()
    await aboard(rig, job)
    with stranger(rig) as connection:
        await eventually(lambda: rig.delivery.told)
        connection.execute("COMMIT")
    assert (await rig.ended(job)).state is JobState.DELIVERED
    assert "the database is busy" in rig.delivery.told[0]

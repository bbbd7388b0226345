"""Waiting times: learned from what was done, unknown until then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.line.estimates import JOBS_REMEMBERED, Pace
from bot.job import Job
from bot.store import Store
from tests.kit.books import delivered, queued, request

DONE = st.tuples(st.floats(1, 1e12), st.floats(1e-3, 1e4))


def test_nothing_is_promised_before_anything_was_done() -> None:
    """An estimate is None, not a guess, until the first job was observed."""
    assert Pace().seconds_for(1000.0) is None


def test_time_is_proportional_to_work() -> None:
    """Twice the work takes twice as long."""
    pace = Pace()
    pace.observe(1000.0, 2.0)
    assert pace.seconds_for(1000.0) == pytest.approx(2.0)
    assert pace.seconds_for(3000.0) == pytest.approx(6.0)
    assert pace.seconds_for(0.0) == 0.0


def test_large_jobs_count_for_more() -> None:
    """The pace is all work over all time: many tiny jobs do not outvote a long one."""
    pace = Pace()
    for work, seconds in ((1.0, 10.0), (999.0, 10.0)):
        pace.observe(work, seconds)
    assert pace.seconds_for(1000.0) == pytest.approx(20.0)


@pytest.mark.parametrize(("work", "seconds"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, -1.0)])
def test_what_took_no_time_teaches_nothing(work: float, seconds: float) -> None:
    """A clock set back, or a job that did nothing, leaves the estimate alone."""
    pace = Pace()
    pace.observe(work, seconds)
    assert pace.seconds_for(1000.0) is None


def test_old_speeds_are_forgotten() -> None:
    """After a new graphics card only the last jobs count."""
    pace = Pace()
    for _ in range(JOBS_REMEMBERED):
        pace.observe(1.0, 100.0)
    for _ in range(JOBS_REMEMBERED):
        pace.observe(1.0, 1.0)
    assert pace.seconds_for(1.0) == pytest.approx(1.0)


@given(st.lists(DONE, min_size=1, max_size=JOBS_REMEMBERED))
def test_an_estimate_lies_between_the_fastest_and_the_slowest(done: list[tuple[float, float]]) -> None:
    """Whatever was observed, the pace is within what was observed."""
    pace = Pace()
    for work, seconds in done:
        pace.observe(work, seconds)
    speeds = [seconds / work for work, seconds in done]
    estimate = pace.seconds_for(1.0)
    assert estimate is not None
    assert min(speeds) * 0.999 <= estimate <= max(speeds) * 1.001


async def test_learns_from_the_jobs_of_an_earlier_process(tmp_path: Path) -> None:
    """Finished jobs teach with the seconds in their rows; those that never rendered teach nothing."""
    store = await Store.open(tmp_path / "easel.sqlite3")
    try:
        fresh: Job = await queued(store)
        done = await delivered(store, images=2)
    finally:
        await store.close()
    assert Pace([fresh]).seconds_for(1.0) is None
    pace = Pace([fresh, replace(done, engine_seconds=8.0)])
    assert pace.seconds_for(request(images=1).work) == pytest.approx(4.0)

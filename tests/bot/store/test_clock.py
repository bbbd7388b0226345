"""Daily credits while the wall clock jumps, in every time zone and over the days on which clocks are set."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.asking.policy import window_of
from bot.job import Job, Reason, Refusal
from bot.store import Store
from tests.bot.core.asking.test_policy import MOMENTS, ZONES, changes_of
from tests.kit.books import GUILD, NOON, admission, admitted

DAILY = 3
JUMPS = st.lists(
    st.tuples(st.integers(-200_000, 200_000), st.integers(1, DAILY + 1)), min_size=2, max_size=12
)
"""Seconds by which the clock is off from one moment to the next, backwards too, and requests made then."""


class Person:
    """Asks at moments of a clock that somebody plays with; knows what every local day has given."""

    def __init__(self, store: Store, zone: str) -> None:
        self.store = store
        self.zone = ZoneInfo(zone)
        self.given: Counter[float] = Counter()
        """Credits by the local day, told by its start."""

    async def ask(self, now: float) -> bool:
        window = window_of(now, self.zone)
        answer = await self.store.jobs.admit(admission(credits_per_day=DAILY, window_start=window.start), now)
        assert isinstance(answer, Job) or answer is Refusal.CREDITS
        if isinstance(answer, Job):
            self.given[window.start] += answer.charged
        return isinstance(answer, Job)

    async def used(self, now: float) -> int:
        start = window_of(now, self.zone).start
        return (await self.store.jobs.usage(guild_id=GUILD, user_id=1, window_start=start)).used


async def _walk(folder: Path, zone: str, begin: float, jumps: list[tuple[int, int]]) -> None:
    store = await Store.open(folder / "easel.sqlite3")
    try:
        person, now, latest = Person(store, zone), begin, begin
        for away, requests in jumps:
            used_before = await person.used(now)
            if away < 0:
                assert await person.used(now + away) >= used_before, "a clock set back gave credits back"
            now += away
            for _ in range(requests):
                await person.ask(now)
            latest = max(latest, now)
        assert max(person.given.values()) <= DAILY
        # a day that nobody has seen yet is a whole one, neither longer nor shorter for what was before it
        fresh = window_of(latest, person.zone).end
        assert [await person.ask(fresh) for _ in range(DAILY + 1)] == [True] * DAILY + [False]
    finally:
        await store.close()


@settings(max_examples=60)
@given(st.data(), st.sampled_from(ZONES), MOMENTS, JUMPS)
def test_no_day_gives_more_than_its_credits_however_the_clock_jumps(
    data: st.DataObject, zone: str, moment: int, jumps: list[tuple[int, int]]
) -> None:
    """Whatever the clock does, no local day gives more than a day's credits, and none come back by setting it back."""
    changes = changes_of(zone)
    begin = data.draw(st.sampled_from(changes)) if changes else moment
    folder = Path(tempfile.mkdtemp(prefix="easel-clock-"))
    try:
        asyncio.run(_walk(folder, zone, begin, jumps))
    finally:
        shutil.rmtree(folder)


async def test_a_clock_set_back_over_midnight_gives_nothing_twice(store: Store) -> None:
    """All credits spent just after midnight: an hour back, before it, nothing is left, and nothing is at midnight again."""
    person = Person(store, "Europe/Berlin")
    midnight = window_of(NOON, person.zone).end
    assert [await person.ask(midnight + 60) for _ in range(DAILY)] == [True] * DAILY
    assert not await person.ask(midnight - 3540)
    assert not await person.ask(midnight)
    assert await person.ask(midnight + 86_400)


async def test_what_a_job_costs_stays_on_the_day_it_was_asked_for(store: Store) -> None:
    """A job of yesterday that fails today gives its credits back to yesterday: today's neither grow nor shrink."""
    person = Person(store, "America/New_York")
    today = window_of(NOON, person.zone).start
    job = await admitted(store, now=today - 60)
    assert await person.ask(today + 60)
    assert await store.jobs.cancelled(job, reason=Reason.told("No."), charged=0, now=today + 120)
    assert (await person.used(today + 180), await person.used(today - 1)) == (1, 1)
    assert [await person.ask(today + 180) for _ in range(DAILY)] == [True] * (DAILY - 1) + [False]

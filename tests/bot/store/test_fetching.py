"""Pictures that nobody would take were refunded: whoever fetches one pays for it, once, from the day it was asked for."""

from __future__ import annotations

import asyncio

from bot.core.asking.price import price_of
from bot.job import Job, JobState, Reason
from bot.store import Store
from tests.kit.books import GUILD, NOON, admitted, delivered, rendered, running, sure

DAY = (NOON - 100.0, NOON + 100.0)


async def refunded(store: Store, **values: int) -> Job:
    job = await rendered(store, **values)
    return sure(await store.jobs.failed(job, reason=Reason.told("The channel is gone."), now=NOON))


async def fetch(store: Store, job: Job, *, allowed: int = 10, day: tuple[float, float] = DAY) -> Job | None:
    price = price_of(job.cost, job.images)
    return await store.jobs.fetched(job, charged=price, window=day, most=allowed)


async def used(store: Store) -> int:
    return (await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=0)).used


async def test_fetching_charges_once_however_often_it_is_pressed(store: Store) -> None:
    """Of ten presses at once one pays, and the books stay in order."""
    job = await refunded(store, images=4)
    paid = await asyncio.gather(*(fetch(store, job) for _ in range(10)))
    assert sum(each is not None for each in paid) == 1
    row = sure(await store.jobs.get(job.id))
    assert (row.state, row.charged, row.reason) == (
        JobState.DELIVERED,
        4,
        Reason.told("The channel is gone."),
    )
    assert await used(store) == 4
    assert await store.history.audit() == []


async def test_withheld_images_are_free_when_fetched(store: Store) -> None:
    """What the safety checker keeps back costs nothing here either."""
    job = await refunded(store, images=4, shown=3)
    assert sure(await fetch(store, job)).charged == 3
    assert await store.history.audit() == []


async def test_the_days_credits_hold_for_what_is_fetched(store: Store) -> None:
    """Refunded credits that were used otherwise can't be used again, by ten presses at once either."""
    jobs = [await refunded(store) for _ in range(10)]
    paid = await asyncio.gather(*(fetch(store, job, allowed=3) for job in jobs))
    assert sum(each is not None for each in paid) == 3
    assert await used(store) == 3


async def test_another_days_use_does_not_count(store: Store) -> None:
    """It is paid for by the day on which it was asked for, as if it had been delivered then."""
    await delivered(store, images=5, now=NOON + 1000)
    job = await refunded(store)
    assert await fetch(store, job, allowed=1)


async def test_only_what_was_drawn_and_refunded_is_paid_for(store: Store) -> None:
    """A delivered, deleted or live job is not charged again."""
    gone = await refunded(store)
    await store.jobs.mark_deleted(gone.id, now=NOON, by_user_id=1)
    for job in (await delivered(store), await running(store), await admitted(store), gone):
        before = await store.jobs.get(job.id)
        assert await fetch(store, job) is None
        assert await store.jobs.get(job.id) == before

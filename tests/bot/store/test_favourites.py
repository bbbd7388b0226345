"""Stars are kept once per person and image, and a gallery gets one copy of a picture, whatever happens in between."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from bot.job import Claim, Copy
from bot.store import Store
from bot.store.stars import CLAIM_S
from tests.kit.books import GUILD, NOON, delivered

HALL = 70


async def claimed(store: Store, job_id: int, *, image: int | None = None, now: float = NOON) -> Claim | None:
    return await store.favourites.claim(job_id, image, channel_id=HALL, user_id=9, now=now)


async def test_a_star_comes_and_goes_for_each_person_and_image(store: Store) -> None:
    """Several people may star the same picture, and one person several images of it; a second press takes one's own away."""
    job, stars = await delivered(store, images=4), store.favourites
    presses = [(1, None), (2, None), (1, 3), (1, None), (1, 3), (1, 3)]
    told = [await stars.toggle(job.id, image, user_id=user, now=NOON) for user, image in presses]
    assert told == [True, True, True, False, False, True]
    rows = await store.database.read("SELECT user_id, image FROM favourite ORDER BY user_id", {})
    assert [tuple(row) for row in rows] == [(1, 3), (2, -1)]
    assert await store.history.audit() == []
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await stars.toggle(12345, None, user_id=1, now=NOON)


async def test_a_picture_is_claimed_once(store: Store) -> None:
    """Of ten who star it in one moment one posts the copy; once it stands there nobody ever does again."""
    job = await delivered(store)
    first, *others = sorted(
        await asyncio.gather(*(claimed(store, job.id) for _ in range(10))), key=lambda claim: claim is None
    )
    assert others == [None] * 9
    assert first is not None
    assert first.tries == 1
    assert await store.favourites.posted(first, channel_id=HALL, message_id=5, now=NOON)
    assert await claimed(store, job.id, now=NOON + 10 * CLAIM_S) is None
    assert await claimed(store, job.id, image=0) is not None


async def test_a_claim_of_a_bot_that_was_killed_is_taken_up(store: Store) -> None:
    """While it may still be on its way nobody posts; later the next star does, and knows that it has to look first."""
    job = await delivered(store)
    assert await claimed(store, job.id) is not None
    assert await claimed(store, job.id, now=NOON + CLAIM_S - 1) is None
    again = await claimed(store, job.id, now=NOON + CLAIM_S + 1)
    assert again is not None
    assert again.tries == 2
    await store.favourites.released(again)
    anew = await claimed(store, job.id, now=NOON + CLAIM_S + 2)
    assert anew is not None
    assert anew.tries == 1


async def test_a_deleted_picture_gets_no_copy_and_loses_the_one_it_has(store: Store) -> None:
    """Deleted before the claim there is none; deleted while it was posted, the copy has to go: what is left of it is owed."""
    job, stars = await delivered(store, images=3), store.favourites
    first, late, lost = [await claimed(store, job.id, image=image) for image in range(3)]
    assert first is not None
    assert late is not None
    assert lost is not None
    assert await stars.posted(first, channel_id=HALL, message_id=5, now=NOON)
    assert await stars.has_copies(job.id)
    await store.jobs.mark_deleted(job.id, now=NOON, by_user_id=1)
    assert not await stars.posted(late, channel_id=HALL, message_id=6, now=NOON)
    assert await claimed(store, job.id) is None
    assert await stars.owed() == []  # as long as the job itself is
    await store.jobs.mark_removed(job.id, now=NOON)
    assert await stars.owed() == [job.id]
    assert await stars.unsettled(job.id) == [lost]
    usual = {"channel_id": HALL, "guild_id": GUILD, "job_id": job.id, "user_id": 9}
    assert await store.copies.of(job.id) == [Copy(message_id=number, **usual) for number in (5, 6)]
    for number in (5, 6):
        await store.copies.forget(number)
    await stars.released(lost)
    assert await stars.owed() == []
    assert not await stars.has_copies(job.id)

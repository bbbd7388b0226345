"""Stars are kept once per person and image, and a gallery gets one copy of a picture, whatever happens in between."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from bot.store import Store
from bot.store.favourites import CLAIM_S, Claim
from tests.kit.books import NOON, delivered

HALL = 70


async def claimed(store: Store, job_id: int, *, image: int | None = None, now: float = NOON) -> Claim | None:
    return await store.favourites.claim(job_id, image, channel_id=HALL, now=now)


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
    assert not first.was_tried
    assert await store.favourites.posted(first.copy, channel_id=HALL, message_id=5)
    assert await claimed(store, job.id, now=NOON + 10 * CLAIM_S) is None
    assert await claimed(store, job.id, image=0) is not None


async def test_a_claim_of_a_bot_that_was_killed_is_taken_up(store: Store) -> None:
    """While it may still be on its way nobody posts; later the next star does, and knows that it has to look first."""
    job = await delivered(store)
    assert await claimed(store, job.id) is not None
    assert await claimed(store, job.id, now=NOON + CLAIM_S - 1) is None
    again = await claimed(store, job.id, now=NOON + CLAIM_S + 1)
    assert again is not None
    assert again.was_tried
    await store.favourites.released(again.copy)
    anew = await claimed(store, job.id, now=NOON + CLAIM_S + 2)
    assert anew is not None
    assert not anew.was_tried


async def test_a_deleted_picture_gets_no_copy_and_loses_the_one_it_has(store: Store) -> None:
    """Deleted before the claim there is none; deleted while it was posted, or later, the copy is owed its removal until it is gone."""
    job, stars = await delivered(store, images=2), store.favourites
    claim, late = await claimed(store, job.id, image=0), await claimed(store, job.id, image=1)
    assert claim is not None
    assert late is not None
    assert await stars.posted(claim.copy, channel_id=HALL, message_id=5)
    assert await stars.owed() == []
    await store.jobs.mark_deleted(job.id, now=NOON)
    assert not await stars.posted(late.copy, channel_id=HALL, message_id=6)
    assert await claimed(store, job.id) is None
    assert await stars.owed() == [job.id]
    copies = await stars.copies(job.id)
    assert [(copy.image, copy.channel_id, copy.message_id) for copy in copies] == [(0, HALL, 5), (1, HALL, 6)]
    for copy in copies:
        await stars.taken_down(copy, now=NOON)
    assert await stars.owed() == []
    assert await stars.copies(job.id) == []

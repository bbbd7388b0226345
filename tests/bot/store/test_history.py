"""Pages of a person's images, speeds for estimates, and an audit that notices when the books are wrong."""

from __future__ import annotations

import pytest

from bot.job import Reason
from bot.store import Store
from tests.kit.books import GUILD, NOON, delivered, queued, rendered, running, sure

HOUR = 3600.0


async def page(store: Store, *, user: int = 1, offset: int = 0, count: int = 3) -> tuple[list[int], int]:
    jobs, total = await store.history.page(guild_id=GUILD, user_id=user, offset=offset, count=count)
    return [job.id for job in jobs], total


async def test_pages_are_newest_first_and_complete(store: Store) -> None:
    """Turning the pages shows every delivered job once, the newest first; the total is the same on each."""
    made = [(await delivered(store, now=NOON + index * HOUR)).id for index in range(7)]
    pages = [await page(store, offset=offset) for offset in (0, 3, 6, 9)]
    assert [job_id for ids, _ in pages for job_id in ids] == made[::-1]
    assert [len(ids) for ids, _ in pages] == [3, 3, 1, 0]
    assert {total for _, total in pages} == {7}


async def test_jobs_of_the_same_moment_have_a_fixed_order(store: Store) -> None:
    """Jobs asked for in one instant are shown once each however the pages are cut."""
    made = {(await delivered(store)).id for _ in range(8)}
    seen = [job_id for offset in range(0, 8, 2) for job_id in (await page(store, offset=offset, count=2))[0]]
    assert seen == sorted(made, reverse=True)


async def test_only_finished_pictures_of_that_person_and_guild(store: Store) -> None:
    """Waiting, failed, somebody else's and another guild's jobs are not in the history."""
    mine = await delivered(store)
    await delivered(store, user=2)
    await delivered(store, guild=GUILD + 1)
    await queued(store)
    await rendered(store)
    sure(await store.jobs.failed(await running(store), reason=Reason.told("no"), now=NOON))
    assert await page(store) == ([mine.id], 1)


async def test_pictures_that_could_not_be_posted_are_kept(store: Store) -> None:
    """A job that failed with its images finished is in the history; one whose images are all withheld is not."""
    kept, withheld = await rendered(store), await rendered(store, shown=0)
    for job in (kept, withheld):
        sure(await store.jobs.failed(job, reason=Reason.told("The channel is gone."), now=NOON))
    assert await page(store) == ([kept.id], 1)


async def test_deleted_pictures_are_left_out(store: Store) -> None:
    """A deleted job is neither shown nor counted, and leaves no hole in a page."""
    made = [(await delivered(store, now=NOON + index)).id for index in range(4)]
    await store.jobs.mark_deleted(made[2], now=NOON + 10, by_user_id=1)
    assert await page(store) == ([made[3], made[1], made[0]], 3)


async def test_an_empty_history(store: Store) -> None:
    """Somebody who never made an image has an empty page and a total of nothing."""
    assert await page(store, user=12345) == ([], 0)


async def test_recent_jobs_are_the_newest_oldest_first(store: Store) -> None:
    """Estimates learn from the last delivered jobs of everybody, in the order in which they were made."""
    made = [(await delivered(store, user=index, now=NOON + index)).id for index in range(1, 6)]
    await running(store, user=9)
    assert [job.id for job in await store.history.recent(count=3)] == made[2:]
    assert [job.id for job in await store.history.recent(count=50)] == made


async def test_recent_of_an_empty_store(store: Store) -> None:
    """A new installation has nothing to learn from."""
    assert await store.history.recent(count=50) == []


# ------------------------------------------------------------------ the audit


async def test_an_honest_day_passes_the_audit(store: Store) -> None:
    """Jobs in every state, settled by the store's own statements, give no complaint."""
    await queued(store)
    await running(store)
    await rendered(store, images=3, shown=2)
    await delivered(store, images=3, shown=0)
    sure(await store.jobs.failed(await running(store), reason=Reason.told("no"), now=NOON))
    sure(
        await store.jobs.cancelled(
            await running(store, images=4), reason=Reason.told("no"), charged=2, now=NOON
        )
    )
    assert await store.history.audit() == []


WRONG = [
    ("state = 'cancelled', finished_at = 1.0", "was cancelled before it ran but costs credits"),
    ("charged = 1", "is alive but holds less than its cost"),
    (
        "state = 'rendered', attempt = 1, started_at = 1.0, images = '[{\"path\": \"a\"}]'",
        "shows another number of images than was asked for",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
async def test_the_audit_names_the_wrong_row(store: Store, change: str, sentence: str) -> None:
    """A row that no constraint forbids but that contradicts the books is named in a sentence, alone."""
    await queued(store, images=2)
    wrong = await queued(store, images=2)
    await store.database.write(f"UPDATE job SET {change} WHERE id = :id", {"id": wrong.id})
    assert await store.history.audit() == [f"Job {wrong.id} {sentence}."]


async def test_the_audit_notices_flagged_images_that_were_charged(store: Store) -> None:
    """A delivered job whose images were withheld must not cost as much as if they had been shown."""
    job = await delivered(store, images=4, shown=1)
    await store.database.write("UPDATE job SET charged = 2 WHERE id = :id", {"id": job.id})
    assert await store.history.audit() == [f"Job {job.id} costs more than the images it delivered."]

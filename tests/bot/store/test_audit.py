"""The audit: a line stands if, and only if, what it tells of was done."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

import pytest

from bot.job import Job, Reason, Style
from bot.limits import LimitEntry, Subject
from bot.store import Store
from bot.store.audit import Deed
from bot.store.preferences import GALLERY, Scope
from bot.store.rule_words import WordKind
from tests.kit import books
from tests.kit.books import ADMIN, GUILD, NOON, entry

Change = Callable[[Store, Job], Awaitable[object]]


CHANGES: dict[str, Change] = {
    "limits": lambda store, _: store.settings.set_limits(
        GUILD, LimitEntry.of(Subject.EVERYONE, 0, {"pending": 2}), by_user_id=ADMIN, now=NOON
    ),
    "time zone": lambda store, _: store.settings.set_time_zone(GUILD, "Europe/Rome", entry(Deed.TIME_ZONE)),
    "words": lambda store, _: store.rule_words.add(
        GUILD, WordKind.FORBIDDEN, ["ink"], by_user_id=ADMIN, now=NOON, most=9
    ),
    "words that go": lambda store, _: store.rule_words.remove(
        GUILD, WordKind.ALLOWED, None, by_user_id=ADMIN, now=NOON
    ),
    "preferences": lambda store, _: store.taste.put(
        Scope.SERVER, GUILD, {GALLERY: "5"}, entry(Deed.PREFERENCES)
    ),
    "a reset": lambda store, _: store.taste.reset(Scope.SERVER, GUILD, ["sharing"], entry(Deed.PREFERENCES)),
    "a style": lambda store, _: store.taste.add_style(
        GUILD, Style(name="Fog", prompt="in fog"), by_user_id=ADMIN, now=NOON, most=9
    ),
    "a style that goes": lambda store, _: store.taste.remove_style(GUILD, "old", by_user_id=ADMIN, now=NOON),
    "a cancellation": lambda store, job: store.jobs.cancelled(
        job, reason=Reason.told("No."), charged=0, now=NOON, by_user_id=ADMIN
    ),
    "a deletion": lambda store, job: store.jobs.mark_deleted(job.id, now=NOON, by_user_id=ADMIN),
}
TABLES = ("job", "limits", "guild", "rule_word", "preference", "style", "audit")


async def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: [tuple(row) for row in await store.database.read(f"SELECT * FROM {name}", {})]
        for name in TABLES
    }


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_no_change_without_its_line_and_no_line_without_its_change(
    store: Store, change: Change
) -> None:
    """A line that can't be written undoes the change; one that is made twice is told once, where nothing changes."""
    job = await books.queued(store)
    await store.rule_words.add(GUILD, WordKind.ALLOWED, ["old"], by_user_id=1, now=NOON, most=9)
    await store.taste.add_style(GUILD, Style(name="Old", prompt="x"), by_user_id=1, now=NOON, most=9)
    await store.taste.put(Scope.SERVER, GUILD, {"sharing": "on"})
    before = await content(store)
    await store.database.write(
        "CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END", {}
    )
    with pytest.raises(sqlite3.IntegrityError, match="no room"):
        await change(store, job)
    assert await content(store) == before
    await store.database.write("DROP TRIGGER broken", {})
    await change(store, job)
    (line,), total = await store.audit.page(GUILD, offset=0, count=1)
    assert (line.by_user_id, line.at, total) == (ADMIN, NOON, len(before["audit"]) + 1)
    assert await content(store) != before


async def test_a_deletion_that_can_not_be_is_no_deed(store: Store) -> None:
    """Its message can't be taken away: neither was it deleted, nor does the log say so; that of another stays."""
    job, other = await books.delivered(store), await books.delivered(store)
    await store.jobs.mark_deleted(job.id, now=NOON, by_user_id=ADMIN)
    await store.jobs.mark_deleted(other.id, now=NOON, by_user_id=ADMIN)
    await store.jobs.unmark_deleted(job.id)
    entries, _ = await store.audit.page(GUILD, offset=0, count=9)
    assert [each.job_id for each in entries] == [other.id]


async def test_pages_are_a_servers_own(store: Store) -> None:
    """The newest first, of one deed or of all."""
    for number in range(3):
        await store.settings.set_time_zone(GUILD, f"Zone/{number}", entry(Deed.TIME_ZONE))
    await store.taste.put(Scope.SERVER, GUILD, {GALLERY: "5"}, entry(Deed.PREFERENCES))
    page, total = await store.audit.page(GUILD, offset=1, count=2)
    assert ([each.deed for each in page], total) == (["time_zone", "time_zone"], 4)
    page, total = await store.audit.page(GUILD, offset=0, count=9, deed=Deed.PREFERENCES)
    assert ([each.deed for each in page], total) == (["preferences"], 1)
    assert await store.audit.page(GUILD + 1, offset=0, count=9) == ([], 0)

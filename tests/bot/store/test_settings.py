"""What admins set and the bot remembers: limits and their log, time zones, notes."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from bot.limits import LimitEntry, Subject
from bot.store import Store
from bot.store.audit import Deed
from bot.store.server_settings import Days, LimitChange
from tests.kit.books import GUILD, NOON, entry

ADMIN = 99


async def set_limits(
    store: Store, subject: Subject, subject_id: int, *, guild: int = GUILD, **values: int | None
):
    entry = LimitEntry.of(subject, subject_id, values)
    return await store.settings.set_limits(guild, entry, by_user_id=ADMIN, now=NOON)


async def test_nothing_is_set_at_first(store: Store) -> None:
    """A fresh guild has no entries, no log and no time zone of its own."""
    assert await store.settings.limits(GUILD) == []
    assert await store.settings.limits_log(GUILD, count=10) == []
    assert await store.settings.days(GUILD) == Days(time_zone=None, night=None)


async def test_entries_are_kept_per_subject(store: Store) -> None:
    """Everyone, a role and a member with the same id are three entries, each with its own fields."""
    await set_limits(store, Subject.EVERYONE, 0, credits_per_day=10)
    await set_limits(store, Subject.ROLE, 5, credits_per_day=20, pending=4)
    await set_limits(store, Subject.MEMBER, 5, max_steps=15)
    entries = await store.settings.limits(GUILD)
    assert {(entry.subject, entry.subject_id): dict(entry.values) for entry in entries} == {
        (Subject.EVERYONE, 0): {"credits_per_day": 10},
        (Subject.ROLE, 5): {"credits_per_day": 20, "pending": 4},
        (Subject.MEMBER, 5): {"max_steps": 15},
    }


async def test_setting_one_field_leaves_the_others(store: Store) -> None:
    """A later command changes what it names and nothing else."""
    await set_limits(store, Subject.ROLE, 5, credits_per_day=20, pending=4)
    await set_limits(store, Subject.ROLE, 5, pending=None, max_images=2, credits_per_day=30)
    (entry,) = await store.settings.limits(GUILD)
    assert dict(entry.values) == {"credits_per_day": 30, "pending": 4, "max_images": 2}


async def test_guilds_are_apart(store: Store) -> None:
    """What one guild's admin sets, logs or resets is not seen in another guild."""
    await set_limits(store, Subject.EVERYONE, 0, pending=1)
    assert await store.settings.limits(GUILD + 1) == []
    assert await store.settings.limits_log(GUILD + 1, count=10) == []
    await store.settings.reset_limits(GUILD + 1, Subject.EVERYONE, 0, by_user_id=ADMIN, now=NOON)
    assert len(await store.settings.limits(GUILD)) == 1


async def test_changes_are_told_and_logged_with_old_and_new(store: Store) -> None:
    """Every real change is told to the caller and logged: who, when, whose, from what to what; newest first."""
    (first,) = await set_limits(store, Subject.ROLE, 5, pending=2)
    entry = LimitEntry.of(Subject.ROLE, 5, {"pending": 3})
    (second,) = await store.settings.set_limits(GUILD, entry, by_user_id=ADMIN + 1, now=NOON + 5)
    expected = LimitChange(
        at=NOON + 5,
        by_user_id=ADMIN + 1,
        subject=Subject.ROLE,
        subject_id=5,
        field="pending",
        old_value=2,
        new_value=3,
    )
    assert second == expected
    assert (first.old_value, first.new_value, first.by_user_id) == (None, 2, ADMIN)
    assert await store.settings.limits_log(GUILD, count=10) == [second, first]
    assert await store.settings.limits_log(GUILD, count=1) == [second]


async def test_setting_what_is_set_changes_nothing(store: Store) -> None:
    """The same value again is no change and leaves no line in the log."""
    await set_limits(store, Subject.EVERYONE, 0, pending=2)
    assert await set_limits(store, Subject.EVERYONE, 0, pending=2) == []
    assert len(await store.settings.limits_log(GUILD, count=10)) == 1


async def test_reset_removes_the_subject_alone(store: Store) -> None:
    """A reset takes every field of one subject away and logs each; other subjects stay."""
    await set_limits(store, Subject.ROLE, 5, pending=2, max_steps=20)
    await set_limits(store, Subject.ROLE, 6, pending=3)
    await set_limits(store, Subject.MEMBER, 5, pending=4)
    changes = await store.settings.reset_limits(GUILD, Subject.ROLE, 5, by_user_id=ADMIN, now=NOON + 1)
    assert {(c.field, c.old_value, c.new_value) for c in changes} == {
        ("pending", 2, None),
        ("max_steps", 20, None),
    }
    left = {(entry.subject, entry.subject_id) for entry in await store.settings.limits(GUILD)}
    assert left == {(Subject.ROLE, 6), (Subject.MEMBER, 5)}
    assert (await store.settings.limits_log(GUILD, count=2))[0].at == NOON + 1


async def test_reset_of_nothing_is_no_change(store: Store) -> None:
    """Resetting somebody who has no entry tells and logs nothing."""
    assert await store.settings.reset_limits(GUILD, Subject.MEMBER, 5, by_user_id=ADMIN, now=NOON) == []
    assert await store.settings.limits_log(GUILD, count=10) == []


async def test_a_bad_value_spoils_the_whole_command(store: Store) -> None:
    """A change of several fields happens completely or not at all, its log included."""
    entry = LimitEntry(subject=Subject.EVERYONE, values={"pending": 2, "max_steps": -1})
    with pytest.raises(sqlite3.IntegrityError, match="limits_value_is_positive"):
        await store.settings.set_limits(GUILD, entry, by_user_id=ADMIN, now=NOON)
    assert await store.settings.limits(GUILD) == []
    assert await store.settings.limits_log(GUILD, count=10) == []


async def test_zero_is_a_value(store: Store) -> None:
    """A limit of 0 is kept as 0 and not taken for "not set"."""
    await set_limits(store, Subject.MEMBER, 5, credits_per_day=0)
    (entry,) = await store.settings.limits(GUILD)
    assert dict(entry.values) == {"credits_per_day": 0}


async def test_time_zone_of_a_guild(store: Store) -> None:
    """A guild's time zone can be set and set again, for itself alone."""
    await store.settings.set_time_zone(GUILD, "Europe/Berlin", entry(Deed.TIME_ZONE))
    await store.settings.set_time_zone(GUILD, "Asia/Tokyo", entry(Deed.TIME_ZONE))
    assert (await store.settings.days(GUILD)).time_zone == "Asia/Tokyo"
    assert (await store.settings.days(GUILD + 1)).time_zone is None


async def test_notes_survive_the_process(file, store: Store) -> None:
    """A note is read back by the next process on the same file; a later one replaces it."""
    assert await store.settings.note("commands") is None
    await store.settings.set_note("commands", "old")
    await store.settings.set_note("commands", "ünïcode\n'quoted'")
    second = await Store.open(file)
    try:
        assert await second.settings.note("commands") == "ünïcode\n'quoted'"
    finally:
        await second.close()


async def test_what_is_done_once_is_noted_once(store: Store) -> None:
    """Of several at once one is first; again after a while only where that was said."""
    asked = [store.settings.first_time("hinted 7", now=100.0) for _ in range(5)]
    assert sorted(await asyncio.gather(*asked)) == [False] * 4 + [True]
    assert not await store.settings.first_time("hinted 7", now=1e12)
    assert await store.settings.first_time("greeted 7", now=100.0, again_after_s=50.0)
    assert not await store.settings.first_time("greeted 7", now=149.0, again_after_s=50.0)
    assert await store.settings.first_time("greeted 7", now=150.0, again_after_s=50.0)

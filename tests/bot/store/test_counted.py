"""What was drawn of late, counted from the rows: whose, when in which time zone, by which model, after how long."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.job import Reason
from bot.store import Store, counted
from bot.store.counted import Counted
from tests.kit.books import GUILD, NOON, admission, delivered, queued, rendered, running, sure

DAY, HOUR = 86_400.0, 3600.0
UTC, KATHMANDU = ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu")


async def of_server(store: Store, *, now: float = NOON, days: int = 30) -> Counted:
    return await store.counts.of_server(guild_id=GUILD, now=now, days=days)


async def of_person(store: Store, *, user: int = 1, now: float = NOON, days: int = 30) -> Counted:
    return await store.counts.of_person(guild_id=GUILD, user_id=user, now=now, days=days)


@pytest.mark.parametrize("at_once", [1, 3, 4000])
async def test_only_what_was_shown_here_of_late_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Whoever looks for a server or a person, in pieces however small; waiting, failed and older jobs are left out."""
    monkeypatch.setattr(counted, "ROWS_AT_ONCE", at_once)
    await delivered(store, now=NOON - 31 * DAY, images=9)
    await delivered(store, now=NOON - 29 * DAY, images=3)
    await delivered(store, now=NOON - DAY, user=2, images=4)
    await delivered(store, now=NOON - DAY, guild=GUILD + 1, images=9)
    failed = await rendered(store, now=NOON - HOUR)
    sure(await store.jobs.failed(failed, reason=Reason.told("no"), now=NOON))
    await running(store, now=NOON - HOUR)
    gone = await delivered(store, now=NOON - HOUR, images=2)
    await store.jobs.mark_deleted(gone.id, now=NOON, by_user_id=1)
    await queued(store, now=NOON)

    assert (await of_server(store)).pictures == 3 + 4 + 2
    assert (await of_person(store)).pictures == 3 + 2
    assert (await of_person(store, user=2)).pictures == 4
    assert (await of_person(store, user=3)) == Counted()
    assert (await of_server(store, now=NOON + 60 * DAY)) == Counted()


async def test_nothing_is_counted_of_an_empty_database(store: Store) -> None:
    """Neither found nor missed."""
    assert await of_server(store) == await of_person(store) == Counted()


async def test_by_model_and_by_wait(store: Store) -> None:
    """Pictures count by model, requests by how long they took from the request to the picture."""
    new = admission(images=3)
    other = dataclasses.replace(new, request=dataclasses.replace(new.request, model="other"))
    job = sure(await store.jobs.admit(other, NOON))  # type: ignore[arg-type]
    job = sure(await store.jobs.queued(job, message_id=1, now=NOON + 1))
    job = sure(await store.jobs.running(job, now=NOON + 5))
    images = [{"seed": n, "path": "x"} for n in range(3)]
    await store.database.write(
        "UPDATE job SET state = 'delivered', finished_at = :end, images = :images WHERE id = :id",
        {"end": NOON + 12.34, "images": json.dumps(images), "id": job.id},
    )
    for _ in range(3):
        await delivered(store, now=NOON)

    found = await of_server(store, now=NOON + HOUR)

    assert found.models == {"other": 3, "fake": 3}
    assert found.waits == {0: 3, 120: 1}
    assert (found.wait_s(0.5), found.wait_s(0.95)) == (0.0, 12.0)


async def test_days_and_hours_are_those_of_a_time_zone(store: Store) -> None:
    """A quarter of an hour before midnight UTC is the next morning in Kathmandu; of the days all are there, in order."""
    before_midnight = NOON - NOON % DAY + DAY - 600
    await delivered(store, now=before_midnight, images=2)
    found = await of_server(store, now=before_midnight + 60)

    assert {hour for hour, count in found.by_hour(UTC).items() if count} == {23}
    assert {hour for hour, count in found.by_hour(KATHMANDU).items() if count} == {5}
    days = found.by_day(UTC, now=before_midnight + 60, days=30)
    assert (len(days), [*days] == sorted(days), days[date(2023, 11, 14)]) == (30, True, 2)
    assert found.by_day(KATHMANDU, now=before_midnight + 60, days=30)[date(2023, 11, 15)] == 2


@given(st.lists(st.integers(0, 500), min_size=1, max_size=60), st.sampled_from([0.05, 0.5, 0.95, 1.0]))
def test_a_share_waited_no_longer(waits: list[int], share: float) -> None:
    """At least that share was there by then, and less a moment before."""
    found = Counted()
    found.waits.update(waits)
    tenths = round(10 * found.wait_s(share))

    assert sum(wait <= tenths for wait in waits) >= share * len(waits) - 1e-9
    assert sum(wait < tenths for wait in waits) < share * len(waits)

"""Plans: kept until their person says so, drawn completely or not at all, forgotten in the end. Real SQLite."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from bot.job import Job, JobState, NewJob, Plan, Planned, Refusal
from bot.store import Store
from tests.kit.books import GUILD, NOON, admission, queued

HOUR_S = 3600.0


async def planned(store: Store, parts: int = 3, **values: Any) -> tuple[int, list[NewJob]]:
    """A plan and the jobs that would come of it."""
    first = admission(**values)
    news = [replace(first, origin=replace(first.origin, part=part, parts=parts)) for part in range(parts)]
    requests = tuple(Planned(wish={"prompt": "a cat"}, request=new.request) for new in news)
    plan = Plan(guild_id=GUILD, user_id=1, channel_id=2, token="secret", requests=requests)
    return await store.plans.put(plan, expires_at=NOON + HOUR_S), news


async def test_a_plan_keeps_what_was_resolved(store: Store) -> None:
    """All of it, for an hour; who drops it is told whether it was there."""
    number, news = await planned(store)
    plan = await store.plans.get(number, now=NOON)
    assert plan is not None
    assert [each.request for each in plan.requests] == [new.request for new in news]
    assert plan.requests[0].wish == {"prompt": "a cat"}
    assert await store.plans.get(number, now=NOON + HOUR_S) is None
    await store.plans.forget(now=NOON + HOUR_S - 1)
    assert await store.plans.drop(number)
    assert not await store.plans.drop(number)
    number, _ = await planned(store)
    await store.plans.forget(now=NOON + HOUR_S)
    assert not await store.plans.drop(number)


async def test_ten_presses_draw_it_once(store: Store) -> None:
    """Ten interactions at the same moment: one has all the jobs, and nine hear that it is gone."""
    number, news = await planned(store)
    crowd = [
        [replace(new, origin=replace(new.origin, interaction_id=100 + press)) for new in news]
        for press in range(10)
    ]
    answers = await asyncio.gather(*(store.jobs.admit_all(each, plan_id=number, now=NOON) for each in crowd))
    (jobs,) = [answer for answer in answers if isinstance(answer, list)]
    assert [answer for answer in answers if not isinstance(answer, list)] == [Refusal.PLAN] * 9
    assert [(job.part, job.parts, job.state) for job in jobs] == [(n, 3, JobState.ACCEPTED) for n in range(3)]
    assert len({job.created_at for job in jobs}) == 1
    assert await store.jobs.gathered(jobs[1]) == jobs
    again = await store.jobs.admit_all(
        [replace(new, origin=replace(new.origin, interaction_id=jobs[0].interaction_id)) for new in news],
        plan_id=number,
        now=NOON,
    )
    assert again is Refusal.DUPLICATE


async def test_all_of_it_or_nothing(store: Store) -> None:
    """Where the last one does not fit, nothing is stored or charged, the plan stays, and the limit is named."""
    before = await queued(store, interaction=1_000_000)
    cases: list[tuple[dict[str, Any], Refusal]] = [
        ({"credits_per_day": 3}, Refusal.CREDITS),
        ({"queue_max": 3}, Refusal.QUEUE),
        ({"pending": 1}, Refusal.PENDING),
    ]
    for values, refusal in cases:
        number, news = await planned(store, **values)
        assert await store.jobs.admit_all(news, plan_id=number, now=NOON) is refusal
        assert await store.plans.get(number, now=NOON) is not None
    assert [job.id for job in await store.jobs.live()] == [before.id]
    number, news = await planned(store)
    assert await store.jobs.admit_all(news, plan_id=number, now=NOON + HOUR_S) is Refusal.PLAN
    assert (await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=0)).used == before.charged


async def test_several_jobs_of_one_request_are_one_that_waits(store: Store) -> None:
    """Of a person's limit; of the length of the line each is one."""
    number, news = await planned(store, pending=2, queue_max=4)
    assert isinstance(await store.jobs.admit_all(news, plan_id=number, now=NOON), list)
    assert (await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=0)).pending == 1
    assert isinstance(await store.jobs.admit(admission(pending=2, queue_max=4), NOON), Job)
    assert await store.jobs.admit(admission(pending=2, queue_max=5), NOON) is Refusal.PENDING
    assert await store.jobs.admit(admission(user=2, queue_max=4), NOON) is Refusal.QUEUE

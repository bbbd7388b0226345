"""The admitting statement: every limit that counts rows holds however many ask at once. Real SQLite, no Discord."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bot.job import Job, JobState, Reason, Refusal
from bot.limits import Usage
from bot.store import Store
from bot.store.blocks import Block
from tests.kit.books import GUILD, NOON, admission, admitted, delivered, queued, rendered, running, sure

CROWD = 200


async def ask_at_once(store: Store, **values: Any) -> tuple[list[Job], Counter[Refusal]]:
    """Two hundred admissions at the same moment: (the jobs stored, why the others were refused)."""
    answers = await asyncio.gather(*(store.jobs.admit(admission(**values), NOON) for _ in range(CROWD)))
    jobs = [answer for answer in answers if isinstance(answer, Job)]
    return jobs, Counter(answer for answer in answers if isinstance(answer, Refusal))


async def test_two_hundred_at_once_against_a_quota_of_ten(store: Store) -> None:
    """Of two hundred concurrent requests against a quota of ten credits exactly ten are stored and charged."""
    jobs, refusals = await ask_at_once(store, credits_per_day=10)
    assert len(jobs) == 10
    assert refusals == {Refusal.CREDITS: CROWD - 10}
    usage = await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=0)
    assert usage == Usage(used=10, pending=10)
    assert {job.id for job in await store.jobs.live()} == {job.id for job in jobs}


async def test_two_hundred_at_once_cannot_overdraw_with_costs_that_do_not_divide_the_quota(
    store: Store,
) -> None:
    """With three credits a request and ten a day three requests fit, and the tenth credit stays unused."""
    jobs, refusals = await ask_at_once(store, images=3, credits_per_day=10)
    assert len(jobs) == 3
    assert refusals == {Refusal.CREDITS: CROWD - 3}
    assert (await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=0)).used == 9


async def test_two_hundred_at_once_against_the_pending_limit(store: Store) -> None:
    """Nobody gets more jobs waiting at the same time than the limit says."""
    jobs, refusals = await ask_at_once(store, pending=4)
    assert len(jobs) == 4
    assert refusals == {Refusal.PENDING: CROWD - 4}


async def test_two_hundred_people_at_once_against_the_length_of_the_line(store: Store) -> None:
    """The line's length is one number for everybody, in all guilds together."""
    answers = await asyncio.gather(
        *(
            store.jobs.admit(admission(user=user, guild=user % 3, queue_max=12), NOON)
            for user in range(1, CROWD + 1)
        )
    )
    assert sum(isinstance(answer, Job) for answer in answers) == 12
    assert Counter(a for a in answers if isinstance(a, Refusal)) == {Refusal.QUEUE: CROWD - 12}


async def test_two_hundred_at_once_against_a_pause(store: Store) -> None:
    """Between two requests of one person so many seconds pass, to the second; other people and servers don't wait for them."""
    jobs, refusals = await ask_at_once(store, seconds_between=30)
    assert len(jobs) == 1
    assert refusals == {Refusal.PAUSE: CROWD - 1}
    assert await store.jobs.last_asked(guild_id=GUILD, user_id=1, now=NOON) == NOON
    for other in (admission(user=2, seconds_between=30), admission(guild=8, seconds_between=30)):
        assert isinstance(await store.jobs.admit(other, NOON), Job)
    assert await store.jobs.admit(admission(seconds_between=30), NOON + 29.9) is Refusal.PAUSE
    assert isinstance(await store.jobs.admit(admission(seconds_between=30), NOON + 30), Job)


async def test_parts_of_one_request_know_no_pause(store: Store) -> None:
    """All that one interaction asks for is one request; the next one waits."""
    for part in range(3):
        assert isinstance(
            await store.jobs.admit(admission(interaction=5, part=part, seconds_between=30), NOON), Job
        )
    assert await store.jobs.admit(admission(seconds_between=30), NOON + 1) is Refusal.PAUSE


async def test_a_pause_follows_what_was_asked_for(store: Store) -> None:
    """Not what failed and was refunded, nor what nobody was told of, nor what lies before us since a clock was set back."""
    asked = admission(seconds_between=30)
    failed = await queued(store)
    sure(await store.jobs.failed(failed, reason=Reason.told("no"), now=NOON))
    unseen = await admitted(store)
    sure(await store.jobs.unanswered(unseen, reason=Reason.told("no"), now=NOON))
    await admitted(store, now=NOON + 3600)
    assert await store.jobs.last_asked(guild_id=GUILD, user_id=1, now=NOON + 1) is None
    assert isinstance(await store.jobs.admit(asked, NOON + 1), Job)
    cancelled = await queued(store, user=2)
    sure(await store.jobs.cancelled(cancelled, reason=Reason.told("no"), charged=0, now=NOON))
    assert await store.jobs.admit(admission(user=2, seconds_between=30), NOON + 1) is Refusal.PAUSE


async def test_one_interaction_is_one_job(store: Store) -> None:
    """The same interaction, handed in twenty times at once, is stored once; the others are told DUPLICATE."""
    answers = await asyncio.gather(*(store.jobs.admit(admission(interaction=77), NOON) for _ in range(20)))
    assert sum(isinstance(answer, Job) for answer in answers) == 1
    assert Counter(a for a in answers if isinstance(a, Refusal)) == {Refusal.DUPLICATE: 19}


async def test_an_interaction_stays_a_duplicate_after_its_job_ended(store: Store) -> None:
    """A replay of an old interaction makes nothing, even when its job is long over."""
    await delivered(store, interaction=77)
    assert await store.jobs.admit(admission(interaction=77), NOON + 1) is Refusal.DUPLICATE


async def test_a_double_press_of_one_button_is_one_job(store: Store) -> None:
    """While the first press's job lives, a second one by the same person is refused as BUTTON."""
    parent = await delivered(store)
    answers = await asyncio.gather(*(store.jobs.admit(admission(parent=parent.id), NOON) for _ in range(2)))
    assert [type(answer) for answer in answers].count(Job) == 1
    assert Refusal.BUTTON in answers


@pytest.mark.parametrize("make", [admitted, queued, running, rendered], ids=lambda make: make.__name__)
async def test_a_button_is_taken_in_every_live_state(store: Store, make: Any) -> None:
    """From its admission until its delivery a pressed button belongs to its first press."""
    parent = await delivered(store)
    await make(store, parent=parent.id)
    assert await store.jobs.admit(admission(parent=parent.id), NOON) is Refusal.BUTTON


async def test_a_button_is_free_for_others(store: Store) -> None:
    """Somebody else may press the same button meanwhile, at their own cost."""
    parent = await delivered(store)
    await admitted(store, parent=parent.id)
    other = await admitted(store, parent=parent.id, user=2)
    assert (await store.jobs.usage(guild_id=GUILD, user_id=2, window_start=0)).used == other.cost


@pytest.mark.parametrize("end", ["delivered", "failed", "cancelled"])
async def test_a_button_is_free_after_the_end(store: Store, end: str) -> None:
    """Once the first press's job is over, however it ended, the same person may press again."""
    parent = await delivered(store)
    if end == "delivered":
        await delivered(store, parent=parent.id)
    elif end == "failed":
        first = await queued(store, parent=parent.id)
        sure(await store.jobs.failed(first, reason=Reason.told("no"), now=NOON))
    else:
        first = await admitted(store, parent=parent.id)
        sure(await store.jobs.cancelled(first, reason=Reason.told("no"), charged=0, now=NOON))
    assert isinstance(await store.jobs.admit(admission(parent=parent.id), NOON), Job)


async def test_another_button_of_the_same_message_is_another_button(store: Store) -> None:
    """Buttons are told apart by their job: a press on one message takes no other message's button."""
    first, second = await delivered(store), await delivered(store)
    await admitted(store, parent=first.id)
    assert isinstance(await store.jobs.admit(admission(parent=second.id), NOON), Job)


async def test_a_refused_request_leaves_nothing(store: Store) -> None:
    """A refusal stores no row, charges nothing and uses up no interaction."""
    refused = admission(credits_per_day=0, interaction=5)
    assert await store.jobs.admit(refused, NOON) is Refusal.CREDITS
    assert await store.jobs.live() == []
    assert await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=0) == Usage(used=0, pending=0)
    assert isinstance(await store.jobs.admit(admission(interaction=5), NOON), Job)


async def test_use_is_counted_per_guild_and_person(store: Store) -> None:
    """What somebody uses counts neither for others nor for themselves in another guild."""
    await admitted(store, images=5, credits_per_day=5)
    assert isinstance(await store.jobs.admit(admission(user=2, images=5, credits_per_day=5), NOON), Job)
    assert isinstance(await store.jobs.admit(admission(guild=8, images=5, credits_per_day=5), NOON), Job)
    assert await store.jobs.admit(admission(credits_per_day=5), NOON) is Refusal.CREDITS


async def test_a_new_day_renews_credits_but_not_the_line(store: Store) -> None:
    """Jobs of yesterday cost nothing today, yet those that still wait count as pending."""
    await queued(store, images=5, credits_per_day=5)
    tomorrow = NOON + 86_400
    refused = admission(credits_per_day=5, pending=1, window_start=tomorrow)
    assert await store.jobs.admit(refused, tomorrow) is Refusal.PENDING
    fine = admission(images=5, credits_per_day=5, pending=2, window_start=tomorrow)
    assert isinstance(await store.jobs.admit(fine, tomorrow), Job)


async def test_a_job_at_the_first_moment_of_the_day_belongs_to_that_day(store: Store) -> None:
    """The window includes its own start."""
    await admitted(store, images=5, credits_per_day=5, window_start=NOON)
    assert (await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=NOON)).used == 5
    assert await store.jobs.admit(admission(credits_per_day=5, window_start=NOON), NOON) is Refusal.CREDITS


async def test_a_refund_makes_room(store: Store) -> None:
    """Credits of a failed job can be used again, and its place among the pending ones is free."""
    job = await running(store, images=5, credits_per_day=5, pending=1)
    sure(await store.jobs.failed(job, reason=Reason.told("no"), now=NOON))
    assert isinstance(await store.jobs.admit(admission(images=5, credits_per_day=5, pending=1), NOON), Job)


async def test_a_rendered_job_is_not_pending(store: Store) -> None:
    """What is being posted holds up nobody's next request."""
    await rendered(store, pending=1)
    assert (await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=0)).pending == 0
    assert isinstance(await store.jobs.admit(admission(pending=1), NOON), Job)


async def test_what_was_asked_is_what_is_stored(store: Store) -> None:
    """A job read back equals the job that was admitted, request and origin included."""
    wish = admission(user=3, images=2)
    job = await store.jobs.admit(wish, NOON)
    assert isinstance(job, Job)
    assert await store.jobs.get(job.id) == job
    assert (job.state, job.attempt, job.faults, job.created_at) == (JobState.ACCEPTED, 0, 0, NOON)
    assert job.request == wish.request
    assert (job.token, job.interaction_id, job.channel_id) == (
        wish.origin.token,
        wish.origin.interaction_id,
        wish.origin.channel_id,
    )
    assert (job.cost, job.charged) == (2, 2)


async def test_expired_tokens_are_forgotten(store: Store) -> None:
    """Only tokens older than the given moment go; their jobs stay as they are."""
    old, new = await queued(store, now=NOON - 1000), await queued(store, now=NOON)
    await store.jobs.purge_tokens(before=NOON - 900)
    kept = await store.jobs.get(new.id)
    gone = await store.jobs.get(old.id)
    assert kept == new
    assert gone is not None
    assert (gone.token, gone.state) == (None, JobState.QUEUED)


# ------------------------------------------------------------------ several jobs of one interaction, images of one job


async def test_one_interaction_may_make_several_jobs_but_each_part_once(store: Store) -> None:
    """Parts of an interaction are jobs of their own; a part that comes twice is a duplicate, at whatever time."""
    answers = [await store.jobs.admit(admission(interaction=77, part=part), NOON) for part in (0, 1, 2, 1, 0)]
    assert [answer.part if isinstance(answer, Job) else answer for answer in answers] == [
        *(0, 1, 2),
        *[Refusal.DUPLICATE] * 2,
    ]


async def test_buttons_of_different_images_are_different_buttons(store: Store) -> None:
    """While an image's button is taken, those of the other images and that of the whole job are free; none twice."""
    parent = await delivered(store, images=3)
    for image in (0, 1, 2, None):
        job = await admitted(store, parent=parent.id, image=image)
        assert (job.parent_id, job.parent_image) == (parent.id, image)
    for image in (0, 1, 2, None):
        refused = await store.jobs.admit(admission(parent=parent.id, image=image), NOON)
        assert refused is Refusal.BUTTON
    assert isinstance(await store.jobs.admit(admission(parent=parent.id, image=1, user=2), NOON), Job)


@pytest.mark.parametrize(
    "wish", [None, {}, {"prompt": "a \ud800 “ü”\x00 🎈 <lora:ink:0.5>", "seed": -1, "strength": 0.5}]
)
async def test_a_wish_and_a_language_are_kept_as_they_were(store: Store, wish: dict[str, Any] | None) -> None:
    """Whatever was typed is read back, also what no text of SQLite could hold; where nothing is known there is None."""
    asked = admission()
    asked = replace(asked, wish=wish, origin=replace(asked.origin, locale="pt-BR"))
    job = await store.jobs.admit(asked, NOON)
    assert isinstance(job, Job)
    assert (job.wish, job.locale) == (wish, "pt-BR")
    assert await store.jobs.get(job.id) == job


async def test_a_message_leads_to_its_job_by_an_index(store: Store) -> None:
    """However many jobs there are, the one of a message is found at once."""
    sql = "EXPLAIN QUERY PLAN SELECT * FROM job WHERE message_id = :id"
    (step,) = await store.database.read(sql, {"id": 1})
    assert "job_by_message" in step["detail"]


async def test_who_is_blocked_in_this_moment_is_not_admitted(store: Store) -> None:
    """The statement itself looks, so no request slips by that was let through before; a block of another server, of another
    person or of the past keeps nobody out.
    """
    block = Block(guild_id=GUILD, user_id=1, by_user_id=9, reason="", at=NOON - 9, until=NOON)
    for other in (block, replace(block, user_id=2, until=None), replace(block, guild_id=5, until=None)):
        await store.blocks.put(other)
    await admitted(store)
    await store.blocks.put(replace(block, until=NOON + 0.5))
    jobs, refusals = await ask_at_once(store)
    assert (jobs, refusals) == ([], {Refusal.BLOCKED: CROWD})
    assert await store.jobs.blocked(now=NOON) == [(GUILD, 1)]
    assert await store.jobs.blocked(now=NOON + 0.5) == []

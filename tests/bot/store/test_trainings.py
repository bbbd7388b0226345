"""Trainings in the database: what may be begun and paid for, what a row may become, and what is given back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.job import Reason, ReasonCode, Refusal
from bot.store import Store
from bot.store.audit import AuditEntry, Deed
from bot.store.trainings import Barred
from bot.training import Sharing, Training, TrainingPicture, TrainingState
from tests.kit.books import GUILD, NOON, admission, entry

SNAIL = Training(
    id=0, guild_id=GUILD, user_id=1, name="Snail", trigger="snail toy", model="starter", steps=500,
    state=TrainingState.COLLECTING, created_at=NOON, locale="de",
)  # fmt: skip
REASON = Reason.of(ReasonCode.CANCELLED, by="Ada")


async def begun(store: Store, most: int = 1, **values: Any) -> Training:
    made = await store.trainings.new(replace(SNAIL, **values), most=most)
    assert isinstance(made, Training), made
    return made


async def paid(store: Store, cost: int = 50, credits_most: int = 100, **values: Any) -> Training:
    made = await begun(store, **values)
    started = await start(store, made, cost, credits_most)
    assert isinstance(started, Training), started
    return started


async def start(store: Store, training: Training, cost: int, credits_most: int = 100) -> Training | Barred:
    return await store.trainings.start(
        training.id, cost=cost, credits_most=credits_most, window_start=NOON - 100, now=NOON
    )


async def used(store: Store) -> int:
    return (await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=NOON - 100)).used


def picture(training: Training, digest: str = "a" * 64, size: int = 1000) -> TrainingPicture:
    return TrainingPicture(
        training_id=training.id, number=0, digest=digest, size_bytes=size, width=64, height=64
    )


async def add(store: Store, one: TrainingPicture, most: int = 3, most_bytes: int = 5000) -> object:
    return await store.trainings.add_picture(one, user_id=1, most=most, most_bytes=most_bytes)


async def test_a_name_is_taken_once_in_all_servers(store: Store) -> None:
    """It is a file's; who failed or took theirs away leaves it to others."""
    first = await begun(store)
    assert first == replace(SNAIL, id=first.id)
    other = replace(SNAIL, guild_id=8, user_id=2, name="sNAIL")
    assert await store.trainings.new(other, most=1) is Barred.NAME
    assert await store.trainings.delete(first.id, now=NOON)
    assert isinstance(await store.trainings.new(other, most=1), Training)


async def test_only_so_many_that_have_not_ended(store: Store) -> None:
    """Those that are collected count, those that ended do not."""
    first = await paid(store)
    assert await store.trainings.new(replace(SNAIL, name="other"), most=1) is Barred.MOST
    assert await store.trainings.cancel(first.id, reason=REASON, now=NOON) is not None
    assert isinstance(await store.trainings.new(replace(SNAIL, name="other"), most=1), Training)


async def test_pictures_are_numbered_once_each_and_bounded(store: Store) -> None:
    """The same one twice, too many, too many bytes over all of a person's, and what is paid for already."""
    snail = await begun(store, most=2)
    assert getattr(await add(store, picture(snail)), "number", None) == 1
    assert await add(store, picture(snail)) is Barred.TWICE
    assert getattr(await add(store, picture(snail, "b" * 64)), "number", None) == 2
    assert await add(store, picture(snail, "c" * 64), most=2) is Barred.MOST
    other = await begun(store, most=2, name="other")
    assert await add(store, picture(other, size=3001)) is Barred.BYTES
    assert await store.trainings.set_captions(snail.id, {2: "a blue snail toy"})
    assert [each.caption for each in await store.trainings.pictures(snail.id)] == ["", "a blue snail toy"]
    await start(store, snail, 0)
    assert await add(store, picture(snail, "d" * 64)) is Barred.STATE
    assert not await store.trainings.set_captions(snail.id, {1: "late"})


async def test_it_is_paid_for_like_pictures(store: Store) -> None:
    """What it costs and what pictures cost are one account, whichever comes first; so are credits of a window."""
    snail = await paid(store, cost=50)
    assert (snail.state, snail.charged) == (TrainingState.WAITING, 50)
    assert await used(store) == 50
    drawn = await store.jobs.admit(admission(credits_per_day=50), NOON)
    assert drawn is Refusal.CREDITS
    assert not isinstance(await store.jobs.admit(admission(credits_per_day=51), NOON), Refusal)
    second = await begun(store, most=2, name="second")
    assert await start(store, second, 50) is Barred.CREDITS
    assert isinstance(await start(store, second, 49), Training)
    assert await start(store, second, 0) is Barred.STATE


@pytest.mark.parametrize("done", [0, 1, 250, 499])
async def test_cancelled_it_costs_what_was_done(store: Store, done: int) -> None:
    """Rounded up, and only once; nothing else is possible afterwards."""
    snail = await paid(store)
    await store.trainings.run(snail.id, now=NOON)
    await store.trainings.progress(snail.id, done)
    ended = await store.trainings.cancel(snail.id, reason=REASON, now=NOON)
    assert ended is not None
    assert (ended.state, ended.charged, ended.reason) == (
        TrainingState.CANCELLED,
        -(-50 * done // 500),
        REASON,
    )
    assert await used(store) == ended.charged
    assert await store.trainings.cancel(snail.id, reason=REASON, now=NOON) is None
    assert await store.trainings.finish(snail.id, now=NOON) is None
    assert await store.trainings.run(snail.id, now=NOON) is None


async def test_failed_it_costs_nothing(store: Store) -> None:
    """No LoRA came of it."""
    snail = await paid(store)
    await store.trainings.run(snail.id, now=NOON)
    await store.trainings.progress(snail.id, 400)
    assert await store.trainings.fail(snail.id, reason=Reason.told("no"), now=NOON) is not None
    assert await used(store) == 0


async def test_one_after_the_other_and_again_after_a_restart(store: Store) -> None:
    """In the order in which they were begun; one that ran when the bot ended waits again, and comes first."""
    first, second = await paid(store, most=2), await paid(store, most=2, name="second", cost=1)
    assert await store.trainings.next_waiting() == first
    await store.trainings.run(first.id, now=NOON)
    await store.trainings.progress(first.id, 100)
    assert await store.trainings.next_waiting() == second
    await store.trainings.recover()
    again = await store.trainings.next_waiting()
    assert again is not None
    assert (again.id, again.done, again.started_at) == (first.id, 100, NOON)
    assert [each.id for each in await store.trainings.waiting()] == [first.id, second.id]


async def test_what_ended_is_told_once(store: Store) -> None:
    """A message that nobody has brought up to date is found, until it was."""
    snail = await paid(store)
    await store.trainings.stands(snail.id, channel_id=5, message_id=6)
    await store.trainings.run(snail.id, now=NOON)
    assert await store.trainings.unshown() == []
    done = await store.trainings.finish(snail.id, now=NOON)
    assert done is not None
    assert (done.state, done.done, done.message_id) == (TrainingState.DONE, 500, 6)
    assert await store.trainings.unshown() == [done]
    await store.trainings.shown(snail.id, now=NOON)
    assert await store.trainings.unshown() == []


async def test_deleted_its_words_are_gone_and_what_it_cost_is_not(store: Store) -> None:
    """Nobody gets credits back by taking away what they were spent on; nothing is deleted while it is taught."""
    snail = await begun(store)
    await add(store, picture(snail))
    await start(store, snail, 50)
    assert not await store.trainings.delete(snail.id, now=NOON)
    await store.trainings.run(snail.id, now=NOON)
    await store.trainings.finish(snail.id, now=NOON)
    assert await store.trainings.delete(snail.id, now=NOON)
    assert not await store.trainings.delete(snail.id, now=NOON)
    assert await store.trainings.get(snail.id) is None
    assert await store.trainings.pictures(snail.id) == []
    assert await used(store) == 50


async def test_closed_nothing_can_be_started_of_it(store: Store) -> None:
    """Between that its files go and that its row does nobody can pay for it; one that is under way is not closed."""
    snail = await begun(store)
    assert await store.trainings.close(snail.id, now=NOON)
    assert await start(store, snail, 50) is Barred.STATE
    assert await store.trainings.close(snail.id, now=NOON)
    other = await begun(store, most=2, name="newt")
    await start(store, other, 50)
    assert not await store.trainings.close(other.id, now=NOON)


async def test_its_deletion_is_in_the_log(store: Store) -> None:
    """With the row, once."""
    snail = await begun(store)
    entry = AuditEntry(guild_id=GUILD, by_user_id=3, at=NOON, deed=Deed.TRAINING_DELETED)
    assert await store.trainings.delete(snail.id, now=NOON, entry=entry)
    assert not await store.trainings.delete(snail.id, now=NOON, entry=entry)
    assert [each.deed for each in (await store.audit.page(GUILD, offset=0, count=9))[0]] == [
        Deed.TRAINING_DELETED
    ]


async def test_a_picture_is_taken_out_while_it_is_collected(store: Store) -> None:
    """Its number names no other afterwards; of what was started nothing is taken out."""
    snail = await begun(store)
    for digest in "abc":
        await add(store, picture(snail, digest * 64))
    gone = await store.trainings.remove_picture(snail.id, 2)
    assert gone is not None
    assert gone.digest == "b" * 64
    assert await store.trainings.remove_picture(snail.id, 2) is None
    assert [each.number for each in await store.trainings.pictures(snail.id)] == [1, 3]
    await start(store, snail, 50)
    assert await store.trainings.remove_picture(snail.id, 1) is None


async def test_sharing_is_in_the_log(store: Store) -> None:
    """Once for each change."""
    snail = await begun(store)
    deed = entry(Deed.TRAINING_SHARED)
    assert await store.trainings.share(snail, Sharing.ROLE, 5, deed)
    assert not await store.trainings.share(snail, Sharing.ROLE, 5, deed)
    found = await store.trainings.by_name(GUILD, "SNAIL")
    assert found is not None
    assert (found.sharing, found.role_id) == (Sharing.ROLE, 5)
    assert await store.trainings.listed(GUILD, 1) == [found]


async def test_what_is_taught_is_known_after_every_change(store: Store) -> None:
    """It is kept between changes, and each of them shows: started, run, done, shared, deleted; a set that is collected is none."""
    trainings = store.trainings
    snail = await begun(store)
    await add(store, picture(snail))
    assert await trainings.teaching() == ()
    assert await trainings.sizes(GUILD) == {snail.id: 1}
    await start(store, snail, 0)
    assert [each.state for each in await trainings.teaching()] == [TrainingState.WAITING]
    await trainings.run(snail.id, now=NOON)
    assert [each.state for each in await trainings.teaching()] == [TrainingState.RUNNING]
    await trainings.recover()
    assert [each.state for each in await trainings.teaching()] == [TrainingState.WAITING]
    await trainings.run(snail.id, now=NOON)
    await trainings.finish(snail.id, now=NOON)
    await trainings.share(snail, Sharing.ALL, None, entry(Deed.TRAINING_SHARED))
    assert [(each.state, each.sharing) for each in await trainings.teaching()] == [
        (TrainingState.DONE, Sharing.ALL)
    ]
    await trainings.delete(snail.id, now=NOON)
    assert await trainings.teaching() == ()

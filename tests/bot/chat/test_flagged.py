"""What becomes of pictures that a safety checker flags: as server, channel or operator want it, and what moderators decide.

The fake engine flags what is asked for with NSFW, and of a RISQUE request the first picture alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.chat.ids import Verb, button
from bot.job import Flagged, Job, JobState, Review
from bot.store.preferences import MODERATORS, Scope
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World, labels
from workshop.rehearsal.loopback.driver import Channel, Message, Permission

BEFORE = "a moderator looks at it"


async def rules(world: World, **options: Any) -> str:
    """What /mod pictures answers an admin."""
    answer = await world.admin.slash(world.channel, "mod pictures", **options)
    return answer.ephemeral_text or ""


async def moderators(world: World) -> Channel:
    """Flagged pictures are held, and asked about in this channel."""
    channel = await world.place("moderators")
    await world.store.taste.put(Scope.SERVER, world.guild.id, {MODERATORS: str(channel.id)})
    await rules(world, action="hold")
    return channel


async def asked(world: World, channel: Channel, number: int = 1) -> Message:
    """The one message about a held job, which is noted."""
    await world.until(
        lambda: world.messages(channel) and any(BEFORE in each.text for each in world.messages())
    )
    (message,) = world.messages(channel)
    job = await until(world, number, lambda job: job.review_message_id is not None)
    assert job.review_message_id == message.id
    return message


async def until(world: World, number: int, condition: Callable[[Job], bool]) -> Job:
    """The row once it is so."""
    return await world.finds(lambda: world.job(number), condition)


async def paid(world: World, number: int = 1) -> Job:
    """A delivered job, and the books agree."""
    job = await world.reaches(number, JobState.DELIVERED)
    assert await world.store.history.audit() == []
    return job


# ------------------------------------------------------------------ as it is set


@pytest.mark.parametrize(
    ("action", "spoilers", "share"), [(None, [False], 1), ("spoiler", [True, False], 2), ("post", [False, False], 2)]
)  # fmt: skip
async def test_picture_by_picture(world: World, action: str | None, spoilers: list[bool], share: int) -> None:
    """Of two, the flagged one is withheld and free, covered, or posted like the other; withheld where nobody says."""
    if action is not None:
        await rules(world, action=action)
    await world.imagine(prompt="RISQUE", images=2)
    job = await paid(world)
    await world.until(lambda: len(world.message(1).attachments) == share)
    assert world.spoilers(world.message(1)) == spoilers
    assert job.charged == -(-job.cost * share // 2)
    assert ("1 of 2 images were withheld" in world.message(1).text) == (action is None)
    assert all(Path(str(image.path or image.aside)).is_file() for image in job.images)


async def test_the_nearest_rule_holds(world: World) -> None:
    """An age-restricted channel may differ, and any channel from its server; told as it is, and written into the audit."""
    told = await rules(world, action="spoiler", age_restricted="post")
    assert "**covered until somebody looks** on this server" in told
    assert "age-restricted they are **posted like any other**" in told
    plain, adult = world.channel, await world.place("adult", nsfw=True)
    strict = await world.place("strict")
    world.channel = strict
    assert "**withheld** in this channel" in await rules(world, action="withhold", here=True)
    found: list[list[bool]] = []
    for number, channel in enumerate((plain, adult, strict), 1):
        world.channel = channel
        await world.imagined(number, prompt="NSFW")
        found.append(world.spoilers(world.message(number)))
    assert found == [[True], [False], []]
    assert "as the server does" in await rules(world, here=True, reset=True)
    await world.imagined(4, prompt="NSFW")
    assert world.spoilers(world.message(4)) == [True]
    entries, _ = await world.store.audit.page(world.guild.id, offset=0, count=9, deed="preferences")
    assert [dict(entry.details) for entry in entries] == [
        {"channel": strict.id},
        {"channel": strict.id, "flagged": "withhold"},
        {"flagged": "spoiler", "flagged_age_restricted": "post"},
    ]


async def test_only_who_manages_the_server_sets_it(world: World) -> None:
    """Anybody else reads so, and nothing is changed."""
    answer = await world.alice.slash(world.channel, "mod pictures", action="post", despite_permissions=True)
    assert "manage this server" in (answer.ephemeral_text or "")
    await world.imagined(1, prompt="NSFW")
    assert not world.message(1).attachments


async def test_what_the_operator_wants_holds_in_direct_messages(start_world: StartWorld) -> None:
    """And on servers that say nothing. Nobody is asked there: what is to be held is withheld."""
    for rule, spoilers in (("spoiler", [True]), ("hold", [])):
        world = await start_world(moderation={"pictures": rule}, discord={"direct_messages": True})
        world.channel = world.discord.dm(world.alice.user)
        number = await world.jobs_stored() + 1
        await world.imagined(number, prompt="NSFW")
        assert world.spoilers(world.message(number)) == spoilers
        await world.stop()


# ------------------------------------------------------------------ held for moderators


async def test_a_moderator_approves(world: World) -> None:
    """Covered in their channel, by its buttons; then delivered as usual and charged, with a line in the audit. Once."""
    channel = await moderators(world)
    await world.imagine(prompt="RISQUE", images=2)
    message = await asked(world, channel)
    assert world.spoilers(message) == [True]
    assert not any(each.attachments for each in world.messages())
    assert labels(message) == ["Approve", "Remove"]
    refused = await world.alice.click(message, "Approve")
    assert "Only people who may manage messages" in (refused.ephemeral_text or "")
    await world.admin.click(message, "Approve")
    job = await paid(world)
    assert (job.charged, job.review) == (job.cost, Review.APPROVED)
    assert world.spoilers(world.message(1)) == [False, False]
    assert f"**Approved** by <@{world.admin.id}>" in message.text
    assert (message.attachments, labels(message)) == ([], [])
    entries, _ = await world.store.audit.page(world.guild.id, offset=0, count=1)
    assert [(e.deed, e.by_user_id, e.user_id, e.job_id) for e in entries] == [
        ("approved", world.admin.id, world.alice.id, 1)
    ]


async def test_a_moderator_removes(world: World) -> None:
    """What was flagged is not posted and not charged, what was not is both; who decides later is told so."""
    channel = await moderators(world)
    await world.imagine(prompt="NSFW")
    message = await asked(world, channel)
    await world.admin.click(message, "Remove")
    job = await paid(world)
    assert (job.charged, job.review) == (0, Review.REMOVED)
    assert not world.message(1).attachments
    assert "A moderator looked at it" in world.message(1).text
    old = await world.post(
        button(Verb.SHOW_HELD, 1)
    )  # as it stands on somebody's screen who has not heard yet
    late = await world.admin.click(old, "Approve")
    assert "decided before" in (late.ephemeral_text or "")
    assert (await world.store.audit.page(world.guild.id, offset=0, count=9))[0][0].deed == "withheld"


async def test_held_through_a_restart(world: World) -> None:
    """It is asked about once, shown to nobody, and decided by the same buttons."""
    channel = await moderators(world)
    await world.imagine(prompt="NSFW")
    message = await asked(world, channel)
    await world.restart()
    assert len(world.messages(channel)) == 1
    assert (await world.job(1)).is_in_review
    await world.admin.click(message, "Approve")
    await paid(world)
    await world.until(lambda: world.message(1).attachments)
    assert len(world.messages(channel)) == 1


async def test_a_bot_that_ends_before_it_notes_the_question(world: World) -> None:
    """The next one finds it in the channel, and asks no second time."""
    channel = await moderators(world)
    await world.imagine(prompt="NSFW")
    message = await asked(world, channel)
    await world.store.database.write("UPDATE job SET review_message_id = NULL RETURNING id", {})
    await world.restart()
    assert (await asked(world, channel)).id == message.id


async def test_a_file_that_is_lost_meanwhile_is_drawn_again(world: World) -> None:
    """From its seed, and asked about anew."""
    channel = await moderators(world)
    await world.imagine(prompt="NSFW")
    await asked(world, channel)
    Path(str((await world.job(1)).images[0].aside)).unlink()
    await world.restart()
    job = await until(world, 1, lambda job: job.attempt == 2 and job.is_in_review)
    assert Path(str(job.images[0].aside)).is_file()


@pytest.mark.parametrize(
    ("gone", "review", "why"),
    [
        ("never named", Review.UNASKED, "there is no channel for that here"),
        ("deleted", Review.UNREACHED, "the question did not get into their channel"),
        ("closed", Review.UNREACHED, "the question did not get into their channel"),
    ],
)
async def test_where_nobody_can_be_asked_it_is_withheld(
    world: World, gone: str, review: Review, why: str
) -> None:
    """A moderators' channel that nobody named, that vanished, or that takes nothing from us: a sentence, and no charge."""
    channel = await moderators(world)
    match gone:
        case "never named":
            await world.store.taste.reset(Scope.SERVER, world.guild.id, [MODERATORS])
            assert "no channel for moderators yet" in await rules(world)
        case "deleted":
            await world.discord.delete_channel(channel)
        case _:
            await world.discord.set_app_permissions(channel, int(Permission.VIEW_CHANNEL))
    await world.imagine(prompt="NSFW")
    job = await paid(world)
    assert (job.charged, job.review) == (0, review)
    assert f"No moderator could be asked: {why}." in world.message(1).text


async def test_a_question_that_vanishes_while_it_is_decided(world: World) -> None:
    """Its message or its channel goes in the moment of the press: what was decided holds, and nothing is taken for a fault of ours."""
    channel = await moderators(world)
    await world.imagine(prompt="NSFW")
    message = await asked(world, channel)
    world.discord.fail_next("POST", "/callback", status=404, code=10008)
    with capture_logs() as logs:
        answer = asyncio.create_task(world.admin.click(message, "Approve"))
        job = await paid(world)
        await world.until(lambda: any(each["event"] == "done_but_not_told" for each in logs))
    answer.cancel()
    assert (job.charged, job.review) == (job.cost, Review.APPROVED)
    assert not [each for each in logs if each["log_level"] == "error"]


async def test_nobody_answers_for_days(world: World) -> None:
    """Then it is withheld, with a sentence: nobody waits for ever."""
    channel = await moderators(world)
    await world.imagine(prompt="NSFW")
    await asked(world, channel)
    await world.dispatcher.reviews.expire(before=world.clock.now() - 60)
    assert (await world.job(1)).is_in_review
    await world.dispatcher.reviews.expire(before=world.clock.now() + 60)
    job = await paid(world)
    assert (job.charged, job.review) == (0, Review.EXPIRED)
    assert "No moderator has looked at it in time" in world.message(1).text


async def test_nothing_private_is_shown_to_moderators(world: World) -> None:
    """It is withheld instead of being held."""
    channel = await moderators(world)
    await world.alice.slash(world.channel, "settings", deliver="private")
    await world.imagine(prompt="NSFW")
    job = await paid(world)
    assert (job.private, job.flagged, job.charged) == (True, Flagged.WITHHOLD, 0)
    assert world.messages(channel) == []


async def test_one_of_several_is_held(world: World) -> None:
    """In the message that gathers them it waits in words, while the others are shown; approved, it joins them."""
    channel = await moderators(world)
    question = await world.alice.slash(world.channel, "imagine", prompt="a {fox, NSFW}")
    answer = await world.alice.click(question.message, "Draw them")
    together = answer.message
    assert together is not None
    await world.reaches(1, JobState.DELIVERED)
    await world.until(lambda: world.messages(channel))
    await world.until(lambda: BEFORE in together.text and len(together.attachments) == 1)
    await world.admin.click(world.messages(channel)[0], "Approve")
    await paid(world, 2)
    await world.until(lambda: len(together.attachments) == 2)
    assert BEFORE not in together.text


# ------------------------------------------------------------------ nothing to check with


async def test_an_engine_that_can_not_check_draws_nothing(start_world: StartWorld) -> None:
    """Who asks reads why, and whoever runs the bot is told."""
    reason = "The safety checker can't be used, so nothing is drawn. There is no folder “gone”."
    world = await start_world(fake=FakeSettings(broken=reason))
    owner = world.discord.dm(world.discord.owner)
    await world.until(lambda: world.messages(owner))
    assert reason in world.messages(owner)[0].text
    answer = await world.imagine()
    assert reason in (answer.ephemeral_text or "")
    assert await world.jobs_stored() == 0

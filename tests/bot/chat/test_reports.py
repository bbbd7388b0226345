"""Reports, from the side of who reports and of moderators: one message a picture, decided once, through restarts and closed doors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.chat.ids import OfJob, Verb
from bot.job import JobState
from bot.store.audit import Deed
from bot.texts import commands
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.bot.chat.test_blocks import deeds
from tests.bot.chat.test_favourites import press
from tests.kit.world import Person, World, labels
from workshop.rehearsal.loopback.driver import Answer, Channel, Message, Permission
from workshop.rehearsal.loopback.world import MEMBER_DEFAULT

THANKS = "🚩 Thank you: the moderators of this server are told."
DECIDING = ["Let it stay", "Remove", "Block …"]


async def den(world: World, name: str = "den") -> Channel:
    """The moderators' channel, as an admin names it."""
    channel = await world.place(name)
    answer = await world.admin.slash(world.channel, "mod channel", channel=channel)
    assert answer.text == f"Moderators read reports in <#{channel.id}>."
    return channel


def moderator(world: World, name: str = "mo") -> Person:
    role = world.discord.add_role(world.guild, name, permissions=Permission.MANAGE_MESSAGES)
    return world.person(name, role)


async def report(world: World, who: Person, message: Message, reason: str = "", **given: Any) -> Answer:
    """By the menu of a message, with a restart while the form is open."""
    form = await who.menu(message, commands.REPORT)
    assert form.modal is not None, form.text
    await world.restart()
    return await who.submit(form, reason=reason, **given)


async def reported(world: World, channel: Channel, count: int = 1) -> list[Message]:
    """What stands in the moderators' channel once nothing is owed there."""
    await world.finds(lambda: world.store.reports.owed(world.guild.id), lambda owed: not owed)
    messages = world.messages(channel)
    assert len(messages) == count, [message.text for message in messages]
    return messages


# ------------------------------------------------------------------ reported and decided


async def test_moderators_read_one_message_a_picture_and_let_it_stay(world: World) -> None:
    """With the covered picture, who asked for what and everybody who reported it; decided once, and for later reports too."""
    bob, carl, mo = world.person("bob"), world.person("carl"), moderator(world)
    message = await world.imagined(1, prompt="a red circle", images=2, seed=7)
    channel = await den(world)
    assert (await report(world, bob, message, "not **nice**\nat all")).ephemeral_text == THANKS
    (told,) = await reported(world, channel)
    lines = told.text.splitlines()
    assert lines[:3] == [
        "🚩 Reported by 1 person",
        f"<@{world.alice.id}> `a red circle`",
        f"<@{bob.id}>: not \\*\\*nice\\*\\* at all",
    ]
    assert f"/channels/{world.guild.id}/{world.channel.id}/{message.id})" in lines[3]
    assert told.shown_files == ["easel-1-7.png", "easel-1-8.png"]
    assert world.spoilers(told) == [True, True]
    assert labels(told) == DECIDING
    assert (told.allowed_mentions or {})["parse"] == []

    taken = await carl.click(message, "U2")
    await world.until(lambda: taken.message and taken.message.attachments)
    assert taken.message is not None
    assert (await report(world, carl, taken.message)).text == THANKS
    assert (await report(world, carl, message)).text == (
        "You reported this picture before: the moderators know."
    )
    (told,) = await reported(world, channel)
    assert "🚩 Reported by 2 people" in told.text
    assert f"<@{carl.id}>, image 2" in told.text
    assert world.spoilers(told) == [True, True]
    refused = await carl.click(told, "Let it stay")
    assert refused.ephemeral_text == "Only people who may manage messages here can decide that."

    await world.restart()
    await asyncio.gather(*(mo.click(told, "Let it stay") for _ in range(2)))
    (told,) = await reported(world, channel)
    assert f"✅ <@{mo.id}> let it stay <t:" in told.text
    assert (labels(told), told.shown_files) == ([], ["easel-1-7.png", "easel-1-8.png"])
    dave = world.person("dave")
    late = await report(world, dave, message)
    assert late.text == "The moderators looked at this picture before and let it stay."
    for verb in (Verb.APPROVE, Verb.REMOVE):
        again = await press(world, world.admin, verb, 1)
        assert again.ephemeral_text == f"<@{mo.id}> decided that before."
    assert not message.deleted
    assert await deeds(world, Deed.REPORTED, Deed.APPROVED) == [
        (Deed.REPORTED, bob.id, None, 1),
        (Deed.REPORTED, carl.id, None, 1),
        (Deed.APPROVED, mo.id, None, 1),
    ]


async def test_moderators_remove_it_and_block_who_asked_for_it(world: World) -> None:
    """Message, files and the moderators' own copy are gone, and the row says by whom; the block has a length and a reason."""
    bob, mo = world.person("bob"), moderator(world)
    message = await world.imagined(1, prompt="a red circle", images=3)
    files = [Path(str(image.path)) for image in (await world.job(1)).images]
    channel = await den(world)
    form = await bob.select(message, "easel:1:more:1", "report")  # as its menu has it
    await bob.submit(form, reason="")
    (told,) = await reported(world, channel)
    await world.restart()
    await mo.click(told, "Remove")
    await world.until(lambda: message.deleted and not told.attachments)
    (told,) = await reported(world, channel)
    assert f"🗑️ <@{mo.id}> removed it <t:" in told.text
    assert "Original message" not in told.text
    assert labels(told) == ["Block …"]
    await world.until(lambda: not any(file.exists() for file in files))
    assert await deeds(world, Deed.DELETED) == [(Deed.DELETED, mo.id, world.alice.id, 1)]

    form = await mo.click(told, "Block …")
    assert world.filled_in(form)["duration"] == "600"
    await world.restart()
    answer = await mo.submit(form, duration=["86400"], reason="No `circles`.")
    assert answer.text.startswith(f"<@{world.alice.id}> can make no pictures here; that ends <t:")
    (told,) = await reported(world, channel)
    assert f"⛔ <@{world.alice.id}>: ends <t:" in told.text
    assert f"by <@{mo.id}> · No \\`circles\\`." in told.text
    refused = await world.imagine()
    assert refused.text.splitlines()[1] == "Reason: No `circles`."
    assert await deeds(world, Deed.BLOCKED) == [(Deed.BLOCKED, mo.id, world.alice.id, 1)]
    await world.admin.slash(world.channel, "mod unblock", member=world.alice)
    (told,) = await reported(world, channel)
    assert "⛔" not in told.text
    await world.admin.slash(world.channel, "mod block", member=world.alice, duration=0, reason="Again.")
    (told,) = await reported(world, channel)
    assert f"by <@{world.admin.id}> · Again." in told.text


async def test_one_of_several_in_a_message_is_chosen(world: World) -> None:
    """What moderators remove of it goes with the whole message."""
    bob = world.person("bob")
    channel = await den(world)
    asked = await world.alice.slash(world.channel, "imagine", prompt="a {red, blue} circle")
    answer = await world.alice.click(asked.message, "Draw them")
    for number in (1, 2):
        await world.reaches(number, JobState.DELIVERED)
    assert answer.message is not None
    assert (await report(world, bob, answer.message, job=["2"])).text == THANKS
    (told,) = await reported(world, channel)
    assert "`a blue circle`" in told.text
    assert [name.split("-")[1] for name in told.shown_files] == ["2"]
    form = await world.person("carl").menu(answer.message, commands.REPORT)
    forged = await world.discord.submit(form, job=["99"])
    assert forged.text == "That message has no such picture: press a button under one of its pictures."
    await world.admin.click(told, "Remove")
    await world.until(lambda: answer.message and answer.message.deleted)
    assert [(await world.job(number)).deleted_at is None for number in (1, 2)] == [False, False]


async def test_what_can_not_be_reported(world: World) -> None:
    """One's own, unfinished, deleted, strangers' and unheard-of pictures, and more than ten a day: one sentence, and no row."""
    bob = world.person("bob")
    message = await world.imagined(1)
    unheard = await bob.menu(message, commands.REPORT)
    assert unheard.ephemeral_text == (
        "Nobody reads reports here yet: tell an admin, who can name a channel with /mod channel and delete the picture."
    )
    channel = await den(world)
    own = await world.alice.menu(message, commands.REPORT)
    assert own.ephemeral_text == "That is your own picture: 🗑️ Delete takes it away."
    posted = bob.posts(world.channel, text="look")
    foreign = await bob.menu(posted, commands.REPORT)
    assert foreign.ephemeral_text == (
        "Only pictures that I posted are reported to this server's moderators here."
    )
    await world.imagine(prompt="FAIL")
    await world.reaches(2, JobState.FAILED)
    nothing = await bob.menu(world.message(2), commands.REPORT)
    assert nothing.ephemeral_text == "There is no finished picture to report here."
    form = await bob.menu(message, commands.REPORT)
    await world.alice.click(message, OfJob(verb=Verb.DELETE, job=1).custom_id)
    await world.until(lambda: message.deleted)
    assert (await bob.submit(form)).ephemeral_text == "That image was deleted."
    other = await world.imagined(3)
    form = await bob.menu(other, commands.REPORT)
    await world.admin.slash(world.channel, "mod channel", reset=True)
    assert "Nobody reads reports here yet" in (await bob.submit(form)).text
    for verb in (Verb.APPROVE, Verb.REMOVE, Verb.BLOCK):
        pressed = await press(world, world.admin, verb, 3)
        assert pressed.ephemeral_text == (
            "Nobody reported this picture: /mod blocks people, 🗑️ Delete takes pictures away."
        )
    assert await world.store.database.read("SELECT * FROM report", {}) == []
    assert world.messages(channel) == []
    assert await deeds(world, Deed.PREFERENCES) == [(Deed.PREFERENCES, world.admin.id, None, None)] * 2


async def test_ten_reports_a_day(start_world: StartWorld) -> None:
    """Of one person; others and the next day are another matter."""
    world = await start_world(limits={"credits_per_day": 99, "pending": 20})
    bob = world.person("bob")
    channel = await den(world)
    for number in range(1, 12):
        await world.imagined(number)
    answers = [
        await bob.submit(await bob.menu(world.message(number), commands.REPORT)) for number in range(1, 12)
    ]
    assert [answer.text for answer in answers[:10]] == [THANKS] * 10
    assert answers[10].text.startswith("You reported 10 pictures within a day")
    await reported(world, channel, 10)
    carl = world.person("carl")
    assert (await carl.submit(await carl.menu(world.message(11), commands.REPORT))).text == THANKS
    world.advance(24 * 3600 + 1)
    assert (await bob.submit(await bob.menu(world.message(11), commands.REPORT))).text == THANKS


async def test_admins_and_oneself_are_not_blocked_for_a_report(world: World) -> None:
    """Whoever left may still be blocked; a length that is none is refused."""
    mo, bob = moderator(world), world.person("bob")
    channel = await den(world)
    for number, who in enumerate((world.admin, mo, bob), 1):
        await world.imagine(who)
        await world.reaches(number, JobState.DELIVERED)
        await world.alice.submit(await world.alice.menu(world.message(number), commands.REPORT))
    his, own, theirs = await reported(world, channel, 3)
    world.guild.left.add(bob.id)

    async def blocked(told: Message, **given: Any) -> str:
        return (await mo.submit(await mo.click(told, "Block …"), **given)).text

    assert "can't be blocked" in await blocked(his)
    assert await blocked(own) == "You can't block yourself: name somebody else."
    assert await blocked(theirs, duration=["7"]) == "“7” is not something this option takes."
    assert await world.store.database.read("SELECT * FROM block", {}) == []
    assert await blocked(theirs, duration=["0"]) == f"<@{bob.id}> can make no pictures here any more."
    refused = await world.alice.click(theirs, "Block …")
    assert refused.ephemeral_text == "Only people who may manage messages here can decide that."


# ------------------------------------------------------------------ closed doors


@pytest.mark.parametrize("how", ["closed", "gone"])
async def test_reports_wait_for_a_channel_that_takes_them(world: World, how: str) -> None:
    """Who reports is told, and so is an admin who asks; named anew, it shows what waited, with pictures."""
    bob = world.person("bob")
    first, second = await world.imagined(1), await world.imagined(2)
    channel = await den(world)
    await report(world, bob, first)
    (open_there,) = await reported(world, channel)
    if how == "gone":
        await world.discord.delete_channel(channel)
        problem = "The moderators' channel is gone: an admin can name another with `/mod channel`."
    else:
        await world.discord.set_app_permissions(channel, MEMBER_DEFAULT & ~Permission.ATTACH_FILES)
        problem = f"I can't post in the moderators' channel <#{channel.id}>: ask an admin to give me Attach Files there."
    kept = "🚩 Thank you: your report is kept, but the moderators can't read it yet."
    form = await bob.menu(second, commands.REPORT)
    assert (await bob.submit(form)).ephemeral_text == f"{kept} {problem}"
    shown = await world.admin.slash(world.channel, "mod channel")
    assert shown.text == f"{problem}\n1 report waits to be posted there."
    if how == "closed":
        refused = await world.admin.slash(world.channel, "mod channel", channel=channel)
        assert refused.text == problem
    await world.restart()
    new = await den(world, "another den")
    told = sorted(await reported(world, new, 2), key=lambda message: message.shown_files)
    assert [message.shown_files[0].split("-")[1] for message in told] == ["1", "2"]
    await world.until(lambda: open_there.deleted)
    await world.admin.click(told[0], "Let it stay")
    await world.until(lambda: "let it stay" in told[0].text)


async def test_a_closed_channel_that_opens_again(world: World) -> None:
    """The next start posts what waited, and so does the next report."""
    bob = world.person("bob")
    for number in (1, 2):
        await world.imagined(number)
    channel = await den(world)
    await world.discord.set_app_permissions(channel, MEMBER_DEFAULT & ~Permission.SEND_MESSAGES)
    await bob.submit(await bob.menu(world.message(1), commands.REPORT))
    await world.discord.set_app_permissions(channel, MEMBER_DEFAULT)
    await world.restart()
    await reported(world, channel)
    world.discord.fail_next("POST", f"/channels/{channel.id}/messages", status=403, code=50013)
    await bob.submit(await bob.menu(world.message(2), commands.REPORT))
    carl = world.person("carl")
    await world.until(lambda: world.discord.requests_to("POST", f"/channels/{channel.id}/messages")[1:])
    await carl.submit(await carl.menu(world.message(1), commands.REPORT))
    told = await reported(world, channel, 2)
    assert "Reported by 2 people" in told[0].text


async def test_killed_while_it_posts_it_makes_no_second_message(world: World) -> None:
    """Posted but not written down, the message is found again by the next start, and edited."""
    bob, carl = world.person("bob"), world.person("carl")
    await world.imagined(1)
    channel = await den(world)
    await bob.submit(await bob.menu(world.message(1), commands.REPORT))
    (told,) = await reported(world, channel)
    lost = "UPDATE reported_job SET message_id = NULL, channel_id = NULL, told = 0"
    await world.store.database.write(lost, {})
    await world.restart()
    assert await reported(world, channel) == [told]
    await carl.submit(await carl.menu(world.message(1), commands.REPORT))
    assert await reported(world, channel) == [told]
    assert "Reported by 2 people" in told.text
    world.discord.delete_message(told)
    dave = world.person("dave")
    await dave.submit(await dave.menu(world.message(1), commands.REPORT))
    (anew,) = await reported(world, channel)
    assert "Reported by 3 people" in anew.text


async def test_what_its_person_deletes_moderators_see_no_more(start_world: StartWorld) -> None:
    """Also where the bot ended in between; the message says who deleted it, and its person can still be blocked."""
    world = await start_world(fake=FakeSettings(step_s=0.01))
    bob = world.person("bob")
    channel = await den(world)
    for number in (1, 2):
        message = await world.imagined(number)
        await bob.submit(await bob.menu(message, commands.REPORT))
    first, second = await reported(world, channel, 2)
    await world.alice.click(world.message(1), OfJob(verb=Verb.DELETE, job=1).custom_id)
    await world.until(lambda: not first.attachments)
    await reported(world, channel, 2)
    assert f"🗑️ <@{world.alice.id}> removed it" in first.text
    assert labels(first) == ["Block …"]
    assert len(second.attachments) == 1
    await world.store.jobs.mark_deleted(2, now=world.clock.now(), by_user_id=world.alice.id)
    await world.restart()
    await world.until(lambda: not second.attachments)
    await reported(world, channel, 2)


async def test_a_picture_that_can_not_be_removed_stays_open(world: World) -> None:
    """Where Discord does not let us, moderators are told so and may decide again."""
    mo, bob = moderator(world), world.person("bob")
    message = await world.imagined(1)
    channel = await den(world)
    await bob.submit(await bob.menu(message, commands.REPORT))
    (told,) = await reported(world, channel)
    world.discord.fail_next("DELETE", f"/messages/{message.id}", status=403, code=50013)
    refused = await mo.click(told, "Remove")
    assert refused.ephemeral_text == "I may not delete messages in this channel any more: ask an admin."
    await mo.click(told, "Remove")
    await world.until(lambda: message.deleted)


async def test_words_that_automod_refuses_are_left_out(world: World) -> None:
    """Moderators still learn of the picture, and find it where it stands."""
    bob = world.person("bob")
    message = await world.imagined(1, prompt="a red circle")
    channel = await den(world)
    world.guild.blocked_words.add("red")
    await report(world, bob, message, "so red")
    (told,) = await reported(world, channel)
    assert "red " not in told.text.replace("Reported by", "")
    assert f"<@{bob.id}>" in told.text
    assert str(message.id) in told.text
    assert labels(told) == DECIDING


async def test_the_longest_words_fit(world: World) -> None:
    """Of the longest prompt, of more reports than are shown, and of a block."""
    people = [world.person(f"guest{number}") for number in range(7)]
    message = await world.imagined(1, prompt="漢" * 1000)
    channel = await den(world)
    for who in people:
        form = await who.menu(message, commands.REPORT)
        assert (await who.submit(form, reason="*" * 300)).text == THANKS
    await world.admin.slash(world.channel, "mod block", member=world.alice, duration=0, reason="_" * 200)
    last = world.person("last")
    await last.submit(await last.menu(message, commands.REPORT), reason="")
    (told,) = await reported(world, channel)
    assert "🚩 Reported by 8 people" in told.text
    assert "… and 3 more" in told.text
    assert "for ever" in told.text


async def test_a_copy_in_direct_messages_is_reported_to_its_server(start_world: StartWorld) -> None:
    """Where it was sent by ✉️, and where the bot is open to direct messages."""
    world = await start_world(discord={"direct_messages": True})
    bob = world.person("bob")
    await world.imagined(1)
    channel = await den(world)
    answer = await press(world, bob, Verb.MAIL, 1)
    await world.until(lambda: answer.text == "✉️ I sent it to you.")
    (copy,) = world.messages(world.discord.dm(bob.user))
    assert (await report(world, bob, copy)).text == THANKS
    (told,) = await reported(world, channel)
    assert f"<@{bob.id}>" in told.text


async def test_a_single_picture_is_reported_from_its_info(world: World) -> None:
    """By whoever did not ask for it; their own Info has no such button."""
    bob, channel = world.person("bob"), await den(world)
    message = await world.imagined(1, prompt="a red circle")
    own = await world.alice.click(message, "Info")
    assert own.message is not None
    assert "Report" not in labels(own.message)
    info = await bob.click(message, "Info")
    form = await bob.click(info.message, "Report")
    assert (await bob.submit(form, reason="")).ephemeral_text == THANKS
    (told,) = await reported(world, channel)
    assert f"<@{bob.id}>" in told.text

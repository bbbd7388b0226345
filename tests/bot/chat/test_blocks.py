"""Blocks, from the side of who is blocked and of who blocks: in every way to ask, through restarts, until they end."""

from __future__ import annotations

import re
from typing import Any

import discord

from bot.chat.ids import OfJob, Verb
from bot.job import JobState
from bot.store.audit import Deed
from bot.store.blocks import Block
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.bot.chat.test_favourites import press
from tests.kit.world import Person, World

FOR_EVER, TEN_MINUTES, A_DAY = 0, 600, 86_400
BLOCKED = "You are blocked from making images on this server"


async def block(world: World, who: Person, duration: int = FOR_EVER, **options: Any) -> str:
    answer = await world.admin.slash(world.channel, "mod block", member=who, duration=duration, **options)
    assert answer.ephemeral
    return answer.text


async def deeds(world: World, *which: Deed) -> list[tuple[Any, ...]]:
    entries, _ = await world.store.audit.page(world.guild.id, offset=0, count=99)
    told = [(each.deed, each.by_user_id, each.user_id, each.job_id) for each in reversed(entries)]
    return [each for each in told if each[0] in which]


async def test_who_is_blocked_makes_nothing_until_that_ends(start_world: StartWorld) -> None:
    """What waits is cancelled and refunded; every way to ask tells until when, why and how to appeal, after a restart too."""
    world = await start_world(fake=FakeSettings(step_s=0.4, slots=1))
    bob = world.person("bob")
    await world.imagine()
    await world.until(lambda: world.dispatcher.running())
    await world.imagine()
    asked = await world.alice.slash(world.channel, "imagine", prompt="a {red, blue} fox")
    told = await world.admin.slash(world.channel, "mod appeal", text="Write to <#5>  within\na week.")
    assert told.text == "From now on blocked people read that, too."
    earliest = int(world.clock.now()) + TEN_MINUTES
    text = await block(world, world.alice, TEN_MINUTES, reason="spam, **twice**")
    ends = re.match(rf"<@{world.alice.id}> can make no pictures here; that ends <t:(\d+):R>\.", text)
    assert ends is not None
    assert earliest <= int(ends[1]) <= int(world.clock.now()) + TEN_MINUTES
    assert "Cancelled what they had waiting: 1, not charged." in text
    assert (await world.reaches(2, JobState.CANCELLED)).charged == 0
    message = world.message((await world.reaches(1, JobState.DELIVERED)).id)

    world.fake = FakeSettings()  # of the next engine
    for _ in range(2):
        ways = [
            await world.imagine(),
            await world.alice.click(message, "Reroll"),
            await world.alice.click(message, "Vary (Subtle)"),
            await world.alice.click(asked.message, "Draw them"),
            await world.alice.slash(world.channel, "quota"),
            await world.alice.slash(world.channel, "queue"),
        ]
        for answer in ways:
            lines = (answer.ephemeral_text or "").splitlines()
            start = next(n for n, line in enumerate(lines) if line.startswith(BLOCKED))
            assert lines[start].startswith(f"{BLOCKED}; that ends <t:")
            assert lines[start + 1 : start + 3] == [
                "Reason: spam, **twice**",
                "Write to <#5> within a week.",
            ]
        await world.restart()
    assert await world.jobs_stored() == 2
    await world.imagine(bob)
    await world.reaches(3, JobState.DELIVERED)
    world.advance(TEN_MINUTES + 1)
    assert (await world.admin.slash(world.channel, "mod blocked")).text == "Nobody is blocked here."
    await world.imagined(4)
    assert await deeds(world, Deed.BLOCKED) == [(Deed.BLOCKED, world.admin.id, world.alice.id, None)]


async def test_a_block_is_of_its_server(start_world: StartWorld) -> None:
    """In direct messages it holds for what is asked in the server's name, and not for what is asked in nobody's."""
    world = await start_world(discord={"direct_messages": True})
    await world.imagined(1)
    await world.alice.slash(world.channel, "settings", deliver="private")
    await world.imagine()
    private = (await world.reaches(2, JobState.DELIVERED)).channel_id
    await block(world, world.alice)
    mailbox = world.discord.dm(world.alice.user)
    assert mailbox.id == private
    (theirs,) = world.messages(mailbox)
    refused = await world.alice.click(theirs, "Reroll")
    assert (refused.text or refused.followups[0].text).startswith(f"{BLOCKED}: only its admins")
    answer = await world.alice.slash(mailbox, "imagine", prompt="a red circle")
    await world.in_line(answer)
    await world.reaches(3, JobState.DELIVERED)
    assert await world.jobs_stored() == 3


async def test_who_can_not_be_blocked(world: World) -> None:
    """An admin, a bot, oneself; nor by who is no admin, nor for a time that is none: one sentence, and nothing is stored."""
    boss = world.person("boss", world.guild.roles[-1])
    robot = world.person("robot")
    robot.user.bot = True
    assert "can't be blocked" in await block(world, boss)
    assert await block(world, robot) == "Bots ask for no pictures: there is nothing to block."
    assert await block(world, world.admin) == "You can't block yourself: name somebody else."
    options: dict[str, Any] = {"member": world.alice.user, "duration": 5}
    sent = await world.discord.send_slash(
        world.admin.user, world.channel, "mod block", unchecked=True, **options
    )
    answer = await world.discord.until_answered(sent)
    assert answer.ephemeral_text == "“5” is not something this option takes."
    everything: dict[str, dict[str, Any]] = {
        "block": {"member": robot.user, "duration": 0},
        "unblock": {"member": robot.user},
        "blocked": {},
        "appeal": {"text": "x"},
        "channel": {"channel": world.channel},
    }
    for name, given in everything.items():
        answer = await world.discord.slash(
            world.alice.user, world.channel, f"mod {name}", despite_permissions=True, **given
        )
        assert answer.ephemeral_text == "Only people who may manage this server can do that."
    leafed = await press_page(world, world.alice, "easel:1:blocked:older:0")
    assert leafed == "Only people who may manage this server can do that."
    assert await world.store.database.read("SELECT * FROM block", {}) == []
    assert await world.store.database.read("SELECT * FROM preference", {}) == []
    assert await deeds(world, *Deed) == []


async def press_page(world: World, who: Person, custom_id: str) -> str:
    message = await world.post(discord.ui.Button[Any](label="page", custom_id=custom_id))
    return (await who.click(message, "page")).text


async def test_the_list_is_leafed_through_and_people_are_let_back_in(world: World) -> None:
    """The newest first, with who, why and until when, across a restart; who left is blocked and unblocked like others."""
    people = [world.person(f"guest{number}") for number in range(12)]
    world.guild.left.add(people[0].id)
    for number, who in enumerate(people):
        world.advance(1)
        await block(
            world, who, A_DAY if number % 2 else FOR_EVER, reason=f"*reason* {number} ".ljust(200, "*")
        )
    shown = await world.admin.slash(world.channel, "mod blocked")
    assert shown.text.splitlines()[0] == "**Blocked here** 1–10 of 12"
    assert f"⛔ <@{people[11].id}>: ends <t:" in shown.text
    assert f"⛔ <@{people[10].id}>: for ever, by <@{world.admin.id}> · \\*reason\\* 10 \\*" in shown.text
    await world.restart()
    older = await world.admin.click(shown.message, "Older ▶")
    assert older.text.splitlines()[0] == "**Blocked here** 11–12 of 12"
    assert [f"<@{people[1].id}>" in older.text, f"<@{people[0].id}>" in older.text] == [True, True]
    for who in people[:2]:
        told = await world.admin.slash(world.channel, "mod unblock", member=who)
        assert told.text == f"<@{who.id}> may make pictures again."
    again = await world.admin.click(older.message, "◀ Newer")
    assert again.text.splitlines()[0] == "**Blocked here** 1–10 of 10"
    for who in (people[0], world.alice):
        told = await world.admin.slash(world.channel, "mod unblock", member=who)
        assert told.text.startswith(f"<@{who.id}> is not blocked by /mod block")
    world.guild.left.clear()
    await world.imagine(people[1])
    await world.reaches(1, JobState.DELIVERED)
    assert len(await deeds(world, Deed.BLOCKED)) == 12
    assert await deeds(world, Deed.UNBLOCKED) == [
        (Deed.UNBLOCKED, world.admin.id, who.id, None) for who in people[:2]
    ]


async def test_a_second_block_takes_the_place_of_the_first(world: World) -> None:
    """Its end and its reason hold, whether it is shorter or longer."""
    await block(world, world.alice, FOR_EVER, reason="first")
    await block(world, world.alice, TEN_MINUTES)
    refused = await world.imagine()
    assert refused.text.startswith(f"{BLOCKED}; that ends")
    assert "Reason" not in refused.text
    assert "1–1 of 1" in (await world.admin.slash(world.channel, "mod blocked")).text


async def test_killed_between_a_block_and_what_it_cancels(start_world: StartWorld) -> None:
    """The next start cancels what waits; a block that ended while the bot was away cancels nothing."""
    world = await start_world(fake=FakeSettings(step_s=0.4, slots=1))
    bob, carl = world.person("bob"), world.person("carl")
    for who in (bob, world.alice, carl):
        await world.imagine(who)
    for who, until in ((world.alice, None), (carl, world.clock.now() - 1)):
        await world.store.blocks.put(
            Block(
                guild_id=world.guild.id,
                user_id=who.id,
                by_user_id=world.admin.id,
                reason="",
                at=world.clock.now() - 9,
                until=until,
            )
        )
    world.fake = FakeSettings()  # of the next engine
    await world.restart()
    await world.reaches(2, JobState.CANCELLED)
    for number in (1, 3):
        await world.reaches(number, JobState.DELIVERED)


async def test_the_appeal_is_shown_set_and_taken_away(world: World) -> None:
    """It is read by who is blocked by their limits, too."""
    told = await world.admin.slash(world.channel, "mod appeal")
    assert told.text == "Blocked people read the reason alone: add something with `/mod appeal text:`."
    await world.admin.slash(world.channel, "mod appeal", text="Ask Eve.")
    told = await world.admin.slash(world.channel, "mod appeal")
    assert told.text == "Besides the reason, blocked people read: Ask Eve."
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=0)
    assert (await world.imagine()).text == f"{BLOCKED}: only its admins can change that.\nAsk Eve."
    told = await world.admin.slash(world.channel, "mod appeal", reset=True)
    assert told.text == "Blocked people read the reason alone from now on."
    assert await deeds(world, Deed.PREFERENCES) == [(Deed.PREFERENCES, world.admin.id, None, None)] * 2
    assert (await world.imagine()).text == f"{BLOCKED}: only its admins can change that."


async def test_what_is_there_stays_theirs(world: World) -> None:
    """Who is blocked may still look, star and delete."""
    message = await world.imagined(1)
    await block(world, world.alice)
    assert "a red circle" in (await world.alice.click(message, "Info")).text
    assert (await press(world, world.alice, Verb.STAR, 1)).text.startswith("⭐")
    await world.alice.click(message, OfJob(verb=Verb.DELETE, job=1).custom_id)
    await world.until(lambda: message.deleted)

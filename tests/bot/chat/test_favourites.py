"""⭐, ✉️ and the gallery, from the side of who presses: once, after a restart, and where something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord

from bot.chat.ids import OfJob, Verb
from bot.job import JobState
from bot.store.stars import CLAIM_S
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import Person, World
from workshop.rehearsal.loopback.driver import Answer, Channel, Message, Permission
from workshop.rehearsal.loopback.world import MEMBER_DEFAULT

STARRED, UNSTARRED = "⭐ It is among your favourites", "It is none of your favourites any more."


async def press(world: World, who: Person, verb: Verb, job: int, image: int | None = None) -> Answer:
    """Presses a button that stands in some message of the bot's."""
    name = OfJob(verb=verb, job=job, image=image).custom_id
    message = await world.post(discord.ui.Button[Any](label=name, custom_id=name))
    return await who.click(message, name)


async def star(world: World, who: Person, job: int, image: int | None = None) -> Answer:
    return await press(world, who, Verb.STAR, job, image)


async def hall(world: World) -> Channel:
    """The gallery, as an admin names it."""
    channel = await world.place("hall")
    answer = await world.admin.slash(world.channel, "gallery set", channel=channel)
    assert answer.text == f"Starred pictures are shown in <#{channel.id}> from now on."
    return channel


def shown(world: World, channel: Channel) -> list[Message]:
    return [message for message in world.messages(channel) if message.attachments]


async def copied(world: World, channel: Channel, count: int) -> list[Message]:
    """The copies in the gallery, once there are so many and the rows know each."""
    await world.until(lambda: len(shown(world, channel)) == count)
    await world.finds(
        lambda: world.store.database.read("SELECT message_id FROM gallery_claim", {}),
        lambda rows: {row["message_id"] for row in rows} == {each.id for each in shown(world, channel)},
    )
    return shown(world, channel)


async def test_a_star_is_each_persons_own_and_is_found_after_a_restart(world: World) -> None:
    """Anyone here may star; a second press takes one's own star away; /history shows what is starred, whoever asked for it."""
    message = await world.imagined(1, prompt="a red circle", images=3)
    await world.imagined(2, prompt="a blue square")
    told = [await star(world, who, 1) for who in (world.alice, world.admin, world.alice, world.alice)]
    assert [answer.ephemeral for answer in told] == [True] * 4
    assert [answer.text.startswith(STARRED) for answer in told] == [True, True, False, True]
    assert told[2].text == UNSTARRED
    await star(world, world.admin, 1, 2)
    await star(world, world.alice, 2, 0)
    await world.restart()
    hers = (await world.alice.slash(world.channel, "history", favourites=True)).text
    assert "**Your favourites** 1–2 of 2" in hers
    assert "a red circle" in hers
    his = (await world.admin.slash(world.channel, "history", favourites=True, words="circle")).text
    assert f"<@{world.alice.id}>: [`a red circle`]" in his
    assert "a blue square" not in his
    assert "⭐ image 3" not in his  # he starred all of it as well
    assert (await star(world, world.admin, 1)).text == UNSTARRED
    assert "⭐ image 3" in (await world.admin.slash(world.channel, "history", favourites=True)).text
    await world.alice.select(message, "easel:1:more:1", "delete")
    assert "a red circle" not in (await world.alice.slash(world.channel, "history", favourites=True)).text
    nobody = await world.admin.slash(world.channel, "history", favourites=True)
    assert nobody.text == "You have no favourites here yet: press ⭐ under a picture."


async def test_what_can_not_be_kept(world: World) -> None:
    """A deleted, an unfinished, a failed, a foreign or an unheard-of picture gets one sentence, and no star."""
    await world.imagined(1)
    await world.imagined(2)
    await world.imagined(3)
    await world.imagine()
    await world.store.jobs.mark_deleted(1, now=world.clock.now(), by_user_id=1)
    job = await world.reaches(4, JobState.DELIVERED)
    await world.store.database.write("UPDATE job SET guild_id = 1 WHERE id = 2", {})
    fetched = "UPDATE job SET reason_code = 'channel_gone', reason_values = '{}' WHERE id = 3"
    await world.store.database.write(fetched, {})
    sentences = {
        (1, None): "That image was deleted.",
        (2, None): "This button belongs to an image that this server does not know.",
        (3, None): "Only the person who asked for this image may fetch it.",
        (4, 1): "There is no finished picture to keep here.",
        (99, None): "This button belongs to an image that this server does not know.",
    }
    for verb in (Verb.STAR, Verb.MAIL):
        for (number, image), sentence in sentences.items():
            answer = await press(world, world.admin, verb, number, image)
            assert (answer.text, answer.ephemeral) == (sentence, True)
    again = "UPDATE job SET state = 'queued', finished_at = NULL, charged = cost WHERE id = :id"
    await world.store.database.write(again, {"id": job.id})
    assert (await star(world, world.alice, job.id)).text == "There is no finished picture to keep here."
    assert await world.store.database.read("SELECT * FROM favourite", {}) == []


# ------------------------------------------------------------------ the gallery


async def test_the_first_star_puts_one_copy_into_the_gallery(world: World) -> None:
    """With who asked, the prompt, the picture and the way to its message; no later star posts again, not after a restart either."""
    message = await world.imagined(1, prompt="a red circle", images=2, seed=7)
    channel = await hall(world)
    await star(world, world.admin, 1, 1)
    await copied(world, channel, 1)
    await world.restart()
    (copy,) = shown(world, channel)
    assert (await world.alice.click(copy, "easel:1:star:1:1")).text.startswith(STARRED)
    await star(world, world.person("ben"), 1, 1)
    assert shown(world, channel) == [copy]
    assert copy.text.splitlines()[0] == f"<@{world.alice.id}> `a red circle`"
    assert f"/channels/{world.guild.id}/{world.channel.id}/{message.id})" in copy.text
    assert "seed `8`" in copy.text
    assert [each.filename for each in copy.attachments] == ["easel-1-8.png"]
    assert copy.shown_files == ["easel-1-8.png"]
    assert copy.attachments[0].bytes == message.attachments[1].bytes
    assert (copy.allowed_mentions or {})["parse"] == []

    assert (await world.alice.select(message, "easel:1:more:1", "star")).text.startswith(STARRED)
    whole = (await copied(world, channel, 2))[1]
    assert len(whole.attachments) == 2
    await world.alice.select(message, "easel:1:more:1", "delete")
    await world.until(lambda: not shown(world, channel) and not len(world.dispatcher.errands))
    assert await world.store.favourites.owed() == []


async def test_without_a_gallery_nothing_is_posted(world: World) -> None:
    """As long as none is named, in the gallery itself, and after it was switched off, a star is a star alone."""
    await world.imagined(1)
    await star(world, world.alice, 1)
    channel = await hall(world)
    await world.alice.slash(channel, "imagine", prompt="a red circle")
    await world.reaches(2, JobState.DELIVERED)
    before = len(shown(world, channel))
    await star(world, world.alice, 2)
    answer = await world.admin.slash(world.channel, "gallery off")
    assert answer.text.startswith("Starred pictures are shown in no channel any more")
    await star(world, world.admin, 1)
    assert len(shown(world, channel)) == before
    assert await world.store.database.read("SELECT * FROM gallery_claim", {}) == []


async def test_what_keeps_a_copy_from_the_gallery_is_said_and_the_star_holds(world: World) -> None:
    """A missing permission, a refusal, AutoMod, a channel that is gone: one sentence each; the next star after it is mended posts."""
    await world.imagined(1, prompt="a red circle")
    channel, people = await hall(world), [world.person(f"guest{number}") for number in range(6)]

    async def starred(number: int, *words: str) -> None:
        answer = await star(world, people[number], 1)
        await world.until(lambda: all(word in answer.text for word in (STARRED, *words)))

    without = MEMBER_DEFAULT & ~(Permission.ATTACH_FILES | Permission.SEND_MESSAGES)
    await world.discord.set_app_permissions(channel, without)
    await starred(
        0, f"I can't post in the gallery <#{channel.id}>", "give me Send Messages, Attach Files there"
    )
    refused = await world.admin.slash(world.channel, "gallery set", channel=channel)
    assert "give me Send Messages, Attach Files there" in refused.text
    await world.discord.set_app_permissions(channel, MEMBER_DEFAULT)
    world.discord.fail_next("POST", f"/channels/{channel.id}/messages", status=403, code=50013)
    await starred(1, "a later ⭐ tries again")
    world.guild.blocked_words.add("red")
    await starred(2, "AutoMod let no copy into the gallery.")
    world.guild.blocked_words.clear()
    await starred(3)
    await world.until(lambda: len(shown(world, channel)) == 1)
    await world.discord.delete_channel(channel)
    await world.imagined(2)
    answer = await star(world, world.alice, 2)
    await world.until(lambda: "The gallery's channel is gone" in answer.text)
    assert answer.text.startswith(STARRED)
    (row,) = await world.store.database.read("SELECT COUNT(*) AS n FROM favourite", {})
    assert row["n"] == 5


async def test_a_bot_that_is_killed_while_it_posts_makes_no_second_copy(world: World) -> None:
    """Killed after Discord took the copy, the next star finds it; killed before, the next star posts it. Deleted ones go as well."""
    for number in (1, 2):
        await world.imagined(number, images=2)
    channel, claim = await hall(world), world.store.favourites.claim
    await star(world, world.admin, 1)
    await copied(world, channel, 1)
    await star(world, world.admin, 1, 1)
    await copied(world, channel, 2)
    world.discord.delete_message(shown(world, channel)[1])
    await world.store.database.write("UPDATE gallery_claim SET message_id = NULL", {})
    assert await claim(2, None, channel_id=channel.id, user_id=9, now=world.clock.now()) is not None
    for number in (1, 2):  # somebody may still be posting
        await star(world, world.alice, number)
    assert len(shown(world, channel)) == 1
    await world.restart()
    world.advance(CLAIM_S + 1)
    for number, image in ((1, None), (2, None), (1, 1)):
        await star(world, world.person("guest"), number, image)
    copies = await copied(world, channel, 3)
    assert [len(message.attachments) for message in copies] == [2, 2, 1]
    found = "SELECT message_id FROM gallery_claim WHERE job_id = 1 AND image = -1"
    assert (await world.store.database.read(found, {}))[0]["message_id"] == copies[0].id

    await world.store.database.write("UPDATE gallery_claim SET message_id = NULL", {})
    await world.store.jobs.mark_deleted(1, now=world.clock.now(), by_user_id=1)
    await world.restart()
    await world.until(lambda: len(shown(world, channel)) == 1)
    assert "easel-2-" in shown(world, channel)[0].attachments[0].filename


async def test_only_admins_name_the_gallery(world: World) -> None:
    """Whatever Discord was told of who may see the command, the permission is checked."""
    everything: dict[str, dict[str, Any]] = {
        "set": {"channel": world.channel},
        "off": {},
        "sharing": {"on": "on"},
    }
    for command, options in everything.items():
        answer = await world.discord.slash(
            world.alice.user, world.channel, f"gallery {command}", despite_permissions=True, **options
        )
        assert answer.text == "Only people who may manage this server can do that."
    assert await world.store.database.read("SELECT * FROM preference", {}) == []


# ------------------------------------------------------------------ ✉️, and originals that are gone


async def test_a_picture_is_sent_to_whoever_presses(start_world: StartWorld) -> None:
    """By direct message, all of it or one image, after a restart, also when the original is not kept any more; closed doors are told."""
    world = await start_world()
    message = await world.imagined(1, prompt="a red circle", images=2, seed=7)
    await world.restart()
    ben = world.person("ben")
    inbox = world.discord.dm(ben.user)
    answer = await press(world, ben, Verb.MAIL, 1)
    await world.until(lambda: answer.text == "✉️ I sent it to you.")
    assert answer.ephemeral
    (first,) = world.messages(inbox)
    assert first.shown_files == ["easel-1-7.png", "easel-1-8.png"]
    assert f"<@{world.alice.id}> `a red circle`" in first.text
    assert str(message.id) in first.text

    for image in (await world.job(1)).images:
        Path(str(image.path)).unlink()
    channel = await hall(world)
    answer = await press(world, ben, Verb.MAIL, 1, 1)
    await world.until(lambda: answer.text == "✉️ I sent it to you.")
    assert world.messages(inbox)[1].shown_files == ["easel-1-8.png"]
    await star(world, ben, 1)
    await world.until(lambda: shown(world, channel))
    assert shown(world, channel)[0].shown_files == ["easel-1-7.png", "easel-1-8.png"]

    ben.user.takes_dms = False
    answer = await press(world, ben, Verb.MAIL, 1)
    await world.until(lambda: "You take no direct messages from this server" in answer.text)
    world.discord.delete_message(message)
    answer = await press(world, world.admin, Verb.MAIL, 1)
    await world.until(lambda: "This image is not kept any more" in answer.text)
    answer = await star(world, world.admin, 1, 0)
    await world.until(lambda: "The gallery got no copy" in answer.text)
    assert len(shown(world, channel)) == 1

"""Where pictures are asked for: threads, posts, announcement, voice and stage channels, and what each needs and takes."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World
from workshop.rehearsal.loopback.driver import MIB, CannotDo, Channel, Kind, Message, Permission
from workshop.rehearsal.loopback.world import MEMBER_DEFAULT


async def every_place(world: World) -> dict[str, Channel]:
    """One of each kind in which people write, besides a text channel."""
    discord, guild = world.discord, world.guild
    news, voice, stage, forum, media = (
        discord.add_channel(guild, kind.name.lower(), kind=kind)
        for kind in (Kind.ANNOUNCEMENT, Kind.VOICE, Kind.STAGE, Kind.FORUM, Kind.MEDIA)
    )
    places = {
        "public thread": discord.add_thread(world.channel),
        "private thread": discord.add_private_thread(world.channel, bot_is_in=True),
        "post in a forum": discord.add_thread(forum),
        "post in a media channel": discord.add_thread(media),
        "announcement channel": news,
        "announcement thread": discord.add_thread(news),
        "voice channel": voice,
        "stage channel": stage,
    }
    await discord.announce(guild)
    return places


async def test_in_every_kind_of_place(start_world: StartWorld) -> None:
    """The picture is drawn with progress, delivered in its message, taken out, drawn again and linked, before and after a restart."""
    world = await start_world(fake=FakeSettings(step_s=0.01), limits={"pending": 50})
    text, places = world.channel, await every_place(world)
    sets = {name: await drawn(world, place, images=2) for name, place in places.items()}
    await world.restart()
    bob = world.person("bob")
    for name, place in places.items():
        world.channel = place
        there = world.message(sets[name])
        assert len(there.attachments) == 2, name
        assert there.edits >= 2, f"no progress in the {name}"
        taken = await world.alice.click(there, "U2")
        await world.until(lambda taken=taken: taken.message and taken.message.attachments)
        again = await world.alice.click(there, "Reroll")
        shown = await bob.slash(place, "show", number=sets[name])
        await world.until(lambda shown=shown: shown.message and shown.message.attachments)
        row = await job_of(world, again.interaction.id)
        assert (await world.reaches(row, JobState.DELIVERED)).channel_id == place.id, name
        assert len(world.message(row).attachments) == 2, name
    refused = await bob.slash(text, "show", number=sets["private thread"])
    assert "can't see" in (refused.ephemeral_text or "")
    told = await world.alice.slash(world.channel, "history")
    links = [f"/{world.guild.id}/{place.id}/" in told.text for place in [*places.values()][-4:]]
    assert all(links), told.text


async def drawn(world: World, place: Channel, **options: Any) -> int:
    """The number of a job that was asked for and delivered there."""
    world.channel = place
    answer = await world.imagine(**options)
    number = await job_of(world, answer.interaction.id)
    await world.reaches(number, JobState.DELIVERED)
    return number


async def job_of(world: World, interaction_id: int) -> int:
    """The number of what was asked for and answered."""
    sql = "SELECT id FROM job WHERE interaction_id = :id"
    (row,) = await world.store.database.read(sql, {"id": interaction_id})
    return int(row["id"])


async def test_what_each_kind_needs(world: World) -> None:
    """Send Messages counts in channels and Send Messages in Threads in threads; a voice channel needs Connect besides."""
    discord, guild = world.discord, world.guild
    send, in_threads, connect = (
        Permission.SEND_MESSAGES,
        Permission.SEND_MESSAGES_IN_THREADS,
        Permission.CONNECT,
    )
    for kind, missing, is_thread, names in (
        (Kind.TEXT, send, False, "Send Messages"),
        (Kind.TEXT, in_threads, False, None),
        (Kind.TEXT, connect, False, None),
        (Kind.TEXT, in_threads, True, "Send Messages in Threads"),
        (Kind.FORUM, in_threads, True, "Send Messages in Threads"),
        (Kind.FORUM, send, True, None),
        (Kind.VOICE, connect, False, "Connect"),
        (
            Kind.STAGE,
            connect | send | Permission.ATTACH_FILES,
            False,
            "Connect, Send Messages and Attach Files",
        ),
    ):
        channel = discord.add_channel(guild, "x", kind=kind, app_permissions=MEMBER_DEFAULT & ~missing)
        place = discord.add_thread(channel) if is_thread else channel
        await discord.announce(guild)
        before = await world.jobs_stored()
        if names is None:
            await drawn(world, place)
            continue
        told = await world.alice.slash(place, "imagine", prompt="a red circle")
        assert f"give me {names} in this channel." in (told.ephemeral_text or ""), (kind, told.text)
        assert await world.jobs_stored() == before


async def test_threads_that_are_archived_or_locked(start_world: StartWorld) -> None:
    """A moderator's wish in a locked thread gets a sentence; a thread archived meanwhile is opened again by its picture."""
    world = await start_world(fake=FakeSettings(step_s=0.01))
    thread = world.discord.add_thread(world.channel)
    mods = world.discord.add_role(world.guild, "mods", permissions=Permission.MANAGE_THREADS)
    await world.discord.announce(world.guild)
    mo = world.person("mo", mods)
    await world.discord.set_thread(thread, locked=True)
    told = await mo.slash(thread, "imagine", prompt="a red circle")
    assert "This thread is locked" in (told.ephemeral_text or "")
    with pytest.raises(CannotDo, match="locked"):
        await world.alice.slash(thread, "imagine", prompt="a red circle")
    assert await world.jobs_stored() == 0

    await world.discord.set_thread(thread, locked=False)
    hold = world.discord.hold_next("PATCH", f"/channels/{thread.id}/")
    world.channel = thread
    answer = await world.imagine()
    await world.until(lambda: hold.entered)
    await world.discord.set_thread(thread, archived=True)
    hold.release()
    await world.reaches(1, JobState.DELIVERED)
    assert answer.message is not None
    assert answer.message.deleted
    assert not thread.archived
    assert len(world.message(1).attachments) == 1
    await world.restart()
    assert "a red circle" in (await world.alice.click(world.message(1), "Info")).text


async def test_a_post_has_its_forums_defaults(world: World) -> None:
    """A forum takes no commands, so /channel in a post is about all of its posts; a thread goes by its own, then its channel's."""
    forum = world.discord.add_channel(world.guild, "forum", kind=Kind.FORUM)
    one, other = world.discord.add_thread(forum), world.discord.add_thread(forum)
    thread = world.discord.add_thread(world.channel)
    await world.discord.announce(world.guild)
    told = await world.admin.slash(one, "channel", images=2, spoiler=True)
    assert "this forum's posts have" in (told.ephemeral_text or "")
    await world.admin.slash(world.channel, "channel", images=3, aspect="3:2")
    await world.admin.slash(thread, "channel", images=4)
    await world.restart()
    numbers = [await drawn(world, place) for place in (other, thread)]
    jobs = [await world.job(number) for number in numbers]
    assert [job.request.images for job in jobs] == [2, 4]
    assert [job.spoiler for job in jobs] == [True, False]
    assert jobs[1].request.width > jobs[1].request.height


# ------------------------------------------------------------------ how large a file may be


async def test_what_is_larger_than_the_place_takes(world: World) -> None:
    """Delivered, taken out, shown and fetched as WebP or JPEG where the PNG is too large, after a restart too.

    Where no form fits, that is one sentence.
    """
    world.channel = await world.place("voice", kind=Kind.VOICE)
    whole = await drawn(world, world.channel, images=2)
    assert names(world.message(whole)) == [".png", ".png"]
    world.guild.attachment_size_limit = 1500
    assert names(world.message(await drawn(world, world.channel))) == [".webp"]

    world.alice.user.takes_dms = False
    shut = world.discord.fail_next("PATCH", "/channels/", status=403, code=50013, times=3)
    await world.imagine()
    await world.reaches(3, JobState.FAILED)
    shut.times = 0
    world.guild.attachment_size_limit = 10 * MIB
    page = await world.alice.slash(world.channel, "history")
    await turn_to_noise(world)
    world.guild.attachment_size_limit = limit = 40_000
    for _ in range(2):
        fetched = await world.alice.click(page.message, "Show 3")
        taken = await world.alice.click(world.message(whole), "U2")
        shown = await world.alice.slash(world.channel, "show", number=whole)
        for answer, count in ((fetched, 1), (taken, 1), (shown, 2)):
            await world.until(lambda answer=answer: answer.message and answer.message.attachments)
            assert answer.message is not None
            assert names(answer.message) == [".jpg"] * count
            assert all(len(file.bytes) <= limit for file in answer.message.attachments)
        await world.restart()

    world.guild.attachment_size_limit = 500
    taken = await world.alice.click(world.message(whole), "U2")
    await world.until(lambda: "too large for Discord here, even as a JPEG" in taken.text)


async def turn_to_noise(world: World) -> None:
    """What lies in the spool grows to 64 KiB a picture, in files of the names that the rows know."""
    noise = BytesIO()
    Image.effect_noise((256, 256), 90).save(noise, "PNG")
    assert len(noise.getvalue()) > 60_000
    for path in world.settings.spool.glob("*.png"):
        path.write_bytes(noise.getvalue())
    for number in range(2):
        sql = f"UPDATE job SET images = json_set(images, '$[{number}].sha256', :digest) WHERE json_array_length(images) > {number}"
        await world.store.database.write(sql, {"digest": sha256(noise.getvalue()).hexdigest()})


def names(message: Message) -> list[str]:
    """What the files' names end in."""
    return [Path(file.filename).suffix for file in message.attachments]


# ------------------------------------------------------------------ by direct message too


async def test_by_direct_message_too(world: World) -> None:
    """Who set it gets each delivered picture once in private as well; closed direct messages and other people cost nothing."""
    alice, mailbox = world.alice, world.discord.dm(world.alice.user)
    told = await alice.slash(world.channel, "settings", deliver="mail")
    assert "come to you by direct message too" in (told.ephemeral_text or "")
    assert "prefer nothing" not in told.text
    await world.imagine(world.admin)
    await world.reaches(1, JobState.DELIVERED)
    await drawn(world, world.channel, images=2)
    await world.until(lambda: len(world.messages(mailbox)) == 1)
    (sent,) = world.messages(mailbox)
    assert [file.filename for file in sent.attachments] == [
        file.filename for file in world.message(2).attachments
    ]
    assert f"/{world.channel.id}/{world.message(2).id}" in sent.text

    await world.restart()
    shut = world.discord.fail_next("PATCH", "/channels/", status=403, code=50013, times=1)
    await drawn(world, world.channel)  # it goes there for want of a channel, and not twice
    alice.user.takes_dms = False
    await drawn(world, world.channel)
    posts = world.discord.requests_to
    await world.until(lambda: any(each.status == 403 for each in posts("POST", f"/channels/{mailbox.id}/")))
    alice.user.takes_dms = True
    told = await alice.slash(world.channel, "settings", deliver="here", images=2)
    assert "direct message" not in told.text
    await drawn(world, world.channel)
    await world.alice.slash(world.channel, "settings", deliver="mail")
    last = await drawn(world, world.channel)
    await world.until(lambda: mailed(world, mailbox)[-1] == last)
    assert shut.hits == 1
    assert mailed(world, mailbox) == [2, 3, last]

    with pytest.raises(CannotDo, match="not offered here"):
        await alice.slash(mailbox, "imagine", prompt="a red circle")


def mailed(world: World, mailbox: Channel) -> list[int]:
    """The jobs whose pictures stand there."""
    return [int(each.shown_files[0].split("-")[1]) for each in world.messages(mailbox)]

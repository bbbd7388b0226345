"""What is kept of a person: they see it, have it sent to them, and have it gone, through kills and while they draw."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from pathlib import Path
from typing import Any

from bot.core import exports
from bot.job import JobState
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import Person, World
from workshop.rehearsal.bot import png
from workshop.rehearsal.loopback.driver import Channel, Message

NOTHING_KEPT = "Nothing about you is kept here."


# ------------------------------------------------------------------ shown


async def test_each_kind_is_counted(start_world: StartWorld, tmp_path: Path) -> None:
    """From all servers and direct messages, with how long it is kept; what is others' is none of it."""
    world = await start_world(
        data={"dir": str(tmp_path), "retention_days": 9}, discord={"direct_messages": True}
    )
    await world.imagined(1, prompt="a red circle")
    await world.imagined(2, prompt="a blue circle", who=world.admin)
    mailbox = world.discord.dm(world.alice.user)
    await world.in_line(await world.alice.slash(mailbox, "imagine", prompt="a green circle"))
    await world.reaches(3, JobState.DELIVERED)
    await world.alice.slash(world.channel, "settings", images=2, quality="high")
    await world.alice.click(world.message(1), "Favourite")
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=50, pending=2)
    told = (await world.alice.slash(world.channel, "privacy show")).ephemeral_text or ""
    assert told.splitlines()[1:] == [
        "- 2 requests: their words, settings and times, what they cost, where they stand",
        "- your pictures and what you attached, as files on the bot's disk for 9 days",
        "- 1 favourite",
        "- 2 of your /settings",
        "- 0 searches, each for thirty days",
        "- 0 styles that you added to servers",
        "- 2 limits that admins set for you",
        "- 2 lines in the logs of servers, about what you did or what was done about yours",
        "/privacy export sends it to you, /privacy delete has it deleted.",
    ]


# ------------------------------------------------------------------ sent to them


async def sent(world: World, who: Person, place: Channel | None = None) -> list[Message]:
    """The messages with the files, once the last one is there."""
    place, messages = place or world.channel, list[Message]()

    def all_there() -> bool:
        messages[:] = [message for message in world.discord.messages(place) if archives(message)]
        return bool(messages) and not world.client.services.exports.is_under_way(who.id)

    await world.until(all_there)
    return messages


def archives(message: Message) -> list[bytes]:
    return [
        each.bytes
        for each in message.attachments
        if each.filename.startswith("easel-") and each.filename.endswith(".zip")
    ]


def unpacked(messages: list[Message]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for message in messages:
        for data in archives(message):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                assert archive.testzip() is None
                for name in archive.namelist():
                    assert name not in files or name == "easel.json"
                    files[name] = archive.read(name)
    return files


def lines(files: dict[str, bytes]) -> list[dict[str, Any]]:
    names = sorted(name for name in files if name.startswith("jobs"))
    return [json.loads(line) for name in names for line in files[name].decode().splitlines()]


async def test_everything_is_sent_while_its_person_still_draws(world: World) -> None:
    """Words as typed, settings, favourites, pictures and attachments; for their eyes, and nobody else's words in it."""
    photo = png(64, 64)
    await world.imagined(1, prompt="a red circle --seed 7", negative_prompt="blur", image=("me.png", photo))
    await world.imagined(2, prompt="another's star", who=world.admin)
    await world.alice.slash(world.channel, "settings", images=2)
    await world.alice.click(world.message(2), "Favourite")
    await world.imagine(prompt="HANG")
    await world.reaches(3, JobState.RUNNING)
    answer = await world.alice.slash(world.channel, "privacy export")
    assert (answer.ephemeral_text or "").startswith("I am putting it together")
    (message,) = await sent(world, world.alice)
    assert message.ephemeral
    assert message.text == "All about 2 requests of yours. 1 picture is with it."
    files = unpacked([message])
    told = json.loads(files["easel.json"])
    assert told["settings"] == [{"name": "images", "value": "2"}]
    assert [(each["number"], each["image"]) for each in told["favourites"]] == [(2, None)]
    running, done = lines(files)
    assert (running["number"], running["state"], running["request"]["prompt"]) == (3, "running", "HANG")
    assert (done["typed"]["seed"], done["request"]["negative_prompt"]) == (7, "blur")
    assert done["message"].endswith(f"/{world.guild.id}/{world.channel.id}/{world.message(1).id}")
    assert files[f"attached/{done['request']['image']}"] == photo
    assert files["pictures/1-1-0.png"] == world.message(1).attachments[0].bytes
    assert done["pictures"] == ["1-1-0.png"]
    assert b"another's star" not in b"".join(files.values())


async def test_large_ones_come_in_parts_and_by_direct_message_once_the_answer_is_too_old(
    world: World, monkeypatch: Any
) -> None:
    """Each part is an archive of its own; what does not fit is named with a link. A second press meanwhile is told so."""
    monkeypatch.setattr(exports, "PART_BYTES_MAX", exports._ROOM_BYTES + 3000)
    await world.imagined(1, prompt="a red circle", images=2)
    await world.imagined(2, prompt="a blue circle")
    size = sum(len(world.message(number).attachments[0].bytes) for number in (1, 2))
    monkeypatch.setattr(exports, "PICTURES_BYTES_MAX", size)
    mailbox = world.discord.dm(world.alice.user)
    go_on, begun = threading.Event(), exports.by_job
    monkeypatch.setattr(exports, "by_job", lambda folder: begun(folder) if go_on.wait(20) else {})
    first = await world.alice.slash(world.channel, "privacy export")
    again = await world.alice.slash(world.channel, "privacy export")
    assert (
        again.ephemeral_text == "Your export is being put together already: it comes as soon as it is ready."
    )
    world.advance(15 * 60)
    go_on.set()
    await world.until(lambda: any(archives(each) for each in world.messages(mailbox)))
    messages = await sent(world, world.alice, mailbox)
    assert len(messages) > 1
    assert (first.ephemeral_text or "").startswith("I am putting it together")
    assert messages[0].text.startswith(
        "All about 2 requests of yours. 2 pictures are with it. 1 older or larger"
    )
    assert messages[-1].text == f"Part {len(messages)} of {len(messages)}."
    files = unpacked(messages)
    assert {name for name in files if name.startswith("pictures/")} == {
        "pictures/2-1-0.png",
        "pictures/1-1-1.png",
    }
    assert [job["number"] for job in lines(files)] == [2, 1]


async def test_nothing_is_sent_where_nothing_is_kept(world: World) -> None:
    """One sentence; limits that admins set are shown, and are no reason for a file."""
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=50)
    told = await world.alice.slash(world.channel, "privacy export")
    assert told.ephemeral_text == NOTHING_KEPT
    assert not any(archives(message) for message in world.discord.messages(world.channel))


async def test_a_full_disk_and_closed_direct_messages_get_a_sentence(world: World, monkeypatch: Any) -> None:
    """And the next try is a new one."""
    await world.imagined(1)
    with monkeypatch.context() as patched:
        patched.setattr(exports.tempfile, "TemporaryFile", _full)
        await world.alice.slash(world.channel, "privacy export")
        await world.until(lambda: "no room on the bot's disk" in said(world))
    world.discord.fail_next("POST", "/webhooks/", status=400, code=40005)
    await world.alice.slash(world.channel, "privacy export")
    await world.until(lambda: "I could not send all of it" in said(world))
    await world.alice.slash(world.channel, "privacy export")
    assert await sent(world, world.alice)


def _full(**_options: Any) -> Any:
    raise OSError(28, "No space left on device")


def said(world: World) -> str:
    return "\n".join(message.text for message in world.discord.messages(world.channel) if message.ephemeral)

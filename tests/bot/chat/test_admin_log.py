"""/admin log: who did what."""

from __future__ import annotations

import csv
import io

from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import Person, World


async def log(world: World) -> list[str]:
    """The lines of its first page, without their times."""
    told = await world.admin.slash(world.channel, "admin log")
    return [line.partition("R> by ")[2] or line for line in told.text.splitlines()]


async def test_who_did_what_is_in_one_log(start_world: StartWorld) -> None:
    """Limits, words, styles, channels and the day; who cancelled and deleted whose; what each prefers for themselves is not."""
    world = await start_world()
    told = await world.admin.slash(world.channel, "admin log")
    assert told.ephemeral_text == (
        "Nothing is in the log yet: it has what admins change, and who cancels and deletes what."
    )
    refused = await world.alice.slash(world.channel, "admin log", despite_permissions=True)
    assert "manage this server" in (refused.ephemeral_text or "")
    await world.alice.slash(world.channel, "settings", images=2)
    admin = world.admin
    await admin.slash(world.channel, "limits set", credits=5)
    await admin.slash(world.channel, "limits timezone", zone="Europe/Rome")
    await admin.slash(world.channel, "mod words add", words="nud*, ink")
    await admin.slash(world.channel, "mod words add", words="nud*, oil")
    await admin.slash(world.channel, "mod words remove", words="ink")
    await admin.slash(world.channel, "mod words remove", words="pen")
    await admin.slash(world.channel, "style add", name="Foggy", prompt="in fog")
    await admin.slash(world.channel, "style remove", name="foggy")
    await admin.slash(world.channel, "channel", images=3, everywhere=True)
    await admin.slash(world.channel, "channel", spoiler=True)
    await admin.slash(world.channel, "channel", reset=True)
    message = await world.imagined(1, prompt="a red circle")
    await admin.select(message, "easel:1:more:1", "delete")
    await world.until(lambda: not len(world.dispatcher.errands))
    by, her = f"<@{admin.id}>", f"<@{world.alice.id}>"
    assert await log(world) == [
        "**Log** 1–10 of 11",
        f"{by}: deleted picture 1 of {her}.",
        f"{by}: <#{world.channel.id}> is as it was at first.",
        f"{by}: set for <#{world.channel.id}>: spoiler = on.",
        f"{by}: set for the server: images = 3.",
        f"{by}: the style “foggy” is gone.",
        f"{by}: the style “Foggy” is new.",
        f"{by}: forbidden words: 0 new, 1 gone (ink).",
        f"{by}: forbidden words: 1 new, 0 gone (oil).",
        f"{by}: forbidden words: 2 new, 0 gone (nud\\*, ink).",
        f"{by}: the day begins by the clock of Europe/Rome.",
    ]


async def test_the_log_is_leafed_through_and_exported(start_world: StartWorld) -> None:
    """After a restart, too; as a table in which no cell is a formula."""
    world = await start_world()
    for credits_ in range(11):
        await world.admin.slash(world.channel, "limits set", credits=credits_ + 1)
    await world.admin.slash(world.channel, "style add", name="=1+1", prompt="in fog")
    page = await world.admin.slash(world.channel, "admin log")
    assert "1–10 of 12" in page.text
    await world.restart()
    await world.admin.click(page.message, "Older ▶")
    assert "11–12 of 12" in page.text
    exported = await world.admin.slash(world.channel, "admin log", file=True)
    await world.until(lambda: exported.message and exported.message.attachments)
    assert exported.message is not None
    (file,) = exported.message.attachments
    rows = list(csv.DictReader(io.StringIO(file.bytes.decode("utf-8-sig"))))
    assert len(rows) == 12
    assert (rows[0]["deed"], rows[0]["by_user_id"]) == ("styles", str(world.admin.id))
    assert rows[0]["at"].endswith("+00:00")
    assert rows[0]["details"] == '{"name": "=1+1", "is_there": true}'


async def test_the_operator_reads_what_concerns_the_whole_bot(start_world: StartWorld) -> None:
    """Which is nobody else's, and not in a server's own log."""
    world = await start_world()
    operator = Person(world.discord, world.discord.owner)
    for number in range(11):
        await operator.slash(
            world.channel, "admin pause", despite_permissions=True, everywhere=True, reason=f"no. {number}"
        )
    refused = await world.admin.slash(world.channel, "admin log", everywhere=True)
    assert (
        refused.ephemeral_text
        == "Only whoever runs this bot can do that: the application's owner or its team."
    )
    page = await operator.slash(world.channel, "admin log", despite_permissions=True, everywhere=True)
    assert "paused requests: no. 10" in page.text
    await operator.click(page.message, "Older ▶")
    assert "paused requests: no. 0" in page.text
    assert "Nothing is in the log yet" in (
        (await world.admin.slash(world.channel, "admin log")).ephemeral_text or ""
    )


async def test_what_people_do_in_direct_messages_is_in_no_log(start_world: StartWorld) -> None:
    """Their own pictures there, cancelled or deleted, are nobody else's business, not even the operator's."""
    world = await start_world(fake=FakeSettings(slots=1), discord={"direct_messages": True})
    mailbox = world.discord.dm(world.alice.user)
    await world.in_line(await world.alice.slash(mailbox, "imagine", prompt="a green circle"))
    job = await world.reaches(1, JobState.DELIVERED)
    hanging = await world.alice.slash(mailbox, "imagine", prompt="HANG")
    await world.reaches(2, JobState.RUNNING)
    await world.alice.click(hanging.message, "Cancel")
    await world.reaches(2, JobState.CANCELLED)
    (message,) = [each for each in world.messages(mailbox) if each.id == job.message_id]
    await world.alice.click(message, "Delete")
    await world.until(lambda: message.deleted)
    operator = Person(world.discord, world.discord.owner)
    told = await operator.slash(world.channel, "admin log", despite_permissions=True, everywhere=True)
    assert (told.ephemeral_text or "").startswith("Nothing is in the log yet")

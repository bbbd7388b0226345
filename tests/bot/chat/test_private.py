"""Pictures that only their person sees: asked for anywhere, drawn in direct messages, found by nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.bot.chat.test_favourites import hall, star
from tests.kit.world import Person, World
from workshop.rehearsal.bot import png
from workshop.rehearsal.loopback.driver import Answer, Channel, Message

ALONE = "It comes to you alone"
CLOSED = "you take none from me"


async def keep_private(world: World, who: Person) -> Channel:
    """Their direct messages, to which all comes from now on."""
    told = await who.slash(world.channel, "settings", deliver="private")
    assert "Nobody else sees what you ask for" in (told.ephemeral_text or "")
    return world.discord.dm(who.user)


async def drawn(world: World, mailbox: Channel, answer: Answer, number: int) -> Message:
    """The message of a private job that was asked for in the channel, once it shows its pictures."""
    await world.until(lambda: ALONE in answer.text)
    assert answer.ephemeral
    job = await world.reaches(number, JobState.DELIVERED)
    assert (job.channel_id, job.guild_id) == (mailbox.id, world.guild.id)
    message = world.discord.message(mailbox, job.message_id or 0)
    assert f"/@me/{mailbox.id}/{message.id}" in answer.text
    assert len(message.attachments) == job.request.images
    return message


async def test_neither_words_nor_picture_are_seen_in_the_channel(world: World) -> None:
    """The command, buttons under others' pictures and under one's own there, a form, after restarts; the settings' way back."""
    public = await world.imagined(1, who=world.admin, prompt="a blue square")
    seen = len(world.messages())
    mailbox = await keep_private(world, world.alice)
    asked = await world.imagine(prompt="a red circle", images=2)
    first = await drawn(world, mailbox, asked, 2)
    assert first.edits >= 2, "no progress"
    again = await world.alice.click(public, "Reroll")
    await drawn(world, mailbox, again, 3)
    await world.restart()

    for number, button in ((4, "Reroll"), (5, "V2")):
        await world.alice.click(first, button)
        made = await world.reaches(number, JobState.DELIVERED)
        assert (made.private, made.channel_id, made.parent_id) == (True, mailbox.id, 2)
    taken = await world.alice.click(first, "U1")
    await world.until(lambda: taken.message and taken.message.attachments)
    assert taken.message is not None
    form = await world.alice.click(taken.message, "Remix")
    await world.restart()
    await world.alice.submit(form, prompt="a green star")
    remixed = await world.reaches(6, JobState.DELIVERED)
    assert (remixed.request.prompt, remixed.channel_id) == ("a green star", mailbox.id)
    assert "a green star" in (await world.alice.click(world.messages(mailbox)[-1], "Info")).text
    assert len(world.messages()) == seen

    await world.alice.select(first, "easel:1:more:2", "delete")
    await world.until(lambda: first.deleted)
    told = await world.alice.slash(world.channel, "settings", deliver="here")
    assert "Nobody else" not in told.text
    await world.imagine(prompt="a red circle")
    await world.reaches(7, JobState.DELIVERED)
    assert len(world.messages()) == seen + 1


async def test_nobody_else_finds_it(start_world: StartWorld) -> None:
    """Not in /queue, /history, /show, the gallery, nor under what stands in the channel; its person finds it, alone."""
    world = await start_world(fake=FakeSettings(step_s=0.05))
    mailbox, gallery = await keep_private(world, world.alice), await hall(world)
    await world.admin.slash(world.channel, "gallery sharing", on="on")
    await world.alice.slash(world.channel, "settings", deliver="here")
    public = await world.imagined(1, prompt="a blue square")
    await world.alice.slash(world.channel, "settings", deliver="private")

    asked = await world.imagine(prompt="a secret circle")
    queue = await world.admin.slash(world.channel, "queue")
    assert queue.message is not None
    assert f"<@{world.alice.id}>" in queue.text
    assert [option["label"] for option in world.options(queue.message, "easel:1:cancel_one:0")] == [
        "2 – private"
    ]
    message = await drawn(world, mailbox, asked, 2)
    await world.alice.click(public, "V1" if "V1" in public.text else "Vary (Subtle)")
    await world.reaches(3, JobState.DELIVERED)

    others = await world.admin.slash(world.channel, "history", server="everybody")
    assert "a blue square" in others.text
    assert "secret" not in others.text
    found = await world.admin.slash(world.channel, "history", server="everybody", words="secret")
    assert found.text.startswith("No picture was found")
    refused = await world.admin.slash(world.channel, "show", number=2)
    assert refused.ephemeral_text == "That image is in a channel that you can't see."
    shown = await world.admin.slash(world.channel, "show", number=1)
    await world.until(lambda: shown.message and shown.message.attachments)
    assert "easel:1:child:1" not in str(shown.message and shown.message.components)
    starred = await world.alice.click(message, "Star")
    assert starred.text.startswith("⭐")
    forged = await star(world, world.admin, 2)
    assert forged.text == "This button belongs to an image that this server does not know."
    assert world.messages(gallery) == []

    await world.restart()
    mine = await world.alice.slash(world.channel, "history", words="secret")
    assert f"/@me/{mailbox.id}/{message.id}" in mine.text
    shown = await world.alice.slash(world.channel, "show", number=2)
    await world.until(lambda: shown.message and shown.message.attachments)
    assert shown.ephemeral
    await world.alice.click(shown.message, "Delete")
    await world.until(lambda: shown.message is not None and shown.message.deleted)
    assert not message.deleted
    assert all("secret" not in each.text for each in world.messages())


async def test_from_a_public_message_nobody_is_led_to_it(world: World) -> None:
    """What was made in private from a public picture is no entry under it; what it was made from is shown to its person alone."""
    public = await world.imagined(1, prompt="a blue square")
    await keep_private(world, world.alice)
    await world.alice.click(public, "Reroll")
    await world.reaches(2, JobState.DELIVERED)
    await world.alice.slash(world.channel, "settings", deliver="here")
    private = (await world.job(2)).message_id or 0
    made = await world.alice.click(
        world.discord.message(world.discord.dm(world.alice.user), private), "Reroll"
    )
    assert made.message is not None
    await world.reaches(3, JobState.DELIVERED)
    assert (await world.job(3)).private

    shown = await world.alice.slash(world.channel, "show", number=1)
    await world.until(lambda: shown.message and shown.message.attachments)
    assert "child" not in str([each.custom_id for each in shown.message.buttons] if shown.message else "")
    await world.store.database.write("UPDATE job SET parent_id = 2 WHERE id = 1", {})
    seen = shown.text
    await world.restart()
    shown = await world.alice.slash(world.channel, "show", number=1)
    await world.until(lambda: shown.message and shown.message.attachments)
    led = await world.alice.click(shown.message, "easel:1:parent:1")
    await world.until(lambda: led.message and led.message.attachments)
    assert led.ephemeral
    assert led.message is not shown.message
    assert seen in shown.text or shown.text.startswith(seen.splitlines()[0])


# ------------------------------------------------------------------ where something is in the way


async def test_closed_direct_messages_are_told_before_anything_is_drawn(world: World) -> None:
    """One sentence, nothing charged; once they are open, it works."""
    mailbox = await keep_private(world, world.alice)
    world.alice.user.takes_dms = False
    answer = await world.imagine(prompt="a red circle")
    await world.until(lambda: CLOSED in answer.text)
    assert answer.ephemeral
    assert "Nothing was charged." in answer.text
    refused = await world.reaches(1, JobState.CANCELLED)
    assert (refused.charged, refused.attempt) == (0, 0)
    world.alice.user.takes_dms = True
    await drawn(world, mailbox, await world.imagine(), 2)
    assert world.messages() == []


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_bot_that_ends_while_it_sends_the_message(world: World, *, is_there: bool) -> None:
    """Sent by the next start, or found there, once; the answer in the channel says where it is."""
    mailbox = await keep_private(world, world.alice)
    hold = world.discord.hold_next("POST", f"/channels/{mailbox.id}/messages", apply=is_there)
    asked = await world.alice.slash(world.channel, "imagine", prompt="a red circle")
    await world.until(lambda: hold.entered)
    await world.restart()
    hold.release()
    await drawn(world, mailbox, asked, 1)
    assert len(world.messages(mailbox)) == 1


async def test_closed_while_the_bot_was_away(world: World) -> None:
    """Who asked is told at the next start, and pays nothing."""
    mailbox = await keep_private(world, world.alice)
    hold = world.discord.hold_next("POST", f"/channels/{mailbox.id}/messages")
    asked = await world.alice.slash(world.channel, "imagine", prompt="a red circle")
    await world.until(lambda: hold.entered)
    world.alice.user.takes_dms = False
    await world.restart()
    hold.release()
    await world.until(lambda: CLOSED in asked.text)
    assert (await world.reaches(1, JobState.CANCELLED)).charged == 0


async def test_long_after_the_interactions_token(start_world: StartWorld) -> None:
    """The picture comes all the same; a private one of several people's line too."""
    world = await start_world(fake=FakeSettings(step_s=0.1))
    mailbox = await keep_private(world, world.alice)
    asked = await world.imagine(prompt="a red circle")
    await world.until(lambda: ALONE in asked.text)
    await world.reaches(1, JobState.RUNNING)
    world.advance(20 * 60)
    await world.restart()
    await drawn(world, mailbox, asked, 1)


async def test_what_direct_messages_take_no_more_waits_in_history(world: World) -> None:
    """Refunded, and fetched there for what it costs, by its person alone."""
    mailbox = await keep_private(world, world.alice)
    shut = world.discord.fail_next("PATCH", f"/channels/{mailbox.id}/", status=403, code=50001, times=100)
    await world.imagine(prompt="a red circle")
    failed = await world.reaches(1, JobState.FAILED)
    assert failed.charged == 0
    shut.times = 0
    await world.restart()
    page = await world.alice.slash(world.channel, "history")
    fetched = await world.alice.click(page.message, "Show 1")
    await world.until(lambda: fetched.message and fetched.message.attachments)
    assert fetched.ephemeral
    assert (await world.job(1)).state is JobState.DELIVERED
    assert world.messages() == []


# ------------------------------------------------------------------ several at once, and attached pictures


async def test_alternatives_are_gathered_in_private(world: World) -> None:
    """Asked about, drawn and found again in one direct message; a picture is taken out after a restart."""
    mailbox = await keep_private(world, world.alice)
    asked = await world.alice.slash(world.channel, "imagine", prompt="a {red, blue} circle")
    assert asked.ephemeral
    answer = await world.alice.click(asked.message, "Draw")
    await world.until(lambda: ALONE in answer.text)
    for number in (1, 2):
        await world.reaches(number, JobState.DELIVERED)
    (message,) = world.messages(mailbox)
    await world.until(lambda: len(message.attachments) == 2)
    await world.restart()
    taken = await world.alice.select(message, "easel:1:take:1", "2:0")
    await world.until(lambda: taken.message and taken.message.attachments)
    assert taken.message is not None
    assert taken.message.channel is mailbox
    assert world.messages() == []


async def test_what_is_attached_stays_private(world: World) -> None:
    """A picture to start from is fetched, and nobody sees that something is under way."""
    mailbox = await keep_private(world, world.alice)
    await drawn(world, mailbox, await world.imagine(image=("start.png", png(128, 128))), 1)
    assert world.messages() == []
    hold = world.discord.hold_next("POST", f"/channels/{mailbox.id}/messages")
    for prompt in ("a {red, blue} circle",):
        asked = await world.alice.slash(world.channel, "imagine", prompt=prompt)
        answer = await world.alice.click(asked.message, "Draw")
    await world.until(lambda: hold.entered)
    await world.restart()
    hold.release()
    await world.until(lambda: ALONE in answer.text)
    for number in (2, 3):
        await world.reaches(number, JobState.DELIVERED)
    assert len(world.messages(mailbox)) == 2


# ------------------------------------------------------------------ copies of public pictures


async def test_buttons_under_a_copy_in_direct_messages(world: World, tmp_path: Path) -> None:
    """Asked for in the server's name, by the limits of one's roles there; a copy goes alone; who left draws no more."""
    await world.imagined(1, prompt="a red circle", images=2)
    guest = await world.role("guest")
    ben = world.person("ben", guest)
    mailbox = world.discord.dm(ben.user)
    await world.admin.slash(world.channel, "limits set", role=guest, max_images=2, credits=3)
    await ben.select(world.message(1), "easel:1:more:1", "mail")
    await world.until(lambda: len(world.messages(mailbox)) == 1)
    (copy,) = world.messages(mailbox)
    await world.restart()
    await ben.click(copy, "Reroll")
    job = await world.reaches(2, JobState.DELIVERED)
    assert (job.user_id, job.guild_id, job.channel_id, job.private) == (
        ben.id,
        world.guild.id,
        mailbox.id,
        True,
    )
    assert "a red circle" in (await ben.click(copy, "V1")).text or True
    used = await ben.slash(world.channel, "quota")
    assert "of 3" in used.text or "3 credits" in used.text, used.text
    world.guild.left.add(ben.id)
    told = await ben.click(copy, "Reroll")
    assert told.ephemeral_text == "Only members of the server where this was asked for may draw with it."
    await ben.select(copy, "easel:1:more:1", "delete")
    await world.until(lambda: copy.deleted)
    assert not world.message(1).deleted
    assert world.message(1).attachments

"""Pictures that only their person sees: asked for anywhere, drawn in direct messages, found by nobody else."""

from __future__ import annotations

import pytest

from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.bot.chat.test_favourites import hall, star
from tests.kit.world import Person, World, custom_ids
from workshop.rehearsal.bot import png
from workshop.rehearsal.loopback.driver import Answer, Channel, Message

ALONE = "It comes to you alone"
CLOSED = "you take none from me"
UNKNOWN = "This button belongs to an image that this server does not know."


async def keep_private(world: World, who: Person) -> Channel:
    """Their direct messages, to which all comes from now on."""
    told = await who.slash(world.channel, "settings", deliver="private")
    assert "Nobody else sees what you ask for" in (told.ephemeral_text or "")
    return world.discord.dm(who.user)


async def drawn(world: World, mailbox: Channel, number: int) -> Message:
    """The message of a private job, once it shows its pictures."""
    job = await world.reaches(number, JobState.DELIVERED)
    assert (job.private, job.channel_id, job.guild_id) == (True, mailbox.id, world.guild.id)
    message = world.discord.message(mailbox, job.message_id or 0)
    assert len(message.attachments) == job.request.images
    return message


async def led_there(world: World, answer: Answer, message: Message) -> None:
    """Who asked reads in the channel, alone, where it is."""
    await world.until(lambda: ALONE in answer.text)
    assert answer.ephemeral
    assert f"/@me/{message.channel.id}/{message.id}" in answer.text


async def shown(world: World, answer: Answer) -> Message:
    """What was asked to be shown again."""
    await world.until(lambda: answer.message is not None and answer.message.attachments)
    assert answer.message is not None
    return answer.message


async def test_neither_words_nor_picture_are_seen_in_the_channel(world: World) -> None:
    """By command, by buttons under others' pictures and one's own, by a form, after restarts; and the settings' way back."""
    public = await world.imagined(1, who=world.admin, prompt="a blue square")
    seen = len(world.messages())
    mailbox = await keep_private(world, world.alice)
    asked = await world.imagine(prompt="a red circle", images=2)
    first = await drawn(world, mailbox, 2)
    await led_there(world, asked, first)
    assert first.edits >= 2, "no progress"
    again = await world.alice.click(public, "Reroll")
    await led_there(world, again, await drawn(world, mailbox, 3))
    await world.restart()

    for number, button in ((4, "Reroll"), (5, "V2")):
        await world.alice.click(first, button)
        await drawn(world, mailbox, number)
        assert (await world.job(number)).parent_id == 2
    taken = await shown(world, await world.alice.click(first, "U1"))
    assert taken.channel is mailbox
    form = await world.alice.click(taken, "Remix")
    await world.restart()
    await world.alice.submit(form, prompt="a green star")
    remixed = await drawn(world, mailbox, 6)
    assert (await world.job(6)).request.prompt == "a green star"
    assert "a green star" in (await world.alice.select(remixed, "easel:1:more:6", "info")).text
    assert len(world.messages()) == seen

    await world.alice.select(first, "easel:1:more:2", "delete")
    await world.until(lambda: first.deleted and taken.deleted)
    told = await world.alice.slash(world.channel, "settings", deliver="here")
    assert "Nobody else" not in told.text
    await world.imagined(7)
    assert len(world.messages()) == seen + 1


async def test_who_moderates_sees_that_it_waits_and_reads_no_words(world: World) -> None:
    """Whoever may cancel it may, by its number; its person reads who did."""
    mailbox = await keep_private(world, world.alice)
    asked = await world.imagine(prompt="a secret HANG")
    await world.until(lambda: world.dispatcher.running() and ALONE in asked.text)
    (message,) = world.messages(mailbox)
    queue = await world.admin.slash(world.channel, "queue")
    assert f"<@{world.alice.id}>" in queue.text
    assert "secret" not in queue.text
    assert queue.message is not None
    (option,) = world.options(queue.message, "easel:1:cancel_one:0")
    assert option["label"] == "1 – private"
    own = await world.alice.slash(world.channel, "queue")
    assert "a secret HANG" in own.text
    await world.admin.select(queue.message, "easel:1:cancel_one:0", "1")
    await world.until(lambda: f"Cancelled by <@{world.admin.id}>" in message.text)
    assert world.messages() == []


async def test_nobody_else_finds_it(world: World) -> None:
    """Not by /history, /show, a gallery or a forged button; its person does, after a restart, and alone."""
    gallery = await hall(world)
    await world.admin.slash(world.channel, "gallery sharing", on="on")
    await world.imagined(1, prompt="a blue square")
    mailbox = await keep_private(world, world.alice)
    await world.imagine(prompt="a secret circle", images=2)
    message = await drawn(world, mailbox, 2)

    everybody = await world.admin.slash(world.channel, "history", server="everybody")
    assert "a blue square" in everybody.text
    assert "secret" not in everybody.text
    nothing = await world.admin.slash(world.channel, "history", server="everybody", words="secret")
    assert nothing.text.startswith("No picture was found")
    refused = await world.admin.slash(world.channel, "show", number=2)
    assert refused.ephemeral_text == "That image is in a channel that you can't see."
    assert (await star(world, world.admin, 2)).text == UNKNOWN
    starred = await world.alice.select(message, "easel:1:more:2", "star")
    assert starred.text.startswith("⭐ It is among your favourites")

    await world.restart()
    mine = await world.alice.slash(world.channel, "history", words="secret")
    assert f"/@me/{mailbox.id}/{message.id}" in mine.text
    answer = await world.alice.slash(world.channel, "show", number=2)
    copy = await shown(world, answer)
    assert answer.ephemeral
    assert (await world.alice.click(copy, "U2")).ephemeral
    await world.alice.slash(world.channel, "settings", deliver="here")
    again = await world.alice.click(copy, "Reroll")  # what comes of something private is
    await led_there(world, again, await drawn(world, mailbox, 3))
    await world.alice.select(copy, "easel:1:more:2", "delete")
    await world.until(lambda: copy.deleted)
    assert not message.deleted
    assert world.messages(gallery) == []
    assert all("secret" not in each.text for each in world.messages())


async def test_nobody_is_led_to_it_from_what_all_see(world: World) -> None:
    """What was made in private of a public picture is no entry in its menu; what that was made from is shown aside."""
    public = await world.imagined(1, prompt="a blue square")
    mailbox = await keep_private(world, world.alice)
    await world.alice.click(public, "Reroll")
    await drawn(world, mailbox, 2)
    copy = await shown(world, await world.alice.slash(world.channel, "show", number=1))
    assert "easel:1:child:1" not in str(copy.components)

    await world.store.database.write("UPDATE job SET parent_id = 2 WHERE id = 1", {})
    copy = await shown(world, await world.alice.slash(world.channel, "show", number=1))
    before = copy.text
    answer = await world.alice.click(copy, "easel:1:parent:1")
    aside = await shown(world, answer)
    assert answer.ephemeral
    assert "easel:1:child:2" in str(aside.components)
    assert copy.text == before
    assert (
        await world.admin.click(copy, "easel:1:parent:1")
    ).text == "That image is in a channel that you can't see."


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
    await world.imagine()
    await drawn(world, mailbox, 2)
    assert world.messages() == []


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("prompt", ["a red circle", "a {red, blue} circle"])
async def test_a_bot_that_ends_while_it_sends_the_message(
    world: World, prompt: str, *, is_there: bool
) -> None:
    """Sent by the next start, or found there, once, for one or several jobs; the answer in the channel leads there."""
    mailbox = await keep_private(world, world.alice)
    hold = world.discord.hold_next("POST", f"/channels/{mailbox.id}/messages", apply=is_there)
    answer = await world.alice.slash(world.channel, "imagine", prompt=prompt)
    if "{" in prompt:
        answer = await world.alice.click(answer.message, "Draw them")
    await world.until(lambda: hold.entered)
    await world.restart()
    hold.release()
    for number in range(1, 2 + ("{" in prompt)):
        await world.reaches(number, JobState.DELIVERED)
    (message,) = world.messages(mailbox)
    await led_there(world, answer, message)


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
    """The picture comes all the same, from the next process too."""
    world = await start_world(fake=FakeSettings(step_s=0.1))
    mailbox = await keep_private(world, world.alice)
    await world.imagine(prompt="a red circle")
    await world.reaches(1, JobState.RUNNING)
    world.advance(20 * 60)
    await world.restart()
    await drawn(world, mailbox, 1)


async def test_what_direct_messages_take_no_more_waits_in_history(world: World) -> None:
    """Refunded, and fetched there for what it costs, by its person alone."""
    mailbox = await keep_private(world, world.alice)
    shut = world.discord.fail_next("PATCH", f"/channels/{mailbox.id}/", status=403, code=50001, times=100)
    await world.imagine(prompt="a red circle")
    assert (await world.reaches(1, JobState.FAILED)).charged == 0
    shut.times = 0
    await world.restart()
    page = await world.alice.slash(world.channel, "history")
    fetched = await world.alice.click(page.message, "Show 1")
    await shown(world, fetched)
    assert fetched.ephemeral
    assert (await world.job(1)).charged == 1
    assert world.messages() == []


# ------------------------------------------------------------------ several at once, and attached pictures


async def test_alternatives_are_gathered_in_private(world: World) -> None:
    """Asked about, drawn and found again in one direct message; a picture is taken out after a restart."""
    mailbox = await keep_private(world, world.alice)
    asked = await world.alice.slash(world.channel, "imagine", prompt="a {red, blue} circle")
    assert asked.ephemeral
    answer = await world.alice.click(asked.message, "Draw them")
    for number in (1, 2):
        await world.reaches(number, JobState.DELIVERED)
    (message,) = world.messages(mailbox)
    await led_there(world, answer, message)
    await world.until(lambda: len(message.attachments) == 2)
    await world.restart()
    taken = await shown(world, await world.alice.select(message, "easel:1:take:1", "2:0"))
    assert taken.channel is mailbox
    assert world.messages() == []


async def test_what_is_attached_stays_private(world: World) -> None:
    """A picture to start from is fetched, and nobody sees that something is under way."""
    mailbox = await keep_private(world, world.alice)
    asked = await world.imagine(prompt="a cat", image=("start.png", png(128, 128)))
    await led_there(world, asked, await drawn(world, mailbox, 1))
    refused = await world.imagine(prompt="a cat", image=("start.txt", b"no picture"))
    assert refused.ephemeral
    assert world.messages() == []


# ------------------------------------------------------------------ copies of public pictures


async def test_buttons_under_a_copy_in_direct_messages(world: World) -> None:
    """Asked for in the server's name, by the limits of one's roles there; a copy goes alone; who left draws no more."""
    original = await world.imagined(1, prompt="a red circle", images=2)
    guest = await world.role("guest")
    ben = world.person("ben", guest)
    mailbox = world.discord.dm(ben.user)
    await world.admin.slash(world.channel, "limits set", role=guest, max_images=1)
    await ben.select(original, "easel:1:more:1", "mail")
    await world.until(lambda: world.messages(mailbox))
    (copy,) = world.messages(mailbox)
    await world.restart()
    refused = await ben.click(copy, "Reroll")
    await world.until(lambda: refused.followups)
    assert refused.followups[0].text == "2 images are above your limit of 1 per request."
    assert await world.jobs_stored() == 1
    await world.admin.slash(world.channel, "limits reset", role=guest)
    await ben.click(copy, "V1")
    varied = await drawn(world, mailbox, 2)
    assert (await world.job(2)).user_id == ben.id
    assert "easel:1:reroll:2" in custom_ids(varied)
    taken = await shown(world, await ben.click(copy, "U2"))
    assert taken.channel is mailbox

    world.guild.left.add(ben.id)
    told = await ben.click(copy, "V2")
    assert told.ephemeral_text == "Only members of the server where this was asked for may draw with it."
    await ben.select(copy, "easel:1:more:1", "delete")
    await world.until(lambda: copy.deleted)
    assert not original.deleted
    assert (await world.job(1)).deleted_at is None
    assert len(world.messages()) == 1


async def test_buttons_under_what_came_for_want_of_a_channel(world: World) -> None:
    """A picture whose channel was shut came by direct message, and can be varied there."""
    mailbox = world.discord.dm(world.alice.user)
    world.discord.fail_next("PATCH", "/channels/", status=403, code=50013)
    await world.imagine(prompt="a red circle")
    await world.reaches(1, JobState.DELIVERED)
    (message,) = world.messages(mailbox)
    await world.restart()
    await world.alice.click(message, "Vary (Subtle)")
    await drawn(world, mailbox, 2)

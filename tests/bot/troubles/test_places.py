"""Messages, channels, threads and servers go away or shut while an image is made: it finds its person, or costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kit.troubled import trouble
from workshop.rehearsal.bot import png
from workshop.rehearsal.loopback.driver import Permission, Upload

# ------------------------------------------------------------------ messages and channels


async def test_the_end_is_delivered_once_through_bad_weather(tmp_path: Path) -> None:
    """The last edit is repeated until Discord has it; the channel holds one message with one image."""
    async with trouble(tmp_path) as world:
        await world.come()
        outage = world.discord.fail_next("PATCH", "/channels/", status=503, times=2)
        lost = world.discord.fail_next("PATCH", "/channels/", reset=True, apply=True)
        await world.finished(await world.imagine())
        await world.hears(lambda: world.states() == ["delivered"])
        messages = world.discord.posted(world.channel)

        assert (outage.hits, lost.hits) == (2, 1)
        assert len(messages) == 1
        assert len(messages[0].shown_files) == 1


async def test_the_last_edit_waits_for_a_running_one(tmp_path: Path) -> None:
    """A progress edit that hangs in Discord is waited for, so it can't arrive after the gallery and wipe it."""
    async with trouble(tmp_path, step_s=0.02) as world:
        discord = world.discord
        await world.come()
        hold = discord.hold_next("PATCH", "/webhooks/", apply=False)
        answer = await world.imagine()
        await world.hears(lambda: hold.entered)
        await world.hears(lambda: world.states() == ["rendered"])
        assert discord.requests_to("PATCH", "/channels/") == []
        hold.release()
        message = await world.finished(answer)
        await world.hears(lambda: world.states() == ["delivered"])

        assert message.shown_files == [message.attachments[0].filename]


async def test_images_that_may_not_be_posted_any_more_go_to_their_person(tmp_path: Path) -> None:
    """Attach Files is taken away while the image is made: it comes as a direct message, and the channel's says so."""
    async with trouble(tmp_path, step_s=0.2) as world:
        discord = world.discord
        await world.come()
        answer = await world.imagine()
        usual = world.channel.app_permissions
        await discord.set_app_permissions(world.channel, usual & ~Permission.ATTACH_FILES)
        await world.hears(lambda: "direct message" in answer.message.text)
        (sent,) = discord.messages(discord.dm(world.alice.user))

        assert [name.startswith("easel-1-") for name in sent.shown_files] == [True]
        await world.hears(lambda: world.rows("SELECT state, charged FROM job") == [("delivered", 1)])


async def test_a_message_deleted_meanwhile_is_replaced(tmp_path: Path) -> None:
    """10008: one new message with the image, its buttons work, and history leads there."""
    async with trouble(tmp_path, step_s=0.1) as world:
        discord = world.discord
        await world.come()
        answer = await world.imagine()
        discord.delete_message(answer.message)
        await world.ends("delivered")

        (message,) = world.shown()
        assert world.rows("SELECT message_id FROM job") == [(message.id,)]
        await world.finished(await world.alice.click(message, "Reroll"))


async def test_a_channel_deleted_meanwhile_leads_to_a_direct_message(tmp_path: Path) -> None:
    """10003: the image goes to its person, once, and is charged."""
    async with trouble(tmp_path, step_s=0.1) as world:
        await world.come()
        await world.imagine()
        await world.discord.delete_channel(world.channel)
        await world.ends("delivered")

        (message,) = world.shown(world.discord.dm(world.alice.user))
        assert "The channel is gone." in message.text
        assert world.charges() == [1]


async def test_what_nobody_takes_is_refunded_and_kept_in_the_history(tmp_path: Path) -> None:
    """Channel gone and direct messages shut: nothing is charged until its person fetches the image, which costs it once."""
    async with trouble(tmp_path, step_s=0.1) as world:
        discord = world.discord
        world.alice.user.takes_dms = False
        await world.come()
        await world.imagine(seed=42)
        await discord.delete_channel(world.channel)
        await world.ends("failed")
        assert world.rows("SELECT charged, reason_code FROM job") == [(0, "channel_gone")]

        elsewhere = discord.add_channel(world.guild, "elsewhere")
        await discord.announce(world.guild)
        history: Any = (await world.alice.slash(elsewhere, "history")).message
        assert "could not be posted, not charged: 📥 1 for 1 credit" in history.text
        for _ in range(2):
            fetched: Any = await world.alice.click(history, "Show 1")
            await world.hears(lambda shown=fetched: shown.message.shown_files == ["easel-1-42.png"])
            assert fetched.message.ephemeral
            assert world.charges() == [1]
        history = (await world.alice.slash(elsewhere, "history")).message
        assert "could not be posted: 📥 1" in history.text

        (file,) = (world.settings.spool).glob("*.png")
        file.unlink()
        gone = await world.alice.click(history, "Show 1")
        assert "not kept any more" in (gone.ephemeral_text or "")


async def test_what_was_refunded_is_not_handed_out_for_nothing(tmp_path: Path) -> None:
    """Three pictures that nobody took, drawn with one day's credit: one can be fetched, for that credit, and no other."""
    limits = "[limits]\ncredits_per_day = 1\n[ceilings]\ncredits_per_day = 1\n"
    async with trouble(tmp_path, toml=limits, step_s=0.1) as world:
        discord = world.discord
        world.alice.user.takes_dms = False
        await world.come()
        rooms = [discord.add_channel(world.guild, f"room-{number}") for number in range(3)]
        await discord.announce(world.guild)
        for number, room in enumerate(rooms, 1):
            await world.alice.slash(room, "imagine", prompt="a red circle")
            await discord.delete_channel(room)
            await world.ends(*["failed"] * number)
        history: Any = (await world.alice.slash(world.channel, "history")).message
        presses = (1, 2, 3, 1)
        fetched: list[Any] = [await world.alice.click(history, f"Show {n}") for n in presses]
        for answer in fetched[::3]:
            await world.hears(lambda shown=answer: shown.message.shown_files)
        for answer in fetched[1:3]:
            await world.hears(lambda told=answer: "used up" in told.message.text)
            assert not answer.message.shown_files
        assert world.charges() == [1, 0, 0]


# ------------------------------------------------------------------ servers


async def test_a_server_that_is_left_gets_nothing_and_pays_nothing(tmp_path: Path) -> None:
    """Kicked with one job running and two waiting: all are cancelled, refunded and unposted."""
    async with trouble(tmp_path, step_s=0.3, slots=1) as world:
        discord = world.discord
        await world.come()
        for _ in range(3):
            await world.imagine()
        await world.hears(lambda: "running" in world.states())
        await discord.remove_bot(world.guild)
        await world.ends("cancelled", "cancelled", "cancelled")

        assert world.charges() == [0, 0, 0]
        assert discord.requests_to("PATCH", "/channels/") == discord.requests_to("POST", "/channels") == []
        reasons = world.rows("SELECT DISTINCT reason_code FROM job")
        assert reasons == [("removed",)]


async def test_a_server_in_an_outage_is_not_left(tmp_path: Path) -> None:
    """Discord sends the same event, marked as unavailable: jobs go on and are delivered."""
    async with trouble(tmp_path, step_s=0.1, slots=1) as world:
        await world.come()
        for _ in range(2):
            await world.imagine()
        await world.discord.lose_guild(world.guild)
        await world.ends("delivered", "delivered")

        assert len(world.shown()) == 2


# ------------------------------------------------------------------ private threads


async def test_a_private_thread_that_the_bot_is_not_in_is_refused_at_once(tmp_path: Path) -> None:
    """Its commands come, its messages could not be edited: a sentence that helps, and once it is in, it draws."""
    async with trouble(tmp_path) as world:
        discord = world.discord
        thread = discord.add_private_thread(world.channel)
        await world.come()
        refused = await world.alice.slash(thread, "imagine", prompt="a red circle")
        assert "mention me here" in (refused.ephemeral_text or "")
        assert world.states() == []
        await discord.add_to_thread(thread)
        await world.finished(await world.alice.slash(thread, "imagine", prompt="a red circle"))


async def test_a_private_thread_known_from_the_start(tmp_path: Path) -> None:
    """What it was in before it started, it is still in."""
    async with trouble(tmp_path) as world:
        thread = world.discord.add_private_thread(world.channel, bot_is_in=True)
        await world.come()
        answer = await world.alice.slash(thread, "imagine", prompt="a red circle")
        await world.finished(answer)


async def test_removed_from_a_thread_meanwhile(tmp_path: Path) -> None:
    """50001 for its own edits: the image goes to its person, and the interaction still tells the thread so."""
    async with trouble(tmp_path, step_s=0.1) as world:
        discord = world.discord
        thread = discord.add_private_thread(world.channel, bot_is_in=True)
        await world.come()
        answer = await world.alice.slash(thread, "imagine", prompt="a red circle")
        thread.bot_is_in = False
        await world.ends("delivered")

        assert len(world.shown(discord.dm(world.alice.user))) == 1
        assert "they went to a direct message" in answer.text


async def test_cancelled_where_it_may_not_edit_any_more(tmp_path: Path) -> None:
    """The end of a job without images too is told by the interaction while that lives."""
    async with trouble(tmp_path, step_s=0.5) as world:
        discord = world.discord
        thread = discord.add_private_thread(world.channel, bot_is_in=True)
        await world.come()
        answer = await world.alice.slash(thread, "imagine", prompt="a red circle", steps=50)
        await world.hears(lambda: world.states() == ["running"])
        thread.bot_is_in = False
        await world.alice.click(answer.message, "Cancel")  # type: ignore[arg-type]
        await world.ends("cancelled")
        await world.hears(lambda: "Cancelled by" in answer.text)


# ------------------------------------------------------------------ AutoMod


async def test_a_prompt_that_automod_refuses(tmp_path: Path) -> None:
    """200000 for the answer: its person hears it, nothing is drawn, and nothing charged."""
    async with trouble(tmp_path) as world:
        world.guild.blocked_words.add("goblin")
        await world.come()
        answer = await world.imagine(prompt="a red goblin")
        await world.ends("cancelled")

        assert "AutoMod blocked" in (answer.ephemeral_text or "")
        assert world.charges() == [0]
        assert "interaction_failed" not in world.log()
        await world.finished(await world.imagine())


async def test_a_deferred_prompt_that_automod_refuses(tmp_path: Path) -> None:
    """With a picture attached the answer is deferred: then it becomes that sentence."""
    async with trouble(tmp_path) as world:
        world.guild.blocked_words.add("goblin")
        await world.come()
        answer = await world.imagine(prompt="a red goblin", image=Upload(filename="a.png", bytes=png(64, 64)))
        await world.ends("cancelled")
        await world.hears(lambda: "AutoMod blocked" in answer.text)

        assert world.charges() == [0]


async def test_a_rule_that_comes_while_it_is_drawn(tmp_path: Path) -> None:
    """The end of the picture is refused: the message says so without the prompt, nothing is charged, /history keeps it."""
    async with trouble(tmp_path, step_s=0.1) as world:
        await world.come()
        answer = await world.imagine(prompt="a red goblin")
        world.guild.blocked_words.add("goblin")
        await world.ends("failed")
        await world.hears(lambda: "AutoMod blocked" in answer.text)

        assert "goblin" not in answer.text
        assert "/history" in answer.text
        assert world.charges() == [0]
        assert world.shown(world.discord.dm(world.alice.user)) == []

"""The real bot process where its answers are lost, refused or somebody else's: every message is told its end, and no other."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.bot.processes.test_troubles import CALLBACK, charges, ends, shown, start
from workshop.rehearsal.bot import Bot, Evening, easel_evening, png
from workshop.rehearsal.loopback.driver import MIB, Upload

LONG_S = 16 * 60
"""Longer than an interaction's token lives."""


def let_pass(evening: Evening, seconds: float) -> None:
    """Time goes by for Discord and for the bot that is down, and so grows older in its rows."""
    evening.discord.advance(seconds)
    with sqlite3.connect(evening.bot.folder / "data" / "easel.sqlite3") as connection:
        connection.execute("UPDATE job SET created_at = created_at - ?", (seconds,))


async def answered_and_killed(evening: Evening, *, chatter: int = 0) -> Any:
    """Discord took the answer, the bot was killed before it knew; the message, followed by others."""
    discord = evening.discord
    hold = discord.hold_next(*CALLBACK, apply=True)
    sent = await discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
    await discord.until(lambda: hold.entered and sent.original is not None)
    await evening.bot.kill()
    hold.release()
    for number in range(chatter):
        fresh = discord.state.new_message(evening.channel)
        discord.state.messages.fill(fresh, {"content": str(number)}, {}, ephemeral_ok=False)
    return sent.original


# ------------------------------------------------------------------ answers that were lost


async def test_a_message_in_line_is_told_its_end_after_a_long_outage(tmp_path: Path) -> None:
    """Killed before it knew its answer, away until the token was over: the message is found and says that it is over."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        message = await answered_and_killed(evening, chatter=150)
        assert "in line" in message.text.lower()
        let_pass(evening, LONG_S)
        await start(evening)
        await ends(evening, "cancelled")
        await evening.discord.until(lambda: "away for too long" in message.text, what=evening.bot.log())

        assert charges(evening) == [0]
        assert [button.label for button in message.buttons] == ["Reroll", "Delete"]


async def test_its_end_is_told_once_discord_is_back(tmp_path: Path) -> None:
    """Discord is away, the bot is killed again meanwhile: looking and telling go on until they succeed."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        message = await answered_and_killed(evening)
        let_pass(evening, LONG_S)
        away = evening.discord.fail_next("*", "/channels/", status=503, times=10_000)
        await start(evening)
        await evening.discord.until(lambda: away.hits >= 2)
        await evening.bot.kill()
        away.times = 0
        told = evening.discord.fail_next("PATCH", "/channels/", status=503, times=2)
        await start(evening)
        await evening.discord.until(lambda: "away for too long" in message.text, timeout_s=30)

        assert told.hits == 2
        await evening.discord.until(lambda: evening.bot.rows("SELECT shown_at FROM job") != [(None,)])
        assert "Traceback" not in evening.bot.log()


async def test_an_answer_whose_token_discord_calls_dead_is_found_in_the_channel(tmp_path: Path) -> None:
    """Discord's clock is ahead of ours: what it answered is looked for where it stands, and the job runs."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        message = await answered_and_killed(evening)
        evening.discord.advance(LONG_S)
        await start(evening)
        await ends(evening, "delivered")

        assert shown(evening) == [message]


# ------------------------------------------------------------------ private threads


async def test_a_private_thread_that_the_bot_is_not_in_is_refused_at_once(tmp_path: Path) -> None:
    """Its commands come, its messages could not be edited: a sentence that helps, and once it is in, it draws."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        thread = discord.add_private_thread(evening.channel)
        await start(evening)
        refused = await discord.slash(evening.alice, thread, "imagine", prompt="a red circle")
        assert "mention me here" in (refused.ephemeral_text or "")
        assert evening.bot.states() == []
        await discord.add_to_thread(thread)
        await evening.finished(await discord.slash(evening.alice, thread, "imagine", prompt="a red circle"))


async def test_a_private_thread_known_from_the_start(tmp_path: Path) -> None:
    """What it was in before it started, it is still in."""
    async with easel_evening(tmp_path) as evening:
        thread = evening.discord.add_private_thread(evening.channel, bot_is_in=True)
        await start(evening)
        answer = await evening.discord.slash(evening.alice, thread, "imagine", prompt="a red circle")
        await evening.finished(answer)


async def test_removed_from_a_thread_meanwhile(tmp_path: Path) -> None:
    """50001 for its own edits: the image goes to its person, and the interaction still tells the thread so."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1}) as evening:
        discord = evening.discord
        thread = discord.add_private_thread(evening.channel, bot_is_in=True)
        await start(evening)
        answer = await discord.slash(evening.alice, thread, "imagine", prompt="a red circle")
        thread.bot_is_in = False
        await ends(evening, "delivered")

        assert len(shown(evening, discord.dm(evening.alice))) == 1
        assert "they went to a direct message" in answer.text


async def test_cancelled_where_it_may_not_edit_any_more(tmp_path: Path) -> None:
    """The end of a job without images too is told by the interaction while that lives."""
    async with easel_evening(tmp_path, fake={"step_s": 0.5}) as evening:
        discord = evening.discord
        thread = discord.add_private_thread(evening.channel, bot_is_in=True)
        await start(evening)
        answer = await discord.slash(evening.alice, thread, "imagine", prompt="a red circle", steps=50)
        await discord.until(lambda: evening.bot.states() == ["running"])
        thread.bot_is_in = False
        await discord.click(evening.alice, answer.message, "Cancel")  # type: ignore[arg-type]
        await ends(evening, "cancelled")
        await discord.until(lambda: "Cancelled by" in answer.text, what=evening.bot.log())


# ------------------------------------------------------------------ AutoMod


async def test_a_prompt_that_automod_refuses(tmp_path: Path) -> None:
    """200000 for the answer: its person hears it, nothing is drawn, and nothing charged."""
    async with easel_evening(tmp_path) as evening:
        evening.guild.blocked_words.add("goblin")
        await start(evening)
        answer = await evening.imagine(prompt="a red goblin")
        await ends(evening, "cancelled")

        assert "AutoMod blocked" in (answer.ephemeral_text or "")
        assert charges(evening) == [0]
        assert "interaction_failed" not in evening.bot.log()
        await evening.finished(await evening.imagine())


async def test_a_deferred_prompt_that_automod_refuses(tmp_path: Path) -> None:
    """With a picture attached the answer is deferred: then it becomes that sentence."""
    async with easel_evening(tmp_path) as evening:
        evening.guild.blocked_words.add("goblin")
        await start(evening)
        answer = await evening.imagine(
            prompt="a red goblin", image=Upload(filename="a.png", bytes=png(64, 64))
        )
        await ends(evening, "cancelled")
        await evening.discord.until(lambda: "AutoMod blocked" in answer.text)

        assert charges(evening) == [0]


async def test_a_rule_that_comes_while_it_is_drawn(tmp_path: Path) -> None:
    """The end of the picture is refused: the message says so without the prompt, nothing is charged, /history keeps it."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1}) as evening:
        await start(evening)
        answer = await evening.imagine(prompt="a red goblin")
        evening.guild.blocked_words.add("goblin")
        await ends(evening, "failed")
        await evening.discord.until(lambda: "AutoMod blocked" in answer.text, what=evening.bot.log())

        assert "goblin" not in answer.text
        assert "/history" in answer.text
        assert charges(evening) == [0]
        assert shown(evening, evening.discord.dm(evening.alice)) == []


# ------------------------------------------------------------------ a second bot with the same token


async def test_two_bots_with_one_token(tmp_path: Path) -> None:
    """Each person gets one picture, charged once; one bot notices, tells the operator, and ends with 75."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        await start(evening)
        (tmp_path / "other").mkdir()
        other = Bot(discord=discord, folder=tmp_path / "other", fake={"step_s": 0.01})
        try:
            await other.start()
            await discord.until(lambda: "engine_ready" in other.log(), timeout_s=30)
            bots, processes = (evening.bot, other), [bot.process for bot in (evening.bot, other)]
            answers: list[Any] = []
            while all(process is not None and process.returncode is None for process in processes):
                answers.append(await evening.imagine(prompt=f"a red circle {len(answers)}", seed=7))
                await evening.finished(answers[-1])
                assert len(answers) < 12
                for process in processes:
                    await gone_or(process, 0.2)
            (gone,) = [bot for bot in bots if bot.process is not None and bot.process.returncode is not None]
            assert gone.process is not None
            assert gone.process.returncode == 75
            assert "Another bot answers with Easel's token" in gone.log()
            told = [message.text for message in discord.messages(discord.dm(discord.owner))]
            assert any("Another bot answers" in text for text in told)
            assert len(shown(evening)) == len(answers)
            assert sum(bot.rows("SELECT SUM(charged) FROM job")[0][0] or 0 for bot in bots) == len(answers)
            assert all("Traceback" not in bot.log() for bot in bots)
        finally:
            if other.process is not None and other.process.returncode is None:
                other.process.kill()
                await other.process.wait()


async def gone_or(process: Any, pause_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), pause_s)


async def test_a_single_slip_of_discord_ends_nothing(tmp_path: Path) -> None:
    """One 40060 without a message is refunded as ever, and a lost reply that is repeated proves nothing."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        for fault in (
            {"status": 400, "code": 40060},
            {"status": 500, "apply": True},
            {"status": 503, "apply": True},
        ):
            evening.discord.fail_next(*CALLBACK, **fault)  # type: ignore[arg-type]
            await evening.discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
        await ends(evening, "cancelled", "delivered", "delivered", timeout_s=60)
        await evening.finished(await evening.imagine())


async def test_replayed_commands_are_no_second_bot(tmp_path: Path) -> None:
    """Discord may deliver an event again: what we have answered ourselves is nobody else's."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        for _ in range(4):
            await evening.discord.slash(evening.alice, evening.channel, "quota")
            await evening.discord.replay_last_interaction()
        await evening.finished(await evening.imagine())
        assert "answered_by_another" not in evening.bot.log()


# ------------------------------------------------------------------ files after a restart


@pytest.mark.parametrize("limit", [10, 50])
async def test_a_large_picture_after_a_restart(tmp_path: Path, limit: int) -> None:
    """Posted before the gateway has told of the server: it is waited for, and what fits stays the PNG that it is."""
    async with easel_evening(tmp_path) as evening:
        evening.guild.attachment_size_limit = limit * MIB
        await start(evening)
        outage = evening.discord.fail_next("PATCH", "/channels/", status=503, times=10_000)
        answer = await evening.imagine()
        await evening.discord.until(lambda: outage.hits >= 1)
        await evening.bot.kill()
        enlarge(evening)
        outage.times = 0
        await start(evening)
        await evening.finished(answer, timeout_s=60)

        (file,) = answer.message.attachments
        assert file.filename.endswith(".png" if limit == 50 else (".webp", ".jpg"))


def enlarge(evening: Evening) -> None:
    """The picture in the spool becomes one of more than 10 MiB, as its row says."""
    (path,) = (evening.bot.folder / "data" / "spool").glob("*.png")
    Image.effect_noise((3600, 3600), 90).save(path)
    assert path.stat().st_size > 10 * MIB
    with sqlite3.connect(evening.bot.folder / "data" / "easel.sqlite3") as connection:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        connection.execute("UPDATE job SET images = json_set(images, '$[0].sha256', ?)", (digest,))

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
from PIL.PngImagePlugin import PngInfo

from tests.bot.processes.test_evening import charges, ends, shown, start
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
    hold = discord.hold_next("POST", "/callback", apply=True)
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


async def test_a_deferred_answer_is_no_promise_after_its_token(tmp_path: Path) -> None:
    """The bot comes back after 15 minutes, when nobody can fill the answer any more: refunded, never run."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        hold = evening.discord.hold_next("PATCH", "/webhooks/")
        await evening.imagine(image=Upload(filename="cat.png", bytes=png(300, 200)))
        await evening.discord.until(lambda: hold.entered)
        await evening.bot.kill()
        hold.release()
        evening.discord.advance(901)
        await start(evening)
        await ends(evening, "cancelled")
        assert charges(evening) == [0]


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
        assert evening.bot.states() == ["rendered"]
        enlarge(evening)
        outage.times = 0
        await start(evening)
        await evening.finished(answer, timeout_s=60)
        await ends(evening, "delivered", timeout_s=60)
        assert evening.bot.rows("SELECT attempt, faults FROM job") == [(1, 0)]  # drawn once

        (file,) = answer.message.attachments
        assert file.filename.endswith(".png" if limit == 50 else (".webp", ".jpg"))


def enlarge(evening: Evening) -> None:
    """The picture's file in the spool becomes one of more than 10 MiB, as its row says."""
    (path,) = (evening.bot.folder / "data" / "spool").glob("*.png")
    weight = PngInfo()
    weight.add(b"prVt", bytes(10 * MIB))  # a chunk of nobody's
    Image.effect_noise((128, 128), 90).save(path, pnginfo=weight)
    assert path.stat().st_size > 10 * MIB
    with sqlite3.connect(evening.bot.folder / "data" / "easel.sqlite3") as connection:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        connection.execute("UPDATE job SET images = json_set(images, '$[0].sha256', ?)", (digest,))

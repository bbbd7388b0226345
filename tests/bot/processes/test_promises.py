"""The real bot process: what somebody was told stays so, whatever is killed or lost on the way behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.bot.processes.test_evening import charges, ends, start
from workshop.rehearsal.bot import Evening, easel_evening


def spooled(evening: Evening) -> list[str]:
    return sorted(path.name for path in (evening.bot.folder / "data" / "spool").glob("*.png"))


async def delivered(evening: Evening) -> Any:
    """The message of a picture that is there and paid for."""
    await start(evening)
    message = await evening.finished(await evening.imagine(seed=42))
    await ends(evening, "delivered")
    return message


# ------------------------------------------------------------------ kill -9


@pytest.mark.parametrize("apply", [True, False], ids=["its message is gone", "its message still stands"])
async def test_a_delete_is_completed_after_a_kill(tmp_path: Path, apply: bool) -> None:
    """Killed while Discord deletes the message: after the next start neither message, file nor history has the picture."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        message = await delivered(evening)
        earlier = tmp_path / "data" / "spool" / "1-0-0.png"
        earlier.write_bytes(b"of an attempt that died")
        hold = discord.hold_next("DELETE", "/channels/", apply=apply)
        await discord.send_click(evening.alice, message, "Delete")
        await discord.until(lambda: hold.entered)
        await evening.bot.kill()
        hold.release()
        await start(evening)

        await discord.until(lambda: discord.posted(evening.channel) == [] and not spooled(evening))
        history = await discord.slash(evening.alice, evening.channel, "history")
        assert "You have no images here yet" in (history.ephemeral_text or "")
        assert charges(evening) == [1]


async def test_a_cancel_that_was_acknowledged_holds_after_a_kill(tmp_path: Path) -> None:
    """Told that it was heard, then kill -9 before the engine gave up: cancelled for the share done, and not drawn again."""
    async with easel_evening(tmp_path, fake={"step_s": 3.0, "slots": 1}) as evening:
        discord = evening.discord
        await start(evening)
        answer = await evening.imagine(images=4)
        await discord.until(lambda: "Starting" in answer.message.text or "step" in answer.message.text)
        await discord.click(evening.alice, answer.message, "Cancel")
        await evening.bot.kill()
        evening.bot.fake = {"step_s": 0.01}
        await start(evening)
        await evening.finished(await evening.imagine(prompt="the next one"))

        await ends(evening, "cancelled", "delivered")
        assert charges(evening)[0] < 4
        await discord.until(lambda: "Cancelled by" in answer.message.text)
        assert answer.message.attachments == []


# ------------------------------------------------------------------ the operator


async def test_a_database_that_breaks_under_the_bot_ends_it_with_78(tmp_path: Path) -> None:
    """Its owner is told once, the process ends with a sentence that says what to do, and no event is tried for ever."""
    async with easel_evening(tmp_path, module=["tests.kit.damaged_child"]) as evening:
        discord = evening.discord
        await start(evening)
        await evening.imagine()
        assert evening.bot.process is not None
        assert await asyncio.wait_for(evening.bot.process.wait(), 30) == 78
        log = evening.bot.log()
        assert "Easel had to end: the database is damaged" in log
        assert "easel restore" in log
        assert "Traceback" not in log
        assert log.count("store_damaged") == 1
        (told,) = discord.messages(discord.dm(discord.owner))
        assert "the database is damaged" in told.text
        await discord.wait_gone()
        evening.bot.module = ["workshop.rehearsal.bot_child"]
        await start(evening)
        await ends(evening, "delivered")

"""The real bot process: what somebody was told stays so, whatever is killed or lost on the way behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.bot.processes.test_troubles import charges, ends, start
from workshop.rehearsal.bot import Evening, easel_evening
from workshop.rehearsal.loopback.driver import Permission

LOST: dict[str, dict[str, Any]] = {
    "reset before": {"reset": True, "apply": False},
    "reset behind": {"reset": True, "apply": True},
    "too late": {"status": 404, "apply": False, "code": 10062},
}
"""How the answer to a press or command gets lost."""


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


async def test_a_cancel_is_taken_from_the_first_answer_on(tmp_path: Path) -> None:
    """Pressed while the reply to the answer is still on its way to the bot: cancelled, free, and the message says so."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        await start(evening)
        hold = discord.hold_next("POST", "/callback", apply=True)
        await discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
        await discord.until(lambda: hold.entered and discord.posted(evening.channel))
        (message,) = discord.posted(evening.channel)
        assert evening.bot.states() == ["accepted"]
        pressed = await discord.click(evening.alice, message, "Cancel")
        assert pressed.ephemeral_text is None
        hold.release()

        await discord.until(lambda: "Cancelled by" in message.text, what=evening.bot.log())
        assert evening.bot.rows("SELECT state, charged, attempt FROM job") == [("cancelled", 0, 0)]


# ------------------------------------------------------------------ answers that get lost


async def lose(evening: Evening, how: str) -> Any:
    return evening.discord.fail_next("POST", "/callback", times=1, **LOST[how])


def assert_nothing_went_wrong(evening: Evening) -> None:
    """Nobody reads of a mistake, and the log knows of none."""
    log = evening.bot.log()
    assert "interaction_failed" not in log
    assert "Traceback" not in log
    said = [request.json for request in evening.discord.requests_to("POST", "/callback")]
    assert "Something went wrong" not in str(said)


async def untold(evening: Evening, times: int) -> None:
    """So often what was done could not be told."""
    await evening.discord.until(
        lambda: evening.bot.log().count("done_but_not_told") == times, what=evening.bot.log()
    )


async def test_a_done_delete_stays_done(tmp_path: Path) -> None:
    """The picture is gone though the answer to the press is lost, in whichever way."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        for times, how in enumerate(LOST, 1):
            message = await evening.finished(await evening.imagine())
            await ends(evening, *["delivered"] * times)
            lost = await lose(evening, how)
            await evening.discord.send_click(evening.alice, message, "Delete")
            await evening.discord.until(lambda lost=lost: lost.hits)
            await untold(evening, times)
            assert evening.discord.posted(evening.channel) == [], how
        assert_nothing_went_wrong(evening)


async def test_a_done_cancel_stays_done(tmp_path: Path) -> None:
    """The job is cancelled though the answer to the press is lost, in whichever way."""
    async with easel_evening(tmp_path, fake={"step_s": 0.3}) as evening:
        await start(evening)
        for times, how in enumerate(LOST, 1):
            answer = await evening.imagine(images=4)
            await evening.discord.until(lambda: "running" in evening.bot.states())
            await lose(evening, how)
            await evening.discord.send_click(evening.alice, answer.message, "Cancel")
            await ends(evening, *["cancelled"] * times)
            await untold(evening, times)
        assert_nothing_went_wrong(evening)


SETTINGS: list[tuple[str, dict[str, Any], str, Any]] = [
    ("limits set", {"credits": 7}, "SELECT value FROM limits", 7),
    ("limits reset", {}, "SELECT COUNT(*) FROM limits", 0),
    ("limits timezone", {"zone": "Europe/Berlin"}, "SELECT time_zone FROM guild", "Europe/Berlin"),
    ("limits set", {"credits": 8}, "SELECT value FROM limits", 8),
    ("limits reset", {}, "SELECT COUNT(*) FROM limits", 0),
    ("limits timezone", {"zone": "Asia/Tokyo"}, "SELECT time_zone FROM guild", "Asia/Tokyo"),
]
"""Commands of an admin in turn, and what the database holds after each."""


async def test_a_setting_stays_set(tmp_path: Path) -> None:
    """What an admin set holds though the answer is lost, in two ways, and nothing says that it went wrong."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        boss = evening.discord.add_user("chief", permissions=Permission.MANAGE_GUILD)
        for times, (command, options, sql, held) in enumerate(SETTINGS, 1):
            await lose(evening, "reset before" if times <= 3 else "too late")
            await evening.discord.send_slash(boss, evening.channel, command, **options)
            await untold(evening, times)
            assert evening.bot.rows(sql) == [(held,)], command
        assert_nothing_went_wrong(evening)


async def test_a_lost_connection_is_no_mistake_of_ours(tmp_path: Path) -> None:
    """Where a question's answer is lost on the way, the person reads that Discord was out of reach."""
    async with easel_evening(tmp_path) as evening:
        await delivered(evening)
        for command in ("history", "quota", "queue"):
            await lose(evening, "reset before")
            answer = await evening.discord.slash(evening.alice, evening.channel, command)
            assert "did not answer Easel in time" in (answer.ephemeral_text or ""), command
        assert_nothing_went_wrong(evening)


async def test_a_delete_in_an_outage_is_done_when_it_ends(tmp_path: Path) -> None:
    """Discord cuts every deletion for a while: the press is taken, and the message goes once Discord is back."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        message = await delivered(evening)
        outage = discord.fail_next("DELETE", "/channels/", reset=True, times=10_000, apply=False)
        pressed = await discord.click(evening.alice, message, "Delete")
        assert pressed.ephemeral_text is None
        assert outage.hits
        history = await discord.slash(evening.alice, evening.channel, "history")
        assert "You have no images here yet" in (history.ephemeral_text or "")
        outage.times = 0
        await discord.until(lambda: message not in discord.posted(evening.channel), timeout_s=40)
        await discord.until(lambda: not spooled(evening))
        assert_nothing_went_wrong(evening)


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

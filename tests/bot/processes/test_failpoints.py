"""Killed at every named moment of a job's life, bot or engine: it ends once, as a picture or as a refund."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.contract.failpoints import Failpoint
from workshop.rehearsal.bot import Evening, easel_evening, png
from workshop.rehearsal.loopback.driver import Upload

OF_ENGINE = (Failpoint.FORWARDED, Failpoint.DECODED, Failpoint.SPOOLED)
OF_FAILURE = (Failpoint.ENDED,)
OF_IMAGES_IN = (Failpoint.DEFERRED, Failpoint.KEPT)
OF_BOT = [point for point in Failpoint if point not in (*OF_ENGINE, *OF_FAILURE, *OF_IMAGES_IN)]
CAT = Upload(filename="cat.png", bytes=png(128, 128))
UNTOLD = (Failpoint.ADMITTED,)
"""Nobody was answered before the bot died."""


async def dies_and_comes_back(evening: Evening) -> None:
    """The bot is started again after it was killed at its failpoint, as systemd would."""
    assert evening.bot.process is not None
    code = await asyncio.wait_for(evening.bot.process.wait(), 30)
    assert code == -signal.SIGKILL
    assert (evening.bot.folder / "bot-crashed").exists()
    await evening.discord.wait_gone()
    await evening.bot.start()


async def ask(evening: Evening, prompt: str, **options: Any) -> None:
    await evening.bot.start()
    await evening.discord.until(lambda: "engine_ready" in evening.bot.log(), timeout_s=30)
    await evening.discord.send_slash(evening.alice, evening.channel, "imagine", prompt=prompt, **options)


def outcome(evening: Evening) -> tuple[list[str], list[int], int]:
    """(state, what was charged) of each job, and how many pictures the channel shows."""
    rows = evening.bot.rows("SELECT state, charged FROM job")
    pictures = sum(
        name.startswith("easel-")
        for message in evening.discord.posted(evening.channel)
        for name in message.shown_files
    )
    return [state for state, _ in rows], [charged for _, charged in rows], pictures


@pytest.mark.parametrize("point", OF_BOT)
async def test_the_bot_dies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: Failpoint) -> None:
    """One picture for one credit in the end, or nothing and no charge where nobody had been answered."""
    monkeypatch.setenv("FAILPOINT", point)
    async with easel_evening(tmp_path, fake={"step_s": 0.05}, module=["tests.kit.failing_child"]) as evening:
        await ask(evening, "a red circle")
        await dies_and_comes_back(evening)
        due = (["cancelled"], [0], 0) if point in UNTOLD else (["delivered"], [1], 1)
        await evening.discord.until(
            lambda: outcome(evening) == due, timeout_s=40, what=f"{outcome(evening)} {evening.bot.log()}"
        )


@pytest.mark.parametrize("point", [Failpoint.QUEUED, Failpoint.SHOWN])
async def test_the_bot_dies_over_several_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: Failpoint
) -> None:
    """Killed as the first of three gets there: all end in one message, each once."""
    monkeypatch.setenv("FAILPOINT", point)
    async with easel_evening(tmp_path, fake={"step_s": 0.05}, module=["tests.kit.failing_child"]) as evening:
        discord = evening.discord
        await evening.bot.start()
        await discord.until(lambda: "engine_ready" in evening.bot.log(), timeout_s=30)
        asked = await discord.slash(
            evening.alice, evening.channel, "imagine", prompt="a {red, green, blue} circle"
        )
        assert asked.message is not None
        await discord.send_click(evening.alice, asked.message, "Draw them")
        await dies_and_comes_back(evening)
        due = (["delivered"] * 3, [1] * 3, 3)
        await discord.until(
            lambda: outcome(evening) == due, timeout_s=40, what=f"{outcome(evening)} {evening.bot.log()}"
        )
        (message,) = (each for each in discord.posted(evening.channel) if not each.ephemeral)
        await discord.until(lambda: "Cancel all" not in {button.label for button in message.buttons})


@pytest.mark.parametrize("point", [*OF_IMAGES_IN, Failpoint.ADMITTED, Failpoint.ANSWERED])
async def test_the_bot_dies_over_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: Failpoint
) -> None:
    """Nothing and no charge before the row is there; after that the deferred answer is filled with one picture."""
    monkeypatch.setenv("FAILPOINT", point)
    async with easel_evening(tmp_path, fake={"step_s": 0.05}, module=["tests.kit.failing_child"]) as evening:
        await ask(evening, "a cat", image=CAT)
        await dies_and_comes_back(evening)
        inputs = tmp_path / "data" / "spool" / "inputs"
        assert point is not Failpoint.DEFERRED or not any(inputs.iterdir() if inputs.exists() else ())
        nothing = point in OF_IMAGES_IN
        due: Any = ([], [], 0) if nothing else (["delivered"], [1], 1)
        await evening.discord.until(
            lambda: outcome(evening) == due, timeout_s=40, what=f"{outcome(evening)} {evening.bot.log()}"
        )
        await evening.discord.until(lambda: evening.bot.log().count("engine_ready") == 2, timeout_s=30)
        (message,) = evening.discord.posted(evening.channel)
        assert message.loading == nothing
        if nothing:  # nothing was promised, and the same person's next order works
            await evening.finished(await evening.imagine(image=CAT))
            assert evening.bot.rows("SELECT charged FROM job") == [(1,)]


@pytest.mark.parametrize("point", OF_ENGINE)
async def test_the_engine_dies_there(tmp_path: Path, point: Failpoint) -> None:
    """The bot lives on, the next engine draws the picture, and it is shown once."""
    async with easel_evening(tmp_path, fake={"step_s": 0.05, "crash_at": point}) as evening:
        await ask(evening, "a red circle")
        await evening.discord.until(
            lambda: outcome(evening) == (["delivered"], [1], 1), timeout_s=40, what=evening.bot.log()
        )
        assert (tmp_path / "data" / "engine-crashed").exists()
        assert evening.bot.rows("SELECT attempt, faults FROM job") == [(2, 1)]


async def test_a_failure_is_told_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the refund and its telling: the next start tells it, and no message stays in line."""
    monkeypatch.setenv("FAILPOINT", Failpoint.ENDED)
    async with easel_evening(tmp_path, module=["tests.kit.failing_child"]) as evening:
        await ask(evening, "FAIL")
        await dies_and_comes_back(evening)
        (message,) = evening.discord.posted(evening.channel)
        await evening.discord.until(lambda: "charged" in message.text, timeout_s=40, what=evening.bot.log())
        assert outcome(evening) == (["failed"], [0], 0)
        assert "Cancel" not in {button.label for button in message.buttons}

"""The real bot process, told to stop while it draws: what is being drawn is finished, within a limit."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.bot.processes.test_evening import ends, shown, start
from workshop.rehearsal.bot import easel_evening


async def test_what_is_being_drawn_is_finished_first(tmp_path: Path) -> None:
    """SIGTERM: the running picture is delivered, the waiting one keeps its place, the next start goes on; exit 0."""
    async with easel_evening(tmp_path, fake={"step_s": 0.15, "slots": 1}) as evening:
        await start(evening)
        answers = [await evening.imagine(prompt=prompt) for prompt in ("first", "second")]
        await evening.discord.until(lambda: "running" in evening.bot.states())
        assert await evening.bot.stop() == 0
        assert evening.bot.states() == ["delivered", "queued"]
        assert "your place in line is kept" in answers[1].message.text
        evening.bot.fake = {"step_s": 0.01}
        await evening.bot.start()
        await ends(evening, "delivered", "delivered")
        assert len(shown(evening)) == 2


async def test_nothing_new_is_taken_while_it_stops(tmp_path: Path) -> None:
    """Who asks during the last seconds is told to come back, and is charged nothing."""
    async with easel_evening(tmp_path, fake={"step_s": 0.3, "slots": 1}) as evening:
        await start(evening)
        await evening.imagine(prompt="first")
        await evening.discord.until(lambda: "running" in evening.bot.states())
        assert evening.bot.process is not None
        evening.bot.process.terminate()
        await evening.discord.until(lambda: "draining" in evening.bot.log())
        answer = await evening.imagine(prompt="second")
        assert "restarted: ask again in a minute" in (answer.ephemeral_text or "")
        assert await asyncio.wait_for(evening.bot.process.wait(), 30) == 0
        assert evening.bot.states() == ["delivered"]


async def test_told_twice_it_ends_at_once(tmp_path: Path) -> None:
    """A second SIGTERM does not wait for the picture, which goes back to its place."""
    toml = "[queue]\ndrain_s = 600\n"
    async with easel_evening(tmp_path, fake={"step_s": 5.0, "slots": 1}, toml=toml) as evening:
        await start(evening)
        await evening.imagine()
        await evening.discord.until(lambda: "running" in evening.bot.states())
        assert evening.bot.process is not None
        evening.bot.process.terminate()
        await evening.discord.until(lambda: "draining" in evening.bot.log())
        assert evening.bot.process.returncode is None
        assert await evening.bot.stop() == 0
        assert evening.bot.states() == ["running"]


async def test_the_limit_holds(tmp_path: Path) -> None:
    """A picture that would take too long is not waited for."""
    toml = "[queue]\ndrain_s = 0.5\n"
    async with easel_evening(tmp_path, fake={"step_s": 5.0, "slots": 1}, toml=toml) as evening:
        await start(evening)
        await evening.imagine()
        await evening.discord.until(lambda: "running" in evening.bot.states())
        assert await evening.bot.stop() == 0
        assert evening.bot.states() == ["running"]

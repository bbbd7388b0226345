"""The real bot process, in an interpreter of its own, told to stop at any moment of its start."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.kit import forked
from workshop.rehearsal import bot as rehearsed
from workshop.rehearsal.bot import Bot, Evening, easel_evening

StartForked = Callable[[Bot], Awaitable[None]]


@pytest.fixture
def forked_bots() -> None:
    """Nothing is taken over from another process: how an interpreter ends is what is looked at."""


@pytest.fixture
def start_forked(monkeypatch: pytest.MonkeyPatch) -> StartForked:
    """For a life before or after the one that is told to stop."""

    async def start_forked(bot: Bot) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(rehearsed, "launch", forked.launch)
            await bot.start()

    return start_forked


async def ends(bot: Bot, *signals: signal.Signals) -> int:
    """The exit code after these signals, one after the other."""
    assert bot.process is not None
    for number in signals:
        bot.process.send_signal(number)
        await asyncio.sleep(0)
    return await asyncio.wait_for(bot.process.wait(), 30)


def ended_quietly(evening: Evening, code: int) -> None:
    assert code == 0, evening.bot.log()
    assert "Traceback" not in evening.bot.log()
    assert not re.search(r"\[(error|critical)|Error", evening.bot.log()), evening.bot.log()


SIGNALS = {
    "SIGTERM": [signal.SIGTERM],
    "SIGINT": [signal.SIGINT],
    "SIGTERM twice": [signal.SIGTERM] * 2,
    "SIGINT thrice": [signal.SIGINT] * 3,
}


def each_at(places: Sequence[Any]) -> list[Any]:
    """Another signal at every place: one handler hears all of them, wherever."""
    pairs = zip(places, SIGNALS, strict=True)
    return [pytest.param(place, SIGNALS[name], id=f"{name}, {place}") for place, name in pairs]


MOMENTS = {
    "login": ("GET", "/users/@me"),
    "asking who it is": ("GET", "/oauth2/"),
    "pushing the commands": ("PUT", "/commands"),
    "connecting": ("GET", "/gateway"),
}


@pytest.mark.parametrize(("moment", "signals"), each_at([*MOMENTS]))
async def test_told_to_stop_while_discord_is_asked(
    tmp_path: Path, moment: str, signals: list[signal.Signals]
) -> None:
    """Whatever answer is waited for: it is not waited for any more, and the process ends with 0."""
    async with easel_evening(tmp_path) as evening:
        hold = evening.discord.hold_next(*MOMENTS[moment])
        await evening.bot.start(ready=False)
        await evening.discord.until(lambda: hold.entered, timeout_s=30, what=evening.bot.log())
        ended_quietly(evening, await ends(evening.bot, *signals))


@pytest.mark.parametrize("signals", [SIGNALS["SIGTERM"], SIGNALS["SIGINT thrice"]], ids=str)
async def test_told_to_stop_before_the_login(tmp_path: Path, signals: list[signal.Signals]) -> None:
    """As soon as it holds its data folder, and before it has said anything to Discord."""
    async with easel_evening(tmp_path) as evening:
        await evening.bot.start(ready=False)
        await evening.discord.until((tmp_path / "data" / "easel.lock").exists, timeout_s=30)
        ended_quietly(evening, await ends(evening.bot, *signals))


@pytest.mark.parametrize(
    ("where", "signals"),
    each_at(["bot.store.db:_prepare", "bot.store.backup:_copy", "bot.core.housekeeping:prune", "migration"]),
)
async def test_told_to_stop_in_slow_work_on_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start_forked: StartForked,
    where: str,
    signals: list[signal.Signals],
) -> None:
    """Checking the database, copying it, clearing up and migrating may take minutes: none of them is waited for."""
    async with easel_evening(tmp_path, module=["tests.kit.stalling_child"]) as evening:
        if where == "migration":
            await start_forked(evening.bot)
            assert await evening.bot.stop() == 0
        monkeypatch.setenv("STALL", where)
        await evening.bot.start(ready=False)
        await evening.discord.until(lambda: is_stalled(tmp_path, where), timeout_s=30)
        ended_quietly(evening, await ends(evening.bot, *signals))
        if where == "migration":
            monkeypatch.delenv("STALL")
            await start_forked(evening.bot)


@pytest.mark.parametrize("signals", [SIGNALS["SIGTERM"], SIGNALS["SIGINT thrice"]], ids=str)
async def test_told_to_stop_while_it_takes_up_what_was_alive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start_forked: StartForked,
    signals: list[signal.Signals],
) -> None:
    """Reading finished pictures that are still owed may take long on a bad disk; they are owed all the same."""
    async with easel_evening(tmp_path, module=["tests.kit.stalling_child"]) as evening:
        await start_forked(evening.bot)
        await evening.discord.until(lambda: "engine_ready" in evening.bot.log(), timeout_s=30)
        outage = evening.discord.fail_next("PATCH", "/channels/", status=503, times=10_000)
        answer = await evening.imagine()
        await evening.discord.until(lambda: outage.hits >= 1, timeout_s=30)
        await evening.bot.kill()
        outage.times = 0
        monkeypatch.setenv("STALL", "bot.core.spool:all_intact")
        await evening.bot.start(ready=False)
        await evening.discord.until((tmp_path / "stalled").exists, timeout_s=30)
        assert await ends(evening.bot, *signals) == 0
        assert "Traceback" not in evening.bot.log()
        monkeypatch.delenv("STALL")
        await start_forked(evening.bot)
        await evening.finished(answer)


def is_stalled(folder: Path, where: str) -> bool:
    if where == "migration":
        return any((folder / "data" / "backups").glob("*-before-schema-*.sqlite3"))
    return (folder / "stalled").exists()


async def test_told_to_stop_while_the_gateway_is_away(tmp_path: Path) -> None:
    """discord.py's pause before the next try, which may be a quarter of an hour, is not waited for."""
    async with easel_evening(tmp_path) as evening:
        await evening.bot.start()
        away = evening.discord.fail_next("GET", "/gateway", status=503, times=1_000)
        await evening.discord.drop_gateway()
        await evening.discord.until(lambda: away.hits >= 3, timeout_s=60)
        assert await ends(evening.bot, signal.SIGTERM) == 0
        assert "Traceback" not in evening.bot.log()

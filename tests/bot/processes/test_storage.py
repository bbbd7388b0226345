"""The real bot process and its database: backed up while it draws, lost, restored, and damaged, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from bot.config import load
from bot.shell import backup_and_restore
from bot.store import schema
from tests.bot.processes.test_evening import start
from workshop.rehearsal.bot import Bot, easel_evening


def damage(bot: Bot) -> Path:
    """Every page but the first is lost, as on a dying disk; the log is gone."""
    file = bot.folder / "data" / "easel.sqlite3"
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    file.write_bytes(file.read_bytes()[:4096] + b"\xa5" * 40_000)
    return file


async def test_a_restored_bot_goes_on_where_the_backup_was(tmp_path: Path) -> None:
    """A backup beside the drawing bot, kill -9, a lost database, `easel restore`: the job in line is posted, once."""
    async with easel_evening(tmp_path, fake={"step_s": 0.05, "slots": 1}) as evening:
        discord, bot = evening.discord, evening.bot
        await start(evening)
        first = await evening.finished(await evening.imagine())
        waiting = await evening.imagine(prompt="a blue star", steps=40)
        settings = load(bot.folder / "easel.toml", {})
        assert await asyncio.to_thread(backup_and_restore.back_up, settings, tmp_path / "mine.sqlite3") == 0
        assert await asyncio.to_thread(backup_and_restore.restore, settings, tmp_path / "mine.sqlite3") == 75
        await bot.kill()
        damage(bot)
        assert await asyncio.to_thread(backup_and_restore.restore, settings, tmp_path / "mine.sqlite3") == 0

        await bot.start()
        await evening.finished(waiting)
        await discord.until(lambda: bot.states() == ["delivered"] * 2)
        again = await evening.finished(await discord.click(evening.alice, first, "Reroll"))
        assert len(waiting.message.shown_files) == 1
        assert not again.attachments[0].filename.startswith(("easel-1-", "easel-2-"))
        assert await bot.stop() == 0


async def test_a_damaged_database_ends_the_start_with_78(tmp_path: Path) -> None:
    """The bot does not start on a damaged database: it writes nothing to it, and names the command that helps."""
    async with easel_evening(tmp_path) as evening:
        bot = evening.bot
        await start(evening)
        await evening.finished(await evening.imagine())
        await bot.stop()
        file = damage(bot)
        broken = file.read_bytes()

        await bot.start(ready=False)
        assert bot.process is not None
        assert await asyncio.wait_for(bot.process.wait(), 30) == 78
        assert "`easel restore` puts the newest backup in its place." in bot.log()
        assert "Traceback" not in bot.log()
        assert file.read_bytes() == broken


async def test_a_newer_database_ends_the_start_with_78(tmp_path: Path) -> None:
    """One sentence names what to do; the database of the newer Easel is left as it is."""
    async with easel_evening(tmp_path) as evening:
        bot = evening.bot
        await bot.start()
        await bot.stop()
        file = bot.folder / "data" / "easel.sqlite3"
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute(f"PRAGMA user_version={schema.newest() + 1}")
        newer = file.read_bytes()

        await bot.start(ready=False)
        assert bot.process is not None
        assert await asyncio.wait_for(bot.process.wait(), 30) == 78
        assert "is newer than this program's" in bot.log()
        assert "install the newer Easel." in bot.log()
        assert "Traceback" not in bot.log()
        assert file.read_bytes() == newer

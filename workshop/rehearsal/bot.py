"""Starts, kills and restarts the real bot in a child process against a loopback Discord."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from bot.chat.look.job_view import PREVIEW
from workshop.rehearsal.loopback.driver import LoopbackDiscord, Permission
from workshop.rehearsal.redirect import ADDRESS_VARIABLE

ROOT = Path(__file__).parents[2]
"""Where a child starts, so that it imports the same Easel as we do."""
OWN_VARIABLES = ("EASEL_", "DISCORD_TOKEN")
"""How the settings of whoever runs this begin; with them a rehearsal could play in the real data folder."""


def png(width: int, height: int, colour: str = "red") -> bytes:
    """A picture as people upload them."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


async def launch(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> asyncio.subprocess.Process:
    """`python -m` with this command, from a folder; what it writes is appended to a log."""
    with log.open("ab") as written:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command, cwd=folder, env=environment, stdout=written, stderr=written
        )


@dataclass(slots=True)
class Bot:
    """One data directory and the process that uses it, if any."""

    discord: LoopbackDiscord
    folder: Path
    fake: dict[str, Any] | None = field(default_factory=lambda: {"step_s": 0.01})
    toml: str = ""
    module: list[str] = field(default_factory=lambda: ["workshop.rehearsal.bot_child"])
    address: str | None = None
    """Where the bot looks for Discord, if not where it is."""
    process: asyncio.subprocess.Process | None = None
    output: Path = Path()

    @property
    def file(self) -> Path:
        return self.folder / "easel.toml"

    def environment(self, token: str | None = None) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
        environment = {**ours, **self.discord.environment, "DISCORD_TOKEN": token or self.discord.token}
        if self.address is not None:
            environment[ADDRESS_VARIABLE] = self.address
        return environment

    async def start(self, *, token: str | None = None, ready: bool = True) -> None:
        self.file.write_text(f'[data]\ndir = "{self.folder}/data"\n[progress]\ninterval_s = 0.2\n{self.toml}')
        self.output = self.folder / "bot.log"
        arguments = [str(self.file), *([json.dumps(self.fake)] if self.fake is not None else [])]
        self.process = await launch([*self.module, *arguments], ROOT, self.environment(token), self.output)
        if ready:
            await self.discord.wait_ready()

    async def kill(self) -> None:
        """SIGKILL, as by the system's memory killer."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        await self.discord.wait_gone()

    async def stop(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 20)

    def rows(self, sql: str) -> list[Any]:
        """What the database holds, read beside the running bot."""
        connection = sqlite3.connect(f"file:{self.folder}/data/easel.sqlite3?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def states(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT state FROM job ORDER BY id")]

    def log(self) -> str:
        return self.output.read_text("utf-8")


@dataclass(slots=True)
class Evening:
    discord: LoopbackDiscord
    bot: Bot
    guild: Any
    channel: Any
    alice: Any
    admin: Any

    async def imagine(self, who: Any = None, **options: Any) -> Any:
        options.setdefault("prompt", "a red circle")
        return await self.discord.slash(who or self.alice, self.channel, "imagine", **options)

    async def finished(self, answer: Any, *, timeout_s: float = 20) -> Any:
        """The answer's message once it shows what became of the job, and no preview any more."""
        await self.discord.until(
            lambda: any(item.filename != PREVIEW for item in answer.message.attachments),
            timeout_s=timeout_s,
            what=self.bot.log(),
        )
        return answer.message


@asynccontextmanager
async def easel_evening(folder: Path, **options: Any) -> AsyncGenerator[Evening]:
    """A guild with a member and an admin, and the bot's data directory; the bot is not started yet.

    Leaving it fails if the bot ever created a webhook's follow-up that everybody sees: these have no nonce, so they could
    come twice.
    """
    async with LoopbackDiscord() as discord:
        guild = discord.add_guild()
        bot = Bot(discord=discord, folder=folder, **options)
        try:
            yield Evening(
                discord=discord,
                bot=bot,
                guild=guild,
                channel=discord.add_channel(guild),
                alice=discord.add_user("alice"),
                admin=discord.add_user("boss", permissions=Permission.MANAGE_GUILD),
            )
        finally:
            if bot.process is not None and bot.process.returncode is None:
                bot.process.kill()
                await bot.process.wait()
        assert all(each.ephemeral for each in discord.followups)

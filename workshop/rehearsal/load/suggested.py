"""How long people wait for what is suggested while they type, with many files, styles and pictures to choose from."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workshop.rehearsal.bot import Bot
from workshop.rehearsal.loopback.driver import Channel, LoopbackDiscord, Permission, User

LORAS, EMBEDDINGS, STYLES, PICTURES = 1000, 200, 200, 2000
EACH, WARM_UP = 300, 30
QUIET_SHARE, SETTLED_WITHIN = 0.05, 300
"""Of a processor, over a second: a bot that was started just now audits its books first; seconds."""
TOML = "[backup]\nevery_hours = 0\n"
FAKE = {"step_s": 0.01, "others": [f"model-{number}" for number in range(20)]}
ASKED: Sequence[tuple[str, str, Sequence[str]]] = (
    ("imagine", "model", ("", "mod", "model-1", "nothing")),
    ("imagine", "lora", ("", "lo", "file-77", "water", "file-5:0.8, file-6", "nothing")),
    ("imagine", "embedding", ("", "-em", "word-7", "nothing")),
    ("imagine", "style", ("", "st", "style-12", "nothing")),
    ("imagine", "sampler", ("", "dpm")),
    ("models", "name", ("", "file-9", "colours", "nothing")),
    ("show", "number", ("", "12", "fox", "nothing")),
    ("history", "model", ("", "mod", "nothing")),
    ("limits timezone", "zone", ("", "eur", "york", "nothing")),
)
"""(command, option, what was typed so far)."""


_OWN = """
INSERT INTO job (state, attempt, request, action, channel_id, message_id, application_id, cost, charged, created_at, queued_at,
                 started_at, finished_at, shown_at, images, user_id, guild_id, interaction_id)
SELECT state, attempt, request, action, channel_id, message_id, application_id, cost, charged, created_at, queued_at,
       started_at, finished_at, shown_at, images, :user, :guild, 2 * interaction_id + 4000000000
FROM job WHERE state = 'delivered' ORDER BY id DESC LIMIT :count"""


def stock(models: Path) -> None:
    """Files that are all header, with what lies beside them."""
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    halves = {f"{layer}.lora_A.weight": (4, 768), f"{layer}.lora_B.weight": (8, 4)}
    for folder, name, count, tensors in (
        ("loras", "file", LORAS, halves),
        ("embeddings", "word", EMBEDDINGS, {"emb_params": (2, 768)}),
    ):
        (models / folder).mkdir(parents=True)
        for number in range(count):
            path = models / folder / f"{name}-{number}.safetensors"
            path.write_bytes(_weights(tensors))
            notes = {"activation text": f"water {number}, ink", "description": "many colours " * 8}
            path.with_suffix(".json").write_text(json.dumps(notes), encoding="utf-8")


def _weights(tensors: Mapping[str, tuple[int, int]]) -> bytes:
    """A safetensors file of zeros."""
    at, header = 0, dict[str, object]()
    for name, shape in tensors.items():
        size = 2 * shape[0] * shape[1]
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def own(file: Path, guild_id: int, user_id: int) -> None:
    """Pictures of that person, and styles of that server, among all that the database holds."""
    connection = sqlite3.connect(file)
    try:
        connection.execute(_OWN, {"user": user_id, "guild": guild_id, "count": PICTURES})
        connection.executemany(
            "INSERT INTO style VALUES (?, ?, ?, ?, '', 1, 1)",
            [
                (guild_id, f"style-{number:03}", f"style-{number:03}", f"{{prompt}}, style {number}, fine")
                for number in range(STYLES)
            ],
        )
        connection.commit()
    finally:
        connection.close()


async def suggested(
    discord: LoopbackDiscord, bot: Bot, who: User, channel: Channel
) -> dict[str, tuple[list[float], float]]:
    """For each option (ms from Discord's message to the bot's answer, the bot's own ms of a processor, on average)."""
    assert bot.process is not None
    found: dict[str, tuple[list[float], float]] = {}
    for command, option, typed in ASKED:
        texts = itertools.cycle(typed)
        times: list[float] = []
        begin = 0.0
        for number in range(-WARM_UP, EACH):
            if number == 0:
                times, begin = [], _cpu_s(bot.process.pid)
            told: dict[str, Any] = {option: next(texts)}
            times.append((await discord.suggested(who, channel, command, option, **told)).ms)
        found[f"/{command} {option}"] = times, 1000 * (_cpu_s(bot.process.pid) - begin) / EACH
    return found


async def _settled(bot: Bot) -> None:
    """Returns once the bot rests."""
    assert bot.process is not None
    for _ in range(SETTLED_WITHIN):
        before = _cpu_s(bot.process.pid)
        await asyncio.sleep(1)
        if _cpu_s(bot.process.pid) - before < QUIET_SHARE:
            return


def _cpu_s(pid: int) -> float:
    """All that a process has had of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(folder: Path) -> dict[str, tuple[list[float], float]]:
    """With the database that lies in `folder`, by the real bot in a process of its own."""
    stock(folder / "data" / "models")
    async with LoopbackDiscord() as discord:
        guild = discord.add_guild()
        channel = discord.add_channel(guild)
        who = discord.add_user("somebody", permissions=Permission.MANAGE_GUILD)
        own(folder / "data" / "easel.sqlite3", guild.id, who.id)
        bot = Bot(discord=discord, folder=folder, toml=TOML, fake=FAKE)
        await bot.start(ready=False)
        try:
            await discord.wait_ready(timeout_s=600)  # it looks whether the whole database is sound
            await discord.until(lambda: "engine_ready" in bot.log(), timeout_s=60)
            await _settled(bot)
            return await suggested(discord, bot, who, channel)
        finally:
            await bot.stop()

"""The same bot inside a simulated Discord with a chat page: to try Easel without a token, a GPU or a download."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import discord
import simcord
from PIL import Image
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.app import create_app
from bot.chat.client import EaselClient
from bot.chat.sources import Fetch
from bot.config import Settings
from bot.config.engine import STARTER_NOTE, engine_settings, is_starter
from bot.core.engines.status import Phase
from bot.shell.exit_codes import EXIT_FAILED, EXIT_OK
from bot.shell.live_page import LiveEnv, LivePage
from bot.texts.engine_ends import how_it_ended
from bot.texts.language import ENGLISH
from bot.vitals import logs
from engine.contract import EngineSettings
from engine.pictures import inputs, metadata

VIEWERS = "“Viewing as”, above: theo-admin may set `/limits`, and greta has her Discord in German."
GREETING = (
    "Hello! I draw in a simulated Discord: nothing here leaves your machine. Type `/imagine` below and, say, "
    "`a yellow heart left of a purple star on a white background`.\n"
    "I know circles, squares, triangles, stars, hearts, diamonds, rings, crosses, moons, clouds, trees, houses, flowers, "
    "fish, boats and suns in twelve colours. The buttons under a picture vary, enlarge, remix and edit it; `/history`, `/queue` and `/help` show the rest. "
    f"{VIEWERS}"
)
GREETING_OF_OTHERS = (
    "Hello! I draw in a simulated Discord: nothing here leaves your machine. Type `/imagine` below and what you would like "
    "to see, such as `a lighthouse at dawn, oil painting`.\n"
    "The buttons under a picture vary, enlarge, remix and edit it; `/history`, `/queue` and `/help` show the rest. "
    f"{VIEWERS}"
)

LOOK_S = 0.4
"""How often the engine is asked whether it is ready."""
PROGRESS_INTERVAL_S = 0.3
RESTART: int | None = getattr(signal, "SIGUSR1", None)
"""Asks for another start of the bot; Windows has no such signal."""
RESTARTED = "The bot has been restarted."
PREVIEW_EVERY = 15
"""Steps, at least: a browser that gets the next preview before it has loaded the last one shows none."""


def run(settings: Settings, port: int) -> int:
    """`easel demo`: serves the chat page on 127.0.0.1 until it is interrupted."""
    if not _is_free(port):
        print(
            f"Port {port} is taken: stop what uses it, or choose another one with "
            f"`easel demo --port {port + 1}` (`make demo PORT={port + 1}`).",
            file=sys.stderr,
        )
        return EXIT_FAILED
    logs.configure(settings.log.level if settings.log.level != "info" else "warning", settings.log.format)
    if is_starter(settings):
        print(STARTER_NOTE)
    with tempfile.TemporaryDirectory(prefix="easel-demo-") as folder:
        own = _settings_for(settings, Path(folder))
        engine = replace(engine_settings(own), data=None)  # what was measured would be forgotten too
        return asyncio.run(_serve(own, engine, port))


def _settings_for(settings: Settings, folder: Path) -> Settings:
    """The simulated Discord forgets everything when it ends, and so does this database. Models stay where they are."""
    every = settings.preview.every and max(settings.preview.every, PREVIEW_EVERY)
    return settings.model_copy(
        update={
            "data": settings.data.model_copy(update={"dir": folder}),
            "models": settings.models.model_copy(update={"dir": settings.models_dir}),
            "progress": settings.progress.model_copy(update={"interval_s": PROGRESS_INTERVAL_S}),
            "preview": settings.preview.model_copy(update={"every": every}),
        }
    )


def _hear(number: int, act: Callable[[], None]) -> None:
    """`act` is called in the running loop when that signal comes."""
    loop = asyncio.get_running_loop()

    def heard(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)

    try:
        loop.add_signal_handler(number, act)
    except NotImplementedError:  # on Windows
        signal.signal(number, heard)


class _Signals:
    """What whoever runs the demo asks of it: an end, or another start of the bot."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._came = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            _hear(number, self._end)
        if RESTART is not None:
            _hear(RESTART, self._came.set)

    def _end(self) -> None:
        self.over.set()
        self._came.set()

    async def next(self) -> None:
        """Returns once one has come since the last time."""
        await self._came.wait()
        self._came.clear()


async def _serve(settings: Settings, engine: EngineSettings, port: int) -> int:
    signals = _Signals()

    def bot() -> EaselClient:
        return create_app(settings, engine, supervised=False, fetch=from_simulation(lambda: env.bot))

    client = bot()
    env = LiveEnv(client)
    measure_images(env)
    await env.start()
    try:
        channel, viewers = _people(env)
        await _greet(env, client, channel.id, settings)
        preview = env.preview(channel, viewers=viewers, layout="channel", port=port)
        page = LivePage(env, preview, title="Easel demo")
        async with preview:
            return await _go_on(page, preview.url, client, bot, signals)
    finally:
        await env.bot.close()
        await env.shutdown()


def _people(env: LiveEnv) -> tuple[ChannelHandle, list[MemberActor]]:
    """A channel, and who may look at it: the first one at first."""
    guild = env.create_guild("Easel demo")
    admins = guild.create_role("admins", permissions=discord.Permissions(manage_guild=True))
    channel = guild.create_text_channel(
        "imagine", topic="A simulated Discord: nothing here leaves your machine."
    )
    member = guild.add_member(env.create_user("mona"))
    german = guild.add_member(env.create_user("greta"))
    admin = guild.add_member(env.create_user("theo-admin"), roles=[admins])
    env.languages.speak(german.id, "de")
    return channel, [member, german, admin]


async def _go_on(
    page: LivePage, url: str, client: EaselClient, bot: Callable[[], EaselClient], signals: _Signals
) -> int:
    """Keeps a bot on the page until the demo is over, or until it is known that nothing can be drawn."""
    restart = f"; `kill -USR1 {os.getpid()}` restarts the bot in it" if RESTART is not None else ""
    ready = f"\nThe chat page is ready: {url}\nType /imagine there. Ctrl-C ends the demo{restart}."
    while True:
        if trouble := await _until_ready(client, signals.over):
            print(f"Easel can't draw: {trouble}", file=sys.stderr, flush=True)
            return EXIT_FAILED
        if not signals.over.is_set():
            print(ready, flush=True)
        await signals.next()
        if signals.over.is_set():
            return EXIT_OK
        client, ready = bot(), RESTARTED
        await page.restart(client)


async def _greet(env: LiveEnv, client: EaselClient, channel_id: int, settings: Settings) -> None:
    """The first thing on the page: what to do there, with an example that works."""
    with env.time_context():
        if client.user is not None:
            await client.user.edit(username="Easel")
        channel = client.get_channel(channel_id)
        assert isinstance(channel, discord.TextChannel)
        await channel.send(GREETING if is_starter(settings) else GREETING_OF_OTHERS)


async def _until_ready(client: EaselClient, over: asyncio.Event) -> str:
    """Waits for the engine, telling what it does meanwhile; why it will never be ready, empty if it is."""
    fleet, told = client.services.dispatcher.fleet, ""
    while not over.is_set() and not fleet.status.is_ready:
        if fleet.status.phase is Phase.BROKEN:
            return fleet.status.reason
        if fleet.status.end is not None:
            return how_it_ended(fleet.status.end, ENGLISH)
        if fleet.status.stage not in ("", told):
            told = fleet.status.stage
            print(f"{told[0].upper()}{told[1:]} …", flush=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), LOOK_S)
    return ""


def measure_images(env: simcord.Env) -> None:
    """As Discord does: what is uploaded tells its width and height, if it is an image. SimCord 3.2.1 leaves that out."""
    store = env.backend.cdn.store_attachment

    def measured(
        attachment_id: int, channel_id: int, filename: str, data: bytes, description: str | None
    ) -> dict[str, Any]:
        told = store(attachment_id, channel_id, filename, data, description)
        # The header alone is read.
        with contextlib.suppress(Exception), Image.open(io.BytesIO(data), formats=inputs.FORMATS) as image:
            told["width"], told["height"] = metadata.upright_size(image)
        return told

    env.backend.cdn.store_attachment = measured


def from_simulation(client: Callable[[], discord.Client]) -> Fetch:
    """What people attach on the page lies in the simulation's memory only."""

    async def fetch(address: str, _bytes_max: int) -> bytes:
        return await client().http.get_from_cdn(address)

    return fetch


def _is_free(port: int) -> bool:
    if port == 0:
        return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

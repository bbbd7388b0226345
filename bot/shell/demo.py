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
from bot.config import Settings, WrongOption
from bot.config.engine import STARTER_NOTE, engine_settings, is_starter
from bot.core.engines.status import Phase
from bot.shell.exit_codes import EXIT_FAILED, EXIT_OK
from bot.shell.live_page import LiveEnv, LivePage
from bot.shell.portraits import portray
from bot.shell.scripts import EMPTY, GRETA, KOFI, MONA, SCRIPTS, THEO, WELCOME, Script
from bot.shell.stage import CutShort, Stage
from bot.texts.engine_ends import how_it_ended
from bot.texts.examples import EXAMPLES, numbers_for
from bot.texts.language import ENGLISH
from bot.vitals import logs
from engine.contract import STARTER, EngineSettings
from engine.pictures import inputs, metadata

TOPIC = "Type /imagine, then: {example} · Simulated: nothing leaves your machine."
GREETING = (
    "**Welcome! I draw what you type, in a simulated Discord: nothing here leaves your machine. Your first minute:**\n"
    "1. Type `/imagine` below, press Enter, write `{example}`, and press Enter again.\n"
    "2. Press a button under your picture: **Vary (Strong)** draws four like it, **Edit** changes it by words.\n"
    "3. Look around: `/history` has all that is yours, `/help` the rest; “Viewing as”, above, makes you somebody else: "
    "theo-admin may set `/limits`, and greta has her Discord in German."
)

LOOK_S = 0.4
"""How often the engine is asked whether it is ready."""
PROGRESS_INTERVAL_S = 0.3
RESTART: int | None = getattr(signal, "SIGUSR1", None)
"""Asks for another start of the bot; Windows has no such signal."""
RESTARTED = "The bot has been restarted."
PREVIEW_EVERY = 15
"""Steps, at least: a browser that gets the next preview before it has loaded the last one shows none."""


def run(settings: Settings, port: int, script: str) -> int:
    """`easel demo`: serves the chat page on 127.0.0.1 until it is interrupted."""
    played = _script(script, settings)
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
        return asyncio.run(_serve(own, engine, port, played))


def _script(name: str, settings: Settings) -> Script:
    """Raises WrongOption."""
    if name not in SCRIPTS:
        raise WrongOption("--script", f"There is no script {name!r}, only {', '.join(SCRIPTS)}.")
    if is_starter(settings) or not SCRIPTS[name].acts:
        return SCRIPTS[name]
    if name == WELCOME:  # another model would be busy with it for minutes
        return SCRIPTS[EMPTY]
    raise WrongOption("--script", f"{name!r} is played with the starter model: add --model starter.")


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


async def _serve(settings: Settings, engine: EngineSettings, port: int, script: Script) -> int:
    signals = _Signals()

    def bot() -> EaselClient:
        return create_app(settings, engine, supervised=False, fetch=from_simulation(lambda: env.bot))

    client = bot()
    env = LiveEnv(client)
    measure_images(env)
    await env.start()
    try:
        example = EXAMPLES[numbers_for(STARTER if is_starter(settings) else "")[0]].prompt
        channel, people = _people(env, example)
        greeting = await _greet(env, client, channel, people[THEO], example)
        portray(env)
        preview = env.preview(channel, viewers=[*people.values()], layout="channel", port=port)
        page = LivePage(env, preview, title="Easel demo")

        async def restart() -> None:
            another = bot()
            await page.restart(another)
            await another.services.dispatcher.fleet.described.wait()

        stage = Stage(page, channel, people, greeting=greeting, restart=restart)
        async with preview:
            playing = asyncio.create_task(_play(stage, script, client))
            try:
                return await _go_on(page, preview.url, client, bot, signals)
            finally:
                playing.cancel()
                await asyncio.wait([playing])
    finally:
        await env.bot.close()
        await env.shutdown()


async def _play(stage: Stage, script: Script, client: EaselClient) -> None:
    await client.services.dispatcher.fleet.described.wait()
    if script.is_watched:
        print("The script begins when the page is opened.", flush=True)
    try:
        await stage.play(script)
        if script.is_watched:
            print("The script is over; the page goes on.", flush=True)
    except CutShort as why:
        print(f"The script ends here: {why}", file=sys.stderr, flush=True)


def _people(env: LiveEnv, example: str) -> tuple[ChannelHandle, dict[str, MemberActor]]:
    """A channel, and who may look at it: the first one at first."""
    guild = env.create_guild("Easel demo")
    admins = guild.create_role(
        "admins", permissions=discord.Permissions(manage_guild=True, manage_messages=True)
    )
    channel = guild.create_text_channel("imagine", topic=TOPIC.format(example=example))
    people = {
        name: guild.add_member(env.create_user(name), roles=[admins] if name == THEO else [])
        for name in (MONA, GRETA, THEO, KOFI)
    }
    env.languages.speak(people[GRETA].id, "de")
    return channel, people


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


async def _greet(
    env: LiveEnv, client: EaselClient, channel: ChannelHandle, admin: MemberActor, example: str
) -> discord.Message:
    """The first thing on the page, pinned: what to do there, with an example that works."""
    with env.time_context():
        if client.user is not None:
            await client.user.edit(username="Easel")
        place = client.get_channel(channel.id)
        assert isinstance(place, discord.TextChannel)
        greeting = await place.send(GREETING.format(example=example))
    await admin.set_pinned(greeting, pinned=True)
    return greeting


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

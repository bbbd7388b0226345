"""The same bot inside a simulated Discord with a chat page: to try Easel without a token, a GPU or a download."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
import simcord
from PIL import Image

from bot import logs
from bot.app import create_app
from bot.config import Settings
from bot.exits import EXIT_FAILED, EXIT_OK
from bot.models import STARTER_NOTE, engine_settings, is_starter
from bot.ui.attachments import Fetch
from engine import inputs, metadata
from engine.contract import EngineSettings

GREETING = (
    "A simulated Discord. The starter model draws circles, squares, triangles, stars, hearts, diamonds, rings, crosses, "
    "moons, clouds, trees, houses, flowers, fish, boats and suns in twelve colours: "
    "try /imagine a yellow heart left of a purple star on a white background"
)

REFRESH_S = 0.4
"""Without a refresh the page shows only what the last click published."""
PROGRESS_INTERVAL_S = 0.3
PREVIEW_EVERY = 15
"""Steps, at least: a browser that gets the next preview before it has loaded the last one shows none."""
SETTLE_TIMEOUT_S = 30.0


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


async def _serve(settings: Settings, engine: EngineSettings, port: int) -> int:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    client = create_app(settings, engine, supervised=False, fetch=from_simulation(lambda: client))
    env = simcord.Env(client, settle_timeout=SETTLE_TIMEOUT_S)
    measure_images(env)
    tell_the_time(env)
    await env.start()
    try:
        if client.user is not None:
            with env.time_context():
                await client.user.edit(username="Easel")
        guild = env.create_guild("Easel demo")
        admins = guild.create_role("admins", permissions=discord.Permissions(manage_guild=True))
        channel = guild.create_text_channel("imagine", topic=_topic(settings))
        member = guild.add_member(env.create_user("mona"))
        admin = guild.add_member(env.create_user("theo-admin"), roles=[admins])
        async with env.preview(channel, viewers=[member, admin], layout="channel", port=port) as preview:
            print(f"\nThe chat page is ready: {preview.url}", flush=True)
            print("Type /imagine there. Ctrl-C ends the demo.", flush=True)
            await _keep_fresh(env, preview, over)
    finally:
        await client.close()
        await env.shutdown()
    return EXIT_OK


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


def tell_the_time(env: simcord.Env) -> None:
    """SimCord's own clock stands still, at the beginning of 2026: history and quotas would be months away."""
    env.backend.clock.now = lambda: datetime.now(UTC)


def from_simulation(client: Callable[[], discord.Client]) -> Fetch:
    """What people attach on the page lies in the simulation's memory only."""

    async def fetch(address: str, _bytes_max: int) -> bytes:
        return await client().http.get_from_cdn(address)

    return fetch


async def _keep_fresh(env: simcord.Env, preview: simcord.Preview, over: asyncio.Event) -> None:
    """Shows on the page what the bot did on its own, such as progress, until it is over.

    What answers a click or a command the page publishes itself.
    """
    turns = _take_turns(preview)
    shown = -1
    while not over.is_set():
        if shown != (edits := sum(request.method != "POST" for request in env.http_requests)):
            async with turns:
                await preview.refresh()
            shown = edits
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), REFRESH_S)


def _take_turns(preview: simcord.Preview) -> asyncio.Lock:
    """Lets clicks wait for a refresh, and refreshes for a click; holds for the pinned SimCord 3.2.1.

    SimCord refuses what overlaps, after which its page is dead until it is reloaded; and it refuses a click
    on a page that was refreshed less than a poll (0.5 s) ago, which would spare no ✖ Cancel while a bar moves.
    Our buttons say which job they mean, so the newest page is what they are meant for.
    """
    turns, act = asyncio.Lock(), preview._action  # pyright: ignore[reportPrivateUsage]

    async def in_turn(context_id: str | None, body: dict[str, Any]) -> dict[str, Any]:
        async with turns:
            if "published_revision" in body:
                page = preview._get_page(context_id)  # pyright: ignore[reportPrivateUsage]
                body["published_revision"] = page.revision
            return await act(context_id, body)

    preview._action = in_turn  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return turns


def _topic(settings: Settings) -> str:
    if is_starter(settings):
        return GREETING
    return "A simulated Discord: nothing here leaves your machine."


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

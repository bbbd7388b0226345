"""`easel run` and `easel sync`: the real bot in this process, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import discord
import structlog

from bot.app import Timings, create_app
from bot.chat.client import EaselClient
from bot.chat.outages import NOT_LET_IN, TROUBLES, Outage, is_weather, outage_of, pauses
from bot.chat.tree import make_tree, sync_commands
from bot.config import Settings
from bot.config.engine import engine_settings, engines_of
from bot.shell.exit_codes import EXIT_ALREADY_RUNNING, EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from bot.shell.exits import explained
from bot.shell.lock import lock_data
from bot.shell.stopping import Stop
from bot.store import Store
from bot.store.database_errors import Unusable
from bot.texts import for_operator
from bot.texts.language import ENGLISH
from bot.vitals import logs
from bot.vitals.health import notify
from engine.contract import EngineSettings

log = structlog.get_logger(__name__)

PERMISSIONS = discord.Permissions(
    view_channel=True, send_messages=True, send_messages_in_threads=True, attach_files=True
)


def invite_link(application_id: int) -> str:
    return discord.utils.oauth_url(
        application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
    )


def run(
    settings: Settings,
    *,
    engine: EngineSettings | None = None,
    client_options: Callable[[], Mapping[str, Any]] = dict,
    timings: Timings | None = None,
) -> int:
    """`easel run`: the real bot until it is told to stop; the exit code says why it ended.

    `client_options` is called inside the event loop; what it returns goes to discord.Client.
    """
    stop = Stop()
    stop.listen()
    token = settings.discord.read_token()
    os.environ.pop("DISCORD_TOKEN", None)  # nothing that is started from here has a use for it
    logs.configure(settings.log.level, settings.log.format, secrets=(token,), one_line=is_weather)

    def serve() -> int:
        gc.freeze()  # what is loaded stays: looking through it for garbage would have somebody wait for 50 ms now and then
        with lock_data(settings):
            chosen = engine or engine_settings(settings)
            engines = engines_of(settings)
            return asyncio.run(
                _serve(
                    lambda: create_app(
                        settings, chosen, engines=engines, timings=timings, **client_options()
                    ),
                    token,
                    stop,
                )
            )

    return _explained(serve)


def _explained(act: Callable[[], int]) -> int:
    """As `exits.explained`, with what Discord and the network may say."""

    def online() -> int:
        try:
            return act()
        except TROUBLES as problem:
            outage = outage_of(problem)
            print(
                f"{outage.sentence} Try again later." if outage.may_pass else outage.sentence, file=sys.stderr
            )
            return EXIT_FAILED if outage.may_pass else EXIT_CONFIG

    return explained(online)


async def _serve(new_client: Callable[[], EaselClient], token: str, stop: Stop) -> int:
    """Tries to come in until Discord lets it, and stays until it is told to stop. Raises what can't pass."""
    loop, told_to_stop = asyncio.get_running_loop(), asyncio.Event()
    clients: list[EaselClient] = []

    def leave() -> None:
        told_to_stop.set()
        for client in clients:
            client.leave()

    stop.does(lambda: loop.call_soon_threadsafe(leave))
    try:
        for pause in pauses():
            clients[:] = [new_client()]
            outage = await _stay(clients[0], token)
            if outage is None:
                break
            clients.clear()
            if not await _wait(told_to_stop, max(pause, outage.asked_s), outage.sentence):
                break
    finally:
        stop.is_heard()
    return max(map(_as_exit_code, clients), default=EXIT_OK)


def _as_exit_code(client: EaselClient) -> int:
    """Why it left, told where nobody asked it to."""
    if client.token_was_refused:
        print(NOT_LET_IN, file=sys.stderr)
        return EXIT_CONFIG
    if client.has_rival:
        print(for_operator.rival(ENGLISH), file=sys.stderr)
        return EXIT_ALREADY_RUNNING
    return EXIT_OK


async def _stay(client: EaselClient, token: str) -> Outage | None:
    """Serves until it is told to leave; the outage that kept it from coming in, if it may pass."""

    @client.event
    async def on_ready() -> None:  # pyright: ignore[reportUnusedFunction] - discord.py finds it by name
        log.info("ready", user=str(client.user), servers=len(client.guilds))
        await client.let_go_of_servers()
        if not client.guilds and client.application_id is not None:
            print(f"Easel is in no server yet. Invite it: {invite_link(client.application_id)}", flush=True)

    try:
        async with client:
            await client.serve(token)
    except TROUBLES as error:
        outage = outage_of(error)
        if not outage.may_pass:
            raise
        return outage
    if client.damage:
        raise Unusable(f"Easel had to end: {client.damage.removesuffix('.')}.")
    return None


async def _wait(told_to_stop: asyncio.Event, pause_s: float, why: str) -> bool:
    """Whether to try once more afterwards; not, once it is told to stop."""
    print(f"{why} Trying again in {pause_s:.0f} s.", file=sys.stderr, flush=True)
    notify(f"STATUS={why}")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(pause_s):
            await told_to_stop.wait()
    return not told_to_stop.is_set()


def sync(settings: Settings, force: bool) -> int:
    """`easel sync`: pushes the slash commands without starting the bot."""
    token = settings.discord.read_token()
    logs.configure(settings.log.level, settings.log.format, secrets=(token,), one_line=is_weather)

    def push() -> int:
        with lock_data(settings):  # a running bot writes to the same database, and has pushed them itself
            pushed = asyncio.run(_sync(settings, token, force=force))
        print(
            "The commands were pushed." if pushed else "The commands have not changed (--force pushes them)."
        )
        return EXIT_OK

    return _explained(push)


async def _sync(settings: Settings, token: str, *, force: bool) -> bool:
    async def nothing(*_: object) -> None:
        return None

    client = EaselClient(on_setup=nothing, on_close=nothing, on_drain=nothing)
    store = await Store.open(settings.database, backups=settings.backups)
    try:
        async with client:
            await client.login(token)
            return await sync_commands(client, make_tree(client, settings.discord), store, force=force)
    finally:
        await store.close()

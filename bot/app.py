"""Composition root: builds store, engine client, delivery, dispatcher and Discord client. Nothing is global."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiohttp
import discord
import structlog

from bot import logs
from bot.config import EXIT_CONFIG, Settings, make_private
from bot.core.dispatcher import Dispatcher
from bot.core.engine_client import EngineClient
from bot.core.housekeeping import keep_house
from bot.core.ports import Clock
from bot.exits import EXIT_FAILED, EXIT_OK, explained
from bot.health import Health, Signs, notify
from bot.lock import lock_data
from bot.models import engine_settings
from bot.store import Store
from bot.store.errors import Unusable
from bot.ui.attachments import Fetch, Intake, from_discord
from bot.ui.buttons import JobButton
from bot.ui.client import Desk, EaselClient, EaselTree
from bot.ui.commands import imagine, limits, mine
from bot.ui.delivery import DiscordDelivery
from bot.ui.presses import press
from engine.contract import EngineSettings

log = structlog.get_logger(__name__)

PERMISSIONS = discord.Permissions(
    view_channel=True, send_messages=True, send_messages_in_threads=True, attach_files=True
)
AUTHENTICATION_FAILED = 4004
"""The gateway's word for a token that was good once."""


class SystemClock:
    def now(self) -> float:
        return time.time()


class App:
    """One bot: what it is made of, and the order in which its parts start and stop."""

    def __init__(
        self,
        settings: Settings,
        engine: EngineSettings,
        *,
        clock: Clock | None = None,
        supervised: bool = True,
        fetch: Fetch | None = None,
    ) -> None:
        self.settings = settings
        self.engine = EngineClient(engine)
        self._clock = clock or SystemClock()
        self._supervised = supervised
        self._fetch = fetch
        self._store: Store | None = None
        self._dispatcher: Dispatcher | None = None
        self._chores: list[asyncio.Task[None]] = []

    async def setup(self, client: EaselClient) -> None:
        """Called when the client has logged in and before it connects: everything is ready to answer after it."""
        store = self._store = await Store.open(self.settings.database, backups=self.settings.backups)
        make_private(self.settings.spool)
        delivery = DiscordDelivery(
            client,
            clock=self._clock,
            interval_s=self.settings.progress.interval_s,
            on_token_refused=client.end_for_its_token,
        )
        dispatcher = self._dispatcher = Dispatcher(
            store=store,
            engine=self.engine,
            delivery=delivery,
            clock=self._clock,
            settings=self.settings,
            on_damage=client.end_for_its_database,
        )
        client.desk = Desk(
            dispatcher=dispatcher,
            store=store,
            settings=self.settings,
            clock=self._clock,
            press=press,
            intake=Intake(
                self._fetch or from_discord(client),
                folder=self.settings.inputs,
                bytes_max=self.settings.images_in.bytes_max,
            ),
        )
        client.add_dynamic_items(JobButton, mine.TurnPage)
        await dispatcher.start()
        await sync_commands(client, make_tree(client), store)
        self._begin(keep_house(store, self.settings, clock=self._clock, tell_owner=delivery.tell_owner))
        if self._supervised:
            signs = Signs(gateway=lambda: client.is_connected, store=lambda: store.settings.note("health"))
            self._begin(Health(self.settings.data_dir, signs).watch())

    def _begin(self, chore: Coroutine[Any, Any, None]) -> None:
        """Runs it until the bot closes; what only a bug can end is not ended in silence."""
        task = asyncio.create_task(chore)
        task.add_done_callback(_chore_ended)
        self._chores.append(task)

    async def drain(self) -> None:
        """What is being drawn is finished and shown; nothing new begins."""
        notify("STOPPING=1")
        log.info("draining", limit_s=self.settings.queue.drain_s)
        if self._dispatcher is not None:
            await self._dispatcher.drain(limit_s=self.settings.queue.drain_s)

    async def close(self) -> None:
        """Rows keep their states: the next start resumes them."""
        for chore in self._chores:
            chore.cancel()
        if self._dispatcher is not None:
            await self._dispatcher.stop()
        if self._store is not None:
            await self._store.close()
            self._store = None


def _chore_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("chore_ended", chore=str(task.get_coro()), exc_info=task.exception())


def create_app(
    settings: Settings,
    engine: EngineSettings,
    *,
    clock: Clock | None = None,
    supervised: bool = True,
    fetch: Fetch | None = None,
    **client_options: Any,
) -> EaselClient:
    """The bot as a client that has not logged in yet; `client_options` go to discord.Client.

    `supervised` False where nobody asks for its health: a simulated Discord waits for whatever wakes too often.
    `fetch` is for one whose attachments lie nowhere on the net.
    """
    app = App(settings, engine, clock=clock, supervised=supervised, fetch=fetch)
    return EaselClient(on_setup=app.setup, on_close=app.close, on_drain=app.drain, **client_options)


def make_tree(client: EaselClient) -> EaselTree:
    tree = EaselTree(client)
    for module in (imagine, mine, limits):
        module.add_to(tree)
    return tree


async def sync_commands(client: EaselClient, tree: EaselTree, store: Store, *, force: bool = False) -> bool:
    """Pushes the commands when they changed since the last time (Discord allows 200 creates a day)."""
    payload = [command.to_dict(tree) for command in tree.get_commands()]
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True, default=str).encode()).hexdigest()
    key = f"commands of {client.application_id}"
    if not force and await store.settings.note(key) == digest:
        return False
    await tree.sync()
    await store.settings.set_note(key, digest)
    log.info("commands_synced", count=len(payload))
    return True


def invite_link(application_id: int) -> str:
    return discord.utils.oauth_url(
        application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
    )


# ------------------------------------------------------------------ commands of the shell


def run(
    settings: Settings,
    *,
    engine: EngineSettings | None = None,
    client_options: Callable[[], Mapping[str, Any]] = dict,
) -> int:
    """`easel run`: the real bot until it is told to stop; the exit code says why it ended.

    `client_options` is called inside the event loop; what it returns goes to discord.Client.
    """
    token = settings.discord.read_token()
    os.environ.pop("DISCORD_TOKEN", None)  # nothing that is started from here has a use for it
    logs.configure(settings.log.level, settings.log.format, secrets=(token,))

    def serve() -> int:
        with lock_data(settings):
            return asyncio.run(_serve(settings, engine or engine_settings(settings), token, client_options))

    return _explained(serve)


def _explained(act: Callable[[], int]) -> int:
    """As `exits.explained`, with what Discord and the network may say."""

    def online() -> int:
        try:
            return act()
        except discord.LoginFailure:
            return _token_refused()
        except discord.ConnectionClosed as problem:
            if problem.code == AUTHENTICATION_FAILED:
                return _token_refused()
            print(f"Discord ended the connection with code {problem.code}. Try again later.", file=sys.stderr)
        except discord.HTTPException as problem:
            answer = problem.text or "nothing"
            print(f"Discord answered {problem.status}: {answer}. Try again later.", file=sys.stderr)
        except aiohttp.ClientError as problem:
            print(f"Discord can't be reached: check this machine's network ({problem}).", file=sys.stderr)
        return EXIT_FAILED

    return explained(online)


def _token_refused() -> int:
    print(
        "Discord refused the token: copy it again from the Bot page of your application at "
        "https://discord.com/developers/applications.",
        file=sys.stderr,
    )
    return EXIT_CONFIG


async def _serve(
    settings: Settings, engine: EngineSettings, token: str, client_options: Callable[[], Mapping[str, Any]]
) -> int:
    client = create_app(settings, engine, **client_options())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, client.leave)

    @client.event
    async def on_ready() -> None:  # pyright: ignore[reportUnusedFunction] - discord.py finds it by name
        log.info("ready", user=str(client.user), servers=len(client.guilds))
        notify("READY=1")
        await client.let_go_of_servers()
        if not client.guilds and client.application_id is not None:
            print(f"Easel is in no server yet. Invite it: {invite_link(client.application_id)}", flush=True)

    async with client:
        await client.start(token)
    if client.damage:
        raise Unusable(f"Easel had to end: {client.damage.removesuffix('.')}.")
    return _token_refused() if client.token_was_refused else EXIT_OK


def sync(settings: Settings, force: bool) -> int:
    """`easel sync`: pushes the slash commands without starting the bot."""
    token = settings.discord.read_token()
    logs.configure(settings.log.level, settings.log.format, secrets=(token,))

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
            return await sync_commands(client, make_tree(client), store, force=force)
    finally:
        await store.close()

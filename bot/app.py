"""Composition root: builds store, engine client, delivery, dispatcher and Discord client. Nothing is global."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import discord
import structlog
from discord import app_commands

from bot import logs
from bot.config import EXIT_CONFIG, Settings, make_private
from bot.core.dispatcher import Dispatcher
from bot.core.engine_client import EngineClient
from bot.core.housekeeping import Tell, keep_house
from bot.core.ports import Clock
from bot.exits import EXIT_FAILED, EXIT_OK, explained
from bot.health import Health, Signs, notify
from bot.lock import EXIT_ALREADY_RUNNING, lock_data
from bot.models import engine_settings
from bot.stopping import Stop
from bot.store import Store
from bot.store.errors import Unusable
from bot.ui.attachments import Fetch, Intake, from_discord
from bot.ui.buttons import JobButton
from bot.ui.client import Desk, EaselClient, EaselTree
from bot.ui.commands import imagine, limits, mine
from bot.ui.delivery import DiscordDelivery
from bot.ui.outages import NOT_LET_IN, TROUBLES, Outage, is_weather, outage_of, pauses
from bot.ui.presses import press
from bot.ui.rival import RIVAL
from engine.contract import EngineSettings

log = structlog.get_logger(__name__)

PERMISSIONS = discord.Permissions(
    view_channel=True, send_messages=True, send_messages_in_threads=True, attach_files=True
)
SYNC_WITHIN_S = 10.0
"""So long a start waits for the commands to be pushed; then it goes on with those that Discord knows."""


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
        self._delivery: DiscordDelivery | None = None
        self._chores: list[asyncio.Task[None]] = []
        self._tell_owner: Tell | None = None

    async def open(self) -> None:
        """Whatever the disk may refuse, before anybody logs in for nothing. Raises DatabaseError and OSError."""
        await self._opened()

    async def _opened(self) -> Store:
        if self._store is None:
            self._store = await Store.open(self.settings.database, backups=self.settings.backups)
            make_private(self.settings.spool)
        return self._store

    async def setup(self, client: EaselClient) -> None:
        """Called when the client has logged in and before it connects: everything is ready to answer after it."""
        store = await self._opened()
        delivery = self._delivery = DiscordDelivery(
            client,
            clock=self._clock,
            interval_s=self.settings.progress.interval_s,
            on_token_refused=client.end_for_its_token,
            rival=client.rival,
        )
        self._tell_owner = delivery.tell_owner
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
        await self._sync(client, store, tell_owner=delivery.tell_owner)
        self._begin(keep_house(store, self.settings, clock=self._clock, tell_owner=delivery.tell_owner))
        if self._supervised:
            signs = Signs(gateway=lambda: client.is_connected, store=lambda: store.settings.note("health"))
            self._begin(Health(self.settings.data_dir, signs).watch())
        # with Discord's gateway away too: then its watchdog decides, no longer the start's limit
        notify("READY=1")

    async def _sync(self, client: EaselClient, store: Store, *, tell_owner: Tell) -> None:
        """Pushes the commands; where Discord takes them only later, the bot starts with those it has."""
        tried = asyncio.Event()
        self._begin(push_commands(client, make_tree(client), store, tell_owner=tell_owner, tried=tried))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SYNC_WITHIN_S):
                await tried.wait()

    def _begin(self, chore: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs it until the bot closes; what only a bug can end is not ended in silence."""
        task = asyncio.create_task(chore)
        task.add_done_callback(_chore_ended)
        self._chores.append(task)
        return task

    async def drain(self) -> None:
        """What is being drawn is finished and shown; nothing new begins."""
        notify("STOPPING=1")
        log.info("draining", limit_s=self.settings.queue.drain_s)
        if self._dispatcher is not None:
            await self._dispatcher.drain(limit_s=self.settings.queue.drain_s)

    async def warn(self, text: str) -> None:
        """Whoever runs the bot."""
        if self._tell_owner is not None:
            await self._tell_owner(text)

    async def close(self) -> None:
        """Rows keep their states: the next start resumes them."""
        for chore in self._chores:
            chore.cancel()
        if self._dispatcher is not None:
            await self._dispatcher.stop()
        if self._delivery is not None:
            await self._delivery.close()
        if self._store is not None:
            await self._store.close()
            self._store = None


def _chore_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("chore_ended", chore=str(task.get_coro()), exc_info=error)


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
    return EaselClient(
        on_open=app.open,
        on_setup=app.setup,
        on_close=app.close,
        on_drain=app.drain,
        on_rival=app.warn,
        **client_options,
    )


def make_tree(client: EaselClient) -> EaselTree:
    """For servers only, whatever the application's page says: where the bot itself is not, it can't post."""
    tree = EaselTree(
        client,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
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


async def push_commands(
    client: EaselClient, tree: EaselTree, store: Store, *, tell_owner: Tell, tried: asyncio.Event
) -> None:
    """Until Discord has them, with growing pauses; `tried` is set after the first try."""
    for pause in pauses():
        try:
            await sync_commands(client, tree, store)
        except TROUBLES as error:
            outage = outage_of(error)
        else:
            return
        finally:
            tried.set()
        if outage.sentence == NOT_LET_IN:
            client.end_for_its_token()
            return
        wait_s = max(pause, outage.asked_s)
        log.error("commands_not_synced", problem=outage.sentence, again_s=wait_s)
        await tell_owner(
            f"Easel's commands could not be pushed to Discord and stay as they are. {outage.sentence}"
        )
        await asyncio.sleep(wait_s)


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
    stop = Stop()
    stop.listen()
    token = settings.discord.read_token()
    os.environ.pop("DISCORD_TOKEN", None)  # nothing that is started from here has a use for it
    logs.configure(settings.log.level, settings.log.format, secrets=(token,), one_line=is_weather)

    def serve() -> int:
        with lock_data(settings):
            return asyncio.run(
                _serve(settings, engine or engine_settings(settings), token, client_options, stop)
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


async def _serve(
    settings: Settings,
    engine: EngineSettings,
    token: str,
    client_options: Callable[[], Mapping[str, Any]],
    stop: Stop,
) -> int:
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
            clients[:] = [create_app(settings, engine, **client_options())]
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
        print(RIVAL, file=sys.stderr)
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
            return await sync_commands(client, make_tree(client), store, force=force)
    finally:
        await store.close()

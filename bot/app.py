"""Composition root: builds store, engine client, delivery, dispatcher and Discord client. Nothing is global."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import structlog

from bot.chat.client import EaselClient, Services
from bot.chat.delivery.desk import ModeratorsDesk
from bot.chat.delivery.mail import MailToo
from bot.chat.delivery.pauses import Pauses
from bot.chat.delivery.training_messages import TrainingMessages
from bot.chat.delivery.writer import DiscordDelivery
from bot.chat.look.keepsake_view import link
from bot.chat.sources import Fetch, Intake, from_discord
from bot.chat.tree import make_tree, push_commands
from bot.config import Settings, make_private
from bot.config.engine import each_placed
from bot.config.own_styles import load_styles
from bot.core.asking.admission import Admission
from bot.core.asking.catalogue import DEFAULT_MODEL, Catalogue
from bot.core.asking.wildcards import Wildcards
from bot.core.doors import Doors
from bot.core.engines import generation
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import HELD_ENGINES, LocalFleet, numbers_in
from bot.core.engines.own_cluster import OwnCluster
from bot.core.engines.restarts import Patience
from bot.core.engines.watch import Deadlines
from bot.core.erasing import Erasing
from bot.core.exports import Exports
from bot.core.happenings import Happening, Happenings, StoreDamaged
from bot.core.housekeeping import Rounds, Tell, keep_house
from bot.core.line.dispatcher import Dispatcher
from bot.core.line.halting import Halting
from bot.core.line.retries import Retries
from bot.core.news import News
from bot.core.ports import Clock
from bot.core.spool import Spool
from bot.core.training.child import beginning
from bot.core.training.files import Places
from bot.core.training.host import this_host
from bot.core.training.service import TrainingService
from bot.core.training.turns import Turns
from bot.job import Job
from bot.store import Store
from bot.vitals import journal
from bot.vitals.charts import Charts
from bot.vitals.health import Health, Signs, Vigilance, notify
from bot.vitals.metrics import Gauges, Metrics
from bot.vitals.scrapes import Scrapes
from engine.contract import EngineSettings

log = structlog.get_logger(__name__)

SYNC_WITHIN_S = 10.0
"""So long a start waits for the commands to be pushed; then it goes on with those that Discord knows."""


class SystemClock:
    def now(self) -> float:
        return time.time()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long whom is waited for, in the whole bot; what runs a bot to look at it hands in others."""

    deadlines: Deadlines = field(default_factory=Deadlines)
    patience: Patience = field(default_factory=Patience)
    retries: Retries = field(default_factory=Retries)
    pauses: Pauses = field(default_factory=Pauses)
    rounds: Rounds = field(default_factory=Rounds)
    vigilance: Vigilance = field(default_factory=Vigilance)


class App:
    """One bot: what it is made of, and the order in which its parts start and stop."""

    def __init__(
        self,
        settings: Settings,
        engine: EngineSettings,
        *,
        engines: int = 1,
        clock: Clock | None = None,
        supervised: bool = True,
        fetch: Fetch | None = None,
        timings: Timings | None = None,
    ) -> None:
        """`engines`: so many are started with the settings `engine`, each in its place."""
        self.settings = settings
        placed = each_placed(engine, engines)
        self._first_engine = placed[0]
        self._teaching: asyncio.Task[None] | None = None
        self._training_messages: TrainingMessages | None = None
        self._own_styles = load_styles(settings)  # what is wrong with them is told now, not to who names one
        self._timings = timings = timings or Timings()
        self._happenings = Happenings(journal.write)
        self._metrics: Metrics | None = None
        if settings.metrics.address is not None:
            self._metrics = Metrics(settings.database)
            self._happenings.listen(self._metrics.hear)
        self._scrapes: Scrapes | None = None
        has_own = engine.cluster is not None and not engine.cluster.address
        self._cluster = OwnCluster(engines) if has_own else None
        self._fleet = LocalFleet(
            [
                EngineClient(
                    each,
                    number=number,
                    deadlines=timings.deadlines,
                    patience=timings.patience,
                    tell=self._happenings.tell,
                    start=generation.start if self._cluster is None else self._cluster.start,
                )
                for number, each in enumerate(placed, 1)
            ]
        )
        self._clock = clock or SystemClock()
        self._supervised = supervised
        self._fetch = fetch
        self._store: Store | None = None
        self._dispatcher: Dispatcher | None = None
        self._delivery: DiscordDelivery | None = None
        self._mail: MailToo | None = None
        self._chores: list[asyncio.Task[None]] = []
        self._tell_operator: Tell | None = None

    async def open(self) -> None:
        """Whatever the disk may refuse, before anybody logs in for nothing. Raises DatabaseError and OSError."""
        await self._opened()

    async def _opened(self) -> Store:
        if self._store is None:
            self._store = await Store.open(self.settings.database, backups=self.settings.backups)
            make_private(self.settings.spool)
        address = self.settings.metrics.address
        if self._metrics is not None and address is not None and self._scrapes is None:
            self._scrapes = await asyncio.to_thread(Scrapes, self._metrics.registry, address)
            log.info("metrics", url=f"http://{address}/metrics")
        return self._store

    def watch(self, trace: aiohttp.TraceConfig) -> None:
        """Sees every request to Discord."""
        if self._metrics is not None:
            self._metrics.watch(trace)

    async def setup(self, client: EaselClient) -> None:
        """Called when the client has logged in and before it connects: everything is ready to answer after it."""
        store = await self._opened()
        delivery = self._delivery = DiscordDelivery(
            client,
            clock=self._clock,
            interval_s=self.settings.progress.interval_s,
            on_token_refused=client.end_for_its_token,
            rival=client.rival,
            pauses=self._timings.pauses,
            parts_of=partial(_parts_of, store, self._timings.retries),
        )
        self._tell_operator = delivery.tell_operator
        self._happenings.listen(partial(_end_with_damage, client))
        self._mail = MailToo(client)
        self._happenings.listen(self._mail.hear)
        desk = ModeratorsDesk(client)
        self._happenings.listen(desk.hear)
        services = client.services = self._services(client, store, delivery, desk)
        dispatcher = services.dispatcher
        await services.halting.take_up()
        services.catalogue.prefer(await store.settings.note(DEFAULT_MODEL))
        self._fleet.hold(numbers_in(await store.settings.note(HELD_ENGINES)))
        await dispatcher.start()
        await self._sync(client, store, tell_operator=delivery.tell_operator)
        self._begin(desk.take_up())
        await services.training.take_up()
        self._teaching = self._begin(services.training.run())
        self._look_after(client, store, tell_operator=delivery.tell_operator)
        self._count(dispatcher)
        # with Discord's gateway away too: then its watchdog decides, no longer the start's limit
        notify("READY=1")

    def _services(
        self, client: EaselClient, store: Store, delivery: DiscordDelivery, desk: ModeratorsDesk
    ) -> Services:
        """All that commands and buttons ask."""
        doors, catalogue = Doors(), Catalogue(self._fleet)
        admission = Admission(
            store=store,
            catalogue=catalogue,
            clock=self._clock,
            settings=self.settings,
            doors=doors,
            tell=self._happenings.tell,
        )
        dispatcher = self._dispatcher = Dispatcher(
            store=store,
            fleet=self._fleet,
            delivery=delivery,
            clock=self._clock,
            spool=Spool(self.settings.spool),
            doors=doors,
            retries=self._timings.retries,
            tell=self._happenings.tell,
        )
        training = self._training(client, store, dispatcher, doors)
        halting = Halting(dispatcher, store=store, doors=doors, delivery=delivery, clock=self._clock)
        self._happenings.listen(halting.hear)
        return Services(
            catalogue=catalogue,
            admission=admission,
            dispatcher=dispatcher,
            halting=halting,
            store=store,
            settings=self.settings,
            clock=self._clock,
            intake=Intake(
                self._fetch or from_discord(client),
                folder=self.settings.inputs,
                bytes_max=self.settings.images_in.bytes_max,
            ),
            wildcards=Wildcards(self.settings.wildcards_dir),
            exports=Exports(store, self.settings, link=link),
            erasing=Erasing(
                store,
                self.settings,
                dispatcher=dispatcher,
                clock=self._clock,
                tell_moderators=desk.catch_up,
                teaching=training,
            ),
            own_styles=self._own_styles,
            tell=self._happenings.tell,
            charts=Charts(self.settings.data_dir / "matplotlib"),
            training=training,
            tell_moderators=desk.catch_up,
        )

    def _training(
        self, client: EaselClient, store: Store, dispatcher: Dispatcher, doors: Doors
    ) -> TrainingService:
        """What teaches beside the pictures."""
        messages = self._training_messages = TrainingMessages(
            client,
            store.trainings,
            sheet_of=Places.of(self.settings).sheet_of,
            interval_s=self.settings.progress.interval_s,
        )
        hours = self.settings.training.hours
        service = TrainingService(
            settings=self.settings,
            rows=store.trainings,
            turns=Turns(fleet=self._fleet, line=dispatcher, doors=doors, host=this_host(), hours=hours),
            told=messages,
            clock=self._clock,
            begin=beginning(self._first_engine),
        )
        self._happenings.listen(service.hear)
        return service

    def _look_after(self, client: EaselClient, store: Store, *, tell_operator: Tell) -> None:
        """What goes on for as long as the bot runs."""
        chores = keep_house(
            store,
            self.settings,
            clock=self._clock,
            tell_operator=tell_operator,
            rounds=self._timings.rounds,
            end_reviews=lambda before: client.services.dispatcher.reviews.expire(before=before),
        )
        self._begin(chores)
        self._begin(client.services.erasing.run())
        if self._supervised:
            signs = Signs(gateway=lambda: client.is_connected, store=lambda: store.settings.note("health"))
            self._begin(Health(self.settings.data_dir, signs, vigilance=self._timings.vigilance).watch())

    def _count(self, dispatcher: Dispatcher) -> None:
        """What is asked at each scrape, where anybody scrapes."""
        if self._metrics is None:
            return
        self._metrics.look_at(
            Gauges(
                lengths=lambda: dispatcher.lengths,
                engine=lambda: self._fleet.status,
                engines=lambda: self._fleet.engines,
            )
        )
        self._begin(self._metrics.look_at_loop())

    async def _sync(self, client: EaselClient, store: Store, *, tell_operator: Tell) -> None:
        """Pushes the commands; where Discord takes them only later, the bot starts with those it has."""
        tried = asyncio.Event()
        router = make_tree(client, self.settings.discord)
        self._begin(push_commands(client, router, store, tell_operator=tell_operator, tried=tried))
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

    async def warn(self, news: News) -> None:
        """Whoever runs the bot."""
        if self._tell_operator is not None:
            await self._tell_operator(news)

    async def close(self) -> None:
        """Rows keep their states: the next start resumes them."""
        for chore in self._chores:
            chore.cancel()
        if self._teaching is not None:  # its process ends with us
            await asyncio.gather(self._teaching, return_exceptions=True)
        if self._training_messages is not None:
            await self._training_messages.close()
        if self._dispatcher is not None:
            await self._dispatcher.stop()
        if self._cluster is not None:
            await self._cluster.stop()
        if self._delivery is not None:
            await self._delivery.close()
        if self._mail is not None:
            await self._mail.close()
        if self._scrapes is not None:
            await asyncio.to_thread(self._scrapes.close)
            self._scrapes = None
        if self._store is not None:
            await self._store.close()
            self._store = None


async def _parts_of(store: Store, retries: Retries, job: Job) -> Sequence[Job]:
    """What a message is to show: a busy store is waited for."""
    found: list[Job] = []
    async for attempt in retries.persistent():
        with attempt:
            found = await store.jobs.gathered(job)
    return found


def _end_with_damage(client: EaselClient, happening: Happening) -> None:
    if isinstance(happening, StoreDamaged):
        client.end_for_its_database(happening.problem)


def _chore_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("chore_ended", chore=str(task.get_coro()), exc_info=error)


def create_app(
    settings: Settings,
    engine: EngineSettings,
    *,
    engines: int = 1,
    clock: Clock | None = None,
    supervised: bool = True,
    fetch: Fetch | None = None,
    timings: Timings | None = None,
    **client_options: Any,
) -> EaselClient:
    """The bot with so many engines, as a client that has not logged in yet; `client_options` go to discord.Client.

    `supervised` False where nobody asks for its health: a simulated Discord waits for whatever wakes too often.
    `fetch` is for one whose attachments lie nowhere on the net.
    """
    app = App(
        settings,
        engine,
        engines=engines,
        clock=clock,
        supervised=supervised,
        fetch=fetch,
        timings=timings,
    )
    return EaselClient(
        on_open=app.open,
        on_setup=app.setup,
        on_close=app.close,
        on_drain=app.drain,
        on_rival=app.warn,
        watch=app.watch,
        **client_options,
    )

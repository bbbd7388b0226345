"""The Discord client and what its handlers reach through it; decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any

import aiohttp
import discord
import structlog

from bot.chat.gateway import GatewayPace
from bot.chat.greeting import greet
from bot.chat.outages import NotDiscord, pauses, told
from bot.chat.rival import Rival
from bot.chat.sources import Intake
from bot.config import Settings
from bot.core.asking.admission import Admission
from bot.core.asking.catalogue import Catalogue
from bot.core.asking.wildcards import Wildcards
from bot.core.erasing import Erasing
from bot.core.exports import Exports
from bot.core.happenings import Listener
from bot.core.line.dispatcher import Dispatcher
from bot.core.line.halting import Halting
from bot.core.news import News, RivalFound
from bot.core.ports import Clock
from bot.core.training.service import TrainingService
from bot.job import DIRECT, Style
from bot.store import Store
from bot.texts import for_operator
from bot.texts.examples import drawing
from bot.texts.language import ENGLISH
from bot.vitals.charts import Charts

log = structlog.get_logger(__name__)


CANCEL_AGAIN_S = 2.0


class _Setup(Enum):
    """How far the parts are that serve people."""

    TO_COME = 1
    BEGUN = 2
    DONE = 3


# discord.py warns of packages that voice would take; a bot that draws has no voice.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a handler needs to serve somebody."""

    catalogue: Catalogue
    admission: Admission
    dispatcher: Dispatcher
    halting: Halting
    store: Store
    settings: Settings
    clock: Clock
    intake: Intake
    wildcards: Wildcards
    exports: Exports
    erasing: Erasing
    own_styles: tuple[Style, ...]
    """Those of whoever runs the bot."""
    tell: Listener
    """Hears what happens."""
    charts: Charts
    tell_moderators: Callable[[int], Coroutine[Any, Any, None]]
    """Brings what is read in a server about reports up to date."""
    training: TrainingService

    async def styles(self, guild_id: int) -> tuple[Style, ...]:
        """What may be named in a server: its own first."""
        return (*await self.store.taste.styles(guild_id), *self.own_styles)


class EaselClient(discord.Client):
    """A plain client without privileged intents: slash commands and buttons need none."""

    services: Services
    token_was_refused = False
    """Discord took our token once, and does no more: the reason why this client closed."""
    damage = ""
    """What is the matter with the database, as a sentence, where that is the reason."""
    has_rival = False
    """Another bot answers with our token: the reason why this client closed."""

    def __init__(
        self,
        *,
        on_open: Callable[[], Awaitable[None]] | None = None,
        on_setup: Callable[[EaselClient], Awaitable[None]],
        on_close: Callable[[], Awaitable[None]],
        on_drain: Callable[[], Awaitable[None]],
        on_rival: Callable[[News], Awaitable[None]] | None = None,
        watch: Callable[[aiohttp.TraceConfig], None] = lambda _trace: None,
        **options: Any,
    ) -> None:
        """`watch` sees every request to Discord."""
        self.rival = Rival(self._keep_out)
        trace = aiohttp.TraceConfig()
        GatewayPace().watch(trace)
        self.rival.watch(trace)
        watch(trace)
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            http_trace=trace,
            **options,
        )
        self._on_open = on_open
        self._on_setup = on_setup
        self._on_close = on_close
        self._on_drain = on_drain
        self._on_rival = on_rival or _nobody
        self._setup: _Setup = _Setup.TO_COME
        self._is_draining = False
        self._service: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.is_connected = False
        """Whether the gateway is there, as far as the last event told."""

    # -------------------------------------------------------------- coming

    async def serve(self, token: str) -> None:
        """From login until it is told to leave, when it returns; raises what else ends it."""
        self._service = asyncio.get_running_loop().create_task(self._come_in(token))
        try:
            await asyncio.wait({self._service})
        finally:
            self._service.cancel()
        if self._ending is None:
            await self._service
        else:
            await asyncio.wait({self._ending, self._service}, return_when=asyncio.ALL_COMPLETED)
            if not self._service.cancelled() and (error := self._service.exception()) is not None:
                log.info("ended_while_leaving", error=told(error))

    async def _come_in(self, token: str) -> None:
        """What the disk may refuse is opened first: nobody logs in for nothing."""
        if self._on_open is not None:
            await self._on_open()
        await self.start(token)

    async def login(self, token: str) -> None:
        """Raises NotDiscord where discord.py stumbles over an answer that can't be Discord's."""
        try:
            await super().login(token)
        except (KeyError, TypeError, ValueError) as error:
            if self._setup is not _Setup.TO_COME:
                raise
            raise NotDiscord from error

    async def setup_hook(self) -> None:
        self._setup = _Setup.BEGUN
        await self._on_setup(self)
        self._setup = _Setup.DONE

    async def connect(self, *, reconnect: bool = True) -> None:
        """As discord.py does, which stumbles over itself where the very first connection fails."""
        for pause in pauses():
            try:
                await super().connect(reconnect=reconnect)
            except AttributeError:
                if getattr(self, "ws", None) is not None:
                    raise
            else:
                break
            await asyncio.sleep(pause)

    # -------------------------------------------------------------- leaving

    def leave(self) -> None:
        """Told to end: what is being drawn is finished first, within a limit. Told again: at once."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._take_leave())
        elif self._is_draining:
            self._ending.cancel()

    async def _take_leave(self) -> None:
        """A bot that is not set up yet owes nothing to anybody: whatever it is at is broken off."""
        if self._setup is _Setup.DONE:
            self._is_draining = True
            with contextlib.suppress(asyncio.CancelledError):
                await self._on_drain()
            self._is_draining = False
        await self._end()

    async def _end(self) -> None:
        if self._service is None:
            await self.close()
            return
        while (
            not self._service.done()
        ):  # it may be at a login, a migration or a pause; who waits for it closes us
            self._service.cancel()  # of which asyncio.wait_for swallows one now and then, before Python 3.12
            await asyncio.wait({self._service}, timeout=CANCEL_AGAIN_S)

    def end_for_its_database(self, sentence: str) -> None:
        """What is promised can't be written down any more: a supervisor must not start us again before it is mended."""
        self.damage = sentence
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self.close())

    def end_for_its_token(self) -> None:
        """Each further request would be another invalid one, and Discord bans for those: so ends the bot."""
        self.token_was_refused = True
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    def _keep_out(self) -> None:
        """Who asks now is served by the other bot; what waits here goes on at the next start."""
        log.error("rival", problem=for_operator.rival(ENGLISH))
        self.has_rival = True
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._tell_and_end())

    async def _tell_and_end(self) -> None:
        await self._on_rival(RivalFound())
        await self._end()

    async def on_error(self, event_method: str, /, *_args: Any, **_kwargs: Any) -> None:
        """What a handler of Discord's events met; in our last moment a store that is closed by now is no error."""
        error = sys.exc_info()[1]
        if self._closing is not None:
            log.info("event_lost", handler=event_method, error=str(error))
        else:
            log.error("event_failed", handler=event_method, exc_info=error)

    async def on_connect(self) -> None:
        self.is_connected = True

    async def on_resumed(self) -> None:
        self.is_connected = True

    async def on_disconnect(self) -> None:
        self.is_connected = False

    async def let_go_of_servers(self) -> None:
        """Of those that we were removed from while we were not looking.

        Discord has told us of all our servers, those in an outage too, when it says that we are ready.
        """
        ours = {guild.id for guild in self.guilds}
        live = await self.services.store.jobs.live()
        taught = await self.services.store.trainings.waiting()
        for guild_id in {each.guild_id for each in (*live, *taught)} - ours - {DIRECT}:
            await self._leave(guild_id)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """We were let in just now: of a start, or of the end of a server's outage, Discord's library tells otherwise."""
        services = self.services
        services.dispatcher.endings.guild_joined(guild.id)
        await services.catalogue.described()
        draws = [model.id for model in drawing(services.catalogue.models)]
        model_id = draws[0] if draws else services.settings.engine.model
        await greet(guild, model_id, store=services.store, clock=services.clock)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """We were removed; for a mere outage of the server Discord's library has another event."""
        await self._leave(guild.id)

    async def _leave(self, guild_id: int) -> None:
        await self.services.dispatcher.guild_left(guild_id)
        await self.services.training.guild_left(guild_id)

    async def close(self) -> None:
        """Once, whoever asks for it, and to its end."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._on_close()
        await super().close()


async def _nobody(_news: News) -> None:
    return None


Interaction = discord.Interaction[EaselClient]

"""The Discord client and what its handlers reach through it; decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import discord
from discord import app_commands

from bot.config import Settings
from bot.core.dispatcher import Dispatcher
from bot.core.ports import Clock
from bot.store import Store
from bot.ui.attachments import Intake
from bot.ui.buttons import Press
from bot.ui.errors import answer_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a handler needs to serve somebody."""

    dispatcher: Dispatcher
    store: Store
    settings: Settings
    clock: Clock
    press: Callable[[discord.Interaction[EaselClient], Press, int], Awaitable[None]]
    """What the buttons under a job's message do."""
    intake: Intake


class EaselClient(discord.Client):
    """A plain client without privileged intents: slash commands and buttons need none."""

    desk: Desk
    token_was_refused = False
    """Discord took our token once, and does no more: the reason why this client closed."""
    damage = ""
    """What is the matter with the database, as a sentence, where that is the reason."""

    def __init__(
        self,
        *,
        on_setup: Callable[[EaselClient], Awaitable[None]],
        on_close: Callable[[], Awaitable[None]],
        on_drain: Callable[[], Awaitable[None]],
        **options: Any,
    ) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            **options,
        )
        self._on_setup = on_setup
        self._on_close = on_close
        self._on_drain = on_drain
        self._is_draining = False
        self._ending: asyncio.Task[None] | None = None
        self.is_connected = False
        """Whether the gateway is there, as far as the last event told."""

    async def setup_hook(self) -> None:
        await self._on_setup(self)

    def leave(self) -> None:
        """Told to end: what is being drawn is finished first, within a limit. Told again: at once."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._drain_and_close())
        elif self._is_draining:
            self._ending.cancel()

    async def _drain_and_close(self) -> None:
        self._is_draining = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._on_drain()
        self._is_draining = False
        await self.close()

    def end_for_its_database(self, sentence: str) -> None:
        """What is promised can't be written down any more: a supervisor must not start us again before it is mended."""
        self.damage = sentence
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self.close())

    def end_for_its_token(self) -> None:
        """Each further request would be another invalid one, and Discord bans for those: so ends the bot."""
        self.token_was_refused = True
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self.close())

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
        for guild_id in {job.guild_id for job in await self.desk.store.jobs.live()} - ours:
            await self.desk.dispatcher.guild_left(guild_id)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        self.desk.dispatcher.guild_joined(guild.id)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """We were removed; for a mere outage of the server Discord's library has another event."""
        await self.desk.dispatcher.guild_left(guild.id)

    async def close(self) -> None:
        if not self.is_closed():
            await self._on_close()
        await super().close()


class EaselTree(app_commands.CommandTree[EaselClient]):
    async def on_error(
        self, interaction: discord.Interaction[EaselClient], error: app_commands.AppCommandError, /
    ) -> None:
        await answer_error(interaction, error)


Interaction = discord.Interaction[EaselClient]

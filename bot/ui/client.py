"""The Discord client and what its handlers reach through it; decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import discord
from discord import app_commands

from bot.config import Settings
from bot.core.dispatcher import Dispatcher
from bot.core.ports import Clock
from bot.store import Store
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


class EaselClient(discord.Client):
    """A plain client without privileged intents: slash commands and buttons need none."""

    desk: Desk

    def __init__(
        self,
        *,
        on_setup: Callable[[EaselClient], Awaitable[None]],
        on_close: Callable[[], Awaitable[None]],
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

    async def setup_hook(self) -> None:
        await self._on_setup(self)

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

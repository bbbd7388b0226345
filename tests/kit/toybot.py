"""A toy discord.py client for the tests of the loopback Discord itself; shares nothing with Easel."""

from __future__ import annotations

import asyncio
import io
import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import discord
from discord import app_commands, ui

from workshop.rehearsal.loopback.driver import (
    Channel,
    Guild,
    LoopbackDiscord,
    User,
    client_options,
    client_options_from_environment,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def picture(name: str = "a.png", data: bytes = PNG, alt: str | None = None) -> discord.File:
    return discord.File(io.BytesIO(data), filename=name, description=alt)


class Again(ui.DynamicItem[ui.Button[Any]], template=r"again:(?P<number>\d+)"):
    """A button that knows its state from its custom_id alone."""

    def __init__(self, number: int, label: str = "Again") -> None:
        super().__init__(ui.Button[Any](label=label, custom_id=f"again:{number}"))
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str]
    ) -> Self:
        return cls(int(match["number"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(f"again {self.number}", ephemeral=True)


def card(text: str, *files: str, button: bool = True) -> ui.LayoutView:
    """A container with text, a gallery of the named attachments and the button."""
    items: list[ui.Item[Any]] = [ui.TextDisplay[Any](text)]
    if files:
        media = [discord.MediaGalleryItem(f"attachment://{name}", description="alt") for name in files]
        items.append(ui.MediaGallery[Any](*media))
    if button:
        items.append(ui.ActionRow[Any](Again(7)))
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.Container[Any](*items, accent_colour=0x5865F2))
    return view


class ToyBot(discord.Client):
    """`seen` keeps the interactions, so that tests can act as the bot."""

    def __init__(self, **options: Any) -> None:
        super().__init__(intents=discord.Intents(guilds=True), **options)
        self.seen: list[discord.Interaction[Any]] = []
        self.tree = app_commands.CommandTree(self)
        self.add_dynamic_items(Again)
        own: list[Any] = [paint, later, silent, ask, limits, count_words]
        for command in own:
            self.tree.add_command(command)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """No five seconds of waiting before a second IDENTIFY."""

    async def setup_hook(self) -> None:
        await self.tree.sync()


def _keep(interaction: discord.Interaction[Any]) -> None:
    assert isinstance(interaction.client, ToyBot)
    interaction.client.seen.append(interaction)


@app_commands.command(description="Answers with a card at once")
async def paint(
    interaction: discord.Interaction[Any],
    prompt: str,
    steps: app_commands.Range[int, 1, 50] = 20,
    strength: float = 0.5,
    fast: bool = False,
    image: discord.Attachment | None = None,
) -> None:
    _keep(interaction)
    size = 0 if image is None else len(await image.read())
    text = f"{prompt} {steps} {strength} {fast} {size}"
    await interaction.response.send_message(view=card(text))


@paint.autocomplete("prompt")
async def _prompts(interaction: discord.Interaction[Any], current: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=current + end, value=current + end) for end in (" cat", " dog")]


@app_commands.command(description="Defers")
async def later(interaction: discord.Interaction[Any], private: bool = False) -> None:
    _keep(interaction)
    await interaction.response.defer(ephemeral=private, thinking=True)


@app_commands.command(description="Never answers by itself")
async def silent(interaction: discord.Interaction[Any]) -> None:
    _keep(interaction)


class Question(ui.Modal, title="Question"):
    name: ui.Label[Self] = ui.Label(text="Name", component=ui.TextInput(custom_id="name", max_length=10))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        assert isinstance(self.name.component, ui.TextInput)
        await interaction.response.send_message(f"hello {self.name.component.value}", ephemeral=True)


@app_commands.command(description="Opens a modal")
async def ask(interaction: discord.Interaction[Any]) -> None:
    await interaction.response.send_modal(Question())


limits = app_commands.Group(
    name="limits", description="Limits", default_permissions=discord.Permissions(manage_guild=True)
)


@limits.command(name="set", description="Set them")
async def limits_set(
    interaction: discord.Interaction[Any],
    credits: int,  # noqa: A002  the option is called so
    member: discord.Member | None = None,
    role: discord.Role | None = None,
) -> None:
    _keep(interaction)
    may = interaction.permissions.manage_guild
    await interaction.response.send_message(f"{credits} {member} {role} {may}", ephemeral=True)


@app_commands.context_menu(name="Count words")
async def count_words(interaction: discord.Interaction[Any], message: discord.Message) -> None:
    _keep(interaction)
    files = [file.filename for file in message.attachments]
    await interaction.response.send_message(f"{len(message.content.split())} {files} {message.author.name}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evening:
    """A running server with one place and one person, and a bot in it."""

    discord: LoopbackDiscord
    bot: ToyBot
    guild: Guild
    channel: Channel
    alice: User


@asynccontextmanager
async def running(server: LoopbackDiscord) -> AsyncGenerator[ToyBot]:
    """A toy bot that is connected and ready; fails if the bot ended by itself."""
    bot = ToyBot(**client_options(server.address, server.ca_pem))
    task = asyncio.create_task(bot.start(server.token))
    try:
        await server.wait_ready()
        await asyncio.wait_for(bot.wait_until_ready(), 5)
        yield bot
        assert bot.is_closed() or not task.done(), "the client ended by itself"
    finally:
        await bot.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _main() -> None:
    """The toy bot as a process of its own."""
    async with ToyBot(**client_options_from_environment()) as bot:
        await bot.start(os.environ["TOY_TOKEN"])


if __name__ == "__main__":
    asyncio.run(_main())

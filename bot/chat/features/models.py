"""/models: models, LoRAs and embeddings that can be drawn with, and one of them with its picture."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.chat import suggestions
from bot.chat.client import EaselClient, Interaction
from bot.chat.delivery.thumbnails import of_stranger
from bot.chat.errors import UserError, language_of
from bot.chat.look import offer_view
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.core.asking.offer import Kind, Offer, called
from bot.texts import commands, offers

NAME_CHARS_MAX = 100


@app_commands.command(description=commands.MODELS)
@app_commands.describe(**commands.MODELS_OPTIONS)
async def models(
    interaction: discord.Interaction[EaselClient], name: Range[str, 1, NAME_CHARS_MAX] | None = None
) -> None:
    asker_of(interaction)
    catalogue, to = interaction.client.services.catalogue, language_of(interaction)
    await catalogue.described()
    catalogue.model()  # raises why nothing is offered
    if name is None:
        view = offer_view.overview(await suggestions.open_to(interaction), to)
        await interaction.response.send_message(view=view, ephemeral=True)
        return
    found = called(name, await suggestions.open_to(interaction))
    if not found:
        raise UserError(offers.no_such(name))
    await _show(interaction, found)


async def _show(interaction: Interaction, found: list[Offer]) -> None:
    """Pictures beside files take longer than Discord waits, now and then: it is told that we are at it."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    files: dict[Kind, discord.File] = {}
    for offer in found:
        data = await asyncio.to_thread(of_stranger, Path(offer.preview)) if offer.preview else None
        if data is not None:
            files[offer.kind] = discord.File(BytesIO(data), f"{offer.kind.lower()}.jpg")
    names = {kind: file.filename for kind, file in files.items()}
    view = offer_view.cards(found, names, language_of(interaction))
    await interaction.edit_original_response(view=view, attachments=[*files.values()])


models.autocomplete("name")(suggestions.offers)

FEATURE = Feature(commands=(models,))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

"""/quota: what a person used today, what is left, and when it renews."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.chat.client import EaselClient
from bot.chat.errors import language_of
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.texts import allowances, commands


@app_commands.command(description=commands.QUOTA)
async def quota(interaction: discord.Interaction[EaselClient]) -> None:
    allowance = await interaction.client.services.admission.allowance(asker_of(interaction))
    await interaction.response.send_message(
        "\n".join(allowances.quota(allowance, language_of(interaction))), ephemeral=True
    )


FEATURE = Feature(commands=(quota,))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

"""/quota: what a person used today, what is left, and when it renews."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.chat.client import EaselClient
from bot.chat.errors import language_of
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.job import DIRECT
from bot.texts import allowances, commands, trainings
from bot.training import UNDER_WAY, TrainingState


@app_commands.command(description=commands.QUOTA)
async def quota(interaction: discord.Interaction[EaselClient]) -> None:
    services, asker, to = interaction.client.services, asker_of(interaction), language_of(interaction)
    allowance = await services.admission.allowance(asker)
    lines, limits = allowances.quota(allowance, to), allowance.limits
    if services.training.offered is None and limits.trainings and asker.guild_id != DIRECT:
        found = await services.store.trainings.listed(asker.guild_id, asker.user_id)
        are_open = sum(each.state in (TrainingState.COLLECTING, *UNDER_WAY) for each in found)
        lines.insert(-1, trainings.quota(are_open, limits.trainings, limits.training_steps, to))
    await interaction.response.send_message("\n".join(lines), ephemeral=True)


FEATURE = Feature(commands=(quota,))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

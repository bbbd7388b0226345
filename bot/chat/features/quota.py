"""/quota: what a person used today, what is left, and when it renews."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.chat.client import EaselClient
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.core.asking.admission import Allowance
from bot.core.asking.policy import BLOCKED, area, credit


@app_commands.command(description="What you used today, what is left, and when it renews")
@app_commands.guild_only()
async def quota(interaction: discord.Interaction[EaselClient]) -> None:
    allowance = await interaction.client.services.admission.allowance(asker_of(interaction))
    await interaction.response.send_message("\n".join(quota_lines(allowance)), ephemeral=True)


def quota_lines(allowance: Allowance) -> list[str]:
    limits, usage = allowance.limits, allowance.usage
    renews = f"renews <t:{int(allowance.window.end)}:R>"
    if limits.is_blocked:
        return [BLOCKED, f"Used today: **{usage.used}**. Waiting or running: {usage.pending}."]
    left = limits.credits_per_day - usage.used
    used = f"Used today: **{usage.used}** of {credit(limits.credits_per_day)}, left: **{left}**; {renews}."
    if left < 0:
        used = f"Used today: **{usage.used}**; the limit is {limits.credits_per_day} by now, so nothing is left; {renews}."
    pending = f"Waiting or running: {usage.pending} of at most {limits.pending}."
    if usage.pending > limits.pending:
        pending = f"Waiting or running: {usage.pending}; new ones are taken below {limits.pending}."
    return [
        used,
        pending,
        f"Per request: up to {area(limits.max_pixels)}, {limits.max_steps} steps, {limits.max_images} images.",
        "-# One credit is one 512×512 image of up to 30 steps; larger sizes and more steps cost more.",
    ]


FEATURE = Feature(commands=(quota,))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

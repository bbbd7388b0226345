"""/queue: who is being served, who waits, and for how long. The line is everybody's; names stay within their server."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.chat.client import EaselClient
from bot.chat.errors import language_of
from bot.chat.look.safe import fitting
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.core.asking.refused import Refused
from bot.core.held_up import HeldUp
from bot.job import Job
from bot.texts import commands, progress
from bot.texts.amounts import size
from bot.texts.held_up import held_up as held_up_in_words
from bot.texts.language import Language
from bot.texts.refusals import refusal

LINE_SHOWN = 15


@app_commands.command(description=commands.QUEUE)
@app_commands.guild_only()
async def queue(interaction: discord.Interaction[EaselClient]) -> None:
    asker = asker_of(interaction)
    services = interaction.client.services
    dispatcher = services.dispatcher
    turned_away = await services.admission.turned_away(asker)  # from here on one moment is told
    running, waiting = dispatcher.running(), dispatcher.line()
    held_up, to = dispatcher.held_up(), language_of(interaction)
    lines = [] if held_up is None else [held_up_in_words(held_up, to, is_own=False)]
    sign = "🎨" if dispatcher.can_draw else "⏳"  # an engine that is not there draws nothing
    lines += [f"{sign} {_what(job, asker.guild_id, to)}" for job in running]
    for place, job in enumerate(waiting[:LINE_SHOWN], 1):
        eta = dispatcher.progress_of(job).eta_s
        lines.append(f"{place}. {progress.in_line(_what(job, asker.guild_id, to), eta, to)}")
    if not running and not waiting:
        lines += _nobody(held_up, turned_away, to)
    await interaction.response.send_message(
        fitting(lines, to, more=max(0, len(waiting) - LINE_SHOWN)), ephemeral=True
    )


def _nobody(held_up: HeldUp | None, turned_away: Refused | None, to: Language) -> list[str]:
    """What an empty line means for who asks."""
    if held_up is not None:
        return [progress.nobody_waits(to)]
    if turned_away is not None:
        return [progress.nobody_waits(to), refusal(turned_away, to)]
    return [progress.starts_at_once(to)]


def _what(job: Job, guild_id: int, to: Language) -> str:
    return f"{_who(job, guild_id, to)} {size(job.request.size)}"


def _who(job: Job, guild_id: int, to: Language) -> str:
    """People of other servers share the line, but not their names."""
    return f"<@{job.user_id}>" if job.guild_id == guild_id else progress.somebody_elsewhere(to)


FEATURE = Feature(commands=(queue,))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

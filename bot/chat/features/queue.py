"""/queue: who is being served, who waits, and for how long. The line is everybody's; names stay within their server."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.chat.client import EaselClient
from bot.chat.look.job_view import duration
from bot.chat.look.safe import fitting
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.core.asking.policy import Refused
from bot.core.words import EVERYBODYS
from bot.job import Job

LINE_SHOWN = 15


@app_commands.command(description="Who is being served and who waits")
@app_commands.guild_only()
async def queue(interaction: discord.Interaction[EaselClient]) -> None:
    asker = asker_of(interaction)
    services = interaction.client.services
    dispatcher = services.dispatcher
    turned_away = await services.admission.turned_away(asker)  # from here on one moment is told
    running, waiting = dispatcher.running(), dispatcher.line()
    hint = dispatcher.held_up(kept=EVERYBODYS)
    lines = [hint] if hint else []
    sign = "🎨" if dispatcher.can_draw else "⏳"  # an engine that is not there draws nothing
    lines += [f"{sign} {_what(job, asker.guild_id)}" for job in running]
    for place, job in enumerate(waiting[:LINE_SHOWN], 1):
        eta = dispatcher.progress_of(job).eta_s
        about = f" · about {duration(eta)}" if eta is not None else ""
        lines.append(f"{place}. {_what(job, asker.guild_id)}{about}")
    if not running and not waiting:
        lines += _nobody(hint, turned_away)
    await interaction.response.send_message(
        fitting(lines, more=max(0, len(waiting) - LINE_SHOWN)), ephemeral=True
    )


def _nobody(hint: str | None, turned_away: Refused | None) -> list[str]:
    """What an empty line means for who asks."""
    if hint:
        return ["Nobody is waiting."]
    if turned_away is not None:
        return ["Nobody is waiting.", turned_away.reason]
    return ["Nobody is waiting: your image would start at once."]


def _what(job: Job, guild_id: int) -> str:
    return f"{_who(job, guild_id)} {job.request.size.replace('x', '×')}"


def _who(job: Job, guild_id: int) -> str:
    """People of other servers share the line, but not their names."""
    return f"<@{job.user_id}>" if job.guild_id == guild_id else "somebody in another server"


FEATURE = Feature(commands=(queue,))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

"""/queue: one's own first, then who is served and who waits, and a menu that cancels. Names stay within their server."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands, ui

from bot.chat import pressed, where
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.ids import NUMBER_MAX, Verb, menu
from bot.chat.look.job_view import running_line
from bot.chat.look.safe import code, cut, fitting, shown
from bot.chat.order import asker_of
from bot.chat.router import Feature, chosen
from bot.core.asking.refused import Refused
from bot.core.held_up import HeldUp
from bot.core.line.dispatcher import Dispatcher
from bot.job import DIRECT, Job
from bot.texts import commands, labels, problems, progress
from bot.texts.amounts import size
from bot.texts.language import Language
from bot.texts.refusals import refusal
from bot.texts.why_waiting import held_up as held_up_in_words

LINE_SHOWN = 15
OWN_SHOWN = 8
PROMPT_SHOWN = 60
CHOICES_MAX = 25
LABEL_MAX = 100


@app_commands.command(description=commands.QUEUE)
async def queue(interaction: discord.Interaction[EaselClient]) -> None:
    await interaction.response.send_message(view=await _view(interaction), ephemeral=True)


async def cancel_one(interaction: Interaction, _number: int) -> None:
    """The one that was chosen in the menu, which then shows the rest."""
    job = await _chosen(interaction)
    if not _may_cancel(interaction, job):
        raise UserError(problems.may_not_cancel)
    await pressed.cancel(interaction, job)
    await say_done(interaction, view=await _view(interaction))


async def _chosen(interaction: Interaction) -> Job:
    value, jobs = chosen(interaction) or "", interaction.client.services.store.jobs
    is_number = value.isdecimal() and int(value) <= NUMBER_MAX
    job = await jobs.get(int(value)) if is_number else None
    if job is None or job.guild_id != where.server_of(interaction):
        raise UserError(problems.unknown_image)
    return job


def _may_cancel(interaction: Interaction, job: Job) -> bool:
    """Its person, and who moderates the place where it stands: this may be another one."""
    guild, member = interaction.guild, interaction.user
    if member.id == job.user_id:
        return True
    if guild is None or not isinstance(member, discord.Member):
        return False
    place = guild.get_channel_or_thread(job.channel_id)
    allowed = member.guild_permissions if place is None else place.permissions_for(member)
    return allowed.manage_messages


# ------------------------------------------------------------------ what is shown


async def _view(interaction: Interaction) -> ui.LayoutView:
    asker, to = asker_of(interaction), language_of(interaction)
    services = interaction.client.services
    dispatcher = services.dispatcher
    turned_away = await services.admission.turned_away(asker)  # from here on one moment is told
    running, waiting, held_up = dispatcher.running(), dispatcher.line(), dispatcher.held_up(asker.guild_id)
    live = [*running, *waiting]
    lines = [] if held_up is None else [held_up_in_words(held_up, to, is_own=False)]
    lines += _own(dispatcher, [job for job in live if job.user_id == asker.user_id], to)
    lines += _everybody(dispatcher, running, waiting, asker.guild_id, to)
    if not live:
        lines += _nobody(held_up, turned_away, to)
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay(fitting(lines, to, more=max(0, len(waiting) - LINE_SHOWN))))
    here = [job for job in live if job.guild_id == asker.guild_id and _may_cancel(interaction, job)]
    if here:
        here.sort(key=lambda job: job.user_id != asker.user_id)  # one's own come first
        view.add_item(ui.ActionRow[Any](_menu(here[:CHOICES_MAX], asker.user_id, to)))
    view.stop()  # its menu is known by its id
    return view


def _own(dispatcher: Dispatcher, jobs: list[Job], to: Language) -> list[str]:
    """Each with its prompt, and how far it is; empty where there is none."""
    if not jobs:
        return []
    lines = [progress.yours(to)]
    for job in jobs[:OWN_SHOWN]:
        now = dispatcher.progress_of(job)
        told = running_line(now, to) if now.place is None else f"⏳ {progress.turn(now, to)}"
        lines.append(f"{code(job.request.prompt, PROMPT_SHOWN)} {told}")
    if len(jobs) > OWN_SHOWN:
        lines.append(progress.left_out(len(jobs) - OWN_SHOWN, to))
    return [*lines, progress.everybody(to)]


def _everybody(
    dispatcher: Dispatcher, running: list[Job], waiting: list[Job], guild_id: int, to: Language
) -> list[str]:
    sign = "🎨" if dispatcher.can_draw else "⏳"  # an engine that is not there draws nothing
    lines = [f"{sign} {_what(job, guild_id, to)}" for job in running]
    for place, job in enumerate(waiting[:LINE_SHOWN], 1):
        eta = dispatcher.progress_of(job).eta_s
        lines.append(f"{place}. {progress.in_line(_what(job, guild_id, to), eta, to)}")
    return lines


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
    """People of other servers and of direct messages share the line, but not their names."""
    is_known = job.guild_id == guild_id != DIRECT
    return f"<@{job.user_id}>" if is_known else progress.somebody_elsewhere(to)


def _menu(jobs: list[Job], reader_id: int, to: Language) -> ui.Select[Any]:
    """Of what is private, others read no prompt."""
    options = {
        str(job.id): f"{job.id} – {progress.private(to)}"
        if job.private and job.user_id != reader_id
        else cut(f"{job.id} – {shown(job.request.prompt)}", LABEL_MAX)
        for job in jobs
    }
    return menu(Verb.CANCEL_ONE, 0, None, options, labels.cancel_one(to))


FEATURE = Feature(
    commands=(queue,),  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open
    numbers={Verb.CANCEL_ONE: cancel_one},
)

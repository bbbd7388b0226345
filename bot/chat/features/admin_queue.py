"""/admin queue: who waits; admins move and cancel among their own server's, the operator among all."""

from __future__ import annotations

from typing import Literal

import discord
from discord import app_commands, ui
from discord.app_commands import Range

from bot.chat import order, pressed
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.admin import concerned, group
from bot.chat.ids import OfPage, leafing
from bot.chat.look.safe import code, plain
from bot.chat.router import Feature
from bot.core.line.dispatcher import Dispatcher
from bot.job import DIRECT, Job, JobState
from bot.store.audit import Deed
from bot.store.halts import EVERYWHERE
from bot.texts import amounts, commands, labels, operations, problems, progress
from bot.texts.language import Language, Say
from bot.texts.why_waiting import held_up as held_up_in_words

PAGES = "admin_queue"
"""What the ids of its pages say; those of everybody's have a number for what was searched."""
OF_ALL = 1
PAGE = 10
PROMPT_SHOWN = 60
NUMBER_MAX = 2**53 - 1

queue = app_commands.Group(name="queue", description=commands.ADMIN_QUEUE, parent=group)


@queue.command(name="show", description=commands.ADMIN_QUEUE_SHOW)
@app_commands.describe(**commands.ADMIN_QUEUE_SHOW_OPTIONS)
async def show(interaction: discord.Interaction[EaselClient], everywhere: bool = False) -> None:
    place = concerned(interaction, everywhere=everywhere)
    await interaction.response.send_message(view=_view(interaction, place, 0), ephemeral=True)


async def turn(interaction: Interaction, page: OfPage) -> None:
    """Who may look is asked again with each page."""
    place = concerned(interaction, everywhere=page.search == OF_ALL)
    await interaction.response.edit_message(view=_view(interaction, place, page.offset))


@queue.command(name="cancel", description=commands.ADMIN_QUEUE_CANCEL)
@app_commands.describe(**commands.ADMIN_QUEUE_CANCEL_OPTIONS)
async def cancel(
    interaction: discord.Interaction[EaselClient], number: Range[int, 1, NUMBER_MAX], everywhere: bool = False
) -> None:
    job = await _job(interaction, concerned(interaction, everywhere=everywhere), number)
    await pressed.cancel(interaction, job)
    await say_done(interaction, operations.cancelled(job.id, language_of(interaction)))


@queue.command(name="move", description=commands.ADMIN_QUEUE_MOVE)
@app_commands.describe(**commands.ADMIN_QUEUE_MOVE_OPTIONS)
async def move(
    interaction: discord.Interaction[EaselClient],
    number: Range[int, 1, NUMBER_MAX],
    place: Literal["front", "back"],
    everywhere: bool = False,
) -> None:
    services, server = interaction.client.services, concerned(interaction, everywhere=everywhere)
    job, to_front = await _job(interaction, server, number), place == "front"
    if not services.dispatcher.move(job.id, guild_id=server, to_front=to_front):
        raise UserError(await _why_not_moved(interaction, job))
    await services.store.audit.write(order.deed_about(interaction, job, Deed.MOVED, place=place))
    place_now = services.dispatcher.progress_of(job).place
    await say_done(
        interaction, operations.moved(job.id, place_now, language_of(interaction), to_front=to_front)
    )


# ------------------------------------------------------------------ parts


async def _job(interaction: Interaction, place: int, number: int) -> Job:
    job = await interaction.client.services.store.jobs.get(number)
    if job is None or place not in (EVERYWHERE, job.guild_id):
        raise UserError(operations.no_such_request)
    return job


async def _why_not_moved(interaction: Interaction, job: Job) -> Say:
    now = await interaction.client.services.store.jobs.get(job.id) or job
    match now.state:
        case JobState.RUNNING:
            return operations.being_drawn
        case JobState.ACCEPTED | JobState.QUEUED:
            return operations.not_in_line_yet
        case JobState.RENDERED | JobState.DELIVERED:
            return problems.finished_before
        case JobState.FAILED | JobState.CANCELLED:
            return problems.over_before


# ------------------------------------------------------------------ what is shown


def _view(interaction: Interaction, place: int, offset: int) -> ui.LayoutView:
    dispatcher, to = interaction.client.services.dispatcher, language_of(interaction)
    live = [job for job in (*dispatcher.running(), *dispatcher.line()) if place in (EVERYWHERE, job.guild_id)]
    offset = min(offset, max(0, len(live) - 1) // PAGE * PAGE)
    shown = live[offset : offset + PAGE]
    held_up = dispatcher.held_up(place)
    lines = [] if held_up is None else [held_up_in_words(held_up, to, is_own=False)]
    if shown:
        lines.append(operations.page(offset + 1, offset + len(shown), len(live), to))
    lines += [_entry(interaction, dispatcher, job, place, to) for job in shown] or [progress.nobody_waits(to)]
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay("\n".join(lines)))
    if len(live) > PAGE:
        search, names = OF_ALL if place == EVERYWHERE else None, (labels.ahead, labels.behind)
        view.add_item(leafing(PAGES, offset, PAGE, len(live), to, search=search, names=names))
    view.stop()  # its buttons are known by their ids
    return view


def _entry(interaction: Interaction, dispatcher: Dispatcher, job: Job, place: int, to: Language) -> str:
    """Of what is private, others read no prompt."""
    at = dispatcher.progress_of(job).place
    is_hidden = job.is_direct and job.user_id != interaction.user.id
    return operations.entry(
        job.id,
        [
            "🎨" if at is None else f"⏳ {amounts.ordinal(at)}",
            amounts.mention(job.user_id),
            progress.private(to) if is_hidden else code(job.request.prompt, PROMPT_SHOWN),
            amounts.moment(job.created_at),
            _server(interaction, job, to) if place == EVERYWHERE else "",
        ],
    )


def _server(interaction: Interaction, job: Job, to: Language) -> str:
    if job.guild_id == DIRECT:
        return operations.by_direct_message(to)
    guild = interaction.client.get_guild(job.guild_id)
    return "" if guild is None else plain(guild.name)


FEATURE = Feature(pages={PAGES: turn})

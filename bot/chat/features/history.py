"""/history: a person's own images, newest first, also those that could not be posted."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands, ui

from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.ids import OfPage, Verb, button
from bot.chat.look.safe import code, plain
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.core.asking.price import price_of
from bot.job import Asker, Job, JobState
from bot.store import Store
from bot.texts import commands, labels, problems
from bot.texts import request as texts
from bot.texts.language import Language

PAGES = "history"
"""What the ids of its pages say."""
PAGE = 8
ROW = 5


@app_commands.command(description=commands.HISTORY)
@app_commands.guild_only()
async def history(interaction: discord.Interaction[EaselClient]) -> None:
    await interaction.response.send_message(view=await _page(interaction, 0), ephemeral=True)


async def turn(interaction: Interaction, offset: int) -> None:
    """Leafs through one's own history."""
    await interaction.response.edit_message(view=await _page(interaction, offset))


async def _page(interaction: Interaction, offset: int) -> ui.LayoutView:
    asker = asker_of(interaction)
    jobs, total, offset = await _existing(interaction.client.services.store, asker, offset)
    view = ui.LayoutView(timeout=None)
    to = language_of(interaction)
    shown = texts.page(offset + 1, offset + len(jobs), total, to)
    view.add_item(ui.TextDisplay("\n".join([shown, *(_entry(job, to) for job in jobs)])))
    row = ui.ActionRow[Any](
        _page_button(labels.newer(to), "newer", offset - PAGE, disabled=offset == 0),
        _page_button(labels.older(to), "older", offset + PAGE, disabled=offset + PAGE >= total),
    )
    view.add_item(row)
    kept = [job for job in jobs if _was_never_posted(job)]
    for start in range(0, len(kept), ROW):
        buttons = (
            button(Verb.FETCH, job.id, to=to, suffix=f" {job.id}") for job in kept[start : start + ROW]
        )
        view.add_item(ui.ActionRow[Any](*buttons))
    view.stop()  # its buttons are known by their ids; discord.py would keep a task for fifteen minutes for each page
    return view


def _page_button(label: str, way: str, offset: int, *, disabled: bool) -> ui.Button[Any]:
    custom_id = OfPage(pages=PAGES, way=way, offset=max(0, offset)).custom_id
    return ui.Button[Any](label=label, custom_id=custom_id, disabled=disabled)


def _was_never_posted(job: Job) -> bool:
    """Nobody would take it, and so it waits here; one with a reason was delivered in the end, by being fetched."""
    return job.state is JobState.FAILED or job.reason is not None


async def _existing(store: Store, asker: Asker, offset: int) -> tuple[list[Job], int, int]:
    """The jobs of a page, how many there are in all, and where it begins: the last page where that one is gone by now."""
    while True:
        jobs, total = await store.history.page(
            guild_id=asker.guild_id, user_id=asker.user_id, offset=offset, count=PAGE
        )
        if not total:
            raise UserError(problems.no_images_yet)
        if jobs:
            return jobs, total, offset
        offset = (total - 1) // PAGE * PAGE


def _entry(job: Job, to: Language) -> str:
    """A link to the message; what was never posted has a number instead, for the button that shows it."""
    prompt, link = code(job.request.prompt, 80), f"{job.guild_id}/{job.channel_id}/{job.message_id}"
    title = f"[{prompt}](https://discord.com/channels/{link})"
    if job.state is JobState.FAILED:
        title = texts.unpaid(prompt, job, price_of(job.cost, job.images), to)
    elif _was_never_posted(job):
        title = texts.unposted(prompt, job, to)
    return texts.entry(title, job, to, shown=plain)


FEATURE = Feature(commands=(history,), pages={PAGES: turn})  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

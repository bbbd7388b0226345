"""/history: a person's own images, newest first, also those that could not be posted."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands, ui

from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError
from bot.chat.ids import OfPage, Verb, button
from bot.chat.look.job_view import start_words
from bot.chat.look.safe import code, plain
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.core.asking.policy import credit
from bot.job import Asker, Job, JobState, price_of
from bot.store import Store

PAGES = "history"
"""What the ids of its pages say."""
PAGE = 8
ROW = 5


@app_commands.command(description="Your images, newest first")
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
    shown = f"**Your images** {offset + 1}–{offset + len(jobs)} of {total}"
    view.add_item(ui.TextDisplay("\n".join([shown, *(_entry(job) for job in jobs)])))
    row = ui.ActionRow[Any](
        _page_button("◀ Newer", "newer", offset - PAGE, disabled=offset == 0),
        _page_button("Older ▶", "older", offset + PAGE, disabled=offset + PAGE >= total),
    )
    view.add_item(row)
    kept = [job for job in jobs if _was_never_posted(job)]
    for start in range(0, len(kept), ROW):
        buttons = (button(Verb.FETCH, job.id, suffix=f" {job.id}") for job in kept[start : start + ROW])
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
            raise UserError("You have no images here yet: try /imagine.")
        if jobs:
            return jobs, total, offset
        offset = (total - 1) // PAGE * PAGE


def _entry(job: Job) -> str:
    """A link to the message; what was never posted has a number instead, for the button that shows it."""
    prompt, link = code(job.request.prompt, 80), f"{job.guild_id}/{job.channel_id}/{job.message_id}"
    title = f"[{prompt}](https://discord.com/channels/{link})"
    if job.state is JobState.FAILED:
        price = credit(price_of(job.cost, job.images))
        title = f"{prompt} (could not be posted, not charged: 📥 {job.id} for {price})"
    elif _was_never_posted(job):
        title = f"{prompt} (could not be posted: 📥 {job.id})"
    request = job.request
    facts = [f"seed {request.seed}", request.size, start_words(request), plain(request.model)]
    return f"{title} <t:{int(job.created_at)}:R> · {', '.join(filter(None, facts))}"


FEATURE = Feature(commands=(history,), pages={PAGES: turn})  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

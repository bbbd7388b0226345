"""/quota, /history and /queue: what a person used, made, and waits for."""

from __future__ import annotations

import re
from typing import Any, Self

import discord
from discord import app_commands, ui

from bot.chat.client import EaselClient, EaselTree, Interaction
from bot.chat.errors import UserError, answer_error
from bot.chat.ids import JobButton, Press
from bot.chat.look.job_view import duration, start_words
from bot.chat.look.safe import code, fitting, plain
from bot.chat.order import owner_of
from bot.core.asking.admission import Allowance
from bot.core.asking.policy import BLOCKED, Refused, area, credit
from bot.core.words import EVERYBODYS
from bot.job import Job, JobState, Owner, price_of
from bot.store import Store

PAGE = 8
ROW = 5
LINE_SHOWN = 15


def add_to(tree: EaselTree) -> None:
    tree.add_command(quota)  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open
    tree.add_command(history)  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open
    tree.add_command(queue)  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open


# ------------------------------------------------------------------ /quota


@app_commands.command(description="What you used today, what is left, and when it renews")
@app_commands.guild_only()
async def quota(interaction: discord.Interaction[EaselClient]) -> None:
    allowance = await interaction.client.services.admission.allowance(owner_of(interaction))
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


# ------------------------------------------------------------------ /queue


@app_commands.command(description="Who is being served and who waits")
@app_commands.guild_only()
async def queue(interaction: discord.Interaction[EaselClient]) -> None:
    owner = owner_of(interaction)
    services = interaction.client.services
    dispatcher = services.dispatcher
    turned_away = await services.admission.turned_away(owner)  # from here on one moment is told
    running, waiting = dispatcher.running(), dispatcher.line()
    hint = dispatcher.held_up(kept=EVERYBODYS)
    lines = [hint] if hint else []
    sign = "🎨" if dispatcher.can_draw else "⏳"  # an engine that is not there draws nothing
    lines += [f"{sign} {_what(job, owner.guild_id)}" for job in running]
    for place, job in enumerate(waiting[:LINE_SHOWN], 1):
        eta = dispatcher.progress_of(job).eta_s
        about = f" · about {duration(eta)}" if eta is not None else ""
        lines.append(f"{place}. {_what(job, owner.guild_id)}{about}")
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


# ------------------------------------------------------------------ /history


@app_commands.command(description="Your images, newest first")
@app_commands.guild_only()
async def history(interaction: discord.Interaction[EaselClient]) -> None:
    await interaction.response.send_message(view=await _page(interaction, 0), ephemeral=True)


class TurnPage(
    ui.DynamicItem[ui.Button[Any]],
    template=r"easel:(?:1:)?history:(?P<way>older|newer):(?P<offset>[0-9]{1,9})",
):
    """Leafs through one's own history; works after any restart, as do those that the first checkouts posted, without the 1."""

    def __init__(self, button: ui.Button[Any], offset: int) -> None:
        super().__init__(button)
        self.offset = offset

    @classmethod
    def make(cls, label: str, way: str, offset: int, *, disabled: bool) -> TurnPage:
        custom_id = f"easel:1:history:{way}:{max(0, offset)}"
        return cls(ui.Button(label=label, custom_id=custom_id, disabled=disabled), offset)

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        assert isinstance(item, ui.Button)
        return cls(item, int(match["offset"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        try:
            await interaction.response.edit_message(view=await _page(interaction, self.offset))
        except Exception as error:  # noqa: BLE001 - discord.py would only log it: the person must get a sentence
            await answer_error(interaction, error)


async def _page(interaction: Interaction, offset: int) -> ui.LayoutView:
    owner = owner_of(interaction)
    jobs, total, offset = await _existing(interaction.client.services.store, owner, offset)
    view = ui.LayoutView(timeout=None)
    shown = f"**Your images** {offset + 1}–{offset + len(jobs)} of {total}"
    view.add_item(ui.TextDisplay("\n".join([shown, *(_entry(job) for job in jobs)])))
    row = ui.ActionRow[Any](
        TurnPage.make("◀ Newer", "newer", offset - PAGE, disabled=offset == 0),
        TurnPage.make("Older ▶", "older", offset + PAGE, disabled=offset + PAGE >= total),
    )
    view.add_item(row)
    kept = [job for job in jobs if _was_never_posted(job)]
    for start in range(0, len(kept), ROW):
        buttons = (
            JobButton.make(Press.FETCH, job.id, suffix=f" {job.id}") for job in kept[start : start + ROW]
        )
        view.add_item(ui.ActionRow[Any](*buttons))
    view.stop()  # its buttons are registered once; discord.py would keep a task for fifteen minutes for each page
    return view


def _was_never_posted(job: Job) -> bool:
    """Nobody would take it, and so it waits here; one with a reason was delivered in the end, by being fetched."""
    return job.state is JobState.FAILED or job.reason is not None


async def _existing(store: Store, owner: Owner, offset: int) -> tuple[list[Job], int, int]:
    """The jobs of a page, how many there are in all, and where it begins: the last page where that one is gone by now."""
    while True:
        jobs, total = await store.history.page(
            guild_id=owner.guild_id, user_id=owner.user_id, offset=offset, count=PAGE
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

"""/history: images of the past, newest first, also those that could not be posted; by words, model, stars, one's own or all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import discord
from discord import app_commands, ui
from discord.app_commands import Range

from bot.chat import suggestions
from bot.chat.client import EaselClient, Interaction
from bot.chat.delivery.thumbnails import thumbnails
from bot.chat.errors import UserError, language_of
from bot.chat.ids import OfPage, Verb, button, leafing
from bot.chat.look.job_view import alt_text
from bot.chat.look.keepsake_view import link
from bot.chat.look.safe import code, plain
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.core.asking.price import price_of
from bot.job import DIRECT, Asker, Job, JobState
from bot.store.finished import Found, Search
from bot.store.preferences import ON, SHARING, Scope
from bot.texts import commands, memory, problems
from bot.texts import request as texts
from bot.texts.language import Language, Say

PAGES = "history"
"""What the ids of its pages say."""
PAGE = 8
ROW = 5
WORDS_CHARS_MAX = 300


@app_commands.command(description=commands.HISTORY)
@app_commands.describe(**memory.HISTORY_OPTIONS)
async def history(
    interaction: discord.Interaction[EaselClient],
    words: Range[str, 0, WORDS_CHARS_MAX] | None = None,
    favourites: bool | None = None,
    model: Range[str, 1, 100] | None = None,
    server: Literal["mine", "everybody"] | None = None,
) -> None:
    search = Search(
        words=(words or "").strip(),
        model=_model_id(interaction, model),
        favourites=bool(favourites),
        everybody=server == "everybody",
    )
    if not search.can_be_searched:
        raise UserError(memory.no_words)
    page = await _page(interaction, search, 0)
    await interaction.response.send_message(view=page.view, files=page.files, ephemeral=True)


async def turn(interaction: Interaction, place: OfPage) -> None:
    """Leafs through what was searched for."""
    asker, search = asker_of(interaction), Search()
    if place.search is not None:
        remembered = await interaction.client.services.store.history.remembered(
            place.search, guild_id=asker.guild_id, user_id=asker.user_id
        )
        if remembered is None:
            raise UserError(memory.search_forgotten)
        search = remembered
    page = await _page(interaction, search, place.offset)
    await interaction.response.edit_message(view=page.view, attachments=page.files)


def _model_id(interaction: Interaction, typed: str | None) -> str | None:
    """What was typed may be a model's title, or the id of one that is not offered any more."""
    if typed is None:
        return None
    models = interaction.client.services.catalogue.models
    named = (
        model.id for model in models if typed.casefold() in (model.id.casefold(), model.title.casefold())
    )
    return next(named, typed)


history.autocomplete("model")(suggestions.every_model)


# ------------------------------------------------------------------ a page


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    view: ui.LayoutView
    files: Sequence[discord.File]


async def _page(interaction: Interaction, search: Search, offset: int) -> _Page:
    services, asker, to = interaction.client.services, asker_of(interaction), language_of(interaction)
    if search.everybody and asker.guild_id == DIRECT:
        raise UserError(problems.only_in_servers)
    if search.everybody and (await services.store.taste.of(Scope.SERVER, asker.guild_id)).get(SHARING) != ON:
        raise UserError(memory.not_shared)
    found, offset = await _existing(interaction, asker, search, offset)
    number = None
    if search != Search() and found.total > PAGE:
        number = await services.store.history.remember(
            search, guild_id=asker.guild_id, user_id=asker.user_id, now=services.clock.now()
        )
    paths = {job.id: path for job in found.jobs if (path := _shown(job, found, asker)) is not None}
    small = await asyncio.to_thread(thumbnails, paths) if paths else {}
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay("\n".join(_head(search, found, offset, to))))
    files = [discord.File(BytesIO(data), _name(job_id)) for job_id, data in small.items()]
    for item in _entries(found, search, asker, small, to):
        view.add_item(item)
    for row in _rows(found, offset, number, asker, to):
        view.add_item(row)
    view.stop()  # its buttons are known by their ids; discord.py would keep a task for fifteen minutes for each page
    return _Page(view=view, files=files)


async def _existing(interaction: Interaction, asker: Asker, search: Search, offset: int) -> tuple[Found, int]:
    """What a page shows, and where it begins: the last page where that one is gone by now."""
    while True:
        found = await _found(interaction, asker, search, offset)
        if not found.total:
            raise UserError(_nothing(search))
        if found.jobs:
            return found, offset
        offset = (found.total - 1) // PAGE * PAGE


async def _found(interaction: Interaction, asker: Asker, search: Search, offset: int) -> Found:
    store = interaction.client.services.store.history
    if search == Search():
        jobs, total = await store.page(
            guild_id=asker.guild_id, user_id=asker.user_id, offset=offset, count=PAGE
        )
        return Found(jobs=jobs, total=total)
    return await store.search(
        search,
        guild_id=asker.guild_id,
        user_id=asker.user_id,
        channels=_visible(interaction) if search.everybody else (),
        offset=offset,
        count=PAGE,
    )


def _visible(interaction: Interaction) -> list[int]:
    """Channels and open threads that this person can see, as far as Discord has told us."""
    guild, person = interaction.client.get_guild(interaction.guild_id or 0), interaction.user
    if guild is None or not isinstance(person, discord.Member):
        return []
    channels = [*guild.channels, *(thread for thread in guild.threads if not thread.is_private())]
    return [channel.id for channel in channels if _can_see(channel, person)]


def _can_see(channel: discord.abc.GuildChannel | discord.Thread, person: discord.Member) -> bool:
    try:
        return channel.permissions_for(person).view_channel
    except discord.ClientException:  # a thread whose channel is not known
        return False


def _nothing(search: Search) -> Say:
    if search == Search():
        return problems.no_images_yet
    return memory.no_favourites_yet if search == Search(favourites=True) else memory.nothing_found


def _shown(job: Job, found: Found, asker: Asker) -> Path | None:
    """The original of what stands for the job; what was refunded is not handed out for nothing, and is one person's."""
    if job.is_unpaid or (job.reason is not None and job.user_id != asker.user_id):
        return None
    starred = found.starred.get(job.id)
    images = job.shown_images if starred is None else job.images[starred : starred + 1]
    return next((Path(image.path) for image in images if image.path is not None), None)


# ------------------------------------------------------------------ how it looks


def _head(search: Search, found: Found, offset: int, to: Language) -> list[str]:
    total = memory.so_many(found.total, to, is_more=found.is_more)
    last = offset + len(found.jobs)
    title = memory.found(
        offset + 1, last, total, to, favourites=search.favourites, everybody=search.everybody
    )
    words = code(search.words, 80) if search.words else ""
    told = memory.searched_by(words, plain(search.model[:80]) if search.model else "")
    return [title, *([f"-# {told}"] if told else [])]


def _entries(
    found: Found, search: Search, asker: Asker, small: Mapping[int, bytes], to: Language
) -> list[ui.Item[Any]]:
    """Beside a small picture, or below the entry before it."""
    items: list[ui.Item[Any]] = []
    lines: list[str] = []
    for job in found.jobs:
        text = _entry(job, to)
        if job.user_id != asker.user_id:
            text = memory.by(job.user_id, text, to)
        if search.favourites and job.id in found.starred and len(job.images) > 1:
            text = memory.starred_image(text, found.starred[job.id] + 1, to)
        if job.id not in small:
            lines.append(text)
            continue
        if lines:
            items.append(ui.TextDisplay("\n".join(lines)))
            lines = []
        picture = ui.Thumbnail[Any](
            f"attachment://{_name(job.id)}", description=alt_text(job.request), spoiler=any(job.covered)
        )
        items.append(ui.Section[Any](ui.TextDisplay(text), accessory=picture))
    return [*items, *([ui.TextDisplay("\n".join(lines))] if lines else [])]


def _name(job_id: int) -> str:
    return f"small-{job_id}.jpg"


def _rows(
    found: Found, offset: int, search: int | None, asker: Asker, to: Language
) -> list[ui.ActionRow[Any]]:
    rows = [leafing(PAGES, offset, PAGE, found.total, to, search=search)]
    kept = [job for job in found.jobs if _was_never_posted(job) and job.user_id == asker.user_id]
    for start in range(0, len(kept), ROW):
        buttons = (
            button(Verb.FETCH, job.id, to=to, suffix=f" {job.id}") for job in kept[start : start + ROW]
        )
        rows.append(ui.ActionRow[Any](*buttons))
    return rows


def _was_never_posted(job: Job) -> bool:
    """Nobody would take it, and so it waits here; one with a reason was delivered in the end, by being fetched."""
    return job.state is JobState.FAILED or job.reason is not None


def _entry(job: Job, to: Language) -> str:
    """A link to the message; what was never posted has a number instead, for the button that shows it."""
    prompt = code(job.request.prompt, 80)
    title = f"[{prompt}]({link(job)})"
    if job.state is JobState.FAILED:
        title = texts.unpaid(prompt, job, price_of(job.cost, job.images), to)
    elif _was_never_posted(job):
        title = texts.unposted(prompt, job, to)
    return texts.entry(title, job, to, shown=plain)


FEATURE = Feature(commands=(history,), pages={PAGES: turn})  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

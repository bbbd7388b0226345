"""/mod and its words: what a server's rules forbid. Permissions are checked here, not only hinted at."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.look.safe import plain
from bot.chat.router import IN_SERVERS, Feature
from bot.core.moderation.word_list import ENTRIES_MAX, parse
from bot.store.rule_words import WordKind
from bot.texts import commands, forbidden_words

LIST_KB_MAX = 512
TYPED_CHARS_MAX = 4000
ALL = "all"

group = app_commands.Group(
    name="mod",
    description=commands.MOD,
    allowed_contexts=IN_SERVERS,
    default_permissions=discord.Permissions(manage_guild=True),
)
words = app_commands.Group(name="words", description=commands.MOD_WORDS, parent=group)


@words.command(name="show", description=commands.MOD_WORDS_SHOW)
async def show(interaction: discord.Interaction[EaselClient]) -> None:
    guild_id, to = order.managed(interaction), language_of(interaction)
    known = interaction.client.services.admission.rules
    lists = await known.lists(guild_id)
    forbidden, allowed = lists[WordKind.FORBIDDEN], lists[WordKind.ALLOWED]
    if not forbidden and not allowed:
        raise UserError(forbidden_words.nothing_forbidden)
    files = [_file(kind, entries) for kind, entries in lists.items() if entries]
    lines = [
        forbidden_words.counts(len(forbidden), len(allowed), to),
        forbidden_words.told(on=await known.is_told(guild_id), to=to),
        forbidden_words.file_note(to),
    ]
    await interaction.response.send_message("\n".join(lines), files=files, ephemeral=True)


def _file(kind: WordKind, entries: Sequence[str]) -> discord.File:
    return discord.File(io.BytesIO("\n".join(entries).encode()), f"{kind}.txt")


@words.command(name="add", description=commands.MOD_WORDS_ADD)
@app_commands.describe(**commands.MOD_WORDS_ADD_OPTIONS)
async def add(
    interaction: discord.Interaction[EaselClient],
    words: Range[str, 1, TYPED_CHARS_MAX],
    allowed: bool = False,
) -> None:
    await _add(interaction, order.managed(interaction), words, _kind(allowed), instead=False)


@words.command(name="load", description=commands.MOD_WORDS_LOAD)
@app_commands.describe(**commands.MOD_WORDS_LOAD_OPTIONS)
async def load(
    interaction: discord.Interaction[EaselClient], file: discord.Attachment, allowed: bool = False
) -> None:
    guild_id = order.managed(interaction)
    if file.size > LIST_KB_MAX << 10:
        raise UserError(forbidden_words.too_large(LIST_KB_MAX))
    await interaction.response.defer(ephemeral=True, thinking=True)  # Discord may take its time for a file
    data = await interaction.client.services.intake.content(file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(forbidden_words.no_text) from None
    await _add(interaction, guild_id, text, _kind(allowed), instead=True)


async def _add(interaction: Interaction, guild_id: int, text: str, kind: WordKind, *, instead: bool) -> None:
    """`instead`: in the place of what is there."""
    services, to = interaction.client.services, language_of(interaction)
    found = await asyncio.to_thread(parse, text)  # a file may have a hundred thousand lines
    if not found.entries:
        raise UserError(forbidden_words.nothing_named)
    added = await services.admission.rules.add(
        guild_id,
        kind,
        found.entries,
        by_user_id=interaction.user.id,
        now=services.clock.now(),
        instead=instead,
    )
    if added is None:
        raise UserError(forbidden_words.too_many(ENTRIES_MAX))
    wrong = [plain(entry) for entry in found.wrong]
    lines = [forbidden_words.added(added, to), *([forbidden_words.left_out(wrong, to)] if wrong else [])]
    await say_done(interaction, "\n".join(lines))


@words.command(name="remove", description=commands.MOD_WORDS_REMOVE)
@app_commands.describe(**commands.MOD_WORDS_REMOVE_OPTIONS)
async def remove(
    interaction: discord.Interaction[EaselClient],
    words: Range[str, 1, TYPED_CHARS_MAX],
    allowed: bool = False,
) -> None:
    guild_id, services = order.managed(interaction), interaction.client.services
    entries = None if words.strip().casefold() == ALL else parse(words).entries
    gone = await services.admission.rules.remove(
        guild_id, _kind(allowed), entries, by_user_id=interaction.user.id, now=services.clock.now()
    )
    if not gone:
        raise UserError(forbidden_words.not_there([plain(words)]))
    await say_done(interaction, forbidden_words.removed(len(gone), language_of(interaction)))


@words.command(name="tell", description=commands.MOD_WORDS_TELL)
@app_commands.describe(**commands.MOD_WORDS_TELL_OPTIONS)
async def tell(interaction: discord.Interaction[EaselClient], on: bool) -> None:
    guild_id, services = order.managed(interaction), interaction.client.services
    await services.admission.rules.tell(
        guild_id, on=on, by_user_id=interaction.user.id, now=services.clock.now()
    )
    await say_done(interaction, forbidden_words.told(on=on, to=language_of(interaction)))


def _kind(allowed: bool) -> WordKind:
    return WordKind.ALLOWED if allowed else WordKind.FORBIDDEN


FEATURE = Feature(commands=(group,))

"""/mod, its words and pictures: what a server's rules forbid, and what becomes of flagged pictures. Permissions are checked here."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

import discord
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat import order, where
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.look.safe import plain
from bot.chat.router import IN_SERVERS, Feature
from bot.core.moderation.word_list import ENTRIES_MAX, parse
from bot.job import Flagged
from bot.store.audit import Deed
from bot.store.preferences import FLAGGED, FLAGGED_ADULT, MODERATORS, Scope
from bot.store.rule_words import WordKind
from bot.texts import commands, flagged_pictures, forbidden_words

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


# ------------------------------------------------------------------ pictures that a safety checker flagged

_ACTIONS = [
    Choice(name=name, value=value.value)
    for name, value in zip(
        commands.FLAGGED_NAMES, (Flagged.POST, Flagged.SPOILER, Flagged.HOLD, Flagged.WITHHOLD), strict=True
    )
]


@group.command(description=commands.MOD_PICTURES)
@app_commands.describe(**commands.MOD_PICTURES_OPTIONS)
@app_commands.choices(action=_ACTIONS, age_restricted=_ACTIONS)
async def pictures(
    interaction: discord.Interaction[EaselClient],
    action: str | None = None,
    age_restricted: str | None = None,
    here: bool = False,
    reset: bool = False,
) -> None:
    """What becomes of flagged pictures, on the server or `here`, in this channel."""
    guild_id, taste = order.managed(interaction), interaction.client.services.store.taste
    channels = where.channels(interaction)
    if here and not channels:
        raise UserError(flagged_pictures.not_in_posts)
    scope, number = (Scope.CHANNEL, channels[0]) if here else (Scope.SERVER, guild_id)
    place = {"channel": number} if here else {}
    given = {FLAGGED: action, FLAGGED_ADULT: age_restricted}
    values = {name: value for name, value in given.items() if value is not None}
    if reset:
        entry = order.deed(interaction, guild_id, Deed.PREFERENCES, **place)
        await taste.reset(scope, number, given, entry)
    if values:
        entry = order.deed(interaction, guild_id, Deed.PREFERENCES, **place, **values)
        await taste.put(scope, number, values, entry)
    await say_done(interaction, await _told_of_pictures(interaction, scope, number, guild_id))


async def _told_of_pictures(interaction: Interaction, scope: Scope, number: int, guild_id: int) -> str:
    services, to = interaction.client.services, language_of(interaction)
    taste = services.store.taste
    ours = await taste.of(scope, number)
    rule, adult = ours.get(FLAGGED), ours.get(FLAGGED_ADULT)
    if scope is Scope.CHANNEL:
        lines = [flagged_pictures.of_channel(rule, adult, to)]
    else:
        lines = [flagged_pictures.of_server(rule or services.settings.moderation.pictures, adult, to)]
    holds = Flagged.HOLD in (rule or services.settings.moderation.pictures, adult)
    if holds and await taste.channel_of(guild_id, MODERATORS) is None:
        lines.append(flagged_pictures.no_moderators(to))
    await services.catalogue.described()
    if not any(model.safety_checker for model in services.catalogue.models):
        lines.append(flagged_pictures.nothing_checked(to))
    return "\n".join(lines)


FEATURE = Feature(commands=(group,))

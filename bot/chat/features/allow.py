"""/limits allow and disallow: lists of the models, LoRAs, features and channels that are allowed, for everyone, a role or a member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import discord
import structlog
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.set_limits import group, target
from bot.chat.look import permit_lists
from bot.chat.look.safe import cut
from bot.chat.router import Feature
from bot.chat.suggestions import CHOICE_CHARS_MAX, CHOICES_MAX
from bot.core.asking.offer import Kind
from bot.limits import NOTHING, PermitEntry, PermitKind, Subject, Use
from bot.store.audit import Deed
from bot.texts import allow_lists, allowances, commands, offers
from bot.texts.language import Language

log = structlog.get_logger(__name__)

NAMES_CHARS_MAX = 400
ENTRIES_MAX = 500
"""Of a server."""
NONE, ALL = "none", "all"
KindName = Literal["model", "lora", "feature", "channel"]


@group.command(description=commands.LIMITS_ALLOW)
@app_commands.describe(**commands.LIMITS_ALLOW_OPTIONS)
async def allow(
    interaction: discord.Interaction[EaselClient],
    kind: KindName,
    names: Range[str, 1, NAMES_CHARS_MAX],
    role: discord.Role | None = None,
    member: discord.Member | None = None,
) -> None:
    guild_id, chosen = order.managed(interaction), PermitKind(kind)
    subject, subject_id = target(guild_id, role, member)
    given = [_known(interaction, chosen, name) for name in _typed(names)]
    entries = [
        PermitEntry(kind=chosen, subject=subject, subject_id=subject_id, name=name)
        for name in dict.fromkeys(given)
    ]
    permits = interaction.client.services.store.permits
    before = await permits.of(guild_id)
    if len({*before, *entries}) > ENTRIES_MAX:
        raise UserError(allow_lists.no_room(ENTRIES_MAX))
    told = _told(entries)
    changed = await permits.add(
        guild_id, entries, order.deed(interaction, guild_id, Deed.PERMITS, allowed=True, **told)
    )
    await _report(interaction, guild_id, entries[0], changed=changed)


@group.command(description=commands.LIMITS_DISALLOW)
@app_commands.describe(**commands.LIMITS_DISALLOW_OPTIONS)
async def disallow(
    interaction: discord.Interaction[EaselClient],
    kind: KindName,
    names: Range[str, 1, NAMES_CHARS_MAX],
    role: discord.Role | None = None,
    member: discord.Member | None = None,
) -> None:
    guild_id, chosen = order.managed(interaction), PermitKind(kind)
    subject, subject_id = target(guild_id, role, member)
    permits = interaction.client.services.store.permits
    here = PermitEntry(kind=chosen, subject=subject, subject_id=subject_id, name=NOTHING)
    listed = {_shown(entry.name): entry for entry in await permits.of(guild_id) if _is_with(entry, here)}
    entries = _named(interaction, chosen, listed, _typed(names))
    changed = False
    if entries:
        deed = order.deed(interaction, guild_id, Deed.PERMITS, allowed=False, **_told(entries))
        changed = await permits.remove(guild_id, entries, deed)
    await _report(interaction, guild_id, here, changed=changed)


def _named(
    interaction: Interaction, kind: PermitKind, listed: dict[str, PermitEntry], names: Sequence[str]
) -> list[PermitEntry]:
    """Also of what is gone by now; raises UserError for what is not on the list."""
    if [name.casefold() for name in names] == [ALL]:
        return [*listed.values()]
    by_name = {name.casefold(): entry for name, entry in listed.items()}
    found: list[PermitEntry] = []
    for name in names:
        place = _channel_id(interaction, name) if kind is PermitKind.CHANNEL else None
        key = place or name.casefold()
        if key not in by_name:
            raise UserError(allow_lists.not_listed(name))
        found.append(by_name[key])
    return found


# ------------------------------------------------------------------ names


def _typed(names: str) -> list[str]:
    typed = [name.strip() for name in names.split(",")]
    return [name for name in typed if name] or [names]


def _shown(name: str) -> str:
    return NONE if name == NOTHING else name


def _known(interaction: Interaction, kind: PermitKind, name: str) -> str:
    """What the list has for what was typed; raises UserError or Unmet where there is no such thing."""
    if name.casefold() == NONE:
        return NOTHING
    catalogue = interaction.client.services.catalogue
    match kind:
        case PermitKind.MODEL:
            return catalogue.model(name).id
        case PermitKind.LORA:
            loras = {
                offer.name.casefold(): offer.name for offer in catalogue.offers if offer.kind is Kind.LORA
            }
            if name.casefold() not in loras:
                raise UserError(offers.no_such(name))
            return loras[name.casefold()]
        case PermitKind.FEATURE:
            if name.casefold() not in set(Use):
                raise UserError(allow_lists.no_such_feature(name))
            return name.casefold()
        case PermitKind.CHANNEL:
            if (found := _channel_id(interaction, name)) is None:
                raise UserError(allow_lists.no_such_channel(name))
            return found


def _channel_id(interaction: Interaction, name: str) -> str | None:
    """By mention, number or name; of a thread that of what it belongs to."""
    guild = interaction.guild
    if guild is None:
        return None
    wanted = name.strip("<#> ")
    place = guild.get_channel_or_thread(int(wanted)) if wanted.isdecimal() and len(wanted) < 20 else None
    place = place or discord.utils.get(guild.channels, name=wanted)
    if place is None:
        return None
    return str(place.parent_id if isinstance(place, discord.Thread) else place.id)


# ------------------------------------------------------------------ suggestions


@allow.autocomplete("names")
async def _suggest(interaction: Interaction, current: str) -> list[Choice[str]]:
    """What may follow the last comma, of the kind that was chosen."""
    catalogue, to = interaction.client.services.catalogue, language_of(interaction)
    offered = {NONE: allow_lists.nothing(to)}
    match interaction.namespace.kind:
        case PermitKind.MODEL:
            offered |= {model.id: model.title for model in catalogue.models if model.scale == 1}
        case PermitKind.LORA:
            offered |= {offer.name: offer.name for offer in catalogue.offers if offer.kind is Kind.LORA}
        case PermitKind.FEATURE:
            offered |= {name.value: allow_lists.use(name, to) for name in Use}
        case PermitKind.CHANNEL if interaction.guild is not None:
            places = (
                *interaction.guild.text_channels,
                *interaction.guild.voice_channels,
                *interaction.guild.forums,
            )
            offered |= {str(place.id): f"#{place.name}" for place in places}
        case _:
            return []
    return _choices(offered, current)


@disallow.autocomplete("names")
async def _suggest_listed(interaction: Interaction, current: str) -> list[Choice[str]]:
    if interaction.guild is None:
        return []
    to = language_of(interaction)
    offered = {ALL: allow_lists.everything(to)}
    for entry in await interaction.client.services.store.permits.of(interaction.guild.id):
        if entry.kind == interaction.namespace.kind:
            offered[_shown(entry.name)] = _title(interaction, entry, to)
    return _choices(offered, current)


def _title(interaction: Interaction, entry: PermitEntry, to: Language) -> str:
    if entry.name == NOTHING:
        return allow_lists.nothing(to)
    match entry.kind:
        case PermitKind.FEATURE:
            return allow_lists.use(entry.name, to)
        case PermitKind.CHANNEL if interaction.guild is not None:
            place = interaction.guild.get_channel(int(entry.name))
            return entry.name if place is None else f"#{place.name}"
        case _:
            return entry.name


def _choices(offered: dict[str, str], current: str) -> list[Choice[str]]:
    """Values by their titles; what stands before the last comma stays."""
    before, comma, typed = current.rpartition(",")
    wanted, kept = typed.strip().casefold(), f"{before}{comma} " if comma else ""
    taken = {name.casefold() for name in _typed(before)}
    choices: list[Choice[str]] = []
    for name, title in offered.items():
        value = f"{kept}{name}"
        if wanted not in f"{name}\n{title}".casefold() or name.casefold() in taken:
            continue
        if len(value) <= CHOICE_CHARS_MAX:  # Discord takes no longer ones
            shown = f"{kept}{title if title == name else f'{name} – {title}'}"
            choices.append(Choice(name=cut(shown, CHOICE_CHARS_MAX), value=value))
    return choices[:CHOICES_MAX]


# ------------------------------------------------------------------ what is told


def _is_with(entry: PermitEntry, other: PermitEntry) -> bool:
    """On the same list."""
    return (entry.kind, entry.subject, entry.subject_id) == (other.kind, other.subject, other.subject_id)


def _told(entries: Sequence[PermitEntry]) -> dict[str, object]:
    """For the audit."""
    first = entries[0]
    names = [entry.name for entry in entries]
    return {"kind": first.kind, "subject": first.subject, "subject_id": first.subject_id, "names": names}


async def _report(interaction: Interaction, guild_id: int, here: PermitEntry, *, changed: bool) -> None:
    """The list as it is now, and whether it counts."""
    to = language_of(interaction)
    entries = await interaction.client.services.store.permits.of(guild_id)
    is_open = not any(entry.kind is here.kind and entry.subject is Subject.EVERYONE for entry in entries)
    head = [] if changed else [allowances.nothing_changed(to)]
    end = [allow_lists.is_open(here.kind, to)] if is_open else []
    told = permit_lists.lists([entry for entry in entries if _is_with(entry, here)], to, beside=[*head, *end])
    if changed:
        log.info("permits_changed", guild=guild_id, by=interaction.user.id, kind=here.kind)
    await say_done(interaction, "\n".join([*head, *told, *end]))


FEATURE = Feature()
"""Its commands are those of a group that /limits has."""

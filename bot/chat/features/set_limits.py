"""/limits: what admins set for everyone, a role or a member. Permissions are checked here, not only hinted at."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

import discord
import structlog
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.look import permit_lists
from bot.chat.look.safe import fitting
from bot.chat.router import IN_SERVERS, Feature
from bot.core.asking.policy import permitting, rulings_for
from bot.job import Asker
from bot.limits import PAUSE_MAX_S, WEIGHT_MAX, LimitEntry, Limits, Night, Subject, strictest
from bot.store.audit import Deed
from bot.store.server_settings import LimitChange
from bot.texts import allowances, commands
from engine.contract import SIDE_MIN

log = structlog.get_logger(__name__)

LOG_SHOWN = 8


group = app_commands.Group(
    name="limits",
    description=commands.LIMITS,
    allowed_contexts=IN_SERVERS,
    default_permissions=discord.Permissions(manage_guild=True),
)


@group.command(description=commands.LIMITS_SHOW)
@app_commands.describe(**commands.LIMITS_SHOW_OPTIONS)
async def show(interaction: discord.Interaction[EaselClient], member: discord.Member | None = None) -> None:
    guild_id = order.managed(interaction)
    if member is not None:
        await _show_of(interaction, guild_id, member)
        return
    services = interaction.client.services
    days = await services.store.settings.days(guild_id)
    zone = days.time_zone or services.settings.server.time_zone
    entries = await services.store.settings.limits(guild_id)
    changes = await services.store.settings.limits_log(guild_id, count=LOG_SHOWN)
    permits = await services.store.permits.of(guild_id)
    defaults, to = services.settings.limits.to_limits(), language_of(interaction)
    lines = [
        allowances.defaults(defaults, to),
        *(allowances.entry(entry.subject, entry.subject_id, entry.values, to) for entry in entries),
    ]
    ends = [
        allowances.ceilings(services.settings.ceilings.to_limits(), to),
        allowances.day_begins(zone, to) if days.night is None else allowances.night(days.night, zone, to),
        *(allowances.changed_by(change, defaults, to) for change in changes),
    ]
    lists = permit_lists.lists(permits, to, beside=[*lines, *ends])
    await interaction.response.send_message(fitting([*lines, *lists], to, ends=ends), ephemeral=True)


async def _show_of(interaction: Interaction, guild_id: int, member: discord.Member) -> None:
    """Which rule holds for a member, limit by limit, and what they may draw with, do and where."""
    services, to = interaction.client.services, language_of(interaction)
    asker = Asker(user_id=member.id, guild_id=guild_id, role_ids=tuple(role.id for role in member.roles))
    rulings = rulings_for(
        asker,
        await services.store.settings.limits(guild_id),
        defaults=services.settings.limits.to_limits(),
        ceilings=services.settings.ceilings.to_limits(),
    )
    permits = permitting(asker, await services.store.permits.of(guild_id))
    if services.training.offered is not None:
        rulings = tuple(each for each in rulings if each.name not in allowances.TRAININGS)
    lines = allowances.of_one(member.id, rulings, to)
    lists = permit_lists.lists(permits, to, beside=lines)
    await interaction.response.send_message(fitting([*lines, *lists], to), ephemeral=True)


@group.command(name="set", description=commands.LIMITS_SET)
@app_commands.describe(**commands.LIMITS_SET_OPTIONS)
async def set_(
    interaction: discord.Interaction[EaselClient],
    role: discord.Role | None = None,
    member: discord.Member | None = None,
    credits: Range[int, 0] | None = None,  # noqa: A002 - the word that people type
    credits_at_night: Range[int, 0] | None = None,
    pending: Range[int, 0] | None = None,
    max_pixels: Range[int, SIDE_MIN * SIDE_MIN] | None = None,
    max_steps: Range[int, 1] | None = None,
    max_images: Range[int, 1] | None = None,
    weight: Range[int, 1, WEIGHT_MAX] | None = None,
    slowmode: Range[int, 0, PAUSE_MAX_S] | None = None,
    trainings: Range[int, 0] | None = None,
    training_pictures: Range[int, 2] | None = None,
    training_steps: Range[int, 1] | None = None,
    training_mb: Range[int, 1] | None = None,
) -> None:
    guild_id = order.managed(interaction)
    subject, subject_id = target(guild_id, role, member)
    given = {
        "credits_per_day": credits,
        "credits_per_night": credits_at_night,
        "pending": pending,
        "max_pixels": max_pixels,
        "max_steps": max_steps,
        "max_images": max_images,
        "weight": weight,
        "seconds_between": slowmode,
        "trainings": trainings,
        "training_pictures": training_pictures,
        "training_steps": training_steps,
        "training_mb": training_mb,
    }
    entry = LimitEntry.of(subject, subject_id, given)
    if not entry.values:
        raise UserError(allowances.nothing_named)
    services = interaction.client.services
    _check_ceilings(entry, services.settings.ceilings.to_limits())
    changes = await services.store.settings.set_limits(
        guild_id, entry, by_user_id=interaction.user.id, now=services.clock.now()
    )
    gone = 0
    if subject is Subject.MEMBER and 0 in (credits, pending):  # that is how a member is blocked
        gone = await services.dispatcher.withdraw(guild_id=guild_id, user_id=subject_id)
        await services.training.withdraw(guild_id=guild_id, user_id=subject_id)
    await _report(interaction, changes, cancelled=gone)


@group.command(description=commands.LIMITS_RESET)
@app_commands.describe(**commands.LIMITS_RESET_OPTIONS)
async def reset(
    interaction: discord.Interaction[EaselClient],
    role: discord.Role | None = None,
    member: discord.Member | None = None,
) -> None:
    guild_id = order.managed(interaction)
    subject, subject_id = target(guild_id, role, member)
    services = interaction.client.services
    changes = await services.store.settings.reset_limits(
        guild_id, subject, subject_id, by_user_id=interaction.user.id, now=services.clock.now()
    )
    await _report(interaction, changes)


@group.command(name="timezone", description=commands.LIMITS_TIMEZONE)
@app_commands.describe(**commands.LIMITS_TIMEZONE_OPTIONS)
async def timezone(interaction: discord.Interaction[EaselClient], zone: Range[str, 1, 60]) -> None:
    guild_id = order.managed(interaction)
    if zone not in _zones():
        raise UserError(allowances.no_such_zone)
    entry = order.deed(interaction, guild_id, Deed.TIME_ZONE, zone=zone)
    await interaction.client.services.store.settings.set_time_zone(guild_id, zone, entry)
    log.info("time_zone_set", guild=guild_id, by=interaction.user.id, zone=zone)
    days, to = await interaction.client.services.store.settings.days(guild_id), language_of(interaction)
    told = (
        allowances.day_begins_now(zone, to)
        if days.night is None
        else allowances.night_now(days.night, zone, to)
    )
    await say_done(interaction, told)


@group.command(name="night", description=commands.LIMITS_NIGHT)
@app_commands.describe(**commands.LIMITS_NIGHT_OPTIONS)
async def night(
    interaction: discord.Interaction[EaselClient],
    begins: Range[int, 0, 23] | None = None,
    ends: Range[int, 0, 23] | None = None,
) -> None:
    guild_id = order.managed(interaction)
    if (begins is None) != (ends is None):
        raise UserError(allowances.half_a_night)
    if begins is not None and begins == ends:
        raise UserError(allowances.night_without_hours)
    services, to = interaction.client.services, language_of(interaction)
    chosen = None if begins is None or ends is None else Night(begins=begins, ends=ends)
    entry = order.deed(interaction, guild_id, Deed.NIGHT, begins=begins, ends=ends)
    await services.store.settings.set_night(guild_id, chosen, entry)
    log.info("night_set", guild=guild_id, by=interaction.user.id, begins=begins, ends=ends)
    zone = (await services.store.settings.days(guild_id)).time_zone or services.settings.server.time_zone
    told = allowances.day_begins_now(zone, to) if chosen is None else allowances.night_now(chosen, zone, to)
    await say_done(interaction, told)


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


@timezone.autocomplete("zone")
async def _suggest_zone(interaction: Interaction, current: str) -> list[Choice[str]]:
    wanted = current.casefold().replace(" ", "_")
    found = [zone for zone in _zones() if wanted in zone.casefold()]
    return [Choice(name=zone, value=zone) for zone in found[:25]]


# ------------------------------------------------------------------ parts


def target(guild_id: int, role: discord.Role | None, member: discord.Member | None) -> tuple[Subject, int]:
    if role is not None and member is not None:
        raise UserError(allowances.role_or_member)
    if member is not None:
        return Subject.MEMBER, member.id
    if role is not None and role.id != guild_id:  # the role @everyone has the guild's own id
        return Subject.ROLE, role.id
    return Subject.EVERYONE, 0


def _check_ceilings(entry: LimitEntry, ceilings: Limits) -> None:
    for name, value in entry.values.items():
        ceiling = int(getattr(ceilings, name))
        if strictest(name, value, ceiling) != value:
            raise UserError(allowances.above_ceiling(name, value, ceiling))


async def _report(interaction: Interaction, changes: list[LimitChange], *, cancelled: int = 0) -> None:
    defaults = interaction.client.services.settings.limits.to_limits()
    to = language_of(interaction)
    lines = [allowances.changed(change, defaults, to) for change in changes]
    if not changes:
        lines.append(allowances.nothing_changed(to))
    if cancelled:
        lines.append(allowances.cancelled(cancelled, to))
    await say_done(interaction, fitting(lines, to))


FEATURE = Feature(commands=(group,))

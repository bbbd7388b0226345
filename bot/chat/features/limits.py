"""/limits: what admins set for everyone, a role or a member. Permissions are checked here, not only hinted at."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from zoneinfo import available_timezones

import discord
import structlog
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, say_done
from bot.chat.look.safe import fitting
from bot.chat.router import Feature
from bot.core.asking.policy import area
from bot.limits import LimitEntry, Limits, Subject
from bot.store.settings import LimitChange
from engine.contract import SIDE_MIN

log = structlog.get_logger(__name__)

LOG_SHOWN = 8
LABELS = {
    "credits_per_day": "credits per day",
    "pending": "pending requests",
    "max_pixels": "per image",
    "max_steps": "steps",
    "max_images": "images per request",
}
SUBJECTS = {
    "credits_per_day": "credits a day",
    "pending": "requests at a time",
    "max_pixels": "the size of images",
    "max_steps": "steps",
    "max_images": "images a request",
}


group = app_commands.Group(
    name="limits",
    description="What people may use on this server",
    guild_only=True,
    default_permissions=discord.Permissions(manage_guild=True),
)


@group.command(description="Show the limits of this server and who changed them")
async def show(interaction: discord.Interaction[EaselClient]) -> None:
    guild_id = _checked(interaction)
    services = interaction.client.services
    zone = await services.store.settings.time_zone(guild_id) or services.settings.server.time_zone
    entries = await services.store.settings.limits(guild_id)
    lines = [f"**Default** {_values(vars_of(services.settings.limits.to_limits()))}"]
    lines += [f"**{_subject(entry.subject, entry.subject_id)}** {_values(entry.values)}" for entry in entries]
    defaults = services.settings.limits.to_limits()
    changes = [
        f"<t:{int(change.at)}:R> by <@{change.by_user_id}>: {_change(change, defaults)}."
        for change in await services.store.settings.limits_log(guild_id, count=LOG_SHOWN)
    ]
    ends = [
        f"-# The owner's ceilings: {_values(vars_of(services.settings.ceilings.to_limits()))}",
        f"-# Days begin at midnight in {zone}.",
        *changes,
    ]
    await interaction.response.send_message(fitting(lines, ends), ephemeral=True)


@group.command(name="set", description="Set limits for everyone, a role or a member")
@app_commands.describe(
    role="Set them for this role (nobody named: for everyone)",
    member="Set them for this member",
    credits="Credits per day; one is a 512×512 image of up to 30 steps",
    pending="Requests one person may have waiting or running",
    max_pixels="Largest picture, width × height, such as 262144 for 512x512",
    max_steps="Most steps of a request",
    max_images="Most images of a request",
)
async def set_(
    interaction: discord.Interaction[EaselClient],
    role: discord.Role | None = None,
    member: discord.Member | None = None,
    credits: Range[int, 0] | None = None,  # noqa: A002 - the word that people type
    pending: Range[int, 0] | None = None,
    max_pixels: Range[int, SIDE_MIN * SIDE_MIN] | None = None,
    max_steps: Range[int, 1] | None = None,
    max_images: Range[int, 1] | None = None,
) -> None:
    guild_id = _checked(interaction)
    subject, subject_id = _target(guild_id, role, member)
    given = {
        "credits_per_day": credits,
        "pending": pending,
        "max_pixels": max_pixels,
        "max_steps": max_steps,
        "max_images": max_images,
    }
    entry = LimitEntry.of(subject, subject_id, given)
    if not entry.values:
        raise UserError("Name at least one limit to set, such as credits or pending.")
    services = interaction.client.services
    _check_ceilings(entry, services.settings.ceilings.to_limits())
    changes = await services.store.settings.set_limits(
        guild_id, entry, by_user_id=interaction.user.id, now=services.clock.now()
    )
    gone = 0
    if subject is Subject.MEMBER and 0 in (credits, pending):  # that is how a member is blocked
        gone = await services.dispatcher.withdraw(guild_id=guild_id, user_id=subject_id)
    await _report(interaction, changes, cancelled=gone)


@group.command(description="Remove the limits set for everyone, a role or a member")
@app_commands.describe(role="Reset this role (nobody named: everyone)", member="Reset this member")
async def reset(
    interaction: discord.Interaction[EaselClient],
    role: discord.Role | None = None,
    member: discord.Member | None = None,
) -> None:
    guild_id = _checked(interaction)
    subject, subject_id = _target(guild_id, role, member)
    services = interaction.client.services
    changes = await services.store.settings.reset_limits(
        guild_id, subject, subject_id, by_user_id=interaction.user.id, now=services.clock.now()
    )
    await _report(interaction, changes)


@group.command(name="timezone", description="Set when this server's day begins")
@app_commands.describe(zone="A time zone such as Europe/Berlin")
async def timezone(interaction: discord.Interaction[EaselClient], zone: Range[str, 1, 60]) -> None:
    guild_id = _checked(interaction)
    if zone not in _zones():
        raise UserError("There is no such time zone: pick one from the list, such as Europe/Berlin.")
    await interaction.client.services.store.settings.set_time_zone(guild_id, zone)
    log.info("time_zone_set", guild=guild_id, by=interaction.user.id, zone=zone)
    await say_done(interaction, f"Days now begin at midnight in {zone}.")


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


@timezone.autocomplete("zone")
async def _suggest_zone(interaction: Interaction, current: str) -> list[Choice[str]]:
    wanted = current.casefold().replace(" ", "_")
    found = [zone for zone in _zones() if wanted in zone.casefold()]
    return [Choice(name=zone, value=zone) for zone in found[:25]]


# ------------------------------------------------------------------ parts


def _checked(interaction: Interaction) -> int:
    """The guild's id; `default_permissions` is only a hint to Discord, so the permission is checked here."""
    if interaction.guild_id is None:
        raise UserError("Use this in a server, not in a direct message.")
    if not interaction.permissions.manage_guild:
        raise UserError("Only people who may manage this server can see or change its limits.")
    return interaction.guild_id


def _target(guild_id: int, role: discord.Role | None, member: discord.Member | None) -> tuple[Subject, int]:
    if role is not None and member is not None:
        raise UserError("Name a role or a member, not both.")
    if member is not None:
        return Subject.MEMBER, member.id
    if role is not None and role.id != guild_id:  # the role @everyone has the guild's own id
        return Subject.ROLE, role.id
    return Subject.EVERYONE, 0


def _check_ceilings(entry: LimitEntry, ceilings: Limits) -> None:
    for name, value in entry.values.items():
        ceiling = int(getattr(ceilings, name))
        if value > ceiling:
            what = "an image" if name == "max_pixels" else LABELS[name]
            found, highest = _number(name, value), _number(name, ceiling)
            raise UserError(f"{found} for {what} is above the owner's ceiling of {highest}.")


async def _report(interaction: Interaction, changes: list[LimitChange], *, cancelled: int = 0) -> None:
    defaults = interaction.client.services.settings.limits.to_limits()
    lines = [f"{_change(change, defaults)}." for change in changes] or [
        "Nothing changed: it was like that already."
    ]
    if cancelled:
        lines.append(f"Cancelled what they had waiting: {cancelled}, not charged.")
    await say_done(interaction, fitting(lines))


def vars_of(limits: Limits) -> dict[str, int]:
    return {name: int(getattr(limits, name)) for name in Limits.names()}


def _values(values: Mapping[str, int]) -> str:
    return ", ".join(f"{_number(name, value)} {LABELS[name]}" for name, value in values.items())


def _subject(subject: Subject, subject_id: int) -> str:
    match subject:
        case Subject.EVERYONE:
            return "Everyone"
        case Subject.ROLE:
            return f"<@&{subject_id}>"
        case Subject.MEMBER:
            return f"<@{subject_id}>"


def _change(change: LimitChange, defaults: Limits) -> str:
    """What holds now and what held before, as people would say it; no full stop."""
    who = _subject(change.subject, change.subject_id)
    is_everyone = change.subject is Subject.EVERYONE
    default = int(getattr(defaults, change.field)) if is_everyone else None
    old = default if change.old_value is None else change.old_value
    before = "no limit of their own before" if old is None else f"{_number(change.field, old)} before"
    if change.new_value is not None:
        return f"{who} now has {_allowance(change.field, change.new_value)} ({before})"
    if default is not None:
        return f"{who} has {_allowance(change.field, default)} again ({before})"
    return f"The own limit of {who} on {SUBJECTS.get(change.field, change.field)} is gone ({before})"


def _allowance(name: str, value: int) -> str:
    number = _number(name, value)
    match name:
        case "credits_per_day":
            return f"{number} {'credit' if value == 1 else 'credits'} a day"
        case "pending":
            return f"{number} {'request' if value == 1 else 'requests'} at a time"
        case "max_pixels":
            return f"images of up to {number}"
        case "max_steps":
            return f"up to {number} {'step' if value == 1 else 'steps'}"
        case _:
            return f"up to {number} {'image' if value == 1 else 'images'} a request"


def _number(name: str, value: int) -> str:
    return area(value) if name == "max_pixels" else f"{value:,}"


FEATURE = Feature(commands=(group,))

"""/privacy: what is kept of whoever asks, shown, sent to them, and deleted. Knows no row and no file."""

from __future__ import annotations

import math
from typing import Any

import discord
import structlog
from discord import app_commands, ui

from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import LOST, UserError, language_of, say_done
from bot.chat.ids import Verb, button
from bot.chat.outages import told
from bot.chat.router import Feature
from bot.core.exports import Export
from bot.job import TOKEN_LIFE_S
from bot.texts import commands, own_data
from bot.texts.language import Language

log = structlog.get_logger(__name__)

HOURS_A_DAY = 24
SENT_WITHIN_S = 60.0
"""So long before its end the answer's token is not relied on for a file."""

group = app_commands.Group(name="privacy", description=commands.PRIVACY)


@group.command(name="show", description=commands.PRIVACY_SHOW)
async def show(interaction: discord.Interaction[EaselClient]) -> None:
    services, to = interaction.client.services, language_of(interaction)
    await interaction.response.defer(ephemeral=True, thinking=True)  # years of rows take their time
    kept = await services.store.personal.kept(interaction.user.id)
    data = services.settings.data
    text = own_data.shown(
        kept,
        to,
        retention_days=data.retention_days,
        prompts_days=data.prompts_days,
        searches_days=data.searches_days,
    )
    await say_done(interaction, text)


# ------------------------------------------------------------------ sent to them


@group.command(name="export", description=commands.PRIVACY_EXPORT)
async def export(interaction: discord.Interaction[EaselClient]) -> None:
    services, person, to = interaction.client.services, interaction.user, language_of(interaction)
    await interaction.response.defer(ephemeral=True, thinking=True)
    if not (await services.store.personal.kept(person.id)).can_be_exported:
        raise UserError(own_data.nothing_kept)
    if services.exports.is_under_way(person.id):
        raise UserError(own_data.under_way)
    with services.exports.begun(person.id):
        await say_done(interaction, own_data.begun(to))
        try:
            async with services.exports.of(person.id) as made:
                await _send(interaction, made, to)
        except OSError as problem:
            log.error("export_failed", error=str(problem))
            raise UserError(own_data.no_room) from problem


async def _send(interaction: Interaction, made: Export, to: Language) -> None:
    """Here as long as the answer can be, else by direct message."""
    for number, part in enumerate(made.parts, 1):
        text = own_data.part(number, len(made.parts), to)
        if number == 1:
            first = own_data.exported(made.jobs, made.pictures, to, left_out=made.left_out)
            text = f"{first} {text}" if len(made.parts) > 1 else first
        file = discord.File(part, f"easel-{number}.zip")  # pyright: ignore[reportArgumentType] - of bytes
        try:
            if _is_open(interaction):
                await interaction.followup.send(text, file=file, ephemeral=True)
            else:
                await interaction.user.send(text, file=file)
        except LOST as error:
            log.info("export_not_sent", interaction=interaction.id, part=number, error=told(error))
            raise UserError(own_data.cut_off) from error


def _is_open(interaction: Interaction) -> bool:
    age_s = interaction.client.services.clock.now() - interaction.created_at.timestamp()
    return age_s < TOKEN_LIFE_S - SENT_WITHIN_S


# ------------------------------------------------------------------ deleted


@group.command(name="delete", description=commands.PRIVACY_DELETE)
async def delete(interaction: discord.Interaction[EaselClient]) -> None:
    settings, to = interaction.client.services.settings, language_of(interaction)
    lines = [own_data.question(to), own_data.stays(to)]
    if settings.backup.every_hours:
        days = math.ceil(settings.backup.every_hours * settings.backup.keep / HOURS_A_DAY)
        lines.append(own_data.backups(days, to))
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay("\n".join(lines)))
    verbs = (Verb.ERASE, Verb.ERASE_NOT)
    view.add_item(ui.ActionRow[Any](*(button(verb, interaction.user.id, to=to) for verb in verbs)))
    view.stop()  # its buttons are known by their ids
    await interaction.response.send_message(view=view, ephemeral=True)


async def erase(interaction: Interaction, number: int) -> None:
    """Written down before anything is told."""
    _check(interaction, number)
    is_new = await interaction.client.services.erasing.ask(interaction.user.id)
    say = own_data.deleting if is_new else own_data.deleting_already
    await say_done(interaction, view=_only(say(language_of(interaction))))


async def erase_not(interaction: Interaction, number: int) -> None:
    _check(interaction, number)
    await interaction.response.edit_message(view=_only(own_data.nothing_deleted(language_of(interaction))))


def _check(interaction: Interaction, number: int) -> None:
    if interaction.user.id != number:
        raise UserError(own_data.not_yours)


def _only(text: str) -> ui.LayoutView:
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay(text))
    view.stop()
    return view


FEATURE = Feature(commands=(group,), numbers={Verb.ERASE: erase, Verb.ERASE_NOT: erase_not})

"""/settings and /channel: what is taken where nobody says anything, for a person and, by admins, for a channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat import order, suggestions, where
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.imagine import Aspect, QualityName
from bot.chat.look.safe import plain
from bot.chat.router import Feature
from bot.core.asking.styles import PREFERRED
from bot.job import STYLE_NAME_CHARS_MAX
from bot.store.audit import AuditEntry, Deed
from bot.store.preferences import BY_MAIL_TOO, DELIVER, HERE, OFF, ON, PRIVATELY, SPOILER, Scope
from bot.texts import commands, tastes
from engine.contract import IMAGES_MAX

_NAMES = (*PREFERRED, SPOILER, DELIVER)
"""What these commands set."""


@app_commands.command(description=commands.SETTINGS)
@app_commands.describe(**commands.SETTINGS_OPTIONS)
@app_commands.choices(
    deliver=[
        Choice(name=name, value=value)
        for name, value in zip(commands.DELIVER_NAMES, (HERE, BY_MAIL_TOO, PRIVATELY), strict=True)
    ]
)
async def settings(
    interaction: discord.Interaction[EaselClient],
    model: Range[str, 1, 100] | None = None,
    aspect: Aspect | None = None,
    quality: QualityName | None = None,
    images: Range[int, 1, IMAGES_MAX] | None = None,
    style: Range[str, 1, STYLE_NAME_CHARS_MAX] | None = None,
    deliver: str | None = None,
    reset: bool = False,
) -> None:
    given = await _checked(interaction, model, aspect, quality, images, style)
    if deliver is not None:
        given[DELIVER] = deliver
    await _set(interaction, Scope.PERSON, interaction.user.id, given, reset=reset)


@app_commands.command(description=commands.CHANNEL)
@app_commands.describe(**commands.CHANNEL_OPTIONS)
@app_commands.default_permissions(manage_guild=True)
@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
async def channel(
    interaction: discord.Interaction[EaselClient],
    model: Range[str, 1, 100] | None = None,
    aspect: Aspect | None = None,
    quality: QualityName | None = None,
    images: Range[int, 1, IMAGES_MAX] | None = None,
    style: Range[str, 1, STYLE_NAME_CHARS_MAX] | None = None,
    spoiler: bool | None = None,
    everywhere: bool = False,
    reset: bool = False,
) -> None:
    order.managed(interaction)
    given = await _checked(interaction, model, aspect, quality, images, style)
    if spoiler is not None:
        given[SPOILER] = ON if spoiler else OFF
    if everywhere:
        await _set(interaction, Scope.SERVER, where.server_of(interaction), given, reset=reset)
    else:
        await _set(interaction, Scope.CHANNEL, where.channels(interaction)[0], given, reset=reset)


async def _checked(
    interaction: Interaction,
    model: str | None,
    aspect: str | None,
    quality: str | None,
    images: int | None,
    style: str | None,
) -> dict[str, str]:
    """What was given, by name, as it is stored; raises UserError or Unmet for what there is not."""
    services, given = interaction.client.services, dict[str, str]()
    if model is not None:
        await services.catalogue.described()
        given["model"] = services.catalogue.model(model).id
    if style is not None:
        known = await services.styles(order.asker_of(interaction).guild_id)
        names = {each.name.casefold(): each.name for each in known}
        if style.strip().casefold() not in names:
            raise UserError(lambda to: tastes.no_such_style(style, [*names.values()], to))
        given["style"] = names[style.strip().casefold()]
    rest: Mapping[str, Any] = {"aspect": aspect, "quality": quality, "images": images}
    return given | {name: str(value) for name, value in rest.items() if value is not None}


async def _set(
    interaction: Interaction, scope: Scope, number: int, given: Mapping[str, str], *, reset: bool
) -> None:
    taste, to = interaction.client.services.store.taste, language_of(interaction)
    if reset:
        await taste.reset(scope, number, _NAMES, _entry(interaction, scope, number, {}))
    if given:
        await taste.put(scope, number, given, _entry(interaction, scope, number, given))
    set_now = await taste.of(scope, number)
    now = {name: plain(value) for name, value in set_now.items() if name in _NAMES}
    deliver = now.pop(DELIVER, HERE)
    match scope:
        case Scope.PERSON:
            told = tastes.of_person(
                now, to, by_mail_too=deliver == BY_MAIL_TOO, privately=deliver == PRIVATELY
            )
        case Scope.SERVER:
            told = tastes.of_server(now, to)
        case _ if where.is_post(interaction):
            told = tastes.of_forum(now, to)
        case _:
            told = tastes.of_channel(now, to)
    await say_done(interaction, told)


def _entry(
    interaction: Interaction, scope: Scope, number: int, given: Mapping[str, str]
) -> AuditEntry | None:
    """What people prefer for themselves is their own business. Nothing given: it was reset."""
    if scope is Scope.PERSON:
        return None
    where_ = {"channel": number} if scope is Scope.CHANNEL else {}
    return order.deed(interaction, where.server_of(interaction), Deed.PREFERENCES, **where_, **given)


settings.autocomplete("model")(suggestions.models)
settings.autocomplete("style")(suggestions.styles)
channel.autocomplete("model")(suggestions.models)
channel.autocomplete("style")(suggestions.styles)

FEATURE = Feature(commands=(settings, channel))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves their groups open

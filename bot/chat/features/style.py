"""/style: which styles there are and what they make of words; admins of a server add and remove their own."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.chat import order, suggestions
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.look.safe import code, cut, fitting, plain
from bot.chat.order import asker_of
from bot.chat.router import Feature
from bot.job import STYLE_NAME_CHARS_MAX as NAME_CHARS_MAX
from bot.job import STYLE_TEXT_CHARS_MAX as TEXT_CHARS_MAX
from bot.job import Style
from bot.texts import commands, tastes
from bot.texts.language import Language

STYLES_MAX = 200
"""Of a server."""
TEXT_SHOWN = 300

style = app_commands.Group(name="style", description=commands.STYLE)


@style.command(name="list", description=commands.STYLE_LIST)
async def style_list(interaction: discord.Interaction[EaselClient]) -> None:
    asker, to = asker_of(interaction), language_of(interaction)
    services = interaction.client.services
    styles = await services.styles(asker.guild_id)
    if not styles:
        raise UserError(tastes.no_styles)
    lines = [_line(each) for each in styles]
    await interaction.response.send_message(fitting(lines, to), ephemeral=True)


def _line(each: Style) -> str:
    return f"**{plain(cut(each.name, NAME_CHARS_MAX))}** {code(each.prompt or '–', 150)}"


@style.command(name="preview", description=commands.STYLE_PREVIEW)
@app_commands.describe(**commands.STYLE_PREVIEW_OPTIONS)
async def style_preview(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, NAME_CHARS_MAX],
    prompt: Range[str, 1, TEXT_CHARS_MAX] | None = None,
) -> None:
    found = await _named(interaction, name)
    to = language_of(interaction)
    await interaction.response.send_message(_preview(found, prompt or tastes.example(to), to), ephemeral=True)


def _preview(found: Style, prompt: str, to: Language) -> str:
    """What becomes of the words, and how to ask for it."""
    made, against = found.applied(prompt), found.applied_negative("")
    return tastes.preview(
        plain(cut(found.name, NAME_CHARS_MAX)),
        code(made, TEXT_SHOWN),
        code(against, TEXT_SHOWN) if against else "",
        code(f"/imagine prompt:{cut(prompt, TEXT_SHOWN)} --style {found.name}", TEXT_SHOWN),
        to,
    )


@style.command(name="add", description=commands.STYLE_ADD)
@app_commands.describe(**commands.STYLE_ADD_OPTIONS)
async def style_add(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, NAME_CHARS_MAX],
    prompt: Range[str, 1, TEXT_CHARS_MAX],
    negative_prompt: Range[str, 0, TEXT_CHARS_MAX] = "",
) -> None:
    guild_id, services = order.managed(interaction), interaction.client.services
    made = Style(name=name.strip(), prompt=prompt.strip(), negative_prompt=negative_prompt.strip())
    if not made.is_named:
        raise UserError(tastes.bad_name)
    if not made.says_something:
        raise UserError(tastes.says_nothing)
    if any(each.name.casefold() == made.name.casefold() for each in await services.styles(guild_id)):
        raise UserError(lambda to: tastes.style_there(made.name, to))
    stored = await services.store.taste.add_style(
        guild_id, made, by_user_id=interaction.user.id, now=services.clock.now(), most=STYLES_MAX
    )
    if not stored:
        raise UserError(lambda to: tastes.too_many_styles(STYLES_MAX, to))
    to = language_of(interaction)
    await say_done(interaction, _preview(made, tastes.example(to), to))


@style.command(name="remove", description=commands.STYLE_REMOVE)
@app_commands.describe(**commands.STYLE_REMOVE_OPTIONS)
async def style_remove(
    interaction: discord.Interaction[EaselClient], name: Range[str, 1, NAME_CHARS_MAX]
) -> None:
    guild_id, services = order.managed(interaction), interaction.client.services
    gone = await services.store.taste.remove_style(
        guild_id, name.strip(), by_user_id=interaction.user.id, now=services.clock.now()
    )
    if not gone:
        raise UserError(lambda to: tastes.no_such_style_here(name, to))
    await say_done(interaction, tastes.style_removed(name.strip(), language_of(interaction)))


style_preview.autocomplete("name")(suggestions.styles)
style_remove.autocomplete("name")(suggestions.styles)


async def _named(interaction: Interaction, name: str) -> Style:
    wanted = name.strip().casefold()
    styles = await interaction.client.services.styles(asker_of(interaction).guild_id)
    for each in styles:
        if each.name.casefold() == wanted:
            return each
    raise UserError(lambda to: tastes.no_such_style(name, [each.name for each in styles], to))


FEATURE = Feature(commands=(style,))

"""Forms and their fields, as every feature that asks for something fills them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord
from discord import ui

from bot.chat.look.safe import cut
from engine.contract import PROMPT_CHARS_MAX

OPTION_CHARS_MAX = 100
OPTIONS_MAX = 25


def form(title: str, custom_id: str, *items: ui.Item[Any]) -> ui.Modal:
    made = ui.Modal(title=title, custom_id=custom_id)
    for item in items:
        made.add_item(item)
    made.stop()  # it is known by its id: discord.py would remember it for ever
    return made


def words(
    field: str, label: str, value: str = "", *, is_needed: bool = True, description: str | None = None
) -> ui.Label[Any]:
    """A field for a prompt, or the like."""
    return _text(field, label, value, PROMPT_CHARS_MAX, discord.TextStyle.paragraph, is_needed, description)


def line(field: str, label: str, value: str, *, most: int) -> ui.Label[Any]:
    """A field for a few characters, which may be left empty."""
    return _text(field, label, value, most, discord.TextStyle.short, False, None)


def _text(
    field: str,
    label: str,
    value: str,
    most: int,
    style: discord.TextStyle,
    is_needed: bool,
    description: str | None,
) -> ui.Label[Any]:
    text = ui.TextInput[Any](
        custom_id=field, style=style, default=cut(value, most) or None, max_length=most, required=is_needed
    )
    return ui.Label[Any](text=label, description=description, component=text)


def choice(field: str, label: str, options: Mapping[str, str], chosen: str | None) -> ui.Label[Any]:
    """One of a few: labels by their values."""
    choices = [
        discord.SelectOption(label=cut(label, OPTION_CHARS_MAX), value=value, default=value == chosen)
        for value, label in options.items()
    ]
    return ui.Label[Any](text=label, component=ui.Select[Any](custom_id=field, options=choices))

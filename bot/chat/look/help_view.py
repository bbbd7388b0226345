"""What the greeting and /help look like. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from discord import ui

from bot.chat.ids import Verb, button
from bot.chat.look.job_view import BLURPLE
from bot.chat.look.safe import code, cut, plain, utf16_length
from bot.texts import newcomers as texts
from bot.texts import progress
from bot.texts.examples import EXAMPLES
from bot.texts.language import Language
from engine.contract import ModelInfo

TITLE_SHOWN, DESCRIPTION_SHOWN, PROMPT_SHOWN = 60, 100, 100
MODELS_ROOM = 1000
"""Of the 4,000 UTF-16 units that a message's texts may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """How it is on a server, for who asks."""

    models: Sequence[ModelInfo]
    """The first is used where none is named."""
    problem: str
    """What holds them up, as a sentence; empty where nothing."""
    allowance: Sequence[str]
    examples: Sequence[int]
    """Their numbers."""
    may_teach: bool
    is_admin: bool


def greeting(example: str, to: Language) -> ui.LayoutView:
    return _panel(
        ui.TextDisplay("\n".join([texts.hello(to), command(example)])),
        ui.TextDisplay("\n".join([texts.more_in_help(to), texts.for_admins(to)])),
    )


def help_(here: Here, to: Language) -> ui.LayoutView:
    examples = [ui.TextDisplay[Any](texts.try_it(to)), *(_example(number, to) for number in here.examples)]
    teaching = [texts.teaching(to)] if here.may_teach else []
    admins = [texts.admins_commands(to)] if here.is_admin else []
    return _panel(
        ui.TextDisplay(texts.title(to)),
        *(examples if here.examples else ()),
        _part(texts.models(to), *_models(here.models, to), *([here.problem] if here.problem else [])),
        _part(texts.you_today(to), *here.allowance),
        _part(texts.under_pictures(to), texts.buttons(to)),
        _part(texts.in_the_prompt(to), texts.prompt_words(to)),
        _part(texts.elsewhere(to), texts.commands(to), *teaching, *admins),
    )


def command(prompt: str) -> str:
    return code(f"/imagine prompt:{prompt}", PROMPT_SHOWN)


def _panel(*items: ui.Item[Any]) -> ui.LayoutView:
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.Container[ui.LayoutView](*items, accent_colour=BLURPLE))
    view.stop()  # its buttons are known by their ids
    return view


def _part(*lines: str) -> ui.TextDisplay[Any]:
    return ui.TextDisplay[Any]("\n".join(lines))


def _example(number: int, to: Language) -> ui.Section[Any]:
    return ui.Section[Any](
        ui.TextDisplay[Any](command(EXAMPLES[number].prompt)),
        accessory=button(Verb.EXAMPLE, number, to=to),
    )


def _models(models: Sequence[ModelInfo], to: Language) -> list[str]:
    """An entry each, as far as there is room; the rest is counted."""
    entries, room = list[str](), MODELS_ROOM
    for model in models:
        title = cut(model.title, TITLE_SHOWN)
        description = cut(texts.description(model, to), DESCRIPTION_SHOWN)
        entry = texts.model(model, plain(title), plain(description), to)
        if not entries and len(models) > 1:
            entry += f" · {texts.used_where_none_is_named(to)}"
        room -= utf16_length(entry) + 1
        if room < 0:
            return [*entries, progress.left_out(len(models) - len(entries), to)]
        entries.append(entry)
    return entries

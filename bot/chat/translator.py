"""Commands, options, choices and menus in the languages that Discord speaks, from the catalogues. Knows no sentence.

Slash commands are called the same everywhere, since people tell each other “/imagine”; their options are not. What Discord
would refuse is left out, and shown in English: it would refuse all commands with it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from functools import lru_cache

from discord import Locale, app_commands
from discord.app_commands import TranslationContextLocation as Place
from discord.app_commands import TranslationContextTypes, locale_str

from bot.texts.commands import CHOICE, OPTION
from bot.texts.language import ENGLISH, Language, language

NAME_CHARS_MAX = 32
TEXT_CHARS_MAX = 100
NAME = re.compile(rf"[-_'\w]{{1,{NAME_CHARS_MAX}}}")


class CommandTranslator(app_commands.Translator):
    def __init__(self) -> None:
        self._languages: Mapping[Locale, Language] = {}

    async def load(self) -> None:
        """Reads every catalogue, so that nobody's first press has to wait for that."""
        self._languages = await asyncio.to_thread(
            lambda: {locale: language(locale.value) for locale in Locale}
        )

    async def translate(
        self, string: locale_str, locale: Locale, context: TranslationContextTypes
    ) -> str | None:
        to, text = self._languages[locale], string.message
        if to is ENGLISH:
            return None
        match context.location, context.data:
            case Place.command_name, app_commands.ContextMenu():
                return _within(NAME_CHARS_MAX, to.translated(text))
            case Place.command_description | Place.group_description | Place.parameter_description, _:
                return _within(TEXT_CHARS_MAX, to.translated(text))
            case Place.choice_name, _:
                return _within(TEXT_CHARS_MAX, to.translated(text, CHOICE))
            case Place.parameter_name, app_commands.Parameter() as option:
                return _option_name(option, to)
            case _:
                return None


def _within(most: int, found: str | None) -> str | None:
    return found if found is not None and len(found) <= most else None


def _option_name(option: app_commands.Parameter, to: Language) -> str | None:
    """Its own name there; None where Discord would not take it, or another option of the command is called so."""
    found = to.translated(option.name, OPTION)
    if found is None or not NAME.fullmatch(found) or found != found.lower():
        return None
    names = tuple(each.name for each in option.command.parameters)
    own, theirs = names.index(option.name), _names(names, to)
    others = *names[:own], *names[own + 1 :], *theirs[:own], *theirs[own + 1 :]
    return None if found in others else found


@lru_cache(maxsize=1024)
def _names(names: tuple[str, ...], to: Language) -> tuple[str | None, ...]:
    """Of all options of a command there."""
    return tuple(to.translated(name, OPTION) for name in names)

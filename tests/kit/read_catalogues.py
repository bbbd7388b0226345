"""For a process that bots are forked from: the catalogues that each would read at its start have been read."""

from __future__ import annotations

from discord import Locale

from bot.texts.language import language

for locale in Locale:
    language(locale.value)

"""Texts that people or files brought, made safe to show and cut to what Discord takes. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import discord

from bot.texts import progress
from bot.texts.language import Language

PLAIN_MAX = 2000
"""UTF-16 units of a message's plain text."""
COUNTED = 40
"""Of these, for how many lines were left out."""


def shown(text: str) -> str:
    """Text on one line without invisible characters that could turn or hide what is written.

    Joiners inside emoji stay. Discord's own limits count UTF-16 units, so cut after this.
    """
    kept = (
        char
        for char in text
        if unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co"} or char in "\n\t\u200d"
    )
    return re.sub(r"\s+", " ", "".join(kept)).strip()


def code(text: str, limit: int) -> str:
    """Text in code marks, in which neither markdown nor mentions mean anything; where there is none, a dash."""
    inside = cut(shown(text), limit).replace("`", "ˋ") or "–"
    return f"`{inside}`"


def plain(text: str) -> str:
    """Text outside code marks, with markdown and mentions defused."""
    return discord.utils.escape_mentions(discord.utils.escape_markdown(shown(text)))


def cut(text: str, limit: int) -> str:
    """At most `limit` UTF-16 units, as Discord counts them, with … where something is missing."""
    if utf16_length(text) <= limit:
        return text
    kept: list[str] = []
    room = limit - 1
    for char in text:
        room -= utf16_length(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + "…"


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def fitting(lines: Sequence[str], to: Language, *, ends: Sequence[str] = (), more: int = 0) -> str:
    """Lines for a message without a layout (2,000 units): whole lines are left out before `ends`, and counted.

    `more` were left out already.
    """
    kept = list(lines)
    while kept and utf16_length("\n".join([*kept, *ends])) > PLAIN_MAX - COUNTED:
        kept.pop()
    left_out = more + len(lines) - len(kept)
    return cut("\n".join([*kept, *([progress.left_out(left_out, to)] if left_out else []), *ends]), PLAIN_MAX)

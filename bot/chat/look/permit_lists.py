"""Lists of what a server's admins allow, with as many names as a message has room for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.chat.look.safe import COUNTED, PLAIN_MAX, utf16_length
from bot.limits import PermitEntry
from bot.texts import allow_lists
from bot.texts.language import Language


def lists(entries: Sequence[PermitEntry], to: Language, *, beside: Sequence[str]) -> list[str]:
    """A line for each kind and whom it is for, in a message that also has the lines `beside`; names without room are counted."""
    found = allow_lists.grouped(entries)
    room = PLAIN_MAX - COUNTED - sum(utf16_length(line) + 1 for line in beside)
    lines: list[str] = []
    for left, one in zip(range(len(found), 0, -1), found, strict=True):
        lines.append(_line(one, room // left - 1, to))
        room -= utf16_length(lines[-1]) + 1
    return lines


def _line(entries: Sequence[PermitEntry], room: int, to: Language) -> str:
    """One name at least."""
    line = allow_lists.line(entries, to)
    for shown in range(len(entries) - 1, 0, -1):
        if utf16_length(line) <= room:
            break
        line = allow_lists.line(entries[:shown], to, more=len(entries) - shown)
    return line

"""Credits, sizes, times and people as they are told. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bot.limits import Subject
from bot.texts.language import Language
from engine.contract import Listed, choice_of


def credit(count: int, to: Language) -> str:
    return to.ngettext("{count} credit", "{count} credits", count)


def area(pixels: int, to: Language) -> str:
    """A number of pixels as people know sizes: the most square sides of whole eights, or about which square."""
    side = math.isqrt(pixels)
    for height in range(side - side % 8, side // 2, -8):
        if pixels % height == 0 and (width := pixels // height) % 8 == 0:
            return f"{width}×{height}"
    return to.gettext("{pixels} pixels (about {side}×{side})", pixels=to.number(pixels), side=side)


def choice(name: str, offered: Sequence[str], to: Language) -> str:
    """What a sentence lists of what is offered instead of `name`."""
    return listed(choice_of(name, offered), to)


def listed(names: Listed, to: Language) -> str:
    told = to.listed(names.names)
    return to.gettext("{listed} and {count} more", listed=told, count=names.more) if names.more else told


def size(told: str) -> str:
    """A size of the contract's, such as 512x768, in print."""
    return told.replace("x", "×")


def duration(value: float, to: Language) -> str:
    """About so many seconds."""
    if value < 60:
        return to.gettext("{seconds} s", seconds=max(1, round(value)))
    minutes = round(value / 60)
    if minutes < 120:
        return to.gettext("{minutes} min", minutes=minutes)
    return to.gettext("{hours} h", hours=round(minutes / 60))


def minutes(value: float, to: Language) -> str:
    return to.ngettext("{count} minute", "{count} minutes", max(1, round(value / 60)))


def ordinal(number: int) -> str:
    """As English counts; other languages have the number itself."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def seconds(value: float, to: Language, *, digits: int = 1) -> str:
    return to.gettext("{seconds} s", seconds=to.decimal(value, digits))


def mention(user_id: int) -> str:
    return f"<@{user_id}>"


def who(subject: Subject, subject_id: int, to: Language) -> str:
    match subject:
        case Subject.EVERYONE:
            return to.gettext("Everyone")
        case Subject.ROLE:
            return f"<@&{subject_id}>"
        case Subject.MEMBER:
            return mention(subject_id)


def moment(at: float) -> str:
    """Seconds since 1970, as Discord tells how far away that is."""
    return f"<t:{int(at)}:R>"

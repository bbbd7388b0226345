"""Styles and defaults, as people read about them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.texts.language import Language, fixed
from engine.contract import choice_of

NAME_SHOWN = 60

no_styles = fixed("There are no styles here yet: an admin adds one with /style add.")


def preview(name: str, prompt: str, against: str, command: str, to: Language) -> str:
    lines = [to.gettext("**{name}** makes of your words: {prompt}", name=name, prompt=prompt)]
    if against:
        lines.append(to.gettext("It keeps out: {words}", words=against))
    lines.append(to.gettext("Ask with {command}", command=command))
    return "\n".join(lines)


def bad_style(reason: str, to: Language) -> str:
    return to.gettext("{reason}.", reason=reason[0].upper() + reason[1:])


def style_there(name: str, to: Language) -> str:
    return to.gettext(
        "There is a style “{name}” already: take another name, or remove it first with /style remove.",
        name=name[:NAME_SHOWN],
    )


def too_many_styles(most: int, to: Language) -> str:
    return to.gettext(
        "A server may have {most} styles: remove one first with /style remove.", most=to.number(most)
    )


def no_such_style(name: str, offered: Sequence[str], to: Language) -> str:
    if not offered:
        return to.gettext("There is no style “{name}” here, nor any other.", name=name[:NAME_SHOWN])
    return to.gettext(
        "There is no style “{name}” here: use {offered}.",
        name=name[:NAME_SHOWN],
        offered=choice_of(name, offered),
    )


def no_such_style_here(name: str, to: Language) -> str:
    return to.gettext(
        "No style “{name}” was added on this server: those of whoever runs Easel stay.",
        name=name[:NAME_SHOWN],
    )


def style_removed(name: str, to: Language) -> str:
    return to.gettext("The style “{name}” is gone.", name=name[:NAME_SHOWN])

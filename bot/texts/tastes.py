"""Styles and defaults, as people read about them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.texts.amounts import choice
from bot.texts.language import Language, fixed

NAME_SHOWN = 60

example = fixed("a red fox")
bad_name = fixed("A style needs a name of 1 to 40 characters on one line: give it another one.")
says_nothing = fixed("A style needs a prompt or something to keep out: fill one in.")
no_styles = fixed("There are no styles here yet: an admin adds one with /style add.")


def preview(name: str, prompt: str, against: str, command: str, to: Language) -> str:
    lines = [to.gettext("**{name}** makes of your words: {prompt}", name=name, prompt=prompt)]
    if against:
        lines.append(to.gettext("It keeps out: {words}", words=against))
    lines.append(to.gettext("Ask with {command}", command=command))
    return "\n".join(lines)


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
        offered=choice(name, offered, to),
    )


def no_such_style_here(name: str, to: Language) -> str:
    return to.gettext(
        "No style “{name}” was added on this server: those of whoever runs Easel stay.",
        name=name[:NAME_SHOWN],
    )


def style_removed(name: str, to: Language) -> str:
    return to.gettext("The style “{name}” is gone.", name=name[:NAME_SHOWN])


# ------------------------------------------------------------------ defaults


def _setting(name: str, value: str, to: Language) -> str:
    match name:
        case "model":
            return to.gettext("model {value}", value=value)
        case "aspect":
            return to.gettext("aspect {value}", value=value)
        case "quality":
            return to.gettext("quality {value}", value=value)
        case "images":
            return to.gettext("images {value}", value=value)
        case "style":
            return to.gettext("style {value}", value=value)
        case "spoiler":
            return to.gettext("spoilers {value}", value=value)
        case _:
            return f"{name} {value}"


_privately = fixed(
    "Nobody else sees what you ask for: words and pictures come to you by direct message alone, so take some from a server "
    "that we share."
)
_by_mail_too = fixed(
    "Your finished pictures come to you by direct message too, where you take them from a server that we share."
)


def of_person(
    values: Mapping[str, str], to: Language, *, by_mail_too: bool = False, privately: bool = False
) -> str:
    """`by_mail_too`, `privately`: where the pictures go; no default that a request could overrule."""
    where = [_privately(to)] if privately else [_by_mail_too(to)] if by_mail_too else []
    return "\n".join([*([_defaults(values, to)] if values or not where else []), *where])


def _defaults(values: Mapping[str, str], to: Language) -> str:
    if not values:
        return to.gettext(
            "You prefer nothing yet: name a model, an aspect, a quality, a number of images or a style."
        )
    return to.gettext(
        "Where you and the channel say nothing, your pictures have: {settings}.", settings=_told(values, to)
    )


def of_channel(values: Mapping[str, str], to: Language) -> str:
    if not values:
        return to.gettext("This channel prefers nothing.")
    return to.gettext(
        "Where nobody says anything, pictures in this channel have: {settings}.", settings=_told(values, to)
    )


def of_server(values: Mapping[str, str], to: Language) -> str:
    if not values:
        return to.gettext("This server prefers nothing.")
    return to.gettext(
        "Where channel and person say nothing, pictures on this server have: {settings}.",
        settings=_told(values, to),
    )


def of_forum(values: Mapping[str, str], to: Language) -> str:
    """All of its posts have the same."""
    if not values:
        return to.gettext("This forum prefers nothing.")
    return to.gettext(
        "Where nobody says anything, pictures in this forum's posts have: {settings}.",
        settings=_told(values, to),
    )


def _told(values: Mapping[str, str], to: Language) -> str:
    return to.listed(_setting(name, f"**{value}**", to) for name, value in sorted(values.items()))

"""What a server's admins list as allowed: how a list reads, and what who is not on it is told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from bot.core.asking.refused import NotPermitted
from bot.limits import NOTHING, PermitEntry, PermitKind, Subject, Use
from bot.texts.amounts import choice, listed, who
from bot.texts.language import Language, Say, fixed
from engine.contract import Listed

_USES: dict[str, Say] = {
    Use.IMAGES: fixed("pictures to start from"),
    Use.SEVERAL: fixed("several requests at once"),
    Use.REROLL: fixed("reroll"),
    Use.VARY: fixed("vary"),
    Use.UPSCALE: fixed("upscale"),
    Use.REMIX: fixed("remix"),
    Use.EDIT: fixed("edit with words"),
}
_open: dict[PermitKind, Say] = {
    PermitKind.MODEL: fixed("-# As long as no model is listed for everyone, everybody may use all of them."),
    PermitKind.LORA: fixed("-# As long as no LoRA is listed for everyone, everybody may use all of them."),
    PermitKind.FEATURE: fixed(
        "-# As long as no feature is listed for everyone, everybody may use all of them."
    ),
    PermitKind.CHANNEL: fixed(
        "-# As long as no channel is listed for everyone, everybody may ask in all of them."
    ),
}
nothing = fixed("none at all")
everything = fixed("all that are on the list")


def use(name: str, to: Language) -> str:
    """A feature by the name that admins type, as people know it."""
    return _USES[name](to) if name in _USES else name


def not_permitted(refused: NotPermitted, to: Language) -> str:
    name, allowed = refused.name, refused.allowed
    match refused.kind:
        case PermitKind.MODEL if allowed:
            return to.gettext(
                "The model {name} is not for you on this server: use {allowed}.",
                name=name,
                allowed=choice(name, allowed, to),
            )
        case PermitKind.MODEL:
            return to.gettext("No model is for you on this server: only its admins can change that.")
        case PermitKind.LORA if allowed:
            return to.gettext(
                "The LoRA {name} is not for you on this server: use {allowed}.",
                name=name,
                allowed=choice(name, allowed, to),
            )
        case PermitKind.LORA:
            return to.gettext("LoRAs are not for you on this server: ask without them.")
        case PermitKind.FEATURE:
            return to.gettext(
                "This is not for you on this server: {what}. Only its admins can change that.",
                what=use(name, to),
            )
        case PermitKind.CHANNEL if allowed:
            return to.gettext(
                "Pictures are not made in this channel: ask in {places}.", places=_places(allowed, to)
            )
        case PermitKind.CHANNEL:
            return to.gettext(
                "Pictures are made in no channel for you: only this server's admins can change that."
            )


def not_shared(name: str, to: Language) -> str:
    return to.gettext(
        "The LoRA {name} was taught by somebody who does not share it with you here: ask them, or a server admin.",
        name=name,
    )


def line(entries: Sequence[PermitEntry], to: Language, *, more: int = 0) -> str:
    """One list, of which `more` entries are left out."""
    kind, person = entries[0].kind, who(entries[0].subject, entries[0].subject_id, to)
    names = [_name(entry, to) for entry in entries if entry.name != NOTHING]
    said = listed(Listed(names=tuple(names), more=more), to) if names else nothing(to)
    match kind:
        case PermitKind.MODEL:
            return to.gettext("**{who}** may draw with these models: {names}", who=person, names=said)
        case PermitKind.LORA:
            return to.gettext("**{who}** may draw with these LoRAs: {names}", who=person, names=said)
        case PermitKind.FEATURE:
            return to.gettext("**{who}** may use these features: {names}", who=person, names=said)
        case PermitKind.CHANNEL:
            return to.gettext("**{who}** may ask in these channels: {names}", who=person, names=said)


def _name(entry: PermitEntry, to: Language) -> str:
    match entry.kind:
        case PermitKind.FEATURE:
            return use(entry.name, to)
        case PermitKind.CHANNEL:
            return f"<#{entry.name}>"
        case _:
            return entry.name


def grouped(entries: Sequence[PermitEntry]) -> list[list[PermitEntry]]:
    """The lists, one for each kind and whom it is for."""

    def which(entry: PermitEntry) -> tuple[str, int, int]:
        return entry.kind, [*Subject].index(entry.subject), entry.subject_id

    ordered = sorted(entries, key=lambda each: (*which(each), each.name))
    return [[*of_one] for _, of_one in groupby(ordered, which)]


def is_open(kind: PermitKind, to: Language) -> str:
    return _open[kind](to)


def no_such_feature(name: str) -> Say:
    return lambda to: to.gettext(
        "There is no feature “{name}”: use {offered}.", name=name[:60], offered=to.listed(Use)
    )


def no_such_channel(name: str) -> Say:
    return lambda to: to.gettext("There is no channel “{name}” here: pick one from the list.", name=name[:60])


def not_listed(name: str) -> Say:
    return lambda to: to.gettext("“{name}” is not on that list.", name=name[:60])


def no_room(most: int) -> Say:
    return lambda to: to.gettext("All lists together have room for {most} entries.", most=most)


def _places(ids: Iterable[str], to: Language) -> str:
    return to.listed(f"<#{number}>" for number in ids)

"""People whose Discord is in another language than English, in SimCord 3.2.1, whose people all read English. Knows no Easel.

As Discord does, commands are described, and their options and choices named, as their bot has said for that language;
what comes of them carries the bot's own names and the language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simcord.enums import OptionType

NESTED = (OptionType.SUBCOMMAND, OptionType.SUBCOMMAND_GROUP)
ENGLISH = "en-US"

Item = Mapping[str, Any]
"""A command, an option, a choice."""


class Languages:
    """Who reads what, in one simulated Discord."""

    def __init__(self, backend: Any) -> None:
        self._locales: dict[int, str] = {}
        self._backend = backend
        self._all = backend.visible_commands
        self._send = backend.emit
        backend.visible_commands = self._visible_commands
        backend.emit = self._emit

    def speak(self, user_id: int, locale: str) -> None:
        """From now on that person has their Discord in this language."""
        self._locales[user_id] = locale

    def of(self, user_id: int) -> str:
        return self._locales.get(user_id, ENGLISH)

    def _visible_commands(self, *, user_id: int, **where: Any) -> list[dict[str, Any]]:
        locale = self.of(user_id)
        return [localized(each, locale) for each in self._all(user_id=user_id, **where)]

    def _emit(self, event: str, payload: Item) -> None:
        if event == "INTERACTION_CREATE":
            person = payload["member"]["user"] if "member" in payload else payload["user"]
            payload = {**payload, **self._said(payload, self.of(int(person["id"])))}
        self._send(event, payload)

    def _said(self, payload: Item, locale: str) -> dict[str, Any]:
        data = payload["data"]
        if not data.get("options"):
            return {"locale": locale}
        (command,) = (each for each in self._every_command() if each["id"] == data["id"])
        options = as_declared(data["options"], command["options"], locale)
        return {"locale": locale, "data": {**data, "options": options}}

    def _every_command(self) -> Iterable[Item]:
        return (each for scope in self._backend.commands.values() for each in scope.values())


def localized(item: Item, locale: str) -> dict[str, Any]:
    """A command or option as somebody reads it; commands keep their names, since people tell each other “/imagine”."""
    shown = {**item, "description": _theirs(item, "description", locale)}
    if item.get("options"):
        shown["options"] = [
            {**localized(option, locale), "name": _name(option, locale)} for option in item["options"]
        ]
    if item.get("choices"):
        shown["choices"] = [{**choice, "name": _theirs(choice, "name", locale)} for choice in item["choices"]]
    return shown


def as_declared(filled: Sequence[Item], declared: Sequence[Item], locale: str) -> list[dict[str, Any]]:
    """What somebody filled in, under the names that the bot knows; those are understood, too."""
    known = {option["name"]: option for option in declared}
    known |= {_name(option, locale): option for option in declared}
    return [
        {**each, "name": known[each["name"]]["name"]}
        | (
            {"options": as_declared(each["options"], known[each["name"]].get("options", ()), locale)}
            if each.get("options")
            else {}
        )
        for each in filled
    ]


def _name(option: Item, locale: str) -> str:
    return option["name"] if option["type"] in NESTED else _theirs(option, "name", locale)


def _theirs(item: Item, field: str, locale: str) -> str:
    translated: Item = item.get(f"{field}_localizations") or {}
    return translated.get(locale, item.get(field, ""))

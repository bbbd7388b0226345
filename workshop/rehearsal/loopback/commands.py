"""Application commands: what a sync may contain and what a person may type; pure."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import Any

from workshop.rehearsal.loopback import localized, payloads
from workshop.rehearsal.loopback.bodies import Upload
from workshop.rehearsal.loopback.errors import ApiError, invalid
from workshop.rehearsal.loopback.messages import Messages
from workshop.rehearsal.loopback.world import Channel, Json, Role, User, object_in, objects_in, walk

SUB_COMMAND, SUB_GROUP, STRING, INTEGER, BOOLEAN, USER = range(1, 7)
CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(7, 12)
SUBS = frozenset({SUB_COMMAND, SUB_GROUP})
CHAT_INPUT, USER_MENU, MESSAGE_MENU = 1, 2, 3
MOST = {CHAT_INPUT: 100, USER_MENU: 15, MESSAGE_MENU: 15}
"""Global commands of each type; of menus, 5 before 2026-03."""
NAME = re.compile(r"^[-_'\w]{1,32}$")
PYTHON_TYPES: dict[int, tuple[type, ...]] = {
    STRING: (str,),
    INTEGER: (int,),
    BOOLEAN: (bool,),
    USER: (User,),
    CHANNEL: (Channel,),
    ROLE: (Role,),
    MENTIONABLE: (User, Role),
    NUMBER: (int, float),
    ATTACHMENT: (Upload,),
}


class CannotDo(AssertionError):
    """A person could not do this in Discord's client: no such command, option, button, or not allowed."""


_fine: list[Json] = []
"""The last ones that were: one bot after the other sends the same, and they are many."""


def check_sync(commands: list[Json]) -> None:
    """Raise what Discord answers to a bad bulk overwrite, or return."""
    if commands != _fine:
        _check(commands)
        _fine[:] = copy.deepcopy(commands)


def _check(commands: list[Json]) -> None:
    for kind in MOST:
        localized.check_unique([c for c in commands if c.get("type", CHAT_INPUT) == kind], "name")
    keys = [(c.get("type", CHAT_INPUT), c["name"]) for c in commands]
    for kind, most in MOST.items():
        if sum(key[0] == kind for key in keys) > most:
            raise ApiError(400, 30032, f"Maximum number of application commands reached ({most})")
    for index, command in enumerate(commands):
        if command.get("type", CHAT_INPUT) != CHAT_INPUT:
            _check_menu(command, f"{index}")
            continue
        _check_named(command, f"{index}")
        if _length(command) > 8000:
            raise invalid(f"{index}", "APPLICATION_COMMAND_TOO_LARGE", "Exceeds maximum size (8000)")


def _check_menu(command: Json, path: str) -> None:
    """Its name may have capitals and spaces, and is all that people see of it."""
    if command["type"] not in MOST:
        raise invalid(f"{path}.type", "BASE_TYPE_CHOICES", f"{command['type']} is no type of a command.")
    for where, name in localized.every(command, "name", path):
        if not 1 <= len(name) <= 32 or name != name.strip():
            raise invalid(where, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    if command.get("description"):
        text = "Context menu commands cannot have description"
        raise invalid(f"{path}.description", "APPLICATION_COMMANDS_CONTEXT_MENU_DESCRIPTION", text)
    if command.get("options"):
        text = "Context menu commands cannot have options"
        raise invalid(f"{path}.options", "APPLICATION_COMMANDS_CONTEXT_MENU_OPTIONS", text)


def _check_named(item: Json, path: str) -> None:
    for where, name in localized.every(item, "name", path):
        if not NAME.match(name) or name != name.lower():
            raise invalid(where, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    for where, description in localized.every(item, "description", path):
        if not 1 <= len(description) <= 100:
            raise invalid(where, "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
    options = objects_in(item, "options")
    choices = objects_in(item, "choices")
    if len(options) > 25 or len(choices) > 25:
        raise invalid(path, "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    if choices and item.get("autocomplete"):
        raise invalid(path, "AUTOCOMPLETE_WITH_CHOICES", "Not both choices and autocomplete.")
    wanted = [bool(o.get("required")) for o in options]
    if wanted != sorted(wanted, reverse=True):
        text = "Required options must be placed before non-required options"
        raise invalid(f"{path}.options", "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", text)
    localized.check_unique(options, f"{path}.options")
    for number, option in enumerate(options):
        _check_named(option, f"{path}.options.{number}")
    for number, choice in enumerate(choices):
        names = [name for _, name in localized.every(choice, "name", f"{path}.choices.{number}")]
        if not all(1 <= len(name) <= 100 for name in names) or len(str(choice["value"])) > 100:
            raise invalid(f"{path}.choices.{number}", "BASE_TYPE_BAD_LENGTH", "1 to 100 characters.")


def _length(item: Json) -> int:
    """Of names, descriptions and values; of each only the longest language counts."""
    own = localized.longest(item, "name") + localized.longest(item, "description")
    choices = (localized.longest(c, "name") + len(str(c["value"])) for c in objects_in(item, "choices"))
    return own + sum(choices) + sum(map(_length, objects_in(item, "options")))


@dataclass(kw_only=True)
class Typing:
    """Turns what a test passes as options into the payload that Discord's client would send."""

    messages: Messages
    bot: User
    channel: Channel
    unchecked: bool = False
    """Sends values that Discord's own client would stop: ranges, lengths and choices are left to the bot."""
    resolved: Json = field(default_factory=Json)

    def data(self, command: Json, words: list[str], values: dict[str, Any], focus: str | None = None) -> Json:
        """`data` of the interaction; `focus` names the option being typed (autocomplete)."""
        options = self._descend(command, words, values, focus)
        plain: Json = {"id": command["id"], "name": command["name"], "type": 1, "options": options}
        if self.resolved and focus is None:
            plain["resolved"] = self.resolved
        return plain

    def _descend(self, item: Json, words: list[str], values: dict[str, Any], focus: str | None) -> list[Json]:
        inner = objects_in(item, "options")
        if words:
            child = next((o for o in inner if o["name"] == words[0] and o["type"] in SUBS), None)
            if child is None:
                raise CannotDo(f"{item['name']} has no subcommand {words[0]!r}: {[o['name'] for o in inner]}")
            options = self._descend(child, words[1:], values, focus)
            return [{"name": child["name"], "type": child["type"], "options": options}]
        if any(o["type"] in SUBS for o in inner):
            raise CannotDo(f"{item['name']} needs a subcommand: {[o['name'] for o in inner]}")
        return self._options({o["name"]: o for o in inner}, values, focus)

    def _options(self, known: dict[str, Json], values: dict[str, Any], focus: str | None) -> list[Json]:
        if strange := values.keys() - known.keys():
            raise CannotDo(f"no such option {sorted(strange)}; there are {sorted(known)}")
        missing = [name for name, o in known.items() if o.get("required") and name not in values]
        if missing and focus is None:
            raise CannotDo(f"required option missing: {missing}")
        return [self._option(known[name], value, name == focus) for name, value in values.items()]

    def _option(self, option: Json, value: Any, focused: bool) -> Json:
        plain: Json = {"name": option["name"], "type": option["type"]}
        if focused:
            if not option.get("autocomplete"):
                raise CannotDo(f"{option['name']} has no autocomplete")
            return {**plain, "value": value, "focused": True}
        return {**plain, "value": self._value(option, value)}

    def _value(self, option: Json, value: Any) -> Any:
        name, kind = option["name"], option["type"]
        fits = isinstance(value, PYTHON_TYPES[kind]) and (kind == BOOLEAN or not isinstance(value, bool))
        if not fits:
            raise CannotDo(f"{name} takes {[t.__name__ for t in PYTHON_TYPES[kind]]}, not {value!r}")
        if not self.unchecked:
            _check_range(option, value)
        match value:
            case User():
                return self._resolve_user(value)
            case Role():
                return self._resolve("roles", value.id, payloads.role(value))
            case Channel():
                plain = {**payloads.channel(value, self.bot), "permissions": "0"}
                return self._resolve("channels", value.id, plain)
            case Upload():
                stored = self.messages.store_file(self.channel.id, value, folder="ephemeral-attachments")
                plain = {**payloads.attachment(stored), "ephemeral": True}
                return self._resolve("attachments", stored.id, plain)
            case _:
                return value

    def _resolve_user(self, who: User) -> str:
        guild = self.channel.guild
        if guild is not None:
            self._resolve("members", who.id, payloads.member(guild, who, channel=self.channel))
        return self._resolve("users", who.id, payloads.user(who))

    def _resolve(self, kind: str, number: int, plain: Json) -> str:
        self.resolved.setdefault(kind, {})[str(number)] = plain
        return str(number)


def _check_range(option: Json, value: Any) -> None:
    """What Discord's client refuses before anything is sent."""
    name, choices = option["name"], [c["value"] for c in objects_in(option, "choices")]
    if choices and value not in choices:
        raise CannotDo(f"{name} is one of {choices}, not {value!r}")
    if isinstance(value, int | float):
        least, most = option.get("min_value", value), option.get("max_value", value)
        if not least <= value <= most:
            raise CannotDo(f"{name} lies in {least}..{most}, not {value}")
    if isinstance(value, str):
        least, most = option.get("min_length", 0), option.get("max_length", 6000)
        if not least <= len(value) <= most:
            raise CannotDo(f"{name} has {least} to {most} characters, not {len(value)}")


def find_component(components: list[Json], wanted: str, types: frozenset[int]) -> Json:
    """The one component with this custom_id, label, emoji or placeholder, and not disabled."""
    candidates = [c for c in walk(components) if c["type"] in types]
    exact = [c for c in candidates if c.get("custom_id") == wanted]
    named = exact or [c for c in candidates if wanted in _names(c)]
    if len(named) != 1:
        there = [_names(c) for c in candidates]
        raise CannotDo(f"{len(named)} components are called {wanted!r}; there are {there}")
    if named[0].get("disabled"):
        raise CannotDo(f"{wanted!r} is disabled")
    if "custom_id" not in named[0]:
        raise CannotDo(f"{wanted!r} is a link")
    return named[0]


def _names(component: Json) -> list[str]:
    emoji = object_in(component, "emoji").get("name")
    return [n for n in (component.get("label"), component.get("placeholder"), emoji) if n]

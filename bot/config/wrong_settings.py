"""What is wrong with a setting, in words for its owner. Knows the shape of fields, but not which ones there are."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Collection
from typing import Any, Literal

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from bot.redaction import cleaned


def unknown_section(name: str, known: Collection[str]) -> str:
    return f"[{name}]: there is no such section{did_you_mean(difflib.get_close_matches(name, known, 1))}"


def unknown_key(key: str, known: Collection[str]) -> str:
    """The sentence for a key that is in none of `known` ("section.key"), with the likeliest one meant."""
    if key.endswith("token"):
        return (
            f"{key}: the token itself is never written here: "
            "set DISCORD_TOKEN, or name a file that holds it as token_file under [discord]."
        )
    section, _, name = key.rpartition(".")
    own = [other for other in known if other.startswith(f"{section}.")]
    near = difflib.get_close_matches(key, own, 1) or [other for other in known if other.endswith(f".{name}")]
    return f"{key}: there is no such key{did_you_mean(near or difflib.get_close_matches(key, known, 1))}"


def did_you_mean(near: list[str]) -> str:
    return f"; did you mean {near[0]}?" if near else "."


def shown(value: object) -> str:
    """A value as it looks in TOML, cut to what fits a line."""
    match value:
        case str():
            text = f'"{value}"'
        case bool():
            text = str(value).lower()
        case dict():
            text = "a table"
        case _:
            text = str(value)
    text = cleaned(text)  # before it is cut: half a token has no shape that could be known
    return text if len(text) <= 60 else f"{text[:60]}…"


def kinds(info: FieldInfo) -> tuple[Any, ...]:
    """The types a field takes, a union's one by one; those of the values where it takes certain values only."""
    annotation = info.annotation
    match typing.get_origin(annotation):
        case typing.Union | types.UnionType:
            return typing.get_args(annotation)
        case typing.Literal:
            options: tuple[object, ...] = typing.get_args(annotation)
            return tuple(type(option) for option in options)
        case _:
            return (annotation,)


def allowed(info: FieldInfo) -> str:
    """Words for what a field takes, drawn from its own type and bounds so that they can't disagree."""
    if info.description:
        return info.description
    if typing.get_origin(info.annotation) is Literal:
        return ", ".join(shown(option) for option in typing.get_args(info.annotation))
    if bool in kinds(info):
        return "true or false"
    low = next(entry.ge for entry in info.metadata if isinstance(entry, Ge))
    high = next(entry.le for entry in info.metadata if isinstance(entry, Le))
    number = "a whole number" if int in kinds(info) else "a number"
    return f"{number} from {low} to {high}"

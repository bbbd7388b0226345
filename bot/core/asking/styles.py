"""Styles: templates for prompts by name, of whoever runs Easel (a TOML file) and of a server's admins. Pure.

    [[style]]
    name = "watercolour"
    prompt = "{prompt}, watercolour, soft paper"
    negative_prompt = "photo"

As in AUTOMATIC1111, `{prompt}` is where what was asked for goes; a template without it is put behind, after a comma. What is
to be kept out is added to what was asked to be.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from bot.core.asking.refused import NoSuchStyle, Unmet
from bot.core.asking.wish import Wish
from bot.job import Style

NAME_CHARS_MAX, TEXT_CHARS_MAX = 40, 1000
STYLES_MAX = 200


class BadStyles(ValueError):
    """The file of styles can't be used; the message is a sentence that says where and why."""


def styled(wish: Wish, styles: Iterable[Style]) -> Wish:
    """The wish as its style has it; raises Unmet for one that there is not."""
    if wish.style is None:
        return wish
    known = tuple(styles)
    wanted = wish.style.casefold()
    style = next((each for each in known if each.name.casefold() == wanted), None)
    if style is None:
        raise Unmet(NoSuchStyle(name=wish.style, offered=tuple(each.name for each in known)))
    return replace(
        wish,
        prompt=style.applied(wish.prompt),
        negative_prompt=style.applied_negative(wish.negative_prompt or "") or None,
    )


def read(text: str) -> tuple[Style, ...]:
    """What stands in a file of styles. Raises BadStyles."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadStyles(f"it is no TOML: {error}") from error
    if strange := found.keys() - {"style"}:
        raise BadStyles(f"it has “{min(strange)}”: every style begins with [[style]]")
    entries = found.get("style", [])
    if not isinstance(entries, list):
        raise BadStyles("every style begins with [[style]]")
    styles = [_style(number, entry) for number, entry in enumerate(cast("list[Any]", entries), 1)]
    seen: set[str] = set()
    for style in styles:
        if style.name.casefold() in seen:
            raise BadStyles(f"“{style.name}” stands there twice: give one of them another name")
        seen.add(style.name.casefold())
    return tuple(styles)


def _style(number: int, entry: Any) -> Style:
    values: Mapping[str, Any] = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    known = ("name", "prompt", "negative_prompt")
    if strange := values.keys() - set(known):
        raise BadStyles(f"style {number} has “{min(strange)}”, which is none of {', '.join(known)}")
    texts = [values.get(key, "") for key in known]
    if not all(isinstance(text, str) for text in texts):
        raise BadStyles(f"style {number} has something else than a text in quotes")
    return checked(*texts, of=f"style {number}")


def checked(name: str, prompt: str, negative_prompt: str, *, of: str) -> Style:
    """A style of these texts; raises BadStyles, which names it as `of`."""
    name, prompt, negative_prompt = name.strip(), prompt.strip(), negative_prompt.strip()
    if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise BadStyles(f"{of} needs a name of 1 to {NAME_CHARS_MAX} characters on one line")
    if not prompt and not negative_prompt:
        raise BadStyles(f"{of} says nothing: give it a prompt")
    if max(len(prompt), len(negative_prompt)) > TEXT_CHARS_MAX:
        raise BadStyles(f"{of} is longer than {TEXT_CHARS_MAX} characters")
    return Style(name=name, prompt=prompt, negative_prompt=negative_prompt)

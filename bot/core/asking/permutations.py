"""Alternatives inside a prompt, such as `{red, blue} house`: all of their combinations. Pure; knows neither flags nor wildcards.

`{a, b}` as in Midjourney and `{a|b}` as in AUTOMATIC1111 mean the same: each of them once. Where a pair of braces holds a
bar, only bars part, so that `{red, matte|blue}` are two. They may stand inside one another; a pair without comma and bar,
one without its other half and JSON are words as they stand. `\\{`, `\\}` and, inside of braces, `\\,` and `\\|` are those signs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"(?P<escape>\\*)(?P<sign>[{},|])")
_JSON = re.compile(r"[\"'”]\s*:")
"""Some models like to be prompted in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Text in which some places are still open."""

    parts: tuple[str | Choice, ...]
    count: int
    """Of the texts that it stands for."""

    def text(self, index: int) -> str:
        """One of them; the last choice changes first. `index` is from 0 to below `count`."""
        told: list[str] = []
        todo: list[str | tuple[Template, int]] = [(self, index)]
        while todo:  # people nest deeper than Python calls
            match todo.pop():
                case str() as text:
                    told.append(text)
                case (template, left):
                    for part in reversed(template.parts):
                        if isinstance(part, Choice):
                            left, own = divmod(left, part.count)
                            todo.append(part.chosen(own))
                        else:
                            todo.append(part)
        return "".join(told)

    def texts(self) -> Iterator[str]:
        """All of them, in an order that never changes: ask for `count` before."""
        return map(self.text, range(self.count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    alternatives: tuple[Template, ...]
    count: int
    """Of all the texts that can stand here."""

    def chosen(self, index: int) -> tuple[Template, int]:
        """The alternative to which this text belongs, and which of its own it is."""
        for alternative in self.alternatives:
            if index < alternative.count:
                return alternative, index
            index -= alternative.count
        raise IndexError(index)


def read(text: str) -> Template:
    """Whatever the text: nothing in it is wrong."""
    open_braces: list[_Brace] = []
    here: list[_Part] = []
    at = 0
    for token in _TOKEN.finditer(text):
        here.append(text[at : token.start()])
        at, escape, sign = token.end(), token["escape"], token["sign"]
        if sign in ",|" and not open_braces:
            here.append(token[0])
            continue
        here.append(escape[: len(escape) // 2])
        if len(escape) % 2:
            here.append(sign)
        elif sign == "{":
            open_braces.append(_Brace(start=token.end(), before=here))
            here = []
        elif sign != "}":
            here.append(_Mark(sign))
        elif not open_braces:
            here.append(sign)
        else:
            brace = open_braces.pop()
            here = [*brace.before, *_closed(here, text[brace.start : token.start()])]
    here.append(text[at:])
    while open_braces:  # that were never closed
        here = [*open_braces.pop().before, "{", *_written(here)]
    return _template(here)


def literal(text: str) -> str:
    """What is to be written so that `read` finds this text alone."""
    template = read(text)
    if template.count == 1 and template.text(0) == text:
        return text
    return re.sub(r"(\\*)([{}])", r"\1\1\\\2", text)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A comma or bar inside of braces."""

    sign: str


@dataclass(frozen=True, slots=True)
class _Brace:
    start: int
    before: list[_Part]
    """What stands left of it, down to the brace around it."""


_Part = str | Choice | _Mark


def _closed(inside: Sequence[_Part], text: str) -> list[_Part]:
    """What a pair of braces means that holds this."""
    if _JSON.search(text):
        return [
            "{",
            _TOKEN.sub(lambda found: found["escape"][: len(found["escape"]) // 2] + found["sign"], text),
            "}",
        ]
    marks = {part.sign for part in inside if isinstance(part, _Mark)}
    parted: list[list[_Part]] = [[]]
    by = "|" if "|" in marks else ","
    for part in inside:
        if part == _Mark(by):
            parted.append([])
        else:
            parted[-1].append(part)
    alternatives = tuple(_template(_trimmed(_written(parts))) for parts in parted)
    if len(alternatives) == 1 or not any(alternative.parts for alternative in alternatives):
        return ["{", *_written(inside), "}"]
    return [Choice(alternatives=alternatives, count=sum(each.count for each in alternatives))]


def _written(parts: Sequence[_Part]) -> list[str | Choice]:
    """With the marks as they stood, and texts that touch put together."""
    told: list[str | Choice] = []
    texts: list[str] = []
    for part in parts:
        if isinstance(part, Choice):
            told += ["".join(texts), part]
            texts = []
        else:
            texts.append(part.sign if isinstance(part, _Mark) else part)
    return [*told, "".join(texts)]


def _trimmed(parts: Sequence[str | Choice]) -> list[str | Choice]:
    """Without white space around it."""
    trimmed = [*parts]
    if trimmed and isinstance(trimmed[0], str):
        trimmed[0] = trimmed[0].lstrip()
    if trimmed and isinstance(trimmed[-1], str):
        trimmed[-1] = trimmed[-1].rstrip()
    return trimmed


def _template(parts: Sequence[_Part]) -> Template:
    told = tuple(part for part in _written(parts) if part)
    count = math.prod(part.count for part in told if isinstance(part, Choice))
    return Template(parts=told, count=count)

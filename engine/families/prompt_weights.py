"""Reads how much each part of a prompt weighs, in the brackets of AUTOMATIC1111; knows neither tokens nor tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

WEIGHT_MAX = 3.0
"""Weights go from minus this to this. More only breaks pictures, and “(16:9)” is an aspect, not a weight."""
_STRONGER = 1.1
_MARK = re.compile(
    r"\\(?:[()\[\]]|\\(?=\\*[()\[\]]))"  # two backslashes before a bracket are one, and the bracket is none of text
    r"|:\s*(?P<number>[+-]?[.\d]+)\s*\)"
    r"|[()\[\]]"
    r"|(?P<break>(?:(?<!\s)\s+)?\bBREAK\b\s*)"
)
_CHANGING = re.compile(
    r"(?<!\\)\[(?:[^\[\]]*:\s*[+-]?[.\d]+(?:e[+-]?\d+)?\s*|[^\[\]]*\|[^\[\]]*)\]", re.IGNORECASE
)
"""`[from:to:when]`, `[to:when]`, `[from::when]` and `[one|other]`, which change a prompt between the steps."""
_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of a prompt without its brackets, and its weight: 1 is plain, 0 takes it away, -1 draws the contrary."""

    text: str
    weight: float = 1.0
    opens_window: bool = False
    """`BREAK` stood before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    start: int
    end: int
    kind: str
    """A bracket, a backslash, or BREAK."""
    number: str = ""
    """The weight that a closing bracket says, as it was typed."""


def parse(prompt: str) -> tuple[Part, ...]:
    """The parts of a prompt, at least one; neighbours differ in weight, or BREAK stands between them. Never raises.

    `(a)` weighs 1.1, `[a]` 1 / 1.1 and `(a:1.3)` 1.3; nested ones multiply, up to WEIGHT_MAX. A bracket without
    its partner is text, so is one after a backslash, and so is everything else: `C++`, `a:2`, `(16:9)`'s colon.
    """
    parts: list[Part] = []
    for part in _weighed(prompt):
        bounded = max(-WEIGHT_MAX, min(WEIGHT_MAX, part.weight))
        _add(parts, replace(part, weight=round(bounded, 4)))  # 1.1 times 1 / 1.1 is nothing but 1
    return tuple(parts) or (Part(text=""),)


def remarks(prompt: str) -> tuple[str, ...]:
    """What follows “The prompt” in sentences about what is meant for weights or steps, and can't be heeded."""
    found: list[str] = []
    bounds = f"weights go from {-WEIGHT_MAX:g} to {WEIGHT_MAX:g}"
    if unheeded := next(_unheeded(prompt), ""):
        found.append(f"says “{_short(unheeded)}” for a weight, which was read as words: {bounds}.")
    if any(part.text.strip() and abs(part.weight) > WEIGHT_MAX + 1e-6 for part in _weighed(prompt)):
        found.append(f"has words whose brackets multiply to more than {WEIGHT_MAX:g}: {bounds}.")
    if changing := _CHANGING.search(prompt):
        found.append(
            f"holds “{_short(changing[0])}”, which was read as words: it can't change between the steps here."
        )
    return tuple(found)


def _weighed(prompt: str) -> Iterator[Part]:
    """Stretch by stretch, with weights as they multiply, however large."""
    marks = [*_marks(prompt)]
    pairs = _pairs(marks)
    factors: dict[int, float] = {}
    """Of the brackets around the place, by the number of the opening one."""
    at, opens = 0, False
    for number, mark in enumerate(marks):
        if mark.kind in "()[]" and number not in pairs:
            continue
        yield Part(text=prompt[at : mark.start], weight=math.prod(factors.values()), opens_window=opens)
        at, opens = mark.end, False
        match mark.kind:
            case "BREAK":
                opens = True
            case "(" | "[":
                factors[number] = _factor(marks[pairs[number]])
            case ")" | "]":
                del factors[pairs[number]]
            case _:
                at = mark.start + 1  # what follows the backslash is text
    yield Part(text=prompt[at:], weight=1.0, opens_window=opens)


def _unheeded(prompt: str) -> Iterator[str]:
    """What stands for a weight in AUTOMATIC1111's grammar, and is none here; dots alone are nobody's number."""
    marks = [*_marks(prompt)]
    for number in _pairs(marks):
        said = marks[number].number
        if _weight(said) is None and any(char.isdigit() for char in said):
            yield said


def _marks(prompt: str) -> Iterator[_Mark]:
    for found in _MARK.finditer(prompt):
        start, end = found.span()
        if found["break"] is not None:
            yield _Mark(start=start, end=end, kind="BREAK")
        elif found["number"] is None:
            yield _Mark(start=start, end=end, kind=found[0][0])
        elif _weight(found["number"]) is None:
            yield _Mark(start=end - 1, end=end, kind=")", number=found["number"])
        else:
            yield _Mark(start=start, end=end, kind=")", number=found["number"])


def _pairs(marks: Sequence[_Mark]) -> Mapping[int, int]:
    """For each bracket that has a partner that partner, by their numbers; round and square ones may cross."""
    pairs: dict[int, int] = {}
    opened: dict[str, list[int]] = {")": [], "]": []}
    for number, mark in enumerate(marks):
        match mark.kind:
            case "(":
                opened[")"].append(number)
            case "[":
                opened["]"].append(number)
            case ")" | "]" if opened[mark.kind]:
                partner = opened[mark.kind].pop()
                pairs[number], pairs[partner] = partner, number
            case _:
                pass
    return pairs


def _factor(closing: _Mark) -> float:
    """What a pair of brackets multiplies the weight within by."""
    said = _weight(closing.number)
    if said is not None:
        return said
    return _STRONGER if closing.kind == ")" else 1 / _STRONGER


def _weight(number: str) -> float | None:
    """None for what is no number, such as 1.2.3, or beyond the bounds."""
    try:
        weight = float(number)
    except ValueError:
        return None
    return weight if abs(weight) <= WEIGHT_MAX else None


def _add(parts: list[Part], part: Part) -> None:
    if part.opens_window:
        parts[:] = parts or [Part(text="")]  # a window without words, as in AUTOMATIC1111
        parts.append(part)
    elif parts and (parts[-1].weight == part.weight or not parts[-1].text):
        last = parts.pop()
        parts.append(replace(part, text=last.text + part.text, opens_window=last.opens_window))
    elif part.text:
        parts.append(part)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"

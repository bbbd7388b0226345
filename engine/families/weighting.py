"""Reads how much each part of a prompt weighs, in the brackets of AUTOMATIC1111; knows neither tokens nor tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WEIGHT_MAX = 3.0
"""More only breaks pictures, and “(16:9)” is an aspect, not a weight."""
_STRONGER = 1.1
_MARK = re.compile(
    r"\\[()\[\]]"
    r"|:\s*(?P<weight>[0-2](?:\.[0-9]*)?|3(?:\.0*)?|\.[0-9]+)\s*\)"  # 0 to WEIGHT_MAX
    r"|[()\[\]]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of a prompt without its brackets, and its weight: 1 is plain, 0 takes it away."""

    text: str
    weight: float = 1.0


def parse(prompt: str) -> tuple[Part, ...]:
    """The parts of a prompt, at least one; neighbours differ in weight. Never raises.

    `(a)` weighs 1.1, `[a]` 1 / 1.1 and `(a:1.3)` 1.3; nested ones multiply, up to WEIGHT_MAX. A bracket without
    its partner is text, so is one after a backslash, and so is everything else: `C++`, `a:2`, `(16:9)`'s colon.
    """
    marks = [*_MARK.finditer(prompt)]
    factors = _factors(marks)
    parts: list[Part] = []
    weights, at = [1.0], 0
    for number, mark in enumerate(marks):
        if mark[0].startswith("\\"):
            _add(parts, prompt[at : mark.start()], weights[-1])
            at = mark.start() + 1
        elif number in factors:
            _add(parts, prompt[at : mark.start()], weights[-1])
            at = mark.end()
            if mark[0] in "([":
                weights.append(min(WEIGHT_MAX, weights[-1] * factors[number]))
            else:
                weights.pop()
    _add(parts, prompt[at:], weights[-1])
    return tuple(parts) or (Part(text=""),)


def _factors(marks: Sequence[re.Match[str]]) -> Mapping[int, float]:
    """For each bracket that has a partner, by its number, what it multiplies the weight within by."""
    factors: dict[int, float] = {}
    opened: list[int] = []
    for number, mark in enumerate(marks):
        match mark[0][0], mark[0][-1]:
            case "\\", _:
                pass
            case _, "(" | "[":
                opened.append(number)
            case _, closing if opened and marks[opened[-1]][0] + closing in {"()", "[]"}:
                own = _STRONGER if closing == ")" else 1 / _STRONGER
                weight = mark["weight"]
                factors[number] = factors[opened.pop()] = own if weight is None else float(weight)
            case _:
                pass
    return factors


def _add(parts: list[Part], text: str, weight: float) -> None:
    weight = round(weight, 4)  # 1.1 times 1 / 1.1 is nothing but 1
    if parts and parts[-1].weight == weight:
        text = parts.pop().text + text
    if text:
        parts.append(Part(text=text, weight=weight))

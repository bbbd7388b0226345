"""What the command lines of the benchmarks take, checked; knows argparse alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence


def some_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Some of these words, with commas between them."""

    def words(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: use some of {', '.join(known)}")
        return chosen

    return words


def numbers(kind: type[int] | type[float]) -> Callable[[str], tuple[float, ...]]:
    """Such as 1,4,16."""

    def values_of(text: str) -> tuple[float, ...]:
        values = tuple(kind(number) for number in text.split(","))
        if min(values) <= 0:
            raise argparse.ArgumentTypeError("only numbers above 0")
        return values

    return values_of


def count(text: str) -> int:
    if (found := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return found

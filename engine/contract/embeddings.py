"""Embeddings as people choose them: `name, -other` in an option, which puts their words into the prompts; knows no file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.contract.limits import choice_of
from engine.contract.loras import AdapterInfo
from engine.errors import InvalidRequest

AGAINST = "-"
"""Before the name of what belongs into the negative prompt."""


def added(
    told: str, prompt: str, negative_prompt: str, *, offered: Sequence[AdapterInfo], title: str
) -> tuple[str, str]:
    """Both prompts with the words that `told` chooses, as their files are called, where they don't stand there already.

    Raises InvalidRequest where the model with this title knows one of them not.
    """
    for part in (each.strip() for each in told.split(",")):
        if not part:
            continue
        name, is_against = _named(part, offered, title)
        if is_against:
            negative_prompt = _with(negative_prompt, name)
        else:
            prompt = _with(prompt, name)
    return prompt, negative_prompt


def _named(part: str, offered: Sequence[AdapterInfo], title: str) -> tuple[str, bool]:
    """(the file's own spelling, whether it is kept out); a name may begin with that sign itself."""
    known = {info.name.casefold(): info for info in offered}
    found = known.get(part.casefold())
    bare = part.removeprefix(AGAINST).strip()
    is_against = found is None and bare != part
    if is_against:
        found = known.get(bare.casefold())
    if found is None:
        raise _unknown(bare, [info.name for info in offered if not info.problem], title)
    if found.problem:
        raise InvalidRequest(
            "The embedding “{name}” can't be used with {model}: {problem}.",
            name=found.name,
            model=title,
            problem=found.problem,
        )
    return found.name, is_against


def _unknown(name: str, fitting: Sequence[str], title: str) -> InvalidRequest:
    if not fitting:
        return InvalidRequest(
            "There is no embedding for {model} here: leave out “{name}”.", model=title, name=name[:40]
        )
    return InvalidRequest(
        "There is no embedding “{name}” for {model} here: use {offered}.",
        name=name[:40],
        model=title,
        offered=choice_of(name, fitting),
    )


def _with(text: str, name: str) -> str:
    is_there = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
    return text if is_there else ", ".join(part for part in (text.rstrip(" ,"), name) if part)

"""A wish as one text that a person could have typed: its prompt, and flags for the rest. Pure.

So a form needs no memory for what it has no field for: it stands in the text, is seen, and may be changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bot.core.asking import asked
from bot.core.asking.wish import Wish


def typed(wish: Wish, *, beside: Collection[str] = ()) -> str:
    """What `asked.parse` makes this wish of, by one request; the options that stand `beside` it are left out.

    Its prompt is one that was drawn: nothing in it is an alternative or a wildcard. Pictures are never part of it.
    """
    flags = (flag for option, flag in _flags(wish) if option not in beside)
    return " ".join(part for part in (asked.literal(wish.prompt), *flags) if part)


def _flags(wish: Wish) -> Iterator[tuple[str, str]]:
    """(option, flag); what the rest keeps out of the picture comes last, since it goes on to the end."""
    for option, flag, value in (
        ("aspect", "--ar", wish.aspect),
        ("size", "--size", wish.size),
        ("seed", "--seed", _number(wish.seed)),
        ("steps", "--steps", _number(wish.steps)),
        ("guidance", "--cfg", _number(wish.guidance)),
        ("guidance_until", "--cutoff", _number(wish.guidance_until)),
        ("images", "--images", _number(wish.images)),
        ("quality", "--quality", wish.quality),
    ):
        if value:
            yield option, f"{flag} {value}"
    if wish.tile:
        yield "tile", "--tile"
    for option, name in (
        ("sampler", wish.sampler),
        ("schedule", wish.schedule),
        ("lora", wish.lora),
        ("embedding", wish.embedding),
        ("style", wish.style),
        ("model", wish.model),
    ):
        if name:
            yield option, f'--{option} "{name}"'
    if wish.negative_prompt:
        yield "negative_prompt", f"--no {asked.literal(wish.negative_prompt)}"


def _number(value: float | None) -> str:
    """As a flag takes it: without an exponent."""
    if isinstance(value, float):
        return f"{round(value, 9):.9f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value)

"""All that stands in a prompt, read at once: alternatives, flags, repeats; what was asked for, as one wish a request. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from bot.core.asking import flags, permutations, wildcards
from bot.core.asking.refused import TooManyAtOnce, Unmet
from bot.core.asking.wish import Wish
from engine.contract import SEEDS

AT_ONCE_MAX = 10
"""Requests that one prompt may make, each of at least one image: one message shows them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    wishes: tuple[Wish, ...]
    """One a request, in the order in which people read them: all repeats of a combination, then the next. At least one.

    Wildcards are still in them, as typed: their words are drawn by each request's own seed.
    """

    @property
    def needs_confirmation(self) -> bool:
        """Whether it is more than the one request that people expect of a command."""
        return len(self.wishes) > 1


def parse(typed: Wish, *, most: int = AT_ONCE_MAX, images: int = 1) -> Asked:
    """What the options of a command ask for, its prompt as typed in them. Raises Unmet.

    `images`: so many has a request that says nothing of them.

    Alternatives come before flags, so that flags may stand among them. Combinations share a seed that was given, repeats
    go on from it: repeat i begins where the images of the one before end. Without a seed each draws its own.
    """
    template = permutations.read(typed.prompt)
    if template.count > most:
        raise Unmet(TooManyAtOnce(count=template.count, most=most))
    found = [flags.applied(flags.read(text), typed) for text in template.texts()]
    count = sum(repeat for _, repeat in found)
    if count > most:
        raise Unmet(TooManyAtOnce(count=count, most=most))
    return Asked(wishes=tuple(_nth(wish, i, images) for wish, repeat in found for i in range(repeat)))


def _nth(wish: Wish, repeat: int, images: int) -> Wish:
    if repeat == 0 or wish.seed is None or wish.seed == -1:
        return wish
    return replace(wish, seed=(wish.seed + repeat * (wish.images or images)) % SEEDS)


def said_over(wish: Wish, text: str) -> Wish:
    """The wish with another prompt, whose flags count more than what the wish said before. Raises Unmet."""
    (said,) = parse(Wish(prompt=text), most=1).wishes
    given = {entry.name: getattr(said, entry.name) for entry in fields(said)}
    given = {name: value for name, value in given.items() if value not in (None, ())}
    for one, other in (("size", "aspect"), ("steps", "quality")):
        if one in given or other in given:
            given = {one: None, other: None} | given
    if said.negative_prompt and wish.negative_prompt:
        given["negative_prompt"] = f"{wish.negative_prompt}, {said.negative_prompt}"
    return replace(wish, **given)


def written(prompt: str) -> str:
    """What is to be typed so that `parse` makes one wish of it, with this prompt and no flag."""
    return permutations.literal(flags.literal(prompt))


def literal(prompt: str) -> str:
    """The same for a request's prompt, in which wildcards are words, too."""
    return written(wildcards.literal(prompt))

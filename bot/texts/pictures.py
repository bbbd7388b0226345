"""What a person reads of how somebody's picture was made, and why nothing can be told of one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.core.asking.picture_facts import LeftOut, Part, PictureFacts
from bot.texts import amounts, request
from bot.texts.language import Language, Say, fixed
from bot.texts.request import Shown

# ------------------------------------------------------------------ what it tells


def heading(name: str, program: str, to: Language) -> str:
    if not program:
        return f"**{name}**"
    return to.gettext("**{name}**, made with {program}", name=name, program=program)


def negative(words: str, to: Language) -> str:
    return to.gettext("Negative prompt: {words}", words=words)


def settings(facts: PictureFacts, to: Language, *, shown: Shown) -> str:
    """All that a picture's file tells of how it was drawn, on one line."""
    return " · ".join(part for part in _settings(facts, to, shown) if part)


def _settings(facts: PictureFacts, to: Language, shown: Shown) -> Iterator[str]:
    if facts.seed is not None:
        yield to.gettext("seed {seed}", seed=f"`{facts.seed}`")
    if facts.size is not None:
        yield amounts.size("x".join(map(str, facts.size)))
    if facts.steps is not None:
        yield to.gettext("{steps} steps", steps=facts.steps)
    if facts.guidance is not None:
        yield request.guidance(facts.guidance, facts.guidance_until, to)
    yield to.gettext("from an image") if facts.has_start else ""
    yield to.gettext("tiled") if facts.is_tiled else ""
    yield from map(shown, names(facts, to))


def names(facts: PictureFacts, to: Language) -> tuple[str, str, str]:
    """Of what it was drawn with: sampler, LoRAs, model."""
    sampler = " ".join(filter(None, (facts.sampler, facts.schedule)))
    return sampler, to.listed(map(str, facts.loras)), facts.model


more_than_is_read = fixed("(The file holds more than is read of a picture.)")


def more_pictures(count: int, to: Language) -> str:
    return to.ngettext("And {count} more picture.", "And {count} more pictures.", count)


# ------------------------------------------------------------------ why it tells nothing

no_picture = fixed("No PNG, JPEG or WebP picture is attached to this message.")
read_too_slowly = fixed("This picture could not be read in time: try again in a moment.")


def nothing_told(name: str) -> Say:
    return lambda to: to.gettext(
        "{name} tells nothing of how it was made: that gets lost where a picture is edited or saved anew.",
        name=name,
    )


def too_much_told(name: str) -> Say:
    return lambda to: to.gettext(
        "{name} holds more text than is read of a picture, and what is read tells nothing of how it was made.",
        name=name,
    )


def only_who_made_it(name: str, program: str) -> Say:
    return lambda to: to.gettext(
        "{name} tells no settings, only what made it: {program}.", name=name, program=program
    )


def unreadable(name: str) -> Say:
    return lambda to: to.gettext("{name} is damaged, or no picture at all.", name=name)


# ------------------------------------------------------------------ what is not taken over

_PARTS: dict[Part, Say] = {
    Part.PROMPT: fixed("the end of the long prompt"),
    Part.NEGATIVE_PROMPT: fixed("the negative prompt"),
    Part.IMAGE: fixed("the image it was made from"),
    Part.MODEL: fixed("the model"),
    Part.SIZE: fixed("the size"),
    Part.SAMPLER: fixed("the sampler"),
    Part.SCHEDULE: fixed("the schedule"),
    Part.STEPS: fixed("the steps"),
    Part.GUIDANCE: fixed("the guidance"),
    Part.GUIDANCE_UNTIL: fixed("where guidance ends"),
    Part.SEED: fixed("the seed"),
    Part.TILE: fixed("seamless tiling"),
    Part.LORA: fixed("the LoRA"),
}
LEFT_OUT_MAX = 8


def left_out(parts: Sequence[LeftOut], to: Language, *, shown: Shown) -> str:
    """One sentence; empty where all of the settings are taken over."""
    if not parts:
        return ""
    told = [_PARTS[each.part](to) + (f" “{shown(each.value)}”" if each.value else "") for each in parts]
    more = len(told) - LEFT_OUT_MAX
    if more > 0:
        rest = to.ngettext("{count} more", "{count} more", more)
        told = [*told[:LEFT_OUT_MAX], rest]
    return to.gettext("Not taken over, as it can't be had here: {parts}.", parts=to.listed(told))

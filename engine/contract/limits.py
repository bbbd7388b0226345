"""What every request has to keep to, whatever the model: texts, sides, sizes as people write them. Standard library only."""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import InvalidRequest

PROMPT_CHARS_MAX = 4000
SIDE_MIN, SIDE_MAX, SIDE_MULTIPLE = 64, 2048, 8
GUIDANCE_MIN, GUIDANCE_MAX = 1.0, 30.0
IMAGES_MAX = 10
REFERENCES_MAX = 10
UPSCALE_MAX = 8
LISTED = 10
"""Of what is offered, in a sentence."""
UPSCALED_SIDE_MAX = 4096
"""Of a side in pixels where a picture is an enlarged one."""
STRENGTH = 0.75
"""What is taken for an image when nothing is said, as elsewhere."""
UPSCALE_STRENGTH = 0.2
"""The same for one that is enlarged: fine detail is redrawn, and nothing moves."""
ASPECTS = ("1:1", "5:4", "4:5", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "2:1", "1:2")
"""Those that are offered."""
ASPECT_MAX = 4


def check_text(name: str, text: str) -> None:
    if len(text) > PROMPT_CHARS_MAX:
        raise InvalidRequest(
            "The {name} has {count} characters: shorten it to at most {most}.",
            name=name,
            count=len(text),
            most=PROMPT_CHARS_MAX,
        )
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate can be neither stored nor posted
        raise InvalidRequest(
            "The {name} holds a character that is not valid text: remove it.", name=name
        ) from None


def check_prompt(text: str) -> None:
    check_text("prompt", text)
    if _is_blank(text):
        raise InvalidRequest("The prompt is empty: describe the picture you want.")


def _is_blank(text: str) -> bool:
    """True where nothing can be seen: white space, controls and zero-width characters only."""
    return all(unicodedata.category(char)[0] in "ZC" or char == "\ufe0f" for char in text)


def check_upscaled(upscale: int, image: str | None, mask: str | None, sides: tuple[int, int]) -> None:
    """The sides of an enlarged picture follow from its image: no multiples, but for those of the model."""
    if not 1 < upscale <= UPSCALE_MAX:
        raise InvalidRequest(
            "Upscaling goes from 2 to {most} times, not {given}.", most=UPSCALE_MAX, given=upscale
        )
    if image is None:
        raise InvalidRequest("There is nothing to upscale: attach an image.")
    if mask is not None:
        raise InvalidRequest("Upscaling takes the whole image: leave out the mask.")
    if min(sides) < SIDE_MIN or max(sides) > UPSCALED_SIDE_MAX:
        raise InvalidRequest(
            "{size} is outside of what upscaling makes: {least} to {most} pixels a side.",
            size=f"{sides[0]}x{sides[1]}",
            least=SIDE_MIN,
            most=UPSCALED_SIDE_MAX,
        )


def check_enlarging(title: str, scale: int, upscale: int, images: int) -> None:
    """What an upscaler, whose network enlarges `scale` times, can make of an image."""
    if upscale == 1:
        raise InvalidRequest("{model} only enlarges images: attach one, and say how many times.", model=title)
    if upscale > scale:
        raise InvalidRequest(
            "{model} enlarges at most {most} times, not {given}.", model=title, most=scale, given=upscale
        )
    if images > 1:
        raise InvalidRequest("{model} makes one picture of an image, not {given}.", model=title, given=images)


def check_side(name: str, side: int, *, use: object = None, instead_of: object = None) -> None:
    """What holds whatever the model; `use` is what the sentence offers, if not the nearest side."""
    near = min(SIDE_MAX, max(SIDE_MIN, round(side / SIDE_MULTIPLE) * SIDE_MULTIPLE))
    offer = {"use": use or near, "given": instead_of or side}
    if not SIDE_MIN <= side <= SIDE_MAX:
        raise InvalidRequest(
            "The {name} must be {least} to {most} pixels, not {side}: use {use} instead of {given}.",
            name=name,
            least=SIDE_MIN,
            most=SIDE_MAX,
            side=side,
            **offer,
        )
    if side % SIDE_MULTIPLE:
        raise InvalidRequest(
            "The {name} must be a multiple of {multiple} pixels: use {use} instead of {given}.",
            name=name,
            multiple=SIDE_MULTIPLE,
            **offer,
        )


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) in pixels from "512x768" (also "512×768", "512 768", "512"); raises InvalidRequest."""
    match = re.fullmatch(r"\s*(\d{1,5})(?:\s*[x×*, ]\s*(\d{1,5}))?\s*", text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise InvalidRequest("A size looks like 512x768, not “{given}”.", given=text[:30])
    width = int(match[1])
    return width, int(match[2] or width)


def parse_aspect(text: str) -> tuple[int, int]:
    """(across, down) from "3:2", at most `ASPECT_MAX` times as long as wide; raises InvalidRequest."""
    match = re.fullmatch(r"(\d{1,3}):(\d{1,3})", text, re.ASCII)
    across, down = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < max(across, down) <= ASPECT_MAX * min(across, down):
        raise InvalidRequest(
            "There is no aspect “{given}”: use one of {offered}, or another up to {most}:1.",
            given=text[:20],
            offered=Listed(names=ASPECTS),
            most=ASPECT_MAX,
        )
    return across, down


def check_guidance(scale: float) -> None:
    if not GUIDANCE_MIN <= scale <= GUIDANCE_MAX:  # NaN fails too
        raise InvalidRequest(
            "Guidance goes from {least} to {most}, not {given}.",
            least=f"{GUIDANCE_MIN:g}",
            most=f"{GUIDANCE_MAX:g}",
            given=f"{scale:g}",
        )


def usual_strength(upscale: int, steps: int) -> float:
    """Of a picture that is so many times as large as its image (1: not enlarged), with a step to take at least."""
    return max(STRENGTH if upscale == 1 else UPSCALE_STRENGTH, least_strength(steps))


def least_strength(steps: int) -> float:
    """In hundredths, of which at least one step of so many is left."""
    return next(share / 100 for share in range(math.ceil(100 / steps), 101) if int(steps * (share / 100)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Names in a sentence, as English lists them; other languages part them by a comma of their own."""

    names: tuple[str, ...]
    more: int = 0
    """How many there are besides."""

    def __str__(self) -> str:
        told = ", ".join(self.names)
        return f"{told} and {self.more} more" if self.more else told


def choice_of(name: str, offered: Sequence[str]) -> Listed:
    """Of what is offered, what is spelled much like `name`, else the first few."""
    folded = {known.casefold(): known for known in offered}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=3)
    choice = [folded[one] for one in near] or offered
    return Listed(names=tuple(choice[:LISTED]), more=max(0, len(choice) - LISTED))


def check_inputs(image: str | None, mask: str | None, strength: float | None, steps: int) -> None:
    """Names of files are digests: nothing else is ever made part of a path."""
    for name, digest in (("image", image), ("mask", mask)):
        _check_digest(name, digest)
    if image is None:
        for name, value in (("mask", mask), ("strength", strength)):
            if value is not None:
                raise InvalidRequest("A {name} needs an image: attach one.", name=name)
        return
    if strength is None or not 0 < strength <= 1:  # NaN fails too
        given = "nothing" if strength is None else f"{strength:g}"
        raise InvalidRequest("Strength goes from above 0 to 1, not {given}.", given=given)
    if int(steps * strength) < 1:
        raise InvalidRequest(
            "Of {steps} steps none is left at strength {strength}: use more steps, or at least {least}.",
            steps=steps,
            strength=f"{strength:g}",
            least=f"{least_strength(steps):g}",
        )


def check_references(references: Sequence[str], image: str | None) -> None:
    for digest in references:
        _check_digest("image", digest)
    if len(references) > REFERENCES_MAX:
        raise InvalidRequest(
            "One edit takes at most {most} images, not {given}.", most=REFERENCES_MAX, given=len(references)
        )
    if references and image is not None:
        raise InvalidRequest(
            "A picture starts from an image or is edited by words: leave out one of the two."
        )


def _check_digest(name: str, digest: str | None) -> None:
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InvalidRequest("The {name} is not named by its SHA-256: attach it again.", name=name)


def around(width: int, height: int, multiple: int) -> dict[str, Any]:
    """The bounds around a native size: from a quarter of its shorter side to twice its longer one."""
    side_max = min(SIDE_MAX, 2 * max(width, height))
    return {
        "width": width,
        "height": height,
        "side_min": max(SIDE_MIN, min(width, height) // 4),
        "side_max": side_max,
        "side_multiple": multiple,
        "pixels_max": side_max * side_max,
    }

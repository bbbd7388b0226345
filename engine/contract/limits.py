"""What every request has to keep to, whatever the model: texts, sides, sizes as people write them. Standard library only."""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Sequence
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
            f"The {name} has {len(text)} characters: shorten it to at most {PROMPT_CHARS_MAX}."
        )
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate can be neither stored nor posted
        raise InvalidRequest(f"The {name} holds a character that is not valid text: remove it.") from None


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
        raise InvalidRequest(f"Upscaling goes from 2 to {UPSCALE_MAX} times, not {upscale}.")
    if image is None:
        raise InvalidRequest("There is nothing to upscale: attach an image.")
    if mask is not None:
        raise InvalidRequest("Upscaling takes the whole image: leave out the mask.")
    if min(sides) < SIDE_MIN or max(sides) > UPSCALED_SIDE_MAX:
        raise InvalidRequest(
            f"{sides[0]}x{sides[1]} is outside of what upscaling makes: "
            f"{SIDE_MIN} to {UPSCALED_SIDE_MAX} pixels a side."
        )


def check_enlarging(title: str, scale: int, upscale: int, images: int) -> None:
    """What an upscaler, whose network enlarges `scale` times, can make of an image."""
    if upscale == 1:
        raise InvalidRequest(f"{title} only enlarges images: attach one, and say how many times.")
    if upscale > scale:
        raise InvalidRequest(f"{title} enlarges at most {scale} times, not {upscale}.")
    if images > 1:
        raise InvalidRequest(f"{title} makes one picture of an image, not {images}.")


def side_problem(name: str, side: int) -> str:
    """What is wrong with a side whatever the model, as the beginning of a sentence; empty where nothing is."""
    if not SIDE_MIN <= side <= SIDE_MAX:
        return f"The {name} must be {SIDE_MIN} to {SIDE_MAX} pixels, not {side}"
    return f"The {name} must be a multiple of {SIDE_MULTIPLE} pixels" if side % SIDE_MULTIPLE else ""


def check_side(name: str, side: int) -> None:
    if problem := side_problem(name, side):
        near = min(SIDE_MAX, max(SIDE_MIN, round(side / SIDE_MULTIPLE) * SIDE_MULTIPLE))
        raise InvalidRequest(f"{problem}: use {near} instead of {side}.")


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) in pixels from "512x768" (also "512×768", "512 768", "512"); raises InvalidRequest."""
    match = re.fullmatch(r"\s*(\d{1,5})(?:\s*[x×*, ]\s*(\d{1,5}))?\s*", text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise InvalidRequest(f"A size looks like 512x768, not “{text[:30]}”.")
    width = int(match[1])
    return width, int(match[2] or width)


def parse_aspect(text: str) -> tuple[int, int]:
    """(across, down) from "3:2", at most `ASPECT_MAX` times as long as wide; raises InvalidRequest."""
    match = re.fullmatch(r"(\d{1,3}):(\d{1,3})", text, re.ASCII)
    across, down = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < max(across, down) <= ASPECT_MAX * min(across, down):
        listed = ", ".join(ASPECTS)
        raise InvalidRequest(
            f"There is no aspect “{text[:20]}”: use one of {listed}, or another up to {ASPECT_MAX}:1."
        )
    return across, down


def check_guidance(scale: float) -> None:
    if not GUIDANCE_MIN <= scale <= GUIDANCE_MAX:  # NaN fails too
        raise InvalidRequest(f"Guidance goes from {GUIDANCE_MIN:g} to {GUIDANCE_MAX:g}, not {scale:g}.")


def usual_strength(upscale: int, steps: int) -> float:
    """Of a picture that is so many times as large as its image (1: not enlarged), with a step to take at least."""
    return max(STRENGTH if upscale == 1 else UPSCALE_STRENGTH, least_strength(steps))


def least_strength(steps: int) -> float:
    """In hundredths, of which at least one step of so many is left."""
    return next(share / 100 for share in range(math.ceil(100 / steps), 101) if int(steps * (share / 100)))


def choice_of(name: str, offered: Sequence[str]) -> str:
    """What a sentence lists of what is offered: what is spelled much like `name`, else the first few."""
    folded = {known.casefold(): known for known in offered}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=3)
    choice = [folded[one] for one in near] or offered
    more = f" and {len(choice) - LISTED} more" if len(choice) > LISTED else ""
    return f"{', '.join(choice[:LISTED])}{more}"


def check_inputs(image: str | None, mask: str | None, strength: float | None, steps: int) -> None:
    """Names of files are digests: nothing else is ever made part of a path."""
    for name, digest in (("image", image), ("mask", mask)):
        _check_digest(name, digest)
    if image is None:
        for name, value in (("mask", mask), ("strength", strength)):
            if value is not None:
                raise InvalidRequest(f"A {name} needs an image: attach one.")
        return
    if strength is None or not 0 < strength <= 1:  # NaN fails too
        given = "nothing" if strength is None else f"{strength:g}"
        raise InvalidRequest(f"Strength goes from above 0 to 1, not {given}.")
    if int(steps * strength) < 1:
        raise InvalidRequest(
            f"Of {steps} steps none is left at strength {strength:g}: "
            f"use more steps, or at least {least_strength(steps):g}."
        )


def check_references(references: Sequence[str], image: str | None) -> None:
    for digest in references:
        _check_digest("image", digest)
    if len(references) > REFERENCES_MAX:
        raise InvalidRequest(f"One edit takes at most {REFERENCES_MAX} images, not {len(references)}.")
    if references and image is not None:
        raise InvalidRequest(
            "A picture starts from an image or is edited by words: leave out one of the two."
        )


def _check_digest(name: str, digest: str | None) -> None:
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InvalidRequest(f"The {name} is not named by its SHA-256: attach it again.")


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

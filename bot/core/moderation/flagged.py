"""What becomes of a job's pictures that a safety checker flagged, picture by picture, as its place wants it. Pure.

Only a picture with a path is ever shown, so whatever is not expressly let through stays with nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.job import Flagged, Review
from engine.contract import SpooledImage

LETS_THROUGH = (Flagged.POST, Flagged.SPOILER)


def settled(images: Sequence[SpooledImage], flagged: str) -> tuple[SpooledImage, ...]:
    """As they may be shown where flagged ones are treated so."""
    return released(images) if flagged in LETS_THROUGH else (*images,)


def released(images: Sequence[SpooledImage]) -> tuple[SpooledImage, ...]:
    """All of them may be shown."""
    return tuple(replace(each, path=each.aside, aside=None) if each.aside else each for each in images)


def review_of(images: Sequence[SpooledImage], flagged: str) -> Review | None:
    """Whether moderators are to look at them first."""
    return Review.WAITING if flagged == Flagged.HOLD and held(images) else None


def held(images: Sequence[SpooledImage]) -> tuple[SpooledImage, ...]:
    """Those that lie aside, as if they might be shown: to moderators alone."""
    return released([image for image in images if image.aside is not None])

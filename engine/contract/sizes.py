"""Sizes that follow a shape: arithmetic alone; knows neither models nor requests. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A ratio of width to height, in any unit; both are above 0."""

    across: int
    down: int

    def fitted(
        self, pixels: int, *, least: int, most: int, multiple: int, pixels_max: int
    ) -> tuple[int, int]:
        """(width, height) of this shape with about so many pixels, within the bounds of sides and pixels.

        An extreme shape gives way to the bounds; sides are multiples of `multiple`.
        """
        least, most = -(-least // multiple) * multiple, most // multiple * multiple
        unit = math.sqrt(pixels / (self.across * self.down))
        unit = max(min(unit, most / max(self.across, self.down)), least / min(self.across, self.down))
        width, height = (
            min(most, max(least, rounded(side * unit, multiple))) for side in (self.across, self.down)
        )
        while width * height > pixels_max and max(width, height) > least:  # rounded up beyond it
            width, height = (width - multiple, height) if width >= height else (width, height - multiple)
        return width, height


def rounded(side: float, multiple: int) -> int:
    """The nearest multiple."""
    return round(side / multiple) * multiple


def enlarged(
    size: tuple[int, int], times: int, *, least: int, most: int, multiple: int, pixels_max: int
) -> tuple[int, int] | None:
    """(width, height) of a picture of that size in pixels, `times` as wide and as high, as multiples of `multiple`.

    None where a side has less than `least` or more than `most` pixels, or all of it more than `pixels_max`.
    """
    width, height = (max(multiple, rounded(side * times, multiple)) for side in size)
    fits = least <= min(width, height) and max(width, height) <= most and width * height <= pixels_max
    return (width, height) if fits else None


def too_large(size: tuple[int, int], times: int, fits: int, side_max: int) -> InvalidRequest:
    """What is said of a picture of that size that can't be enlarged so many times, where `fits` times are the most that can be.

    With 1 none can, and only images of at most `side_max` pixels a side can be made twice as large.
    """
    values = {"size": f"{size[0]}x{size[1]}", "times": times}
    if fits > 1:
        return InvalidRequest(
            "{size} can't be made {times} times as large here: ask for {fits} times.", **values, fits=fits
        )
    if times == 2:
        return InvalidRequest(
            "{size} can't be made {times} times as large here: take an image of at most {most} pixels a side.",
            **values,
            most=side_max,
        )
    return InvalidRequest(
        "{size} can't be made {times} times as large here: take an image of at most {most} pixels a side and ask for "
        "2 times.",
        **values,
        most=side_max,
    )

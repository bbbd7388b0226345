"""Sizes that follow a shape: arithmetic alone; knows neither models nor requests. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass


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

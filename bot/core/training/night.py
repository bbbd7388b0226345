"""Hours of a clock between which trainings run. Pure."""

from __future__ import annotations

DAY = 24


def hours_until(hour: float, hours: tuple[int, int]) -> float:
    """How long until it is between these two, 0 where it is. `hour`: 0 up to 24."""
    begin, end = hours
    if (hour - begin) % DAY < (end - begin) % DAY:
        return 0.0
    return (begin - hour) % DAY

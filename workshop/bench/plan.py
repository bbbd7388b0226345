"""What one run of the benchmark measures, and how often; knows numbers only."""

from __future__ import annotations

import time
from dataclasses import dataclass

PARTS = ("lone", "mixed", "pixels", "few", "images", "poisson", "homogeneous", "closed", "burst", "memory")
"""In the order in which they run, what the goals are about first. What a machine costs and how quickly people join and
leave is always measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes of every part; a round is one pass of every side over the same requests."""

    rounds: int
    lone: int
    """Rounds of one request alone: they are short, and one pair says little."""
    batch: int = 8
    """Requests at once in the homogeneous and in the mixed workload."""
    burst: int
    loads: tuple[float, ...]
    """Arrivals by shares of what the plain pipeline can draw of the mixed workload."""
    arrivals: int
    """Requests of each load."""
    users: tuple[int, ...]
    """People who ask for their next picture when they have got the last one."""
    asks: int
    """Requests of a closed loop at least; never fewer than two for each user."""
    few_users: int = 16
    """Of the few-step workload."""
    pace: float = 1.0
    """By what the mixed workload's steps are multiplied."""
    probe_s: float = 6.0
    """How long the cost of forwards may be measured."""
    limit_s: float | None = None
    """After so many seconds no further pass is begun."""
    parts: tuple[str, ...] = PARTS
    rough: bool = False
    """Too few repetitions for numbers that anybody should quote."""

    def asks_of(self, users: int) -> int:
        return max(self.asks, 2 * users)


FULL = Plan(
    rounds=5,
    lone=11,
    burst=32,
    loads=(0.5, 0.8, 1.0, 1.5),
    arrivals=32,
    users=(1, 2, 4, 8, 16, 32),
    asks=8,
)
QUICK = Plan(
    rounds=1,
    lone=2,
    burst=16,
    loads=(0.8,),
    arrivals=8,
    users=(1, 4),
    asks=6,
    pace=0.5,
    probe_s=3.0,
    limit_s=150.0,
    parts=PARTS[:5],
    rough=True,
)


class Budget:
    """The time there is."""

    def __init__(self, limit_s: float | None) -> None:
        self._begin = time.monotonic()
        self._limit_s = limit_s

    @property
    def used_s(self) -> float:
        return time.monotonic() - self._begin

    @property
    def is_spent(self) -> bool:
        return self._limit_s is not None and self.used_s > self._limit_s

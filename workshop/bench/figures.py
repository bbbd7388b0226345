"""Numbers out of records: percentiles, figures of a pass, ratios round by round; pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from workshop.bench.load import Record


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 … 1) of them stay below, on the straight line between its neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one pass of one side came to; times in seconds."""

    images_per_s: float
    rows_per_s: float
    """UNet rows that the requests need, whatever a side adds to fill its forwards."""
    p50: float
    p95: float
    blind_p50: float
    """Until there was something to look at."""
    blind_p95: float


def figures_of(records: Sequence[Record], rows: int) -> Figures:
    """`rows` is how many UNet rows these requests need in all."""
    seconds = max(record.done for record in records) - min(record.at for record in records)
    latencies, blind = [record.latency for record in records], [record.blind for record in records]
    return Figures(
        images_per_s=len(records) / seconds,
        rows_per_s=rows / seconds,
        p50=percentile(latencies, 0.5),
        p95=percentile(latencies, 0.95),
        blind_p50=percentile(blind, 0.5),
        blind_p95=percentile(blind, 0.95),
    )


def median_of(rounds: Sequence[Figures]) -> Figures:
    """Of each figure the median over all rounds."""
    return Figures(
        **{
            entry.name: statistics.median(getattr(figures, entry.name) for figures in rounds)
            for entry in fields(Figures)
        }
    )


@dataclass(slots=True, kw_only=True)
class Part:
    """One workload under one load: every side's rounds, in the order in which they ran."""

    name: str
    words: str
    passes: dict[str, list[Sequence[Record]]] = field(default_factory=dict[str, list[Sequence[Record]]])
    rounds: dict[str, list[Figures]] = field(default_factory=dict[str, list[Figures]])

    def add(self, results: Mapping[str, tuple[Sequence[Record], Figures]]) -> None:
        """A round that every side has completed."""
        for side, (records, figures) in results.items():
            self.passes.setdefault(side, []).append(records)
            self.rounds.setdefault(side, []).append(figures)

    def of(self, side: str) -> Figures:
        """Medians of this side."""
        return median_of(self.rounds[side])

    def ratio(self, side: str, base: str, figure: Callable[[Figures], float]) -> float | None:
        """How many times the base's figure, each round by itself, then the median; None where one was not measured."""
        if not self.rounds.get(side) or not self.rounds.get(base):
            return None
        return ratio_of(
            [figure(one) for one in self.rounds[side]], [figure(one) for one in self.rounds[base]]
        )


def ratio_of(mine: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of each round: what made a round slow for one side made it slow for the other."""
    return statistics.median(own / other for own, other in zip(mine, base, strict=True))

"""Everything that one run found out, and its JSON; knows no torch and no printing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from engine.unet.costs import Costs
from workshop.bench.figures import Part

if TYPE_CHECKING:
    from workshop.bench.checks import Comparison, Share, Turns

BASE = "pipe"
"""The side that all others are compared with: `pipe(prompt)`, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """The cost of forwards beside what the machine's matrix products would allow."""

    flops_of_row: float
    """Operations of one UNet row."""
    matmul_flops: float
    """Operations a second of the best large matrix product in the model's dtype."""

    def share(self, costs: Costs, rows: int) -> float:
        return rows * self.flops_of_row / costs.of(rows) / self.matmul_flops


@dataclass(slots=True, kw_only=True)
class Results:
    about: Mapping[str, Any]
    sides: dict[str, str]
    """What each side is, in words."""
    notes: list[str] = field(default_factory=list[str])
    """Sentences about what this run left out or could not do."""
    parts: list[Part] = field(default_factory=list[Part])
    costs: Costs | None = None
    roof: Roof | None = None
    samplers: list[Share] = field(default_factory=list["Share"])
    turns: list[Turns] = field(default_factory=list["Turns"])
    pixels: list[Comparison] = field(default_factory=list["Comparison"])
    memory: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    """Bytes by side."""
    warm_up_s: dict[str, float] = field(default_factory=dict[str, float])
    """Before anything was measured, by side; compiling is part of it."""

    def part(self, name: str) -> Part | None:
        return next((part for part in self.parts if part.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: figures, and every pass with the seconds (due, first look, done) of each request."""
        return {
            "about": dict(self.about),
            "sides": self.sides,
            "notes": self.notes,
            "parts": {part.name: _part(part) for part in self.parts},
            "costs": None if self.costs is None else _costs(self.costs, self.roof),
            "samplers": [asdict(share) for share in self.samplers],
            "turns": [asdict(turns) for turns in self.turns],
            "pixels": [{**asdict(comparison), "holds": comparison.holds} for comparison in self.pixels],
            "memory": self.memory,
            "warm_up_s": self.warm_up_s,
        }


def _part(part: Part) -> dict[str, Any]:
    return {
        "words": part.words,
        "sides": {
            side: {
                "median": asdict(part.of(side)),
                "images_ratio": part.ratio(side, BASE, lambda one: one.images_per_s),
                "p95_ratio": part.ratio(side, BASE, lambda one: one.p95),
                "rounds": [asdict(figures) for figures in rounds],
                "passes": [
                    [
                        [round(record.at, 4), round(record.seen, 4), round(record.done, 4)]
                        for record in sorted(records, key=lambda record: record.number)
                    ]
                    for records in part.passes[side]
                ],
            }
            for side, rounds in part.rounds.items()
        },
    }


def _costs(costs: Costs, roof: Roof | None) -> dict[str, Any]:
    return {
        "seconds": {str(rows): seconds for rows, seconds in costs.seconds.items()},
        "knee": costs.knee,
        "flops_of_row": roof and roof.flops_of_row,
        "matmul_flops": roof and roof.matmul_flops,
        "share_of_matmul": roof and {str(rows): roof.share(costs, rows) for rows in costs.seconds},
    }

"""The results as tables for people; knows rich, measures nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, RenderableType
from rich.table import Table

from workshop.bench.figures import Figures, Part
from workshop.bench.goals import Goal
from workshop.bench.results import BASE, Results

ROUGH = "Quick numbers are rough: few repetitions, half the mixed workload's steps. Run without --quick for numbers to quote."
_MARKS = {True: "✔ met", False: "✘ missed", None: "not measured"}


def show(results: Results, wanted: Iterable[Goal], console: Console) -> None:
    """Everything, the goals last."""
    for shown in _all(results, wanted):
        console.print(shown)
        console.print()


def _all(results: Results, wanted: Iterable[Goal]) -> Iterator[RenderableType]:
    yield "\n".join(f"{key}: {value}" for key, value in results.about.items())
    if results.about.get("rough"):
        yield ROUGH
    yield _sides(results)
    at_once = [
        part
        for name in ("lone", "homogeneous", "mixed", "users", "few", "images", "burst")
        if (part := results.part(name))
    ]
    yield from (_workload(results, part) for part in at_once)
    for prefix, words in (("poisson", "people coming at random, by load"), ("closed", "users who wait")):
        parts = [part for part in results.parts if part.name.startswith(f"{prefix} ")]
        if parts:
            yield _loads(results, words, parts)
    yield from _machine(results)
    if results.pixels:
        yield _pixels(results)
    yield _goals(wanted)
    if results.notes:
        yield "\n".join(results.notes)


def _sides(results: Results) -> Table:
    table = Table("side", "what it is", "warm-up s", "peak memory", title="sides")
    for key, words in results.sides.items():
        table.add_row(key, words, f"{results.warm_up_s.get(key, 0):.1f}", _bytes(results.memory.get(key)))
    return table


def _workload(results: Results, part: Part) -> Table:
    table = Table(
        "side",
        "images/s",
        f"x {BASE}",
        "UNet rows/s",
        "p50 s",
        "p95 s",
        f"p95 x {BASE}",
        "first look p50 / p95 s",
        title=f"{part.name}: {part.words}",
    )
    for side in _measured(results, part):
        figures = part.of(side)
        table.add_row(
            side,
            f"{figures.images_per_s:.3g}",
            _times(part.ratio(side, BASE, _images)),
            f"{figures.rows_per_s:.3g}",
            f"{figures.p50:.3g}",
            f"{figures.p95:.3g}",
            _times(part.ratio(side, BASE, _p95)),
            f"{figures.blind_p50:.3g} / {figures.blind_p95:.3g}",
        )
    return table


def _loads(results: Results, words: str, parts: list[Part]) -> Table:
    """A column for each load; its cells say latency, how many times the base's, first look and throughput."""
    title = f"{words}: p50 / p95 s (p95 x {BASE}); first look p95; images/s"
    table = Table("side", *(part.name.split()[-1] for part in parts), title=title)
    for side in _measured(results, parts[0]):
        table.add_row(side, *(_cell(part, side) for part in parts))
    return table


def _cell(part: Part, side: str) -> str:
    if side not in part.rounds:
        return ""
    figures = part.of(side)
    ratio = _times(part.ratio(side, BASE, _p95))
    return f"{figures.p50:.3g} / {figures.p95:.3g} ({ratio}); {figures.blind_p95:.3g}; {figures.images_per_s:.3g}"


def _machine(results: Results) -> Iterator[Table]:
    if results.costs is not None:
        table = Table(
            "rows", "ms a forward", "ms a row", "of the matrix products' peak", title="cost of forwards"
        )
        for rows, seconds in results.costs.seconds.items():
            share = f"{100 * results.roof.share(results.costs, rows):.0f} %" if results.roof else ""
            knee = " (knee)" if rows == results.costs.knee else ""
            table.add_row(f"{rows}{knee}", f"{1000 * seconds:.2f}", f"{1000 * seconds / rows:.2f}", share)
        yield table
    if results.samplers:
        table = Table("pictures a forward", "ms a tick", "ms a sampler", "share", title="samplers")
        for one in results.samplers:
            table.add_row(
                f"{one.pictures}", f"{one.tick_ms:.2f}", f"{one.sampler_ms:.3f}", f"{100 * one.share:.1f} %"
            )
        yield table
    if results.turns:
        table = Table(
            "mode", "joins after", "leaves after", "decodes then", title="joining, cancelling: forwards"
        )
        for turns in results.turns:
            table.add_row(turns.mode, f"{turns.join}", f"{turns.cancel}", f"{turns.decodes}")
        yield table


def _pixels(results: Results) -> Table:
    table = Table("side", "drawn twice", "bit-equal", "largest difference of 255", "promised", title="pixels")
    for one in results.pixels:
        verdict = ("✔" if one.holds else "✘ BROKEN") if one.promised else "no"
        ways = f"{one.ways} (drawn in {', '.join(one.modes)})" if one.modes else one.ways
        table.add_row(one.side, ways, f"{one.equal} of {one.pictures}", f"{one.largest}", verdict)
    return table


def _goals(wanted: Iterable[Goal]) -> Table:
    table = Table("goal", "measured", "wanted", "", title="goals")
    for goal in wanted:
        measured = "" if goal.measured is None else f"{goal.measured:.2f}{goal.unit}"
        sign = "≤" if goal.is_limit else "≥"
        table.add_row(goal.name, measured, f"{sign} {goal.bound:g}{goal.unit}", _MARKS[goal.is_met])
    return table


def _measured(results: Results, part: Part) -> list[str]:
    return [side for side in results.sides if side in part.rounds]


def _images(figures: Figures) -> float:
    return figures.images_per_s


def _p95(figures: Figures) -> float:
    return figures.p95


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def _bytes(value: int | None) -> str:
    return "" if value is None else f"{value / 2**20:.0f} MiB"

"""Latency and throughput against load as one PNG; knows matplotlib, which only the extra “bench” installs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workshop.bench.figures import Figures, Part
from workshop.bench.results import Results

MISSING = "A plot needs matplotlib: install it with pip install 'easel-imagine[bench]', or leave --plot out."


def can_plot() -> bool:
    return find_spec("matplotlib") is not None


def draw(results: Results, file: Path) -> None:
    """Writes the PNG, without a display."""
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, ((waiting, looking), (speed, crowd)) = pyplot.subplots(2, 2, figsize=(13, 9))
    open_loop, closed = _by_load(results, "poisson"), _by_load(results, "closed")
    _lines(results, waiting, open_loop, lambda one: one.p95)
    _lines(results, looking, open_loop, lambda one: one.blind_p95)
    _lines(results, speed, closed, lambda one: one.images_per_s)
    _lines(results, crowd, closed, lambda one: one.p95)
    load = "arrivals, in times of what pipe() can draw"
    _name(waiting, "Latency, p95", load, "seconds from the due arrival", is_wide=True)
    _name(looking, "Until the first look, p95", load, "seconds from the due arrival", is_wide=True)
    _name(speed, "Throughput", "users who wait for their picture", "images a second", is_wide=False)
    _name(crowd, "Latency, p95", "users who wait for their picture", "seconds", is_wide=True)
    about = results.about
    rough = " (quick: rough)" if about.get("rough") else ""
    figure.suptitle(f"{about['model']}, {about['size']}, {about['dtype']} on {about['device']}{rough}")
    handles, labels = waiting.get_legend_handles_labels()
    if not handles:
        handles, labels = speed.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=max(1, len(labels)))
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(file, format="png", dpi=110)
    pyplot.close(figure)


def _by_load(results: Results, prefix: str) -> dict[float, Part]:
    parts = (part for part in results.parts if part.name.startswith(f"{prefix} "))
    return {float(part.name.split()[-1]): part for part in parts}


def _lines(results: Results, axes: Any, parts: dict[float, Part], figure: Callable[[Figures], float]) -> None:
    for side in results.sides:
        points = [(load, figure(part.of(side))) for load, part in parts.items() if side in part.rounds]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=side)


def _name(axes: Any, title: str, across: str, up: str, *, is_wide: bool) -> None:
    axes.set(title=title, xlabel=across, ylabel=up)
    if is_wide:
        axes.set_yscale("log")
    axes.grid(visible=True, which="both", alpha=0.3)

"""The program that draws charts: a process of its own for each, behind all others; knows matplotlib and JSON alone.

It reads what is to be drawn from stdin, in one language and in English, and writes a PNG to stdout. The letters of a
language that no font of this machine has give way to English.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

BEHIND = 10
"""Others go first by so much (nice)."""
GROUND, INK, FAINT, BAR = "#2b2d31", "#f2f3f5", "#4e5058", "#7aa7ff"
"""A dark card with light letters: it is read as well where Discord is light."""
INCHES, DPI = (12, 7.5), 100
FONT = "DejaVu Sans"
"""Comes with matplotlib."""
NO_FONT = "Last Resort High-Efficiency"
"""Comes with it, too: a box for every letter."""
LABEL_CHARS_MAX = 28


def main() -> None:
    with contextlib.suppress(AttributeError, OSError):  # Windows has no such thing
        os.nice(BEHIND)
    own, english = json.load(sys.stdin)
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    words = {**own, "models": own["models"]["title"]}  # whatever models are called
    fonts = fonts_for(letters_of(own)) or fonts_for(letters_of(words))
    chosen, fonts = (own, fonts) if fonts is not None else (english, [FONT])
    matplotlib.rcParams.update(
        {
            "font.family": fonts,
            "font.size": 11,
            "text.parse_math": False,  # a model's name may hold a $
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": FAINT,
            "axes.facecolor": GROUND,
            "figure.facecolor": GROUND,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
    draw(chosen)


def letters_of(told: Any) -> set[str]:
    return set(json.dumps(told, ensure_ascii=False))


def fonts_for(letters: Iterable[str]) -> list[str] | None:
    """Fonts of this machine that together have all of them: the usual one, and at most one more. None where there are none."""
    manager: Any = import_module("matplotlib.font_manager")
    missing = {ord(letter) for letter in letters if letter.isprintable()}
    missing -= _has(manager.findfont(FONT))
    if not missing:
        return [FONT]
    for entry in manager.fontManager.ttflist:
        is_plain = entry.style == "normal" and entry.weight == 400 and entry.name != NO_FONT
        if is_plain and missing <= _has(entry.fname):
            return [FONT, entry.name]
    return None


def _has(file: str) -> set[int]:
    ft2font: Any = import_module("matplotlib.ft2font")
    try:
        return {*ft2font.FT2Font(file).get_charmap()}
    except (OSError, RuntimeError):  # no font that can be read
        return set()


def draw(told: Any) -> None:
    """Four charts under a title."""
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, ((days, hours), (models, waits)) = pyplot.subplots(2, 2, figsize=INCHES, width_ratios=(3, 2))
    _columns(days, **told["days"], every=7)
    _columns(hours, **told["hours"], every=3)
    _lines(models, **told["models"])
    _lines(waits, **told["waits"])
    figure.suptitle(told["title"], fontsize=16)
    figure.tight_layout(h_pad=2.5, w_pad=2.5)
    figure.savefig(sys.stdout.buffer, format="png", dpi=DPI)


def _columns(axes: Any, *, title: str, labels: Sequence[str], values: Sequence[float], every: int) -> None:
    axes.bar(range(len(values)), values, color=BAR)
    places = range(len(labels) - 1, -1, -every) if every == 7 else range(0, len(labels), every)
    axes.set_xticks([*places], [labels[place] for place in places])
    ticker: Any = import_module("matplotlib.ticker")
    axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=5, integer=True))
    axes.grid(visible=True, axis="y", color=FAINT, alpha=0.5)
    _plain(axes, title)


def _lines(
    axes: Any, *, title: str, labels: Sequence[str], values: Sequence[float], shown: Sequence[str]
) -> None:
    """With what each is written at its end."""
    names = [label if len(label) <= LABEL_CHARS_MAX else f"{label[:LABEL_CHARS_MAX]}…" for label in labels]
    bars = axes.barh(range(len(values)), values, color=BAR, height=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(4, len(names)) - 0.5, -0.5)
    axes.bar_label(bars, [*shown], padding=4)
    axes.set_xticks([])
    axes.margins(x=0.2)
    _plain(axes, title)
    axes.spines["bottom"].set_visible(False)


def _plain(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=13)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)


if __name__ == "__main__":
    main()

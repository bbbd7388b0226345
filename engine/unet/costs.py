"""What this machine's forwards cost by their number of rows, measured once and kept; knows files, no torch.

The cost is nearly c + k x rows: what c is of it, sharing a forward saves. Beyond the knee, where a row is as cheap as it
gets, more rows only make everybody slower.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from engine.contract import Mode

FILE = "measurements.json"
ROWS = (1, 2, 4, 8, 16, 32)
RUNS_MIN, RUNS_MAX = 3, 12
BUDGET_S = 6.0
"""Seconds that measuring may take before it is content with fewer rows."""
HOLDS_S = 7 * 24 * 3600.0
NOISY_HOLDS_S = 24 * 3600.0
"""For so long what was measured holds, and where the machine was too busy to tell: one bad minute decides for a day."""
NEARLY = 1.1
"""The knee is where a row costs at most so many times what it costs at best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of one forward, by rows; at least for one and two of them."""

    seconds: Mapping[int, float]
    is_noisy: bool = False
    """Whether the machine was too busy to be sure: measured again another day they may be others."""

    def of(self, rows: int) -> float:
        """Seconds of a forward of so many rows, on the straight line between its measured neighbours and beyond."""
        known = sorted(self.seconds)
        if rows in self.seconds:
            return self.seconds[rows]
        above = next((number for number in known if number > rows), known[-1])
        below = known[known.index(above) - 1]
        slope = (self.seconds[above] - self.seconds[below]) / (above - below)
        return self.seconds[below] + slope * (rows - below)

    @property
    def knee(self) -> int:
        """The fewest rows, at least two, at which a row is nearly as cheap as it gets."""
        best = min(seconds / rows for rows, seconds in self.seconds.items())
        return min(
            rows
            for rows, seconds in self.seconds.items()
            if rows >= 2 and (seconds / rows <= NEARLY * best or rows == max(self.seconds))
        )

    def gain(self, rows: int) -> float:
        """How many times the images of one after the other, with guidance, when forwards of so many rows are full."""
        return self.of(2) / (self.of(rows) / (rows / 2))


def measure(forward: Callable[[int], object], *, budget_s: float = BUDGET_S) -> Costs:
    """The least seconds of `forward(rows)`, which returns when it is done; as many rows as the budget allows.

    All numbers of rows take turns, so that a busy moment hits them alike, and the rounds go on until every one was met
    twice in nearly the same time.
    """
    enough = time.monotonic() + budget_s
    seconds: dict[int, list[float]] = {}
    for rows in ROWS:
        expected = 0.0 if not seconds else 2 * list(seconds.values())[-1][0] * (1 + RUNS_MIN)
        if len(seconds) >= 2 and time.monotonic() + expected > enough:
            break
        try:
            # the first one of a shape also chooses kernels, and counts where there is no time for more
            seconds[rows] = [timed(partial(forward, rows))]
        except (MemoryError, RuntimeError):  # torch's out of memory is one
            if len(seconds) < 2:
                raise
            break
    for turn in range(RUNS_MAX):
        if time.monotonic() > enough or (turn >= RUNS_MIN and not _is_noisy(seconds)):
            break
        for rows, times in seconds.items():
            times.append(timed(partial(forward, rows)))
    return Costs(seconds={rows: min(times) for rows, times in seconds.items()}, is_noisy=_is_noisy(seconds))


def _is_noisy(seconds: Mapping[int, Sequence[float]]) -> bool:
    """Whether for some rows the two best times lie apart, or there is but one."""
    best = (sorted(times)[:2] for times in seconds.values())
    return any(len(times) < 2 or times[1] > NEARLY * times[0] for times in best)


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes, which returns when it is done."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


# ------------------------------------------------------------------ in words


def sentences(costs: Costs, mode: Mode, rows: int, slots: int) -> tuple[str, ...]:
    """What each mode costs and brings on this machine with so many slots, the chosen one marked."""
    knee, full = min(costs.knee, 2 * slots), min(rows, 2 * slots)
    texts: dict[Mode, str] = {
        "exact": (
            f"exact: one image a forward, {1000 * costs.of(2):.0f} ms with guidance; equal to pipe() and to itself "
            "in any crowd"
        ),
        "wide": (
            f"wide with {rows} rows: {costs.gain(rows) * full / rows:.2f}x the images of exact when busy, a lone one takes "
            f"up to {costs.of(rows) / costs.of(2):.2f}x as long; equal alone and in a crowd"
        ),
        "fast": (
            f"fast with up to {knee} rows: {costs.gain(knee):.2f}x the images of exact when busy, a lone one is as quick; "
            "equal to the eye"
        ),
    }
    return tuple(f"{'▶ ' if name == mode else ''}{text}." for name, text in texts.items())


# ------------------------------------------------------------------ kept


def key_of(facts: Mapping[str, str]) -> str:
    """One name for one machine, model and set of versions."""
    return hashlib.sha256(json.dumps(sorted(facts.items())).encode()).hexdigest()[:16]


def read_all(folder: Path) -> dict[str, Any]:
    """Everything kept; empty where there is nothing, or nothing that can be read."""
    try:
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def read(folder: Path, key: str) -> Costs | None:
    """What was measured under this key, None where nothing was."""
    try:
        seconds = {int(rows): float(value) for rows, value in read_all(folder)[key]["seconds"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Costs(seconds=seconds) if {1, 2} <= set(seconds) else None


def holds(folder: Path, key: str) -> bool:
    """Whether what was measured under this key need not be measured again yet."""
    entry = read_all(folder).get(key)
    if not isinstance(entry, dict):
        return False
    age = time.time() - float(entry.get("at", 0.0))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    return 0 <= age < (NOISY_HOLDS_S if entry.get("is_noisy") else HOLDS_S)  # pyright: ignore[reportUnknownMemberType]


def newest(folder: Path, model: str) -> Costs | None:
    """What was measured last for a model, whatever else was so; None where nothing was."""
    kept = [key for key in read_all(folder) if _facts(folder, key).get("model") == model]
    return read(folder, kept[-1]) if kept else None


def _facts(folder: Path, key: str) -> dict[str, Any]:
    match read_all(folder).get(key):
        case {"facts": {**facts}}:
            return dict(facts)
        case _:
            return {}


def read_switches(folder: Path, key: str) -> dict[str, str]:
    """The switches that were on when this was measured."""
    match read_all(folder).get(key):
        case {"switches": {**switches}}:
            return {str(name): str(value) for name, value in switches.items()}
        case _:
            return {}


def keep(
    folder: Path, key: str, costs: Costs, facts: Mapping[str, str], switches: Mapping[str, str] | None = None
) -> None:
    """Adds to what is kept; a folder that can't be written to is not worth failing for."""
    values = read_all(folder)
    values.pop(key, None)  # the newest is the last
    seconds = {str(rows): value for rows, value in costs.seconds.items()}
    values[key] = {
        "facts": dict(facts),
        "seconds": seconds,
        "switches": dict(switches or {}),
        "is_noisy": costs.is_noisy,
        "at": time.time(),
    }
    partial = folder / f".{FILE}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / FILE)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)

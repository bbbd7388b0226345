"""What Easel means to reach on every machine, beside what was measured; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workshop.bench.results import BASE, Results

EXACT, WIDE4, WIDE8, FAST = "exact", "wide4", "wide8", "fast"
LOAD = 0.8
"""The load at which waiting is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    name: str
    measured: float | None
    """None where this run did not measure it."""
    bound: float
    is_limit: bool
    """At most the bound, otherwise at least."""
    unit: str = "x"

    @property
    def is_met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.is_limit else self.measured >= self.bound


def goals(results: Results) -> list[Goal]:
    """All of them, in the order of the parts."""
    return [*_alone(results), *_mixed(results), *_few(results), *_waiting(results), *_constant(results)]


def _least(name: str, measured: float | None, bound: float, unit: str = "x") -> Goal:
    return Goal(name=name, measured=measured, bound=bound, is_limit=False, unit=unit)


def _most(name: str, measured: float | None, bound: float, unit: str = "x") -> Goal:
    return Goal(name=name, measured=measured, bound=bound, is_limit=True, unit=unit)


def _as_served(results: Results, side: str) -> tuple[str, str]:
    """(key, what is added to its name) of a side: compiled, where that was measured, as the engine does by itself."""
    compiled = f"{side}-compiled"
    return (compiled, ", compiled") if compiled in results.sides else (side, "")


def _alone(results: Results) -> Iterator[Goal]:
    lone = results.part("lone")
    yield _most(
        "one request alone, exact: its time in pipe() calls",
        lone and lone.ratio(EXACT, BASE, lambda one: one.p50),
        1.05,
    )


def _mixed(results: Results) -> Iterator[Goal]:
    part = results.part("mixed")

    for side, words, bound in (
        (FAST, "fast", 2.0),
        (WIDE4, "wide, 4 rows", 1.3),
        (WIDE8, "wide, 8 rows", 1.6),
        (EXACT, "exact", 0.95),
    ):
        key, how = _as_served(results, side)
        gain = part and part.ratio(key, BASE, lambda one: one.images_per_s)
        yield _least(f"mixed requests at once, images/s: {words}{how}", gain, bound)
    yield _most(
        "mixed requests at once, p95: exact", part and part.ratio(EXACT, BASE, lambda one: one.p95), 1.0
    )


def _few(results: Results) -> Iterator[Goal]:
    """On a processor a row costs about as much in any forward: there is no goal for that."""
    if results.about.get("device", "cpu") == "cpu":
        return
    part = results.part("few")
    key, how = _as_served(results, FAST)
    gain = part and part.ratio(key, BASE, lambda one: one.images_per_s)
    yield _least(f"few steps without guidance, 16 users, images/s: fast{how}", gain, 4.0)


def _waiting(results: Results) -> Iterator[Goal]:
    part = results.part(f"poisson {LOAD:g}")
    for side, words, bound in (
        (FAST, "fast", 0.5),
        (WIDE4, "wide, 4 rows", 0.65),
        (WIDE8, "wide, 8 rows", 0.65),
    ):
        key, how = _as_served(results, side)
        ratio = part and part.ratio(key, BASE, lambda one: one.p95)
        yield _most(f"people coming at {LOAD:g} of pipe()'s capacity, p95: {words}{how}", ratio, bound)


def _constant(results: Results) -> Iterator[Goal]:
    share = max((100 * share.share for share in results.samplers), default=None)
    yield _most("samplers' share of a tick", share, 3.0, " %")
    yield _most(
        "a request joins after", max((turns.join for turns in results.turns), default=None), 1, " step"
    )
    yield _most(
        "a cancel ends after", max((turns.cancel for turns in results.turns), default=None), 1, " step"
    )
    promised = [comparison for comparison in results.pixels if comparison.promised]
    pictures, equal = (
        sum(number) for number in ([one.pictures for one in promised], [one.equal for one in promised])
    )
    yield _least("bit-equal where promised", 100 * equal / pictures if pictures else None, 100.0, " %")

"""What Easel means to reach, on a processor and on a card, beside what was measured; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from workshop.bench.results import BASE, Results

EXACT, FAST = "exact", "fast"
WIDE_OPENVINO, FAST_OPENVINO = "wide-openvino", "fast-openvino"
LOAD = 0.8
"""The load at which waiting is compared."""
USERS = 8
"""Who are together held against one alone."""


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

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the verdict."""
        return {**asdict(self), "is_met": self.is_met}


def goals(results: Results) -> list[Goal]:
    """All of them, in the order of the parts."""
    return [
        *_alone(results),
        *_mixed(results),
        *_few(results),
        *_users(results),
        *_waiting(results),
        *_constant(results),
    ]


def _least(name: str, measured: float | None, bound: float, unit: str = "x") -> Goal:
    return Goal(name=name, measured=measured, bound=bound, is_limit=False, unit=unit)


def _most(name: str, measured: float | None, bound: float, unit: str = "x") -> Goal:
    return Goal(name=name, measured=measured, bound=bound, is_limit=True, unit=unit)


def _is_processor(results: Results) -> bool:
    return results.about.get("device", "cpu") == "cpu"


def _alone(results: Results) -> Iterator[Goal]:
    lone = results.part("lone")
    yield _most(
        "one request alone, exact: its time in pipe() calls",
        lone and lone.ratio(EXACT, BASE, lambda one: one.p50),
        1.05,
    )
    if _is_processor(results):
        yield _most(
            "one request alone, wide on OpenVINO: its time in pipe() calls",
            lone and lone.ratio(WIDE_OPENVINO, BASE, lambda one: one.p50),
            0.55,
        )


def _mixed(results: Results) -> Iterator[Goal]:
    part = results.part("mixed")

    def gain(side: str, than: str = BASE) -> float | None:
        return part and part.ratio(side, than, lambda one: one.images_per_s)

    name = "mixed requests at once, images/s:"
    if _is_processor(results):
        yield _least(f"{name} wide on OpenVINO", gain(WIDE_OPENVINO), 3.0)
        yield _least(f"{name} wide on OpenVINO beside fast", gain(WIDE_OPENVINO, FAST_OPENVINO), 0.95)
    else:
        yield _least(f"{name} fast", gain(FAST), 4.0)
        yield _least(f"{name} fast beside pipe() compiled", gain(FAST, "compiled"), 1.9)
        yield _least(f"{name} fast beside static batches", gain(FAST, "static"), 1.15)
    yield _least(f"{name} exact", gain(EXACT), 0.95)
    yield _most(
        "mixed requests at once, p95: exact", part and part.ratio(EXACT, BASE, lambda one: one.p95), 1.0
    )


def _few(results: Results) -> Iterator[Goal]:
    """On a processor a row costs about as much in any forward: there is no goal for that."""
    if _is_processor(results):
        return
    part = results.part("few")
    gain = part and part.ratio(FAST, BASE, lambda one: one.images_per_s)
    yield _least("few steps without guidance, 16 users, images/s: fast", gain, 4.0)


def _users(results: Results) -> Iterator[Goal]:
    """On a processor a forward is full with one picture."""
    if _is_processor(results):
        return
    many, one = (results.part(f"closed {users}") for users in (USERS, 1))
    gain = None
    if many and one and FAST in many.rounds and FAST in one.rounds:
        gain = many.of(FAST).images_per_s / one.of(FAST).images_per_s
    yield _least(f"{USERS} users beside one, images/s: fast", gain, 2.5)


def _waiting(results: Results) -> Iterator[Goal]:
    part = results.part(f"poisson {LOAD:g}")
    side, words, bound = (
        (WIDE_OPENVINO, "wide on OpenVINO", 0.30) if _is_processor(results) else (FAST, "fast", 0.35)
    )
    ratio = part and part.ratio(side, BASE, lambda one: one.p95)
    yield _most(f"people coming at {LOAD:g} of pipe()'s capacity, p95: {words}", ratio, bound)


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

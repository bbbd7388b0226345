"""How long people wait before the real line and the real fleet, in seeded time; and that worse ways are noticed."""

from __future__ import annotations

from functools import cache
from random import Random
from statistics import fmean

import pytest

from bot.core.engines import member
from workshop.rehearsal.simulation import waiting
from workshop.rehearsal.simulation.crowds import jain, regulars, visitors
from workshop.rehearsal.simulation.hall import Outcome, Way, insisted, visited

SPEEDS = waiting.speeds(4)


@cache
def crowded(way: Way) -> Outcome:
    """Twenty people who always have something in line, two of them thirty, before four engines for a quarter of an hour."""
    return insisted(regulars(20, Random(1)), SPEEDS, way, 0.25)


def fairness(outcome: Outcome) -> float:
    return jain([fmean(turns) for turns in outcome.turns_s.values()])


def test_everybody_waits_as_long_for_a_turn() -> None:
    """Whatever model they want and however much others have in line; served as they come they would not."""
    assert fairness(crowded(Way.EASEL)) >= 0.95
    assert fairness(crowded(Way.FIRST_COME)) < 0.95


def test_placement_spares_models_and_time() -> None:
    """Beside the same line before the engine with the least aboard: fewer models are read, more pictures drawn."""
    placed, spread = crowded(Way.EASEL), crowded(Way.LEAST_LOADED)
    assert placed.reads < 0.8 * spread.reads
    assert len(placed.pictures) > 1.05 * len(spread.pictures)


def test_models_that_alternate_slow_one_engine_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """More is drawn in the same time than where models are read as the line has them, and as fairly."""

    def alone() -> Outcome:
        return insisted(regulars(20, Random(1)), [1.0], Way.EASEL, 0.5)

    batched = alone()
    monkeypatch.setattr(member, "DRAWS_FIRST", 0.0)
    assert len(batched.pictures) > 1.1 * len(alone().pictures)
    assert fairness(batched) >= 0.95


def test_who_wants_little_does_not_wait_for_dozens() -> None:
    """People who come and go: of nineteen in twenty pictures of who wants up to three, the longest wait."""

    def longest_s(way: Way) -> float:
        asks = visitors(150, sum(SPEEDS), 0.6, Random(2))
        outcome = visited(asks, SPEEDS, way)
        assert len(outcome.pictures) == len(asks)
        wanted = [ask.user_id for ask in asks]
        modest = sorted(each.waiting_s for each in outcome.pictures if wanted.count(each.user_id) <= 3)
        return modest[int(0.95 * len(modest))]

    assert longest_s(Way.EASEL) < 0.7 * longest_s(Way.FIRST_COME)


def test_tables_are_the_same_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Seeded: nothing depends on the real time; one engine has nothing to be placed by."""
    told: list[str] = []
    for _ in range(2):
        assert waiting.main(["--people", "20", "--engines", "1,2", "--hours", "0.01"]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    rows = [line.split(" | ")[:2] for line in told[0].splitlines() if "Easel" in line or "come" in line]
    assert rows[:4] == [
        ["| 1", "Easel"],
        ["| 1", "first come, first served"],
        ["| 2", "Easel"],
        ["| 2", "first come, first served"],
    ]

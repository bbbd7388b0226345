"""A seeded share of the simulation, and proof that it notices bugs."""

from __future__ import annotations

import pytest

from bot.core.line.dispatcher import Dispatcher
from bot.core.line.endings import Endings
from bot.job import Job
from workshop.rehearsal.simulation.play import play

BLOCK, BLOCKS = 50, 8
FAR_SEEDS = (17, 34, 36, 103, 264, 298, 2098, 2834, 2846, 5092, 5155)
"""Schedules far from the others. When the simulation threw its dice in another order they showed ends that nobody was
shown, jobs aboard two engines at once, and cancels that were promised and forgotten; today they are other lives."""


@pytest.mark.parametrize("first", range(0, BLOCK * BLOCKS, BLOCK))
def test_schedules(first: int) -> None:
    """Whatever dies and whenever: one picture or one refund each, told to everybody who was answered."""
    broken = {seed: sentences for seed in range(first, first + BLOCK) if (sentences := play(seed))}
    assert broken == {}


@pytest.mark.parametrize("seed", FAR_SEEDS)
def test_schedules_far_away(seed: int) -> None:
    """The same promises hold there."""
    assert play(seed) == []


def test_the_same_seed_is_the_same_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing depends on the real time or on threads."""
    lives: list[list[tuple[int, str]]] = [[], []]
    shown = Endings.show
    for life in lives:

        async def noting(self: Endings, job: Job, life: list[tuple[int, str]] = life) -> None:
            life.append((job.id, job.state))
            await shown(self, job)

        monkeypatch.setattr(Endings, "show", noting)
        for seed in range(10, 16):
            play(seed)
    assert lives[0] == lives[1] != []


async def _nothing(self: Endings) -> list[Job]:
    del self
    return []


async def _never_back(self: Dispatcher, job: Job, *, faults: int) -> None:
    del self, job, faults


@pytest.mark.parametrize(
    ("owner", "name", "bug"),
    [(Endings, "owed", _nothing), (Dispatcher, "back_in_line", _never_back)],
    ids=["ends that are owed are forgotten", "jobs of a dead engine are forgotten"],
)
def test_bugs_are_noticed(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, bug: object) -> None:
    """With a bug of that kind some schedule breaks a promise."""
    monkeypatch.setattr(owner, name, bug)
    assert any(play(seed) for seed in range(300))

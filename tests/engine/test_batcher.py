"""Turns are fair: nobody starves, nobody draws twice in a round, and who is gone never draws again."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.batcher import Batcher

SLOTS = 3


class Turns(RuleBasedStateMachine):
    """Random joining, leaving and drawing, watched from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.batcher: Batcher[int] = Batcher(SLOTS)
        self.arrived: list[int] = []
        self.gone: set[int] = set()
        self.promoted: list[int] = []
        self.since: dict[int, list[int]] = {}  # active item -> who had turns since it had its own (or joined)

    @rule()
    def arrive(self) -> None:
        item = len(self.arrived)
        self.arrived.append(item)
        self.batcher.add(item)

    @rule()
    def promote(self) -> None:
        room, waiting = len(self.batcher.active) < SLOTS, self.batcher.waiting
        item = self.batcher.promote()
        assert item == (waiting[0] if room and waiting else None)
        if item is not None:
            self.promoted.append(item)
            self.since[item] = []

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.arrived))
        self.batcher.remove(item)
        self.gone.add(item)
        self.since.pop(item, None)

    @rule()
    def turn(self) -> None:
        item = self.batcher.turn()
        assert (item is None) == (not self.since)
        if item is None:
            return
        assert item not in self.gone
        assert item in self.since
        for other, turns in self.since.items():
            if other == item:
                turns.clear()
            else:
                turns.append(item)
                assert turns.count(item) <= 1, f"{item} drew twice while {other} waited"
                assert len(turns) < SLOTS * 2, f"{other} starves"

    @invariant()
    def never_wider_than_its_slots(self) -> None:
        assert len(self.batcher.active) <= SLOTS

    @invariant()
    def everybody_is_somewhere(self) -> None:
        assert sorted(self.batcher) == [item for item in self.arrived if item not in self.gone]

    @invariant()
    def first_come_first_served(self) -> None:
        assert self.promoted == sorted(self.promoted)
        assert list(self.batcher.waiting) == sorted(self.batcher.waiting)


TestTurns = Turns.TestCase


def test_a_round_gives_each_one_turn() -> None:
    """With nobody coming or going, every round is the same order, each exactly once."""
    batcher: Batcher[str] = Batcher(3)
    for item in "abcd":
        batcher.add(item)
    while batcher.promote():
        pass
    assert [batcher.turn() for _ in range(6)] == [*"abcabc"]
    assert batcher.waiting == ("d",)


def test_the_same_item_twice_is_refused() -> None:
    """An item that is waiting or active can't be added again, so it can't get two turns a round."""
    batcher: Batcher[str] = Batcher(1)
    batcher.add("a")
    with pytest.raises(ValueError, match="already"):
        batcher.add("a")
    batcher.promote()
    with pytest.raises(ValueError, match="already"):
        batcher.add("a")


def test_no_slots_are_refused() -> None:
    """A batcher that could never run anything is a mistake, said at once."""
    with pytest.raises(ValueError, match="slot"):
        Batcher[str](0)

"""Turns are fair: nobody waits for ever, no forward is too wide, nobody is in it twice, and who is gone never draws."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.loop.batcher import STAY, Batcher

SLOTS, WIDTH = 3, 4


@dataclass(slots=True, eq=False)
class Image:
    number: int
    left: int
    rows: int = 2
    group: Hashable = "small"
    adapters: Hashable = ()


class Turns(RuleBasedStateMachine):
    """Random joining, leaving and drawing, watched from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.batcher: Batcher[Image] = Batcher(SLOTS)
        self.arrived: list[Image] = []
        self.gone: set[int] = set()
        self.promoted: list[int] = []
        self.since: dict[int, int] = {}  # active image -> forwards without it since it became active
        self.work: dict[int, int] = {}
        self.passed: tuple[Image | None, int] = None, 0  # the earliest due, and forwards in a row without it
        self.switched: tuple[Hashable, int] = None, 0  # adapters of the last forward, and forwards with them

    @rule(
        left=st.integers(1, 12),
        rows=st.integers(1, 2),
        group=st.sampled_from(["small", "large"]),
        adapters=st.sampled_from(["none", "pixel", "detail"]),
    )
    def arrive(self, left: int, rows: int, group: str, adapters: str) -> None:
        image = Image(len(self.arrived), left, rows, (group, adapters), adapters)
        self.arrived.append(image)
        self.batcher.add(image, left)

    @rule()
    def promote(self) -> None:
        room, waiting = len(self.batcher.active) < SLOTS, self.batcher.waiting
        image = self.batcher.promote()
        assert image is (waiting[0] if room and waiting else None)
        if image is not None:
            self.promoted.append(image.number)
            self.since[image.number] = 0
            self.work[image.number] = image.left

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.forget(data.draw(st.sampled_from(self.arrived)))

    def forget(self, image: Image) -> None:
        self.batcher.remove(image)
        self.gone.add(image.number)
        self.since.pop(image.number, None)

    @rule(width=st.integers(1, WIDTH))
    def forward(self, width: int) -> None:
        ready = self.batcher.active
        leaders = [self.batcher.leader for _ in range(2)]
        chosen = self.batcher.pick(width)
        assert leaders == [chosen[0] if chosen else None] * 2
        self.watch_switching(ready, chosen)
        assert bool(chosen) == bool(self.since)
        assert len(set(map(id, chosen))) == len(chosen)
        assert len({image.group for image in chosen}) <= 1
        assert len(chosen) == 1 or sum(image.rows for image in chosen) <= width
        assert all(image.number in self.since for image in chosen)
        for number in self.since:
            self.since[number] += 1
        for image in chosen:
            image.left -= 1
            self.since[image.number] -= 1
            if not image.left:
                self.forget(image)
        # Whoever was active before it, or came while its own due tick was not passed, may go first; no one later.
        for number, waited in self.since.items():
            assert waited <= self.work[number] + (12 + STAY) * (SLOTS + self.work[number]), (
                f"{number} starves"
            )

    def watch_switching(self, ready: Sequence[Image], chosen: Sequence[Image]) -> None:
        """The earliest due waits for STAY forwards at most, and adapters that are still wanted stay for longer."""
        if not chosen:
            return
        first, passed = self.passed
        passed = passed + 1 if first is ready[0] else 1
        self.passed = (None, 0) if ready[0] in chosen else (ready[0], passed)
        assert self.passed[1] <= STAY
        before, stayed = self.switched
        now = chosen[0].adapters
        if now != before and any(image.adapters == before for image in ready):
            assert stayed > STAY
        self.switched = now, stayed + 1 if now == before else 1

    @invariant()
    def never_more_than_its_slots(self) -> None:
        assert len(self.batcher.active) <= SLOTS

    @invariant()
    def everybody_is_somewhere(self) -> None:
        here = sorted(image.number for image in self.batcher)
        assert here == [image.number for image in self.arrived if image.number not in self.gone]

    @invariant()
    def first_come_first_served(self) -> None:
        assert self.promoted == sorted(self.promoted)


TestTurns = Turns.TestCase


@given(long=st.integers(1, 60), short=st.integers(1, 10), slots=st.integers(2, 5))
def test_a_long_one_ends_although_short_ones_never_stop_coming(long: int, short: int, slots: int) -> None:
    """However many shorter ones arrive, a long one is done after at most twice its work times the slots."""
    batcher: Batcher[Image] = Batcher(slots)
    patient = Image(0, long)
    batcher.add(patient, long)
    number, ticks = 0, 0
    while patient.left:
        while not batcher.waiting:
            number += 1
            batcher.add(Image(number, short), short)
        while batcher.promote():
            pass
        (image,) = batcher.pick(1)
        image.left -= 1
        if not image.left:
            batcher.remove(image)
        ticks += 1
        assert ticks <= 2 * (long + short * slots)


def test_the_shortest_first_and_room_is_filled() -> None:
    """The earliest due leads, others of its group fill the room in order, and what does not fit waits."""
    batcher: Batcher[Image] = Batcher(5)
    images = [Image(0, 9), Image(1, 3), Image(2, 5, 1, "large"), Image(3, 4), Image(4, 8, 1)]
    for image in images:
        batcher.add(image, image.left)
        batcher.promote()
    assert [image.number for image in batcher.active] == [1, 3, 2, 4, 0]
    assert [image.number for image in batcher.pick(5)] == [1, 3, 4]
    assert [image.number for image in batcher.pick(1)] == [1]
    assert [image.number for image in batcher.up_to(images[2])] == [1, 3, 2]


def test_who_comes_later_overtakes_only_if_it_is_shorter_than_what_is_left() -> None:
    """After waiting n forwards an image is ahead of everything that needs n more than it does."""
    batcher: Batcher[Image] = Batcher(3)
    first = Image(0, 5)
    batcher.add(first, 5)
    batcher.promote()
    for _ in range(2):
        (chosen,) = batcher.pick(1)
        chosen.left -= 1
    for number, work in ((1, 2), (2, 3)):
        batcher.add(Image(number, work), work)
        batcher.promote()
    assert [image.number for image in batcher.active] == [1, 0, 2]


def test_the_same_item_twice_is_refused() -> None:
    """An item that is waiting or active can't be added again, so it can't be in a forward twice."""
    batcher, image = Batcher[Image](1), Image(0, 1)
    batcher.add(image, 1)
    with pytest.raises(ValueError, match="already"):
        batcher.add(image, 1)
    batcher.promote()
    with pytest.raises(ValueError, match="already"):
        batcher.add(image, 1)


def test_no_slots_are_refused() -> None:
    """A batcher that could never run anything is a mistake, said at once."""
    with pytest.raises(ValueError, match="slot"):
        Batcher[Image](0)


def test_one_that_never_ends_does_not_hold_up_the_others() -> None:
    """An image that takes more forwards than it was to make loses its place, and still gets its turns."""
    batcher: Batcher[Image] = Batcher(2)
    endless, other = Image(0, 3), Image(1, 5)
    for image in (endless, other):
        batcher.add(image, image.left)
        batcher.promote()
    turns = [batcher.pick(2)[0] for _ in range(12)]
    assert turns[:3] == [endless] * 3
    assert other in turns[3:]
    batcher.remove(other)
    assert batcher.pick(2) == [endless]


def test_what_turns_out_longer_is_due_later() -> None:
    """An item whose work is known only once it is active takes the place that is due to that, and owes nothing more."""
    batcher: Batcher[Image] = Batcher(2)
    tiled, other = Image(0, 6), Image(1, 3)
    for image, said in ((tiled, 1), (other, 3)):
        batcher.add(image, said)
        batcher.promote()
    batcher.reckon(tiled, 6)
    turns = list[Image]()
    while any(image.left for image in (tiled, other)):
        (chosen,) = batcher.pick(1)
        chosen.left -= 1
        turns.append(chosen)
    assert turns == [other] * 3 + [tiled] * 6


def test_adapters_are_switched_seldom() -> None:
    """A newcomer who is due earlier waits for a while if its adapters are others, and none who shares them."""
    batcher: Batcher[Image] = Batcher(3)
    long, other, equal = Image(0, 40, adapters="a"), Image(1, 3, adapters="b"), Image(2, 2, adapters="a")

    def turns(count: int) -> list[int]:
        numbers: list[int] = []
        for _ in range(count):
            (image,) = batcher.pick(1)
            numbers.append(image.number)
            image.left -= 1
            if not image.left:
                batcher.remove(image)
        return numbers

    for image, before in ((long, 2), (other, 3), (equal, 0)):
        batcher.add(image, image.left)
        batcher.promote()
        assert set(turns(before)) <= {0}
    assert turns(2 + STAY - 5 + 4) == [2, 2, *[0] * (STAY - 5), 1, 1, 1, 0]

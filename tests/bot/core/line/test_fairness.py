"""Whose turn is it: nobody waits behind somebody else's backlog, whatever people do. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.core.line.fairness import FairQueue
from bot.limits import WEIGHT_MAX

PEOPLE = st.integers(1, 5)
COSTS = st.integers(1, 20)
WEIGHTS = st.integers(1, WEIGHT_MAX)
NONE = st.just(0)
NEWCOMER = 99


@dataclass(slots=True)
class Day:
    """A line with the ids that went in, so that tests can say who is where."""

    line: FairQueue = field(default_factory=FairQueue)
    owners: dict[int, int] = field(default_factory=dict[int, int])
    served: list[int] = field(default_factory=list[int])
    """Given out by `next` and not over."""
    put_back: set[int] = field(default_factory=set[int])

    def add(self, user: int, cost: int = 1, weight: int = 1) -> int:
        job_id = len(self.owners) + 1
        self.owners[job_id] = user
        self.line.add(job_id, user_id=user, cost=cost, weight=weight)
        return job_id

    def serve(self) -> int | None:
        job_id = self.line.next()
        if job_id is not None:
            self.served.append(job_id)
        return job_id

    def return_one(self, pick: int) -> None:
        if self.served:
            job_id = self.served.pop(pick % len(self.served))
            self.line.put_back(job_id)
            self.put_back.add(job_id)

    def end_one(self, pick: int) -> None:
        """The end of a served job, or the cancelling of a waiting one."""
        alive = [*self.served, *self.line.order()]
        if alive:
            self.end(alive[pick % len(alive)])

    def end(self, job_id: int) -> None:
        self.line.ended(job_id)
        if job_id in self.served:
            self.served.remove(job_id)

    def finish_all(self) -> None:
        while (job_id := self.serve()) is not None:
            self.end(job_id)
        for job_id in list(self.served):
            self.end(job_id)


ACTS = st.one_of(
    st.tuples(st.just("add"), PEOPLE, COSTS, WEIGHTS),
    st.tuples(st.just("add"), PEOPLE, COSTS, WEIGHTS),
    st.tuples(st.just("serve"), NONE, NONE, NONE),
    st.tuples(st.just("end"), st.integers(0, 30), NONE, NONE),
    st.tuples(st.just("put_back"), st.integers(0, 30), NONE, NONE),
)
HISTORIES = st.lists(ACTS, max_size=40)


def act(day: Day, what: str, first: int, second: int, third: int) -> None:
    match what:
        case "add":
            day.add(first, second, third)
        case "serve":
            day.serve()
        case "end":
            day.end_one(first)
        case _:
            day.return_one(first)


def lived(history: list[tuple[str, int, int, int]]) -> Day:
    day = Day()
    for step in history:
        act(day, *step)
    return day


# ------------------------------------------------------------------ the promise


@given(HISTORIES, st.lists(st.tuples(PEOPLE, COSTS, WEIGHTS), max_size=20))
def test_a_newcomer_waits_for_one_job_of_each_other_person(
    history: list[tuple[str, int, int, int]], later: list[tuple[int, int, int]]
) -> None:
    """Whatever happened before and whoever comes later, however they weigh, at most one job of each other person goes first.

    Jobs that were in the engine's hands already and came back after a crash keep their place, so they don't count.
    """
    day = lived(history)
    mine = day.add(NEWCOMER)
    before: Counter[int] = Counter()
    while (job_id := day.serve()) != mine:
        assert job_id is not None
        before[day.owners[job_id]] += job_id not in day.put_back
        if later:
            day.add(*later.pop())
    assert all(count <= 1 for count in before.values()), before


@given(st.integers(1, 60), COSTS, st.integers(1, 5))
def test_a_backlog_delays_nobody(backlog: int, cost: int, slots: int) -> None:
    """However many jobs somebody has in line, another's first one is next once the jobs aboard have a free slot."""
    day = Day()
    for _ in range(backlog):
        day.add(1, cost)
    for _ in range(slots):
        day.serve()
    mine = day.add(2, 20)
    assert day.line.order().index(mine) <= 1


def test_two_people_with_equal_jobs_take_turns() -> None:
    """Ten jobs each, one person's all before the other's: they are served alternately."""
    day = Day()
    for user in (1, 2):
        for _ in range(10):
            day.add(user, 3)
    turns = [day.owners[job_id] for job_id in day.line.order()]
    assert turns == [1, 2] * 10


def test_turns_are_shared_by_cost() -> None:
    """Somebody whose jobs cost three times as much gets a third of the turns."""
    day = Day()
    for _ in range(4):
        day.add(1, 3)
    for _ in range(12):
        day.add(2, 1)
    first_eight = [day.owners[job_id] for job_id in day.line.order()[:8]]
    assert Counter(first_eight) == {1: 2, 2: 6}


@given(st.lists(st.tuples(COSTS, COSTS), min_size=20, max_size=60), WEIGHTS, WEIGHTS)
def test_service_is_shared_by_weight(
    costs: list[tuple[int, int]], one_weighs: int, other_weighs: int
) -> None:
    """While both have something in line, what each got by its weight differs by less than one job of each: the paper's theorem."""
    day, got = Day(), Counter[int]()
    weights, largest = {1: one_weighs, 2: other_weighs}, {1: 0, 2: 0}
    cost_of: dict[int, int] = {}
    for pair in costs:
        for user, cost in zip((1, 2), pair, strict=True):
            cost_of[day.add(user, cost, weights[user])] = cost
            largest[user] = max(largest[user], cost)
    within = sum(Fraction(largest[user], weights[user]) for user in weights)
    while {day.owners[job_id] for job_id in day.line.order()} == {1, 2}:
        job_id = day.serve()
        assert job_id is not None
        got[day.owners[job_id]] += cost_of[job_id]
        assert abs(Fraction(got[1], one_weighs) - Fraction(got[2], other_weighs)) <= within


def test_twice_the_weight_is_twice_the_service() -> None:
    """Of thirty turns under backlog somebody of weight 2 gets twenty."""
    day = Day()
    for _ in range(30):
        day.add(1, 3, 1)
        day.add(2, 3, 2)
    assert Counter(day.owners[job_id] for job_id in day.line.order()[:30]) == {1: 10, 2: 20}


@given(COSTS, COSTS, st.integers(1, 8))
def test_no_weight_makes_anybody_starve(mine: int, theirs: int, count: int) -> None:
    """Each of one's jobs is drawn, though somebody of the greatest weight always has another one."""
    day = Day()
    for _ in range(2):
        day.add(2, theirs, WEIGHT_MAX)
    waiting = {day.add(1, mine) for _ in range(count)}
    passed = 0
    while waiting:
        job_id = day.serve()
        assert job_id is not None
        if job_id in waiting:
            waiting.remove(job_id)
        else:
            passed += theirs
            day.add(2, theirs, WEIGHT_MAX)
        day.end(job_id)
        assert passed <= WEIGHT_MAX * mine * count + theirs


def test_use_of_an_hour_ago_is_forgotten() -> None:
    """Who drew much while nobody else was there starts level with a newcomer's backlog once the line was empty."""
    day = Day()
    day.add(1, 1000)
    day.finish_all()
    for _ in range(50):
        day.add(2, 1)
    mine = day.add(1, 1)
    assert day.line.order().index(mine) <= 1


def test_one_job_at_a_time_is_no_way_to_jump_the_line() -> None:
    """Somebody who hands in the next job whenever one ends gets no more turns than somebody with a backlog."""
    day = Day()
    for _ in range(20):
        day.add(1, 1)
    day.serve()
    mine, turns = day.add(2, 1), Counter[int]()
    for _ in range(20):
        job_id = day.serve()
        assert job_id is not None
        turns[day.owners[job_id]] += 1
        day.end(job_id)
        if job_id == mine:
            mine = day.add(2, 1)
    assert abs(turns[1] - turns[2]) <= 1, turns


# ------------------------------------------------------------------ order and places


@given(HISTORIES)
def test_ones_own_jobs_keep_their_order(history: list[tuple[str, int, int, int]]) -> None:
    """A person's waiting jobs run in the order in which they were asked for, whatever is cancelled or comes back."""
    day = lived(history)
    order = day.line.order()
    for user in set(day.owners.values()):
        own = [job_id for job_id in order if day.owners[job_id] == user]
        assert own == sorted(own)


@given(HISTORIES)
def test_order_is_what_next_gives(history: list[tuple[str, int, int, int]]) -> None:
    """The line that is shown is the line that is served."""
    day = lived(history)
    shown = day.line.order()
    assert len(day.line) == len(shown)
    assert [day.serve() for _ in shown] == shown
    assert day.serve() is None


@given(HISTORIES, PEOPLE, COSTS)
def test_the_place_told_is_the_place_got(
    history: list[tuple[str, int, int, int]], user: int, cost: int
) -> None:
    """The place announced to somebody is the one their job has when it joins."""
    day = lived(history)
    told = day.line.place_for(user)
    mine = day.add(user, cost)
    assert day.line.order().index(mine) + 1 == told


@given(HISTORIES, st.integers(0, 10))
def test_put_back_keeps_the_place(history: list[tuple[str, int, int, int]], count: int) -> None:
    """Jobs that an engine's death gives back stand where they stood, in the same order, before all others."""
    day = lived(history)
    before = day.line.order()
    taken = [job_id for _ in range(count) if (job_id := day.serve()) is not None]
    for job_id in reversed(taken):
        day.line.put_back(job_id)
    assert day.line.order() == before
    assert before[: len(taken)] == taken


@given(st.lists(st.tuples(PEOPLE, COSTS, WEIGHTS), min_size=1, max_size=20), st.data())
def test_a_cancelled_job_leaves_no_trace(jobs: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """The line after a cancel is the one in which the cancelled jobs had never been."""
    cancelled = data.draw(st.sets(st.integers(1, len(jobs))))
    day, without = Day(), FairQueue()
    for user, cost, weight in jobs:
        job_id = day.add(user, cost, weight)
        if job_id not in cancelled:
            without.add(job_id, user_id=user, cost=cost, weight=weight)
    for job_id in cancelled:
        day.end(job_id)
    assert day.line.order() == without.order()
    for user in range(1, 6):
        assert day.line.place_for(user) == without.place_for(user)


@given(HISTORIES, st.integers(0, 30))
def test_cancelling_sends_nobodys_other_job_back(history: list[tuple[str, int, int, int]], pick: int) -> None:
    """Whoever cancels one job moves their other jobs forward or not at all, never behind somebody else's."""
    day = lived(history)
    before = day.line.order()
    assume(before)
    gone = before[pick % len(before)]
    day.end(gone)
    rest = day.line.order()
    for mine in (job_id for job_id in rest if day.owners[job_id] == day.owners[gone]):
        others_before = set(before[: before.index(mine)])
        assert set(rest[: rest.index(mine)]) <= others_before


def crashed() -> Day:
    """Two people's first jobs (1 … 2 and 3 … 5) were aboard and came back; the first one has three more (6 … 8)."""
    day = Day()
    for user, cost in ((1, 3), (1, 7), (2, 5), (2, 5), (2, 1), (1, 3), (1, 3), (1, 3)):
        day.add(user, cost)
    taken = [day.serve() for _ in range(5)]
    assert taken == [1, 3, 2, 4, 5]
    for _ in taken:
        day.return_one(0)
    return day


def test_a_cancel_after_a_crash_costs_no_place() -> None:
    """Whoever cancels one of their jobs that came back keeps the places of the others."""
    day = crashed()
    order = day.line.order()
    day.end(1)
    assert day.line.order() == [job_id for job_id in order if job_id != 1]


def test_a_cancel_after_a_crash_makes_no_crowd() -> None:
    """Room given back never puts two new jobs of one person before a newcomer's first."""
    day = crashed()
    day.end(1)
    mine = day.add(NEWCOMER)
    order = day.line.order()
    new = [job_id for job_id in order[: order.index(mine)] if job_id not in day.put_back]
    assert Counter(day.owners[job_id] for job_id in new)[1] <= 1


def test_unknown_ids_end_quietly() -> None:
    """A job that never was in line, or is over already, can end again."""
    day = Day()
    mine = day.add(1)
    day.line.ended(12345)
    day.line.ended(mine)
    day.line.ended(mine)
    assert (len(day.line), mine in day.line) == (0, False)


def test_an_empty_line_has_nobody_next() -> None:
    """Nothing to serve is None, and a first comer's place is 1."""
    line = FairQueue()
    assert line.next() is None
    assert line.place_for(1) == 1


@pytest.mark.parametrize("together", [False, True])
def test_memory_is_bounded_by_the_people_in_line(together: bool) -> None:
    """A thousand people who came and went leave nothing behind, one after the other or all at once."""
    day = Day()
    for user in range(1000):
        day.add(user, 1 + user % 7)
        if not together:
            day.finish_all()
    day.finish_all()
    assert not day.line._waiting
    assert not day.line._served
    assert day.line._finish == {}


@given(HISTORIES)
def test_only_people_who_count_have_a_tag(history: list[tuple[str, int, int, int]]) -> None:
    """A tag at or below the virtual time says nothing, so none is kept for it."""
    line = lived(history).line
    assert all(tag > line._virtual for tag in line._finish.values())


@given(backlog=st.integers(1, 15), others=st.integers(1, 15), cost=COSTS)
def test_what_was_held_neither_goes_nor_stands_in_anybodys_way(backlog: int, others: int, cost: int) -> None:
    """Others are drawn meanwhile; afterwards a newcomer waits for one job of who was held, which keep their order."""
    day = Day()
    held = [day.add(1, cost) for _ in range(backlog)]
    for _ in range(others):
        day.add(2, cost)
    while (job_id := day.line.next(lambda number: number in held)) is not None:
        assert day.owners[job_id] == 2
        day.served.append(job_id)
    day.line.released([*held, 999])
    newcomer = day.add(NEWCOMER)
    order = day.line.order()
    assert [job_id for job_id in order if job_id in held] == held
    assert order.index(newcomer) == 1


def test_a_moved_place_counts_for_what_its_person_asks_later() -> None:
    """Who was put behind others is not overtaken by a later request of their own."""
    line = FairQueue()
    for number in range(1, 7):
        line.add(number, user_id=1, cost=10)
    line.add(7, user_id=2, cost=1)
    line.move(6, [7, *range(1, 6)], to_front=True)
    line.add(8, user_id=2, cost=1)
    order = line.order()
    assert order[0] == 6
    assert order.index(7) < order.index(8)


@given(history=HISTORIES, pick=st.integers(0), to_front=st.booleans(), data=st.data())
def test_who_is_moved_changes_nobody_elses_place(
    history: list[tuple[str, int, int, int]], pick: int, to_front: bool, data: st.DataObject
) -> None:
    """Among those that are named it is the first or the last; they keep their order, and all others their places."""
    day = lived(history)
    before = day.line.order()
    assume(before)
    moved = before[pick % len(before)]
    among = {moved, *data.draw(st.lists(st.sampled_from(before)))}
    day.line.move(moved, among, to_front=to_front)
    after = day.line.order()
    group = [job_id for job_id in after if job_id in among]
    others = [job_id for job_id in before if job_id in among and job_id != moved]
    assert group == ([moved, *others] if to_front else [*others, moved])
    assert [job_id if job_id not in among else 0 for job_id in after] == [
        job_id if job_id not in among else 0 for job_id in before
    ]
    assert day.serve() == after[0]


def test_who_is_not_taken_lets_others_pass_and_keeps_the_place() -> None:
    """They are asked in order until one is taken; whoever was passed is asked first the next time."""
    queue, asked = FairQueue(), list[int]()
    for job_id in (1, 2, 3, 4):
        queue.add(job_id, user_id=job_id, cost=1)

    def only_the_third(job_id: int) -> bool:
        asked.append(job_id)
        return job_id == 3

    assert queue.next(lambda job_id: job_id == 2, only_the_third) == 3
    assert asked == [1, 3]
    assert queue.next() == 1
    assert queue.next(is_taken=lambda _: False) is None
    assert queue.order() == [2, 4]

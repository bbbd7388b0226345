"""Whose turn is it: start-time fair queueing over people, by cost and weight. Plain data; knows no clock and no engine.

Goyal, Vin, Cheng: "Start-time Fair Queueing" (SIGCOMM 1996). A job's start tag is the later of the
virtual time and its owner's last finish tag, its finish tag lies cost / weight behind that; the smallest
start tag goes next; the virtual time is the start tag of the job served last. Somebody who joins therefore
starts at the current virtual time: another's backlog delays their first image by at most one job per
person, whatever anybody weighs, and past use is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop

from bot.limits import WEIGHT_MAX

UNIT = math.lcm(*range(1, WEIGHT_MAX + 1))
"""Of tags, for one credit: whole numbers for every weight, so that what is given back is what was taken."""


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    start: int
    rank: int
    """Of equal tags: a job's own number, or that of the one whose place it was moved to."""
    job_id: int = field(compare=False)
    user_id: int = field(compare=False)
    length: int = field(compare=False)
    """From its start tag to its finish tag."""


class FairQueue:
    """The line of waiting jobs. A job put back after an engine's death keeps its place."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Entry] = {}
        self._served: dict[int, _Entry] = {}
        self._finish: dict[int, int] = {}
        self._virtual = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._waiting

    def add(self, job_id: int, *, user_id: int, cost: int, weight: int = 1) -> None:
        """Under backlog a person of twice the weight is served twice as much."""
        start, length = self._start_of(user_id), cost * UNIT // weight
        self._finish[user_id] = start + length
        self._waiting[job_id] = _Entry(start, job_id, job_id, user_id, length)

    def next(
        self,
        is_held: Callable[[int], bool] = lambda _job_id: False,
        is_taken: Callable[[int], bool] = lambda _job_id: True,
    ) -> int | None:
        """Takes the job whose turn it is out of the line; those that are held let others pass.

        `is_taken` is asked in the line's order until one is: who is not taken now lets those behind pass as well.
        """
        free = [each for each in self._waiting.values() if not is_held(each.job_id)]
        heapify(free)
        in_order = (heappop(free) for _ in range(len(free)))
        entry = next((each for each in in_order if is_taken(each.job_id)), None)
        if entry is None:
            return None
        del self._waiting[entry.job_id]
        self._served[entry.job_id] = entry
        self._virtual = max(self._virtual, entry.start)
        self._forget()
        return entry.job_id

    def put_back(self, job_id: int) -> None:
        """Returns a job that `next` gave out to its old place."""
        self._waiting[job_id] = self._served.pop(job_id)

    def move(self, job_id: int, among: Iterable[int], *, to_front: bool) -> None:
        """A waiting job before or behind these others, which each take their neighbour's place: nobody else's changes."""
        moved = self._waiting[job_id]
        places = sorted(self._waiting[each] for each in {job_id, *among} if each in self._waiting)
        others = [entry for entry in places if entry is not moved]
        order = [moved, *others] if to_front else [*others, moved]
        for entry, place in zip(order, places, strict=True):
            self._waiting[entry.job_id] = replace(entry, start=place.start, rank=place.rank)
            self._finish[entry.user_id] = max(self._finish.get(entry.user_id, 0), place.start + entry.length)

    def released(self, job_ids: Iterable[int]) -> None:
        """These were held and are no more: nobody who drew meanwhile now waits behind all that they have saved up.

        Each person's begin again at the virtual time, in their order and with their distances.
        """
        mine: dict[int, list[_Entry]] = {}
        for entry in sorted(self._waiting[job_id] for job_id in job_ids if job_id in self._waiting):
            mine.setdefault(entry.user_id, []).append(entry)
        for user_id, entries in mine.items():
            later = max(0, self._virtual - entries[0].start)
            for entry in entries:
                self._waiting[entry.job_id] = replace(entry, start=entry.start + later)
            end = entries[-1].start + later + entries[-1].length
            self._finish[user_id] = max(end, self._finish.get(user_id, 0))

    def ended(self, job_id: int) -> None:
        """The job is over, wherever it was; unknown ids are fine."""
        waited = self._waiting.pop(job_id, None)
        self._served.pop(job_id, None)
        if waited is not None:
            self._withdraw(waited)
        self._forget()

    def order(self) -> list[int]:
        """Ids in the order in which they would run if nobody else came."""
        return [entry.job_id for entry in sorted(self._waiting.values())]

    def place_for(self, user_id: int) -> int:
        """The place (1 = next) that a new job of this person would get."""
        start = self._start_of(user_id)
        return 1 + sum(entry.start <= start for entry in self._waiting.values())

    def _start_of(self, user_id: int) -> int:
        return max(self._virtual, self._finish.get(user_id, 0))

    def _withdraw(self, gone: _Entry) -> None:
        """What a cancelled job would have used is given back to its owner's later jobs, which keep their distances."""
        end = max(self._virtual, gone.start)
        later = [e for e in self._waiting.values() if e.user_id == gone.user_id and e.start > gone.start]
        for entry in sorted(later):
            moved = replace(entry, start=min(entry.start, end))
            self._waiting[entry.job_id] = moved
            end = moved.start + moved.length
        self._finish[gone.user_id] = max(end, self._finish.get(gone.user_id, 0) - gone.length)

    def _forget(self) -> None:
        """A tag that the virtual time has passed says nothing more, and an empty line starts afresh: bounded memory."""
        idle = not self._waiting and not self._served
        self._finish = (
            {} if idle else {user: tag for user, tag in self._finish.items() if tag > self._virtual}
        )

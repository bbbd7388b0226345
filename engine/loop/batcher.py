"""Who runs in the next forward: the shortest remaining first, with ageing; knows neither torch nor jobs.

An image that becomes active at tick t with n forwards to make is due at t + n, the tick at which it would be done if it
were alone. The earliest due runs first, together with others of its group while there is room. That is "shortest
remaining first" whose remainder shrinks by one with every tick of waiting: among those present the order never
changes, and whoever comes n ticks later or more can't overtake, so nobody starves. Only an image that takes more
forwards than it was to make loses its place, by a tick for each: one that never ends must not hold up the others.

Switching a model to other adapters takes time. So while the earliest due wants others than the last forward had, those
who want the same go on for up to STAY forwards, and only then is it switched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar

STAY = 8
"""Forwards for which the earliest due waits at most because the model would have to be switched to its adapters."""


class Turn(Protocol):
    """What is asked of an item. It may change between two ticks, save its hash."""

    def __hash__(self) -> int: ...

    @property
    def group(self) -> Hashable:
        """Only items of equal groups may share a forward."""
        ...

    @property
    def adapters(self) -> Hashable:
        """What the model has to be switched to; equal within a group."""
        ...

    @property
    def rows(self) -> int:
        """Rows that it takes in a forward."""
        ...

    @property
    def left(self) -> int:
        """Forwards still to make; with 0 it gets no turns."""
        ...


Item = TypeVar("Item", bound=Turn)


class Batcher(Generic[Item]):
    """At most `slots` active items; waiting ones become active first come, first served."""

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"An engine needs at least one slot, not {slots}.")
        self.slots = slots
        self._tick = 0
        self._due: dict[Item, int] = {}
        """The active items, in the order in which they became active."""
        self._owed: dict[Item, int] = {}
        """Forwards that each of them was to make and has not made."""
        self._waiting: deque[tuple[Item, int]] = deque()
        self._adapters: Hashable = None
        """Of the last forward."""
        self._stayed = 0
        """Forwards since the earliest due began to want others."""

    def add(self, item: Item, work: int) -> None:
        """Puts an item last in the waiting line. Raises ValueError if it is here already.

        `work` counts the forwards until somebody gets what they wait for: of all images of a job, for each of them.
        """
        if item in self:
            raise ValueError(f"{item!r} is already in the batcher.")
        self._waiting.append((item, work))

    def remove(self, item: Item) -> None:
        """Takes an item out wherever it is; unknown items are ignored."""
        self._due.pop(item, None)
        self._owed.pop(item, None)
        self._waiting = deque(entry for entry in self._waiting if entry[0] != item)

    @property
    def upcoming(self) -> Item | None:
        """The next waiting item; None when nobody waits or every slot is taken."""
        return self._waiting[0][0] if self._waiting and len(self._due) < self.slots else None

    def promote(self) -> Item | None:
        """The upcoming item, now active."""
        if self.upcoming is None:
            return None
        item, work = self._waiting.popleft()
        self._due[item] = self._tick + work
        self._owed[item] = work
        return item

    def reckon(self, item: Item, work: int) -> None:
        """An active item that had no turn yet takes so many forwards, and not as many as was said of it."""
        self._due[item] += work - self._owed[item]
        self._owed[item] = work

    @property
    def leader(self) -> Item | None:
        """Who leads the next forward, as things stand: None when nobody has a turn to take."""
        ready = self._ready()
        return self._leading(ready) if ready else None

    def pick(self, width: int) -> list[Item]:
        """The items of the next forward, the leader first; empty when nobody has a turn to take.

        `width` is how many rows the forward may have; the leader runs even if it needs more.
        """
        ready = self._ready()
        if not ready:
            return []
        self._tick += 1
        first = self._leading(ready)
        self._stayed = 0 if first is ready[0] else self._stayed + 1
        self._adapters = first.adapters
        chosen, room = [first], width - first.rows
        for item in ready:
            if item is not first and item.group == first.group and item.rows <= room:
                chosen.append(item)
                room -= item.rows
        for item in chosen:
            self._owed[item] -= 1
            self._due[item] += self._owed[item] < 0
        return chosen

    def _ready(self) -> list[Item]:
        return [item for item in self._in_order() if item.left]

    def _leading(self, ready: list[Item]) -> Item:
        """The earliest due, or for a while the first who needs no switching."""
        same = next((item for item in ready if item.adapters == self._adapters), None)
        return ready[0] if same is None or self._stayed >= STAY else same

    def up_to(self, item: Item) -> list[Item]:
        """The active items that come no later than this one, itself included; empty if it is not active."""
        due = self._due.get(item)
        return [] if due is None else [other for other in self._in_order() if self._due[other] <= due]

    def _in_order(self) -> list[Item]:
        return sorted(self._due, key=self._due.__getitem__)

    @property
    def active(self) -> tuple[Item, ...]:
        """The earliest due first."""
        return tuple(self._in_order())

    @property
    def waiting(self) -> tuple[Item, ...]:
        return tuple(item for item, _ in self._waiting)

    def __contains__(self, item: object) -> bool:
        return item in self._due or any(item == waiting for waiting, _ in self._waiting)

    def __iter__(self) -> Iterator[Item]:
        yield from self._due
        yield from self.waiting

"""Who runs in the next forward: active images take turns, the others wait in order; knows neither torch nor jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Batcher(Generic[Item]):
    """Round robin over at most `slots` active items; waiting ones become active first come, first served.

    Between two turns of one item every other active item has exactly one, whoever joins or leaves meanwhile, except
    that one who joins has its first turn after all those already there.
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"An engine needs at least one slot, not {slots}.")
        self.slots = slots
        self._active: deque[Item] = deque()
        self._waiting: deque[Item] = deque()

    def add(self, item: Item) -> None:
        """Puts an item last in the waiting line. Raises ValueError if it is already here."""
        if item in self:
            raise ValueError(f"{item!r} is already in the batcher.")
        self._waiting.append(item)

    def remove(self, item: Item) -> None:
        """Takes an item out wherever it is; unknown items are ignored."""
        for line in (self._active, self._waiting):
            if item in line:
                line.remove(item)

    def promote(self) -> Item | None:
        """The next waiting item, now active; None when nobody waits or every slot is taken."""
        if not self._waiting or len(self._active) >= self.slots:
            return None
        item = self._waiting.popleft()
        self._active.append(item)
        return item

    def turn(self) -> Item | None:
        """The active item whose turn it is; it goes to the end of the line. None when nothing is active."""
        if not self._active:
            return None
        self._active.rotate(-1)
        return self._active[-1]

    @property
    def active(self) -> tuple[Item, ...]:
        """Whose turns come next, in order."""
        return tuple(self._active)

    @property
    def waiting(self) -> tuple[Item, ...]:
        return tuple(self._waiting)

    def __contains__(self, item: object) -> bool:
        return item in self._active or item in self._waiting

    def __iter__(self) -> Iterator[Item]:
        yield from self._active
        yield from self._waiting

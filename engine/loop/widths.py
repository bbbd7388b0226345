"""How many rows a forward has, by mode; knows what was found out about each group, neither torch nor jobs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from engine.contract import Mode
from engine.loop.batcher import Turn
from engine.loop.recent import Recent

RELAX_AFTER = 200
"""Forwards."""
SHAPES = 64
"""About so many it is remembered what was found out."""


class NotNow(Exception):
    """Widths could not be tried, most often for lack of memory; another time they may be."""


class Shaped(Turn, Protocol):
    """A turn that also says what its rows look like."""

    @property
    def shape(self) -> Hashable:
        """Equal for items whose rows have equal shapes."""
        ...

    @property
    def began_exact(self) -> bool:
        """Whether it had a forward of its own in the wide mode: another kind of forward would change its bits."""
        ...


@dataclass(slots=True)
class _Known:
    """What was found out about the rows of one shape."""

    equal: Sequence[int] | None = None
    """None: not tried yet, or to be tried again."""
    limit: int | None = None
    """Rows that memory has room for, where it was short."""
    good: int = 0
    """Forwards that went well since then."""
    wait: int = 0
    """Forwards that have to go well before widths are tried."""
    patience: int = 1
    """What `wait` is the next time: twice as much each time, up to RELAX_AFTER."""

    def put_off(self) -> None:
        self.equal, self.wait = None, self.patience
        self.patience = min(2 * self.patience, RELAX_AFTER)


Item = TypeVar("Item", bound=Shaped)


class Widths(Generic[Item]):
    """The rows of a forward that an item leads.

    exact: its own. wide: up to `rows`, filled up to a width at which a shape's rows get the bits that they get among
    `rows` (`equal_widths` is asked which these are until it can tell; it may raise NotNow); where there is none as in exact,
    and who began so goes on so. fast: up to `rows`. What memory has no room for gets narrower, in wide as in exact, and is
    tried again after a while: memory comes and goes.
    """

    def __init__(
        self, mode: Mode, rows: int, equal_widths: Callable[[Item, int], Sequence[int] | None]
    ) -> None:
        self.mode: Mode = mode
        self.rows = rows
        self._equal_widths = equal_widths
        self._shapes: Recent[Hashable, _Known] = Recent(_Known, SHAPES)

    def of(self, item: Item) -> int:
        """Rows that the forward may have."""
        if self.served(item) == "exact":
            return item.rows
        return max(item.rows, min(self.rows, self._shapes.of(item.shape).limit or self.rows))

    def served(self, item: Item) -> Mode:
        """The mode whose promise holds for this item's next forward; in wide it must be `filled`."""
        if self.mode == "wide" and (item.began_exact or not self._fits_wide(item)):
            return "exact"
        return self.mode

    def filled(self, item: Item, rows: int) -> int:
        """How many rows a forward in wide that this item leads has, for so many that are in it."""
        return min(width for width in self._shapes.of(item.shape).equal or () if width >= rows)

    def narrow(self, item: Item, rows: int) -> None:
        """There was no memory for so many rows of this shape: the next forwards have half of them, in wide those of exact.

        Who had forwards in wide goes on in exact to the end: what failed may have been a compiled model, whose bits no
        other forward has.
        """
        known = self._shapes.of(item.shape)
        if self.mode == "wide":
            known.put_off()
        else:
            known.limit, known.good = max(1, rows // 2), 0

    def relax(self, item: Item) -> None:
        """A forward went well. After many of them twice as many rows are tried again."""
        if self.mode == "exact":
            return
        known = self._shapes.of(item.shape)
        known.wait = max(0, known.wait - 1)
        if known.limit is None or known.limit >= self.rows:
            return
        known.good += 1
        if known.good >= RELAX_AFTER:
            known.limit, known.good = 2 * known.limit, 0

    def _fits_wide(self, item: Item) -> bool:
        if item.rows > self.rows:
            return False
        known = self._shapes.of(item.shape)
        if known.equal is None and not known.wait:
            try:
                known.equal = self._equal_widths(item, self.rows)
            except NotNow:
                known.put_off()
        return bool(known.equal)

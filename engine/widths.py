"""How many rows a forward has, by mode; knows what was found out about each group, neither torch nor jobs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from engine.batcher import Turn
from engine.contract import Mode

RELAX_AFTER = 200
"""Forwards."""


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


Item = TypeVar("Item", bound=Shaped)


class Widths(Generic[Item]):
    """The rows of a forward that an item leads.

    exact: its own. wide: up to `rows`, filled up to a width at which a shape's rows get the bits that they get among
    `rows` (`equal_widths` is asked which these are until it can tell); where there is none as in exact, and who began so
    goes on so. fast: up to `rows`. What memory has no room for gets narrower.
    """

    def __init__(
        self, mode: Mode, rows: int, equal_widths: Callable[[Item, int], Sequence[int] | None]
    ) -> None:
        self.mode: Mode = mode
        self.rows = rows
        self._equal_widths = equal_widths
        self._equal: dict[Hashable, Sequence[int]] = {}
        self._limits: dict[Hashable, int] = {}
        self._good: dict[Hashable, int] = {}

    def of(self, item: Item) -> int:
        """Rows that the forward may have."""
        if self.served(item) == "exact":
            return item.rows
        return max(item.rows, min(self.rows, self._limits.get(item.shape, self.rows)))

    def served(self, item: Item) -> Mode:
        """The mode whose promise holds for this item's next forward; in wide it must be `filled`."""
        if self.mode == "wide" and (item.began_exact or not self._fits_wide(item)):
            return "exact"
        return self.mode

    def filled(self, item: Item, rows: int) -> int:
        """How many rows a forward in wide that this item leads has, for so many that are in it."""
        return min(width for width in self._equal[item.shape] if width >= rows)

    def narrow(self, item: Item, rows: int) -> None:
        """There was no memory for so many rows of this shape: the next forwards have half of them.

        In wide such a shape is served in exact from then on: what failed may have been a compiled model, whose bits no
        other forward has.
        """
        self._limits[item.shape] = max(1, rows // 2)
        self._equal[item.shape] = ()
        self._good[item.shape] = 0

    def relax(self, item: Item) -> None:
        """A forward went well. After many of them twice as many rows are tried again: memory comes and goes."""
        limit = self._limits.get(item.shape)
        if limit is None or limit >= self.rows:
            return
        self._good[item.shape] += 1
        if self._good[item.shape] >= RELAX_AFTER:
            self._limits[item.shape], self._good[item.shape] = 2 * limit, 0

    def _fits_wide(self, item: Item) -> bool:
        if item.rows > self.rows:
            return False
        if item.shape not in self._equal:
            equal = self._equal_widths(item, self.rows)
            if equal is None:
                return False
            self._equal[item.shape] = equal
        return bool(self._equal[item.shape])

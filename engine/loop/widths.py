"""How many rows a forward has, by mode; knows what was found out about each group, neither torch nor jobs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from engine.contract import Mode
from engine.loop.batcher import Turn
from engine.loop.recent import Recent

RELAX_AFTER = 200
"""Forwards."""
SHAPES = 64
"""About so many it is remembered what was found out."""


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

    @property
    def widest(self) -> int | None:
        """Rows that pay where its forwards are computed in another way than the model's others; None: in that way."""
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
    `rows`; where there is none as in exact, and who began so goes on so. fast: up to `rows`. What memory has no room for
    gets narrower, in wide as in exact, and is tried again after a while: memory comes and goes.

    Which widths of a shape have equal bits has to be tried, by whoever lets the model draw: where it `is_untried`, it is
    to `learn` the outcome before its next forward.
    """

    def __init__(self, mode: Mode = "exact", rows: int = 2) -> None:
        """A forward has at most so many `rows` in wide and fast."""
        self.mode: Mode = mode
        self.rows = rows
        self._shapes: Recent[Hashable, _Known] = Recent(_Known, SHAPES)

    @property
    def words(self) -> str:
        """Of a forward, as fingerprints name it."""
        rows = f"{self.rows} rows"
        return {"exact": "1 image", "wide": rows, "fast": f"up to {rows}"}[self.mode]

    @property
    def together(self) -> int:
        """So many pictures with guidance a forward is meant for."""
        return 1 if self.mode == "exact" else max(1, self.rows // 2)

    # -------------------------------------------------------------- looked up

    def is_untried(self, item: Item) -> bool:
        """Whether it could be drawn in wide, if only it were known which widths have equal bits."""
        if self.mode != "wide" or item.began_exact or item.rows >= self.rows_of(item):
            return False
        known = self._shapes.of(item.shape)
        return known.equal is None and not known.wait

    def served(self, item: Item) -> Mode:
        """The mode whose promise holds for this item's next forward; in wide it must be `filled`."""
        if self.mode != "wide":
            return self.mode
        fits = not item.began_exact and item.rows < self.rows_of(item) and self._shapes.of(item.shape).equal
        return "wide" if fits else "exact"

    def rows_of(self, item: Item) -> int:
        """A forward that it leads has at most so many in wide and fast."""
        return item.widest or self.rows

    def most(self, item: Item, mode: Mode) -> int:
        """Rows that the forward may have, which is `served` in this mode."""
        if mode == "exact":
            return item.rows
        rows = self.rows_of(item)
        return max(item.rows, min(rows, self._shapes.of(item.shape).limit or rows))

    def filled(self, item: Item, rows: int) -> int:
        """How many rows a forward in wide that this item leads has, for so many that are in it."""
        return min(width for width in self._shapes.of(item.shape).equal or () if width >= rows)

    # -------------------------------------------------------------- found out

    def learn(self, item: Item, equal: Sequence[int] | None) -> None:
        """The widths of equal bits for this shape, none where even the slots of `rows` differ; None: nobody can tell yet.

        Then its next forward is one in exact, and after that it is to be tried again.
        """
        known = self._shapes.of(item.shape)
        known.equal = equal
        known.wait = 1 if equal is None else 0

    def put_off(self, item: Item) -> None:
        """Widths could not be tried, most often for lack of memory; another time they may be."""
        self._shapes.of(item.shape).put_off()

    def narrow(self, item: Item, rows: int) -> None:
        """There was no memory for so many rows of this shape: the next forwards have half of them, in wide those of exact.

        Who had forwards in wide goes on in exact to the end: what failed may have been a runtime, whose bits no other
        forward has.
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
        if known.limit is None or known.limit >= self.rows_of(item):
            return
        known.good += 1
        if known.good >= RELAX_AFTER:
            known.limit, known.good = 2 * known.limit, 0

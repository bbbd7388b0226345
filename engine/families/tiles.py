"""Cuts a picture into tiles that overlap: arithmetic alone; knows neither pixels nor networks. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

MARGIN = 16
"""Pixels around a tile that its network sees too: farther away little counts. Also what tiles are aligned to, since
networks with windows of 8 or 16 pixels would otherwise lay them elsewhere than in the whole picture."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, as Pillow counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A part of a picture: `core` is what comes of it, `seen` what it is computed from."""

    core: Box
    seen: Box

    @property
    def side(self) -> int:
        """The longer one of the core, in pixels."""
        left, top, right, bottom = self.core
        return max(right - left, bottom - top)


def cut(size: tuple[int, int], side: int, within: Box | None = None) -> list[Tile]:
    """Tiles whose cores cover a picture of `size` (width, height), or a part of it, once; row by row.

    Cores have at most `side` pixels, a multiple of MARGIN, and are about equally large.
    """
    left, top, right, bottom = within or (0, 0, *size)
    return [
        Tile(core=(x, y, x_end, y_end), seen=_seen((x, y, x_end, y_end), size))
        for y, y_end in _spans(top, bottom, side)
        for x, x_end in _spans(left, right, side)
    ]


def _spans(start: int, end: int, side: int) -> list[tuple[int, int]]:
    count = -(-(end - start) // side)
    length = -(-(end - start) // (count * MARGIN)) * MARGIN
    return [(at, min(end, at + length)) for at in range(start, end, length)]


def _seen(core: Box, size: tuple[int, int]) -> Box:
    left, top, right, bottom = core
    return (
        max(0, left - MARGIN),
        max(0, top - MARGIN),
        min(size[0], right + MARGIN),
        min(size[1], bottom + MARGIN),
    )

"""Looks at a picture and says what is on it, by pixels and geometry alone; knows no prompt, no model and no torch.

Colours are the nearest of the palette in CIELAB; a thing is the shape of the renderer that its mask overlaps most when
both have the same area and centroid; a place is a centroid.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFilter

from workshop.starter.scenes import COLOURS, THINGS, Placed, Point, Relation, Scene, mask

Mask = NDArray[np.bool_]
FRAME = 6
"""Pixels along the border that are looked at for the background."""
AREA_MIN = 40
"""Pixels; anything smaller is a speck."""
OVERLAP_MIN = 0.5
"""Intersection over union below which a shape is none of ours."""
APART_MIN = 8.0
"""Pixels between two centroids for a relation."""
_TEMPLATE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One coloured shape. `thing` is None where no shape of ours fits; `centroid` in pixels."""

    colour: str
    thing: str | None
    overlap: float
    centroid: Point

    def is_(self, placed: Placed) -> bool:
        return (self.colour, self.thing) == (placed.colour, placed.thing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is on a picture: its background and up to two shapes, the larger one first."""

    background: str
    seen: tuple[Seen, ...]

    def shows(self, scene: Scene) -> bool:
        """Whether both things of a scene are there, in their colours, and lie as its relation says."""
        found = [next((seen for seen in self.seen if seen.is_(placed)), None) for placed in scene.things]
        match found:
            case [Seen() as first, Seen() as second] if scene.relation is not None:
                return related(first.centroid, second.centroid) == scene.relation
            case [Seen()]:
                return True
            case _:
                return False


def related(first: Point, second: Point) -> Relation | None:
    """Where the first point lies, seen from the second; None where they are not apart."""
    across, down = first[0] - second[0], first[1] - second[1]
    if max(abs(across), abs(down)) < APART_MIN:
        return None
    if abs(across) > abs(down):
        return "left of" if across < 0 else "right of"
    return "above" if down < 0 else "below"


def read(picture: Image.Image) -> Reading:
    """What is on an RGB picture of any size."""
    distances = _distances(picture)
    labels = distances.argmin(axis=-1)
    background = _commonest(_border(labels))
    found = [(_opened(labels == colour), colour) for colour in range(len(COLOURS)) if colour != background]
    shapes = sorted(((int(core.sum()), colour, core) for core, colour in found), key=lambda shape: -shape[0])
    seen = tuple(
        _look(distances[..., colour] < distances[..., background], core, colour)
        for area, colour, core in shapes[:2]
        if area >= AREA_MIN
    )
    return Reading(background=list(COLOURS)[background], seen=seen)


# ------------------------------------------------------------------ colours


@lru_cache(maxsize=1)
def _to_lab() -> ImageCms.ImageCmsTransform:
    cms: Any = ImageCms  # its types are given in part only
    srgb, lab = cms.createProfile("sRGB"), cms.createProfile("LAB")
    return ImageCms.buildTransform(srgb, lab, "RGB", "LAB")


def _lab(picture: Image.Image) -> NDArray[np.float32]:
    """(height, width, 3): L, a, b, each 0 … 255 wide as Pillow writes them, signs put right."""
    converted = ImageCms.applyTransform(picture.convert("RGB"), _to_lab())
    assert converted is not None  # only in place does it return nothing
    values = np.asarray(converted).copy()
    values[..., 1:] ^= 0x80  # Pillow keeps a and b as signed bytes
    return values.astype(np.float32) * (100 / 255, 1, 1)


@lru_cache(maxsize=1)
def _palette() -> NDArray[np.float32]:
    strip = Image.new("RGB", (len(COLOURS), 1))
    strip.putdata(list(COLOURS.values()))
    return _lab(strip)[0]


def _distances(picture: Image.Image) -> NDArray[np.float32]:
    """(height, width, colours): how far each pixel is from each colour of the palette, squared."""
    pixels = _lab(picture)
    return np.stack([np.square(pixels - colour).sum(axis=-1) for colour in _palette()], axis=-1)


def _border(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    inner = np.ones(labels.shape, dtype=bool)
    inner[FRAME:-FRAME, FRAME:-FRAME] = False
    return labels[inner]


def _commonest(labels: NDArray[np.int64]) -> int:
    return Counter(labels.ravel().tolist()).most_common(1)[0][0]


def _opened(where: Mask) -> Mask:
    """Without lines and specks up to two pixels wide: blended edges look like a third colour."""
    image = Image.fromarray(where.astype(np.uint8) * 255)
    return np.asarray(image.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.MaxFilter(3))) > 0


# ------------------------------------------------------------------ shapes


def _look(near: Mask, core: Mask, colour: int) -> Seen:
    """The shape around a core of this colour; its edges count where they are `near`er to it than to the background."""
    grown = Image.fromarray(core.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(5))
    where = near & (np.asarray(grown) > 0)
    rows, columns = np.nonzero(where)
    centroid = (float(columns.mean()) + 0.5, float(rows.mean()) + 0.5)
    scores = {thing: _overlap(where, _template(thing), thing, centroid) for thing in THINGS}
    best = max(scores, key=scores.__getitem__)
    return Seen(
        colour=list(COLOURS)[colour],
        thing=best if scores[best] >= OVERLAP_MIN else None,
        overlap=scores[best],
        centroid=centroid,
    )


@dataclass(frozen=True, slots=True)
class _Template:
    """A thing of half extent 1: its area, and its centroid seen from its centre."""

    area: float
    centroid: Point


@cache
def _template(thing: str) -> _Template:
    half = _TEMPLATE / 4
    drawn = mask(THINGS[thing], (_TEMPLATE, _TEMPLATE), (_TEMPLATE / 2, _TEMPLATE / 2), half)
    rows, columns = np.nonzero(np.asarray(drawn) > 127)
    x, y = float(columns.mean()) + 0.5, float(rows.mean()) + 0.5
    return _Template(
        area=len(rows) / half**2, centroid=((x - _TEMPLATE / 2) / half, (y - _TEMPLATE / 2) / half)
    )


def _overlap(where: Mask, template: _Template, thing: str, centroid: Point) -> float:
    """Intersection over union, 0 … 1, with the thing drawn at the same area and centroid."""
    radius = float(np.sqrt(where.sum() / template.area))
    centre = (centroid[0] - template.centroid[0] * radius, centroid[1] - template.centroid[1] * radius)
    height, width = where.shape
    drawn = np.asarray(mask(THINGS[thing], (width, height), centre, radius)) > 127
    union = (where | drawn).sum()
    return float((where & drawn).sum() / union) if union else 0.0

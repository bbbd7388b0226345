"""Draws the pictures the starter model learns from, and says in words what is on them; knows Pillow, no torch.

A scene is one thing on a plain background, or two things with a relation. `sample` makes them up, `Scene.render` draws
one, and `captions.describe` words it. Combinations of thing, colour and background that `is_held_out` names are never
sampled for training, so that an examination asks for what the model has not seen.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from PIL import Image, ImageDraw

SIDE = 256
"""Pixels a side of the pictures trained on most."""
SIZES: tuple[tuple[int, int], ...] = ((192, 320), (320, 192), (256, 384), (384, 256))
"""(width, height) of some others, so that the model knows more than one shape of picture."""
SUPERSAMPLING = 4

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "orange": (255, 140, 26),
    "yellow": (255, 221, 51),
    "green": (44, 150, 62),
    "blue": (38, 76, 208),
    "purple": (124, 48, 168),
    "pink": (250, 158, 200),
    "white": (252, 252, 252),
    "black": (18, 18, 18),
    "gray": (136, 138, 140),
    "brown": (121, 74, 38),
    "cyan": (72, 209, 222),
}
"""sRGB. Backgrounds are the same twelve."""

RADII: Mapping[str, float] = {"small": 56.0, "medium": 74.0, "large": 98.0}
"""Half the extent of a thing, in pixels of a picture whose shorter side is 256. Medium is what is not said."""
PAIR_RADIUS = 58.0
_JITTER = 10.0
_PAIR_JITTER = 3.0
_PAIR_OFFSET = 64.0
_GROWTH = 0.04

Relation = Literal["left of", "right of", "above", "below"]
RELATIONS: Mapping[Relation, tuple[int, int]] = {
    "left of": (-1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
}
"""Where the first thing lies, seen from the second: (x, y), y downwards."""

# ------------------------------------------------------------------ things

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """A polygon, or an ellipse (`centre`, `radii`), in a square from -1 to 1, y downwards. `ink` False cuts a hole."""

    polygon: tuple[Point, ...] = ()
    centre: Point = (0.0, 0.0)
    radii: Point = (0.0, 0.0)
    ink: bool = True


def _disc(x: float, y: float, radius: float, *, ink: bool = True) -> Part:
    return Part(centre=(x, y), radii=(radius, radius), ink=ink)


def _box(left: float, top: float, right: float, bottom: float, *, ink: bool = True) -> Part:
    return Part(polygon=((left, top), (right, top), (right, bottom), (left, bottom)), ink=ink)


def _around(radius: float, degrees: float) -> Point:
    """A point on a circle, clockwise from the top."""
    angle = math.radians(degrees)
    return radius * math.sin(angle), -radius * math.cos(angle)


def _star(points: int, inner: float) -> Part:
    step = 180 / points
    return Part(polygon=tuple(_around(inner if k % 2 else 1.0, k * step) for k in range(2 * points)))


def _heart() -> Part:
    def point(t: float) -> Point:
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        return x / 17, -(y + 2.5) / 17

    return Part(polygon=tuple(point(math.radians(degrees)) for degrees in range(0, 360, 4)))


def _petals() -> tuple[Part, ...]:
    spots = (_around(0.36, 72 * k) for k in range(5))
    return tuple(_disc(x, y - 0.38, 0.28) for x, y in spots)


THINGS: Mapping[str, tuple[Part, ...]] = {
    "circle": (_disc(0, 0, 0.95),),
    "square": (_box(-0.84, -0.84, 0.84, 0.84),),
    "triangle": (Part(polygon=((0, -0.95), (1, 0.8), (-1, 0.8))),),
    "star": (_star(5, 0.42),),
    "heart": (_heart(),),
    "diamond": (Part(polygon=((0, -1), (0.68, 0), (0, 1), (-0.68, 0))),),
    "ring": (_disc(0, 0, 0.97), _disc(0, 0, 0.52, ink=False)),
    "cross": (_box(-0.32, -0.95, 0.32, 0.95), _box(-0.95, -0.32, 0.95, 0.32)),
    "moon": (_disc(-0.05, 0, 0.97), _disc(0.42, -0.12, 0.78, ink=False)),
    "cloud": (
        _disc(-0.55, 0.18, 0.42),
        _disc(-0.1, -0.16, 0.52),
        _disc(0.5, 0.12, 0.45),
        _box(-0.55, 0.2, 0.5, 0.6),
    ),
    "tree": (
        Part(polygon=((0, -1), (0.5, -0.35), (-0.5, -0.35))),
        Part(polygon=((0, -0.7), (0.68, 0.1), (-0.68, 0.1))),
        Part(polygon=((0, -0.3), (0.85, 0.6), (-0.85, 0.6))),
        _box(-0.17, 0.6, 0.17, 1),
    ),
    "house": (
        Part(polygon=((0, -1), (1, -0.1), (-1, -0.1))),
        _box(-0.74, -0.12, 0.74, 0.9),
        _box(-0.2, 0.3, 0.2, 0.9, ink=False),
    ),
    "flower": (
        *_petals(),
        _disc(0, -0.38, 0.17, ink=False),
        _box(-0.09, 0.1, 0.09, 1),
        Part(centre=(0.36, 0.62), radii=(0.3, 0.16)),
        Part(centre=(-0.36, 0.62), radii=(0.3, 0.16)),
    ),
    "fish": (
        Part(centre=(-0.25, 0), radii=(0.73, 0.5)),
        Part(polygon=((0.25, 0), (1, -0.55), (1, 0.55))),
        _disc(-0.58, -0.12, 0.11, ink=False),
    ),
    "boat": (
        Part(polygon=((-1, 0.34), (1, 0.34), (0.6, 0.95), (-0.6, 0.95))),
        _box(-0.3, -0.95, -0.16, 0.4),
        Part(polygon=((-0.16, -0.95), (-0.16, 0.18), (0.85, 0.18))),
    ),
    "sun": (
        _disc(0, 0, 0.5),
        *(
            Part(
                polygon=(_around(0.62, a - 16), _around(1, a - 13), _around(1, a + 13), _around(0.62, a + 16))
            )
            for a in range(0, 360, 60)
        ),
    ),
}


def mask(shape: Sequence[Part], size: tuple[int, int], centre: Point, radius: float) -> Image.Image:
    """Where the shape is: "L", `size` (width, height) in pixels, antialiased; 255 inside."""
    across, down = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    canvas = Image.new("L", (across, down), 0)
    pen = ImageDraw.Draw(canvas)

    def place(x: float, y: float) -> Point:
        return (centre[0] + x * radius) * SUPERSAMPLING, (centre[1] + y * radius) * SUPERSAMPLING

    for part in shape:
        fill = 255 if part.ink else 0
        if part.polygon:
            pen.polygon([place(*point) for point in part.polygon], fill=fill)
        else:
            (x, y), (wide, high) = part.centre, part.radii
            pen.ellipse([place(x - wide, y - high), place(x + wide, y + high)], fill=fill)
    return canvas.reduce(SUPERSAMPLING)


# ------------------------------------------------------------------ scenes


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One thing where it lies: centre and half extent in pixels. `shape` is what a thing that no word names looks like."""

    thing: str
    colour: str
    size: str = "medium"
    centre: Point = (SIDE / 2, SIDE / 2)
    radius: float = RADII["medium"]
    shape: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.shape or THINGS[self.thing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One thing, or two with a relation (the first one lies so, seen from the second), on a plain background."""

    things: tuple[Placed, ...]
    background: str
    relation: Relation | None = None
    size: tuple[int, int] = (SIDE, SIDE)

    def render(self) -> Image.Image:
        """An RGB picture of `size` (width, height)."""
        picture = Image.new("RGB", self.size, COLOURS[self.background])
        for placed in self.things:
            where = mask(placed.parts, self.size, placed.centre, placed.radius)
            picture.paste(COLOURS[placed.colour], mask=where)
        return picture

    @property
    def held_out(self) -> tuple[bool, ...]:
        """For each thing, whether it is a combination that training leaves out."""
        return tuple(is_held_out(placed.thing, placed.colour, self.background) for placed in self.things)


def is_held_out(thing: str, colour: str, background: str) -> bool:
    """True for a fixed quarter of all combinations, the same on every machine."""
    return zlib.crc32(f"{thing}/{colour}/{background}".encode()) % 4 == 0


def sample(random: Random, *, pairs: float = 0.5, size: tuple[int, int] = (SIDE, SIDE)) -> Scene:
    """A scene for training: never a held-out one. `pairs` is the share of scenes with two things."""
    while True:
        scene = invent(random, pairs=pairs, size=size)
        if not any(scene.held_out):
            return scene


def invent(random: Random, *, pairs: float = 0.5, size: tuple[int, int] = (SIDE, SIDE)) -> Scene:
    """Any scene, held out or not; things never have the background's colour, and two never the same one."""
    two = random.random() < pairs
    background, *colours = random.sample(list(COLOURS), 3)
    names = random.sample(list(THINGS), 2)
    scale = min(size) / SIDE
    if not two:
        word = random.choice(list(RADII))
        return Scene(
            things=(_place(random, names[0], colours[0], word, (0, 0), RADII[word] * scale, size),),
            background=background,
            size=size,
        )
    relation: Relation = random.choice(list(RELATIONS))
    x, y = RELATIONS[relation]
    offsets = ((x, y), (-x, -y))
    return Scene(
        things=tuple(
            _place(random, name, colour, "medium", offset, PAIR_RADIUS * scale, size)
            for name, colour, offset in zip(names, colours, offsets, strict=False)
        ),
        background=background,
        relation=relation,
        size=size,
    )


def _place(
    random: Random,
    thing: str,
    colour: str,
    word: str,
    offset: tuple[int, int],
    radius: float,
    size: tuple[int, int],
) -> Placed:
    scale = min(size) / SIDE
    jitter = (_PAIR_JITTER if any(offset) else _JITTER) * scale
    x, y = (
        extent / 2 + step * _PAIR_OFFSET * scale + random.uniform(-jitter, jitter)
        for extent, step in zip(size, offset, strict=True)
    )
    grown = radius * random.uniform(1 - _GROWTH, 1 + _GROWTH)
    return Placed(thing=thing, colour=colour, size=word, centre=(x, y), radius=grown)

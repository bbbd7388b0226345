"""Makes up shapes that no word of the starter model names, so that its VAE can draw more than it has words for; knows no model."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from workshop.starter.scenes import Part, Placed, Point, Scene

_HOLES = 0.25
"""Of the parts after the first."""


def unnamed(scene: Scene, random: Random) -> Scene:
    """The scene with shapes that have no words in its things' places."""
    return replace(scene, things=tuple(_unnamed(placed, random) for placed in scene.things))


def _unnamed(placed: Placed, random: Random) -> Placed:
    return replace(placed, thing="", shape=shape(random))


def shape(random: Random) -> tuple[Part, ...]:
    """One to five parts, some of them holes, that together reach from -1 to 1 along their longer side."""
    more = (_part(random, ink=random.random() > _HOLES) for _ in range(random.randint(0, 4)))
    return _centred([_part(random, ink=True), *more])


def _part(random: Random, *, ink: bool) -> Part:
    centre = random.uniform(-0.6, 0.6), random.uniform(-0.6, 0.6)
    if random.random() < 0.5:
        radius = random.uniform(0.15, 0.7)
        return Part(centre=centre, radii=(radius, radius * random.uniform(0.4, 1.0)), ink=ink)
    corners = random.randint(3, 6)
    turned, radius = random.uniform(0, 2 * math.pi), random.uniform(0.25, 0.9)
    polygon = tuple(
        _at(
            centre,
            radius * random.uniform(0.4, 1.0),
            turned + 2 * math.pi * (k + random.uniform(-0.3, 0.3)) / corners,
        )
        for k in range(corners)
    )
    return Part(polygon=polygon, ink=ink)


def _at(centre: Point, radius: float, angle: float) -> Point:
    return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)


def _centred(parts: list[Part]) -> tuple[Part, ...]:
    """The same, moved and stretched so that what is drawn lies in the middle of the square from -1 to 1 and fills it."""
    inked = [part for part in parts if part.ink]
    xs, ys = ([value for part in inked for value in _extent(part, axis)] for axis in (0, 1))
    middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    half = max(max(xs) - min(xs), max(ys) - min(ys)) / 2

    def moved(point: Point) -> Point:
        return (point[0] - middle[0]) / half, (point[1] - middle[1]) / half

    return tuple(
        replace(
            part,
            polygon=tuple(map(moved, part.polygon)),
            centre=moved(part.centre),
            radii=(part.radii[0] / half, part.radii[1] / half),
        )
        for part in parts
    )


def _extent(part: Part, axis: int) -> tuple[float, float]:
    """The least and the greatest coordinate along this axis."""
    if part.polygon:
        values = [point[axis] for point in part.polygon]
        return min(values), max(values)
    return part.centre[axis] - part.radii[axis], part.centre[axis] + part.radii[axis]

"""Says what a scene's latents are: for each square of 16 pixels its colours and how far the edge is; knows no model.

A code that a VAE makes up itself describes an edge in a way of its own for every pair of colours; a UNet as small as
ours learned to write colours with it, but no shapes. This one says an edge as a signed distance, which is smooth where the
picture is not: a few samples of it, drawn between and cut at nought, give a clean outline (Green 2007, "Improved
alpha-tested magnification for vector textures and special effects"). It holds for any flat shape, named or not.
"""

# torch describes its types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from workshop.starter.parts import CELL, CHANNELS
from workshop.starter.scenes import COLOURS, Part, Scene
from workshop.starter.studio import normalised, to_tensor

MEAN, GROUND, COLOUR, EDGE = (slice(0, 3), slice(3, 6), slice(6, 9), slice(9, CHANNELS))
"""Channels: the mean colour; the colours outside and inside of an edge, the same where there is none near; and the distance
to the edge in the four quarters of the square, upper ones first."""
REACH = 10.0
"""Pixels from the edge at which the distance is 1, inside, or -1."""


def code(scene: Scene, pixels: Tensor) -> Tensor:
    """The latents (13, height / 16, width / 16), each -1 … 1, of a scene and its picture (3, height, width), uint8."""
    mean = functional.avg_pool2d(normalised(pixels[None]), CELL)[0]
    height, width = mean.shape[-2:]
    latents = torch.zeros(CHANNELS, height, width)
    latents[MEAN] = mean
    latents[GROUND] = latents[COLOUR] = _colour(scene.background)
    latents[EDGE] = -1.0
    down, across = torch.meshgrid(_middles(height), _middles(width), indexing="ij")
    for placed in scene.things:
        x, y = (
            (at - middle) / placed.radius for at, middle in zip((across, down), placed.centre, strict=True)
        )
        distance = (signed_distance(placed.parts, x, y) * placed.radius / REACH).clamp(-1, 1)
        quarters = functional.pixel_unshuffle(distance[None], 2)
        is_inside, is_near = (quarters >= 1).all(dim=0), (quarters > -1).any(dim=0)
        colour = _colour(placed.colour)
        latents[COLOUR] = torch.where(is_near, colour, latents[COLOUR])
        latents[GROUND] = torch.where(is_inside, colour, latents[GROUND])
        latents[EDGE] = torch.maximum(latents[EDGE], quarters)
    return latents


def picture(scene: Scene) -> Tensor:
    """The scene's picture, (3, height, width), uint8."""
    return to_tensor([scene.render()])[0]


def _middles(count: int) -> Tensor:
    """Of the halves of that many squares in a row, in pixels."""
    return (torch.arange(2 * count) + 0.5) * CELL / 2


def _colour(name: str) -> Tensor:
    """(3, 1, 1), -1 … 1."""
    return torch.tensor(COLOURS[name]).view(3, 1, 1) / 127.5 - 1


# ------------------------------------------------------------------ distances


def signed_distance(shape: Sequence[Part], x: Tensor, y: Tensor) -> Tensor:
    """How far points are from a shape's edge, above 0 inside, in the units of its parts.

    Exact in sign, and next to an edge; where parts overlap it is the distance to the edge of one of them.
    """
    distance = torch.full(x.shape, -torch.inf)
    for part in shape:
        of_part = _of_polygon(part, x, y) if part.polygon else _of_ellipse(part, x, y)
        distance = torch.maximum(distance, of_part) if part.ink else torch.minimum(distance, -of_part)
    return distance


def _of_polygon(part: Part, x: Tensor, y: Tensor) -> Tensor:
    """The nearest side's distance; a point is inside if a ray to the right crosses an odd number of sides."""
    squared, is_inside = torch.full(x.shape, torch.inf), torch.zeros(x.shape, dtype=torch.bool)
    for (from_x, from_y), (to_x, to_y) in zip(part.polygon, part.polygon[1:] + part.polygon[:1], strict=True):
        side_x, side_y = to_x - from_x, to_y - from_y
        length = max(side_x**2 + side_y**2, 1e-12)
        along = (((x - from_x) * side_x + (y - from_y) * side_y) / length).clamp(0, 1)
        squared = torch.minimum(
            squared, (x - from_x - along * side_x) ** 2 + (y - from_y - along * side_y) ** 2
        )
        if side_y:
            crosses = (y >= from_y) != (y >= to_y)
            is_inside ^= crosses & (x < from_x + (y - from_y) * side_x / side_y)
    return torch.where(is_inside, 1.0, -1.0) * squared.sqrt()


def _of_ellipse(part: Part, x: Tensor, y: Tensor) -> Tensor:
    """To first order at the edge: the implicit function over the length of its gradient (Taubin 1994)."""
    (middle_x, middle_y), (across, down) = part.centre, part.radii
    x, y = x - middle_x, y - middle_y
    scaled = torch.hypot(x / across, y / down)
    slope = torch.hypot(x / across**2, y / down**2)
    return torch.where(slope > 1e-6, (1 - scaled) * scaled / slope.clamp(min=1e-6), min(across, down))

"""Says what a scene's latents are: for each square of 16 pixels what lies there, in fifteen numbers; knows no model.

A code that a VAE makes up itself describes an edge in a way of its own for every pair of colours; a UNet as small as
ours learned to write colours with it, but no shapes. This one says plainly what a picture this simple consists of, so that
nobody has to guess: the mean colour of the square, the ground's colour and, near a thing, the thing's colour, where in the
thing the square lies, and which thing it is. The UNet decides what is where, and the decoder draws clean edges.

A shape that is none of the sixteen things is written as well, as no thing: its mean colours say how much of each square it
covers.
"""

# torch describes its types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from workshop.starter.scenes import COLOURS, THINGS, Placed, Scene
from workshop.starter.studio import normalised, to_tensor

CELL = 16
"""Pixels a side that one latent pixel stands for."""
MEAN, GROUND, COLOUR, PLACE, WHICH = (slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 11), slice(11, 15))
"""Channels: the mean colour, the ground's, the thing's (the ground's where none is near), (x, y) in the thing, its number."""
CHANNELS = WHICH.stop
REACH = 1.5
"""How far from its centre a square still belongs to a thing, in the thing's half extents."""
_NUMBERS = {thing: number for number, thing in enumerate(THINGS)}


def code(scene: Scene, pixels: Tensor, *, reach: float = REACH) -> Tensor:
    """The latents (15, height / 16, width / 16), each -1 … 1, of a scene and its picture (3, height, width), uint8."""
    mean = functional.avg_pool2d(normalised(pixels[None]), CELL)[0]
    height, width = mean.shape[-2:]
    latents = torch.zeros(CHANNELS, height, width)
    latents[MEAN] = mean
    ground = _colour(scene.background)
    latents[GROUND] = latents[COLOUR] = ground
    down, across = torch.meshgrid(_middles(height), _middles(width), indexing="ij")
    nearest = torch.full((height, width), reach)
    for placed in scene.things:
        x, y = (
            (middles - at) / placed.radius for middles, at in zip((across, down), placed.centre, strict=True)
        )
        away = torch.hypot(x, y)
        is_here = away < nearest
        nearest = torch.minimum(nearest, away)
        said = torch.cat([_colour(placed.colour).expand(3, height, width), x[None] / REACH, y[None] / REACH])
        latents[COLOUR.start : PLACE.stop] = torch.where(is_here, said, latents[COLOUR.start : PLACE.stop])
        latents[WHICH] = torch.where(is_here, _which(placed), latents[WHICH])
    return latents


def picture(scene: Scene) -> Tensor:
    """The scene's picture, (3, height, width), uint8."""
    return to_tensor([scene.render()])[0]


def _middles(count: int) -> Tensor:
    """Of that many squares in a row, in pixels."""
    return (torch.arange(count) + 0.5) * CELL


def _colour(name: str) -> Tensor:
    """(3, 1, 1), -1 … 1."""
    return torch.tensor(COLOURS[name]).view(3, 1, 1) / 127.5 - 1


def _which(placed: Placed) -> Tensor:
    """(4, 1, 1): the thing's number in binary digits of -1 and 1; zeros for none of ours."""
    number = _NUMBERS.get(placed.thing)
    digits = [0.0] * 4 if number is None else [1.0 if number >> bit & 1 else -1.0 for bit in range(4)]
    return torch.tensor(digits).view(4, 1, 1)

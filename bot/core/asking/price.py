"""What a picture costs, in credits: reserved before it is drawn, and finally. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.contract import GenerationRequest, SpooledImage

CREDIT_WORK = 512 * 512 * 31 * 2
"""Pixels × UNet rows that one credit buys: a 512×512 image of 30 steps with guidance, PNDM's extra evaluation included."""


def cost_of(request: GenerationRequest) -> int:
    """Credits a request costs: by pixels and UNet rows that are evaluated, at least 1 per image.

    Guidance takes two rows a step, and what is drawn without it one. An image that is looked at in every evaluation counts as many pixels as the picture.
    """
    seen = request.pixels * (1 + len(request.references))
    return request.images * max(1, math.ceil(seen * request.rows / CREDIT_WORK))


def price_of(cost: int, images: Sequence[SpooledImage]) -> int:
    """What a job that reserved `cost` costs with these finished images: those that are withheld are free."""
    shown = sum(image.path is not None for image in images)
    return math.ceil(cost * shown / max(1, len(images)))

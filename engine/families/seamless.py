"""Seamless tiling: convolutions that see the picture's other side beyond its edge; knows no requests.

As AUTOMATIC1111's “Tiling” does it: while it is on, every convolution with a border pads in circles, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

MARGIN = 8
"""Latents of the other side that a picture decoded in parts is shown: as far as decoders look, near enough."""


@contextmanager
def circular(module: Any, *, on: bool = True) -> Generator[None]:
    """Within it, the module's convolutions go round; afterwards, whatever happened, they are as they were."""
    layers: list[Any] = (
        [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)] if on else []
    )
    before = [layer.padding_mode for layer in layers]
    try:
        for layer in layers:
            layer.padding_mode = "circular"
        yield
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.padding_mode = mode


def decode(vae: Any, latents: Tensor, generator: torch.Generator) -> Tensor:
    """Pixels whose edges meet. In parts, each part would meet itself: there the picture is shown with its other side around."""
    if not vae.use_tiling:
        with circular(vae):
            return vae.decode(latents, return_dict=False, generator=generator)[0]
    down, across = (min(MARGIN, side) for side in latents.shape[-2:])
    around = torch.nn.functional.pad(latents, (across, across, down, down), mode="circular")
    pixels: Tensor = vae.decode(around, return_dict=False, generator=generator)[0]
    scale = pixels.shape[-1] // around.shape[-1]
    return pixels[..., down * scale : -down * scale, across * scale : -across * scale]

"""A model's networks as modules with nothing but tensors as inputs, to be traced; knows no process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from engine.unet.batch import Rows, forward


class Unet(torch.nn.Module):
    """Takes those parts of `Rows` that there are, in their order."""

    def __init__(self, unet: torch.nn.Module, given: Sequence[bool]) -> None:
        """`given`: which parts there are, for each of `Rows`."""
        super().__init__()
        self.unet, self.given = unet, given

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        embeddings: Tensor,
        first: Tensor | None = None,
        second: Tensor | None = None,
        third: Tensor | None = None,
    ) -> Tensor:
        every = iter((latents, timesteps, embeddings, first, second, third))
        return forward(self.unet, Rows.of(next(every) if is_given else None for is_given in self.given))


class Decoder(torch.nn.Module):
    """Latents, unscaled, to pixels from -1 to 1."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents, return_dict=False)[0]


class Upscaler(torch.nn.Module):
    """A tile that its network takes as it is, of 0 … 1, to its enlarged pixels."""

    def __init__(self, network: Any) -> None:
        """`network` as spandrel loads it."""
        super().__init__()
        self.model, self._network = network.model, network

    def forward(self, pixels: Tensor) -> Tensor:
        return self._network(pixels)

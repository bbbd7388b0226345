"""Packs what one picture needs into one UNet batch; knows tensors, neither requests nor samplers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One UNet batch. With guidance there are two rows, the one without the prompt first."""

    latents: Tensor
    """(rows, channels, height / 8, width / 8)"""
    timesteps: Tensor
    """(rows,), float32: holds whole and fractional timesteps exactly, so that any samplers can share a batch."""
    embeddings: Tensor
    """(rows, tokens, width of the text encoder)"""
    guidance: Tensor | None
    """(rows, n) for models that take the guidance scale as an input."""


def pack(
    *,
    latents: Tensor,
    timestep: Tensor,
    embeddings: Tensor,
    guidance: Tensor | None = None,
) -> Rows:
    """The rows of one picture: as many as it has embeddings, all of the same latents and timestep."""
    import torch

    rows = embeddings.shape[0]
    times = torch.full((rows,), float(timestep), dtype=torch.float32, device=latents.device)
    repeated = torch.cat([latents] * rows) if rows > 1 else latents
    return Rows(latents=repeated, timesteps=times, embeddings=embeddings, guidance=guidance)


def mix(prediction: Tensor, scale: float) -> Tensor:
    """What the sampler is given: away from the row without the prompt, towards the one with it."""
    if prediction.shape[0] == 1:
        return prediction
    without, with_prompt = prediction.chunk(2)
    return without + scale * (with_prompt - without)

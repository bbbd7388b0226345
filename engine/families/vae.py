"""What lies between pixels and latents: their scale, and a VAE that takes one picture in tiles; knows no picture's life."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from engine.device.memory import Cut
from engine.device.profiles import Plan

if TYPE_CHECKING:
    from torch import Tensor


def scaled(vae: Any, latents: Tensor) -> Tensor:
    """(1, channels, …) from the VAE, as the UNet takes them."""
    config = vae.config
    spread = _mean_and_spread(vae, latents)
    if spread is None:
        return config.scaling_factor * latents
    return (latents - spread[0]) * config.scaling_factor / spread[1]


def unscaled(vae: Any, latents: Tensor) -> Tensor:
    """The inverse, in the VAE's own numbers: some compute in float32 while all else is float16."""
    config = vae.config
    latents = latents.to(vae.dtype)
    spread = _mean_and_spread(vae, latents)
    if spread is None:
        return latents / config.scaling_factor
    return latents * spread[1] / config.scaling_factor + spread[0]


def _mean_and_spread(vae: Any, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """Of each channel, for the VAEs of a few fine-tunes of SDXL that tell."""
    told = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if None in told:
        return None
    mean, spread = (like.new_tensor(values).view(1, -1, 1, 1) for values in told)
    return mean, spread


def planned(plan: Plan, pixels: int) -> Mapping[str, str]:
    """What a fingerprint says of how a picture of so many pixels is decoded; nothing where that is whole."""
    tile = plan.cut.tile_for(pixels) if plan.cut else None
    return {"decode": f"tiles of {tile} pixels", "profile": plan.profile} if tile else {}


def as_planned(vae: Any, cut: Cut | None, pixels: int) -> AbstractContextManager[None]:
    """The VAE takes a picture of so many pixels in tiles where that is planned, else whole."""
    tile = cut.tile_for(pixels) if cut else None
    return _tiled(vae, tile // _scale(vae)) if tile else nullcontext()


def smaller(vae: Any, cut: Cut | None, width: int, height: int) -> AbstractContextManager[None]:
    """For a picture of so many latents that did not fit: four tiles instead of a whole one, or tiles of half the planned side."""
    tile = cut.tile_for(width * height * _scale(vae) ** 2) if cut else None
    # Two thirds of the longer side. diffusers cuts at three quarters of a tile, which has to be a whole number.
    side = tile // _scale(vae) // 2 if tile else max(8, -(-max(width, height) // 6) * 4)
    return _tiled(vae, side)


@contextmanager
def _tiled(vae: Any, side: int) -> Generator[None]:
    """The VAE takes overlapping tiles of `side` latents one after the other."""
    before = vae.tile_latent_min_size, vae.tile_sample_min_size, vae.use_tiling
    vae.tile_latent_min_size, vae.tile_sample_min_size, vae.use_tiling = side, side * _scale(vae), True
    try:
        yield
    finally:
        vae.tile_latent_min_size, vae.tile_sample_min_size, vae.use_tiling = before


def _scale(vae: Any) -> int:
    """Pixels a side of what one latent stands for."""
    return 2 ** (len(vae.config.block_out_channels) - 1)

"""Lets a VAE work in overlapping tiles for a while, so that large pictures take little memory; knows no picture."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from engine.memory import Cut
from engine.profiles import Plan

if TYPE_CHECKING:
    from torch import Tensor


def planned(plan: Plan, pixels: int) -> Mapping[str, str]:
    """What a fingerprint says of how a picture of so many pixels is decoded; nothing where that is whole."""
    tile = plan.cut.tile_for(pixels) if plan.cut else None
    return {"decode": f"tiles of {tile} pixels", "profile": plan.profile} if tile else {}


def as_planned(vae: Any, cut: Cut | None, pixels: int) -> AbstractContextManager[None]:
    """In tiles where a picture of so many pixels is to be cut, else whole."""
    tile = cut.tile_for(pixels) if cut else None
    return _tiled(vae, tile // scale_of(vae)) if tile else nullcontext()


def smaller(vae: Any, cut: Cut | None, latents: Tensor) -> AbstractContextManager[None]:
    """For latents that did not fit: four tiles instead of a whole picture, or tiles of half the side that was planned."""
    height, width = latents.shape[-2:]
    tile = cut.tile_for(height * width * scale_of(vae) ** 2) if cut else None
    # Two thirds of the longer side. diffusers cuts at three quarters of a tile, which has to be a whole number.
    side = tile // scale_of(vae) // 2 if tile else max(8, -(-max(height, width) // 6) * 4)
    return _tiled(vae, side)


def scale_of(vae: Any) -> int:
    """Pixels a side of what one latent pixel stands for."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


@contextmanager
def _tiled(vae: Any, side: int) -> Generator[None]:
    """`side` of a tile, in latent pixels."""
    before = vae.tile_latent_min_size, vae.tile_sample_min_size, vae.use_tiling
    vae.tile_latent_min_size, vae.tile_sample_min_size, vae.use_tiling = side, side * scale_of(vae), True
    try:
        yield
    finally:
        vae.tile_latent_min_size, vae.tile_sample_min_size, vae.use_tiling = before

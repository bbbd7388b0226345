"""How much memory pictures take by their size, and how large they may be on this machine; knows configs, no requests.

The two factors hold for flash attention and were found for Stable Diffusion 1.5 on the meta device: 65 MiB a UNet row and
384 MiB for decoding one picture of 512x512 in fp16. Other networks of the kind grow with their first level's channels.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import ModelInfo
from engine.errors import BrokenModel

if TYPE_CHECKING:
    import torch

UNET_FACTOR, VAE_FACTOR = 26, 6
"""Peak of live activations, in times of what the first level's channels take at full size."""
TILED = 0.45
"""Share of a whole decode that a tiled one takes."""
SEAMS = 1 / 64
"""Bytes that a pixel which is done keeps while the next tiles are decoded, in shares of what decoding it takes."""
WORKING = 6 * 128 * 4
"""Bytes a pixel that a model of unknown insides takes besides its weights: a whole decode in float32, the worst moment."""
SPARE = 0.9
"""Share of the free memory that may be planned with: allocators round up, and others use the machine too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How large pictures are decoded where memory is little."""

    whole: int
    """Pixels of the largest picture that is decoded in one piece; at least those of a tile."""
    tile: int
    """Pixels a side of the overlapping tiles in which larger ones are decoded."""

    def tile_for(self, pixels: int) -> int | None:
        """The tile for a picture of so many pixels; None where it is decoded whole."""
        return self.tile if pixels > self.whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Bytes of activations per pixel of the picture, and of weights that have to come to the device first."""

    row: float
    """For each row of a forward."""
    decode: float
    """For decoding one picture, which happens between forwards."""
    cut: Cut | None = None
    """None: pictures of all sizes are decoded whole."""
    before_forward: int = 0
    before_decode: int = 0
    """Weights that are not on the device yet."""

    @classmethod
    def of(
        cls,
        unet: Mapping[str, Any],
        vae: Mapping[str, Any],
        *,
        itemsize: int,
        tiles: bool,
        vae_itemsize: int | None = None,
        **more: Any,
    ) -> Needs:
        """From the two configs; `itemsize` in bytes is that of the weights' numbers, the VAE's where they differ.

        With `tiles` a whole decode may fail and be repeated in parts. Without, it has to fit: a processor's memory is
        overcommitted, and its system would kill the engine instead of telling it. `more` are further fields.
        """
        scale = 2 ** (len(vae["block_out_channels"]) - 1)
        return cls(
            row=UNET_FACTOR * unet["block_out_channels"][0] * itemsize / scale**2,
            decode=(TILED if tiles else 1)
            * VAE_FACTOR
            * vae["block_out_channels"][0]
            * (vae_itemsize or itemsize),
            **more,
        )

    def bytes_for(self, pixels: int, rows: int) -> int:
        """At the worst moment of drawing pictures of so many pixels, `rows` rows a forward."""
        tile = self.cut.tile_for(pixels) if self.cut else None
        decoded = pixels if tile is None else tile**2 + SEAMS * pixels
        return round(
            max(self.before_forward + rows * self.row * pixels, self.before_decode + self.decode * decoded)
        )

    def largest(self, free_bytes: int, rows: int) -> int:
        """Pixels of the largest picture that fits, 0 where none does."""
        room = SPARE * free_bytes
        drawn = (room - self.before_forward) / (rows * self.row)
        decoded = (room - self.before_decode) / self.decode
        if self.cut is not None and decoded >= self.cut.whole:
            decoded = max(self.cut.whole, (decoded - self.cut.tile**2) / SEAMS)
        return max(0, int(min(drawn, decoded)))


def reclaim(device: torch.device) -> int | None:
    """Gives back what torch keeps for later. Bytes of the device that are then free, None where nobody can tell."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    _trim()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((int(kib) * 1024 for kib in found), None)


def _trim() -> None:
    """What the C library keeps of what was freed goes back to the system, where that can be asked of it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def fitted(info: ModelInfo, pixels: int) -> ModelInfo:
    """The model with sizes that fit: at most so many pixels, also by default. Raises BrokenModel where none does."""
    if pixels >= info.pixels_max:
        return info
    if pixels < info.side_min**2:
        raise BrokenModel(
            f"There is no memory left to draw with {info.title}, not even {info.side_min}x{info.side_min}: "
            "end what else uses the device, or choose a smaller model."
        )
    width, height = info.width, info.height
    if width * height > pixels:
        shrink = (pixels / (width * height)) ** 0.5
        width, height = (
            max(info.side_min, int(side * shrink) // info.side_multiple * info.side_multiple)
            for side in (width, height)
        )
    return replace(info, pixels_max=pixels, width=width, height=height)

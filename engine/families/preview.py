"""Latents to a small JPEG, quickly: a linear map fitted to the model's own VAE, or a tiny decoder; knows no requests.

That a few numbers per channel show a picture well was described by Keturn in the diffusers forum in 2022; here they
are fitted anew for every VAE, so that any checkpoint has previews.
"""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from PIL import Image

from engine.errors import BrokenModel

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 256
"""Pixels of a preview's longer side, at most, and at most those of the picture."""
QUALITY = 80
_PATCHES, _PATCH_SIDE = 24, 64


class Sketcher(Protocol):
    """Runs on any thread."""

    def jpeg(self, latents: Tensor) -> bytes:
        """A JPEG of latents (1, channels, height / 8, width / 8), float32 on the CPU, scaled as the UNet sees them."""
        ...


class LinearSketcher:
    """Each latent pixel becomes one colour: RGB = latent x matrix + offset, found by least squares."""

    def __init__(self, vae: Any, device: torch.device | None = None) -> None:
        """`device` is where the VAE computes, None where it lies."""
        self._scale = 2 ** (len(vae.config.block_out_channels) - 1)
        self._map = _fit(vae, self._scale, device or vae.device)

    @torch.inference_mode()
    def jpeg(self, latents: Tensor) -> bytes:
        flat = latents[0].permute(1, 2, 0)
        colours = torch.cat([flat, torch.ones_like(flat[..., :1])], dim=-1) @ self._map
        image = _image(colours.clamp(-1, 1))
        full = image.width * self._scale, image.height * self._scale
        return jpeg_of(image.resize(full, Image.Resampling.BICUBIC))


class TinySketcher:
    """A distilled decoder (AutoencoderTiny, such as TAESD): sharper, and heavier than the linear map."""

    def __init__(self, decoder: Any) -> None:
        """In float32 in the processor's memory."""
        self._decoder = decoder

    @classmethod
    def of(cls, folder: str, channels: int) -> Self:
        """Raises BrokenModel with a sentence where the folder holds no AutoencoderTiny for latents of so many channels."""
        diffusers: Any = import_module("diffusers")
        if not (Path(folder) / "config.json").is_file():
            raise BrokenModel(
                f"There is no preview model in “{Path(folder).name}”: give the folder of an AutoencoderTiny, or leave it out."
            )
        try:
            decoder = diffusers.AutoencoderTiny.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, dtype=torch.float32
            )
        except Exception as error:
            raise BrokenModel(
                f"The preview model “{Path(folder).name}” can't be loaded ({type(error).__name__}): "
                "it must be an AutoencoderTiny in safetensors."
            ) from error
        if (found := decoder.config.latent_channels) != channels:
            raise BrokenModel(
                f"The preview model “{Path(folder).name}” is for another kind of model: its latents have {found} "
                f"channels, not {channels}."
            )
        return cls(decoder)

    @torch.inference_mode()
    def jpeg(self, latents: Tensor) -> bytes:
        pixels = self._decoder.decode(latents / self._decoder.config.scaling_factor).sample
        return jpeg_of(_image(pixels[0].permute(1, 2, 0).clamp(-1, 1)))


def _image(colours: Tensor) -> Image.Image:
    """(height, width, 3) of -1 … 1 as a picture of that size."""
    values = ((colours + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(values.numpy())


def jpeg_of(image: Image.Image) -> bytes:
    """A small JPEG of it; it is made smaller itself."""
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()


# ------------------------------------------------------------------ fitting


@torch.inference_mode()
def _fit(vae: Any, scale: int, device: torch.device) -> Tensor:
    """(channels + 1, 3): the map from scaled latents to RGB of -1 … 1 that is best for patches of plain colours."""
    pixels = _patches()
    small = torch.nn.functional.avg_pool2d(pixels, scale)
    latents = vae.encode(pixels.to(device, vae.dtype)).latent_dist.mode().to("cpu", torch.float32)
    shift = vae.config.shift_factor or 0.0
    known = ((latents - shift) * vae.config.scaling_factor).permute(0, 2, 3, 1).flatten(0, 2)
    wanted = small.permute(0, 2, 3, 1).flatten(0, 2)
    with_offset = torch.cat([known, torch.ones_like(known[:, :1])], dim=1)
    algebra: Any = torch.linalg  # it has no types
    return algebra.lstsq(with_offset, wanted).solution


def _patches() -> Tensor:
    """(patches, 3, side, side) of -1 … 1: two plain colours each, the second one in the lower half."""
    generator = torch.Generator("cpu").manual_seed(0)
    colours = torch.rand((_PATCHES, 3, 2, 1), generator=generator) * 2 - 1
    return colours.repeat_interleave(_PATCH_SIDE // 2, dim=2).expand(-1, -1, -1, _PATCH_SIDE).contiguous()

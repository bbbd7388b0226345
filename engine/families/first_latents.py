"""What a picture is before its first step: noise, or an image under noise, with or without a mask; knows no queue, no job.

Follows diffusers 0.42.1: `StableDiffusionImg2ImgPipeline` for an image alone, `StableDiffusionInpaintPipeline` for one
with a mask, and those of the same names for SDXL, which do the same. What each takes from the generator, and in which
order, is part of what a seed means. Only where a VAE tells its latents' mean and spread, which the pipeline for masks
forgets to heed, what the mask keeps comes out as it was here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor  # pyright: ignore[reportUnknownVariableType]

from engine.contract import GenerationRequest, InvalidRequest
from engine.device.layout import Layout
from engine.families import vae
from engine.families.seamless import circular
from engine.pictures.decoding import Inputs

if TYPE_CHECKING:
    from torch import Tensor

SOURCES = 8
"""Encoded images kept, so that a request's other pictures, or a reroll, need no second encoding; one of 512x512 takes
some hundred KiB."""
IN_TILES = "Memory was short, so the image was read in parts: another time the picture may come out slightly different."


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """Puts back, after each step, what the mask keeps, with as much noise as the rest then has."""

    image: Tensor
    noise: Tensor
    mask: Tensor
    """1 where it is drawn anew, 0 elsewhere; all three as latents."""

    def keep(self, latents: Tensor, sampler: Any, timestep: Tensor | None) -> Tensor:
        """`timestep` is that of the next step, None after the last one."""
        kept = (
            self.image if timestep is None else sampler.add_noise(self.image, self.noise, timestep.reshape(1))
        )
        return (1 - self.mask) * kept + self.mask * latents


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A picture before its first step; what the fields mean says `SdCanvas`."""

    timesteps: Tensor
    latents: Tensor
    condition: Tensor | None = None
    blend: Blend | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Source:
    """An image as the VAE sees it: means and deviations, from which each picture draws latents of its own."""

    image: Any
    mask: Tensor | None
    masked: Any
    """The image without what the mask covers; None where the UNet is not shown it."""
    notes: tuple[str, ...]


class Starting:
    """Begins pictures for one model."""

    def __init__(self, pipeline: Any, lies: Layout, is_out_of_memory: Callable[[Exception], bool]) -> None:
        """`is_out_of_memory` says of an error whether less at a time could help."""
        self._pipe, self._is_out_of_memory = pipeline, is_out_of_memory
        self._layout = lies
        self._channels: int = pipeline.vae.config.latent_channels
        self._fills_masks: bool = pipeline.unet.config.in_channels == 2 * self._channels + 1
        self._scale: int = pipeline.vae_scale_factor
        self._masks = VaeImageProcessor(
            vae_scale_factor=self._scale, do_normalize=False, do_binarize=True, do_convert_grayscale=True
        )
        self._source = lru_cache(maxsize=SOURCES)(self._seen)

    def begin(
        self,
        request: GenerationRequest,
        inputs: Inputs | None,
        sampler: Any,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> Beginning:
        """Also tells the sampler, which has its timesteps, where it begins. Raises InvalidRequest for bad masks."""
        first = (request.steps - request.steps_taken) * sampler.order
        if hasattr(sampler, "set_begin_index"):
            sampler.set_begin_index(first)
        timesteps = sampler.timesteps[first:]
        if inputs is None:
            noise = self._noise(request, generator, dtype)
            return Beginning(timesteps=timesteps, latents=noise * sampler.init_noise_sigma)
        source = self._source(inputs, dtype, request.tile)
        if source.mask is None:
            image = self._sample(source.image, generator, dtype)
            noise = self._noise(request, generator, dtype)
            latents = sampler.add_noise(image, noise, timesteps[:1])
            return Beginning(timesteps=timesteps, latents=latents, notes=source.notes)
        return self._masked(request, source, sampler, timesteps, generator, dtype)

    def _masked(
        self,
        request: GenerationRequest,
        source: _Source,
        sampler: Any,
        timesteps: Tensor,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> Beginning:
        """Of the image nothing shines through at strength 1, unlike without a mask."""
        whole = request.strength == 1
        unseen = whole and self._fills_masks
        # The VAE's output keeps the pixels' channels together in memory; the pipeline's copy of it does not, and the
        # UNet's bits depend on that.
        image = None if unseen else self._sample(source.image, generator, dtype).contiguous()
        noise = self._noise(request, generator, dtype)
        beginning = Beginning(
            timesteps=timesteps,
            latents=noise * sampler.init_noise_sigma
            if whole
            else sampler.add_noise(image, noise, timesteps[:1]),
            notes=source.notes,
        )
        assert source.mask is not None
        if self._fills_masks:
            masked = self._sample(source.masked, generator, dtype)
            return replace(beginning, condition=torch.cat([source.mask, masked], dim=1))
        # The pipeline encodes the masked image here too and throws it away: what it drew for that counts.
        self._noise(request, generator, self._pipe.vae.dtype)
        assert image is not None
        return replace(beginning, blend=Blend(image=image, noise=noise, mask=source.mask))

    def _noise(self, request: GenerationRequest, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        shape = (1, self._channels, request.height // self._scale, request.width // self._scale)
        return randn_tensor(shape, generator=generator, device=self._layout.device, dtype=dtype)

    def _sample(self, distribution: Any, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        return vae.scaled(self._pipe.vae, distribution.sample(generator).to(dtype))

    # -------------------------------------------------------------- from pixels

    def _seen(self, inputs: Inputs, dtype: torch.dtype, tile: bool) -> _Source:
        encoder, cut, (width, height) = self._pipe.vae, self._layout.plan.cut, inputs.size
        try:
            with (
                vae.as_planned(encoder, cut, width * height),
                circular(encoder, on=tile and not encoder.use_tiling),
            ):
                return self._encoded(inputs, dtype)
        except Exception as error:
            if not self._is_out_of_memory(error):
                raise
        with vae.smaller(encoder, cut, width // self._scale, height // self._scale):
            source = self._encoded(inputs, dtype)
        return replace(source, notes=(*source.notes, IN_TILES))

    def _encoded(self, inputs: Inputs, dtype: torch.dtype) -> _Source:
        pixels: Tensor = self._pipe.image_processor.preprocess(inputs.image)
        if inputs.mask is None:
            return _Source(image=self._encode(pixels, dtype), mask=None, masked=None, notes=inputs.notes)
        stencil: Tensor = self._masks.preprocess(inputs.mask)
        return _Source(
            image=self._encode(pixels, dtype),
            mask=self._shrunk(stencil, dtype),
            masked=self._encode(pixels * (stencil < 0.5), dtype) if self._fills_masks else None,
            notes=inputs.notes,
        )

    def _shrunk(self, stencil: Tensor, dtype: torch.dtype) -> Tensor:
        """The mask, as large as the latents."""
        height, width = (side // self._scale for side in stencil.shape[-2:])
        mask = torch.nn.functional.interpolate(stencil, size=(height, width))
        if not mask.any():
            raise InvalidRequest(
                f"The mask's white is too thin: paint spots of at least {self._scale} pixels of the finished picture."
            )
        return mask.to(self._layout.device, dtype)

    def _encode(self, pixels: Tensor, dtype: torch.dtype) -> Any:
        """By way of `dtype`, as the pipelines do, even where the VAE computes in float32."""
        encoder = self._pipe.vae
        return encoder.encode(pixels.to(self._layout.device, dtype).to(encoder.dtype)).latent_dist


def beside(latents: Tensor, condition: Tensor | None) -> Tensor:
    """What the UNet is shown."""
    return latents if condition is None else torch.cat([latents, condition], dim=1)

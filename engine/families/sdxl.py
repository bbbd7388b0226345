"""Draws with a StableDiffusionXLPipeline's own parts, equal to calling the pipeline; knows no queue and no job.

It differs from Stable Diffusion in what a prompt becomes (two encoders side by side, and one vector for the whole text),
in the sizes that the UNet is told, and at the end: there is no safety checker. Sizes are told as `pipe()` does when it
is given width and height alone: nothing was cropped, and the original was as large as the picture.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from engine import rows
from engine.contract import GenerationRequest
from engine.families.sd import ENCODED_TEXTS, SdCanvas, SdFamily

if TYPE_CHECKING:
    from torch import Tensor


class SdxlFamily(SdFamily):
    """Stable Diffusion XL, and what was distilled from it (Turbo)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._encode_both = lru_cache(maxsize=ENCODED_TEXTS)(self._encode_twice)

    @torch.inference_mode()
    def prepare(self, request: GenerationRequest, seed: int) -> SdCanvas:
        """Parts 2 to 7: those of Stable Diffusion, and the added embeddings."""
        canvas = super().prepare(request, seed)
        texts = [request.negative_prompt, request.prompt][-canvas.rows :]
        canvas.pooled = torch.cat([self._encode_both(text)[1] for text in texts])
        if (
            canvas.rows == 2
            and not request.negative_prompt
            and self._pipe.config.force_zeros_for_empty_prompt
        ):
            canvas.embeddings[0].zero_()
            canvas.pooled[0].zero_()
        canvas.sizes = self._sizes(canvas.embeddings, (request.width, request.height))
        return canvas

    @torch.inference_mode()
    def _blank(self, count: int, size: tuple[int, int]) -> rows.Rows:
        blank = super()._blank(count, size)
        pooled = self._encode_both("")[1].repeat(count, 1)
        return replace(blank, pooled=pooled, sizes=self._sizes(blank.embeddings, size))

    def _encode_text(self, text: str) -> Tensor:
        return self._encode_both(text)[0]

    def _encode_twice(self, text: str) -> tuple[Tensor, Tensor]:
        """(1, tokens, width of both encoders) and (1, width of the second one)."""
        encoded = self._pipe.encode_prompt(text, device=self._device, do_classifier_free_guidance=False)
        return encoded[0], encoded[2]

    def _sizes(self, embeddings: Tensor, size: tuple[int, int]) -> Tensor:
        """What each of the rows is told of a picture of `size` (width, height)."""
        width, height = size
        told = [height, width, 0, 0, height, width]
        return embeddings.new_tensor([told] * len(embeddings))

    def _unscaled(self, latents: Tensor) -> Tensor:
        """Some VAEs in float16 compute in float32, and some fine-tunes have latents of another mean and spread."""
        config = self._pipe.vae.config
        latents = latents.to(self._pipe.vae.dtype)
        if config.latents_mean is None or config.latents_std is None:
            return latents / config.scaling_factor
        mean, spread = (
            latents.new_tensor(values).view(1, -1, 1, 1)
            for values in (config.latents_mean, config.latents_std)
        )
        return latents * spread / config.scaling_factor + mean

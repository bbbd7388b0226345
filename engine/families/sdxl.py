"""Draws with a StableDiffusionXLPipeline's own parts, equal to calling the pipeline; knows no queue and no job.

It differs from Stable Diffusion in what a prompt becomes (two encoders side by side, and one vector for the whole text),
and in the sizes that the UNet is told: as `pipe()` does when it is given width and height alone, nothing was cropped, and
the original was as large as the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from engine.contract import GenerationRequest
from engine.families.sd import SdCanvas, SdFamily
from engine.pictures.decoding import Inputs
from engine.unet.batch import told_sizes

if TYPE_CHECKING:
    from torch import Tensor


class SdxlFamily(SdFamily):
    """Stable Diffusion XL, and what was distilled from it (Turbo)."""

    align_your_steps = "StableDiffusionXLTimesteps"

    @torch.inference_mode()
    def _canvas(self, request: GenerationRequest, seed: int, inputs: Inputs | None) -> SdCanvas:
        """Parts 2 to 7: those of Stable Diffusion, and the added embeddings."""
        canvas = super()._canvas(request, seed, inputs)
        texts = [request.negative_prompt, request.prompt][-canvas.rows :]
        canvas.pooled = torch.cat([self._pooled(text) for text in texts])
        if (
            canvas.rows == 2
            and not request.negative_prompt
            and self._pipe.config.force_zeros_for_empty_prompt
        ):
            canvas.embeddings[0].zero_()
            canvas.pooled[0].zero_()
        canvas.sizes = told_sizes(canvas.embeddings, (request.width, request.height))
        return canvas

    def _pooled(self, text: str) -> Tensor:
        """(1, width of the second encoder): the text as a whole."""
        pooled = self._prompts.encode(text).pooled
        assert pooled is not None  # an XL pipeline always has it
        return pooled

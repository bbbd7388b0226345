"""What learning needs of pictures and words, computed once: latents, and what text encoders make of captions.

Follows the data part of diffusers' text-to-image LoRA script in method. Knows a pipeline's parts, no optimizer.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.checkpoints.lora_names import TEXT, TEXT_2
from engine.families import vae
from engine.training.pictures import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One picture as the UNet is taught it."""

    mean: Tensor
    """(channels, height, width) of its latents."""
    spread: Tensor | None
    """Around it; None where they are known exactly."""
    caption: str
    sizes: tuple[int, int, int, int, int, int]
    """As SDXL is told them: height and width before cutting, top and left of what was kept, height and width."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.mean.shape[-1], self.mean.shape[-2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the UNet sees of captions, a row each."""

    states: Tensor
    """(n, tokens, width)."""
    pooled: Tensor | None
    """(n, width): SDXL's, of each text as a whole."""


def text_encoders(pipeline: Any) -> dict[str, Any]:
    """By the names that the pipeline has for them."""
    parts = {name: getattr(pipeline, name, None) for name in (TEXT, TEXT_2)}
    return {name: part for name, part in parts.items() if part is not None}


def read(pipeline: Any, captions: Sequence[str]) -> Words:
    """As the pipeline itself reads them, without weights and windows; differentiable."""
    encoders = text_encoders(pipeline)
    states: list[Tensor] = []
    pooled = None
    for (name, encoder), tokenizer in zip(encoders.items(), _tokenizers(pipeline), strict=True):
        ids = tokenizer(
            list(captions),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        found = encoder(ids.to(encoder.device), output_hidden_states=len(encoders) > 1)
        states.append(found.hidden_states[-2] if len(encoders) > 1 else found[0])
        if name == TEXT_2:
            pooled = found[0]
    return Words(states=torch.cat(states, dim=-1), pooled=pooled)


def _tokenizers(pipeline: Any) -> list[Any]:
    two = getattr(pipeline, "tokenizer_2", None)
    return [pipeline.tokenizer] if two is None else [pipeline.tokenizer, two]


def lessons(pipeline: Any, examples: Sequence[Example], device: torch.device) -> Generator[Lesson]:
    """The pictures' latents, one by one. The VAE is on the device meanwhile, and then back."""
    decoder = pipeline.vae.to(device)
    try:
        for example in examples:
            yield _lesson(pipeline, decoder, example, device)
    finally:
        decoder.to("cpu")


@torch.no_grad()
def _lesson(pipeline: Any, decoder: Any, example: Example, device: torch.device) -> Lesson:
    pixels = pipeline.image_processor.preprocess(example.image).to(device, decoder.dtype)
    told = decoder.encode(pixels).latent_dist
    mean, beside = (vae.scaled(decoder, each.float()) for each in (told.mean, told.mean + told.std))
    width, height = example.image.size
    return Lesson(
        mean=mean[0].cpu(),
        spread=(beside - mean)[0].cpu(),
        caption=example.caption,
        sizes=(example.scaled[1], example.scaled[0], example.corner[1], example.corner[0], height, width),
    )

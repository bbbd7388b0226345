"""Draws with a model that is being taught, by its own pipeline: samples, and what it is to keep. Disturbs no learning."""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from engine.contract import ModelInfo
from engine.training.prepared import Lesson, text_encoders

if TYPE_CHECKING:
    from PIL.Image import Image


@torch.no_grad()
def draw(
    pipeline: Any, info: ModelInfo, prompts: Sequence[str], seed: int, device: torch.device
) -> list[Image]:
    """A picture of each prompt, with one seed for all."""
    with _aboard(pipeline, device):
        return [_call(pipeline, info, prompt, seed, device, "pil")[0] for prompt in prompts]


@torch.no_grad()
def keep(pipeline: Any, info: ModelInfo, prompt: str, seed: int, device: torch.device) -> Lesson:
    """What the model draws before it is taught, as a lesson."""
    with _aboard(pipeline, device):
        latents = _call(pipeline, info, prompt, seed, device, "latent")[0]
    sizes = (info.height, info.width, 0, 0, info.height, info.width)
    return Lesson(mean=latents.float().cpu(), spread=None, caption=prompt, sizes=sizes)


def _call(pipeline: Any, info: ModelInfo, prompt: str, seed: int, device: torch.device, kind: str) -> Any:
    dtype = pipeline.unet.dtype
    with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
        return pipeline(
            prompt,
            width=info.width,
            height=info.height,
            num_inference_steps=info.steps,
            guidance_scale=info.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type=kind,
        ).images


@contextmanager
def _aboard(pipeline: Any, device: torch.device) -> Generator[None]:
    """All parts are on the device meanwhile, those that only wait for it but for that."""
    parts = {"vae": pipeline.vae, **text_encoders(pipeline)}
    before = {name: part.device for name, part in parts.items()}
    if device.type != "cpu":
        pipeline.vae.enable_tiling()
    try:
        pipeline.to(device)
        yield
    finally:
        for name, part in parts.items():
            part.to(before[name])

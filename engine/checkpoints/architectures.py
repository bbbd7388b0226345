"""Pipelines of diffusers that are drawn with by calling them: what their calls take by default; knows no torch.

Only these are ever called: each is diffusers' own, makes one picture from one text, and takes the arguments below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a pipeline's `__call__` takes; the numbers are its own defaults."""

    steps: int
    guidance: float
    argument: str = "guidance_scale"
    """The name of its argument for guidance."""
    negative: bool = True
    """Whether a negative prompt makes a difference."""
    unsaid: str | None = None
    """The negative prompt where there is none: without one, guidance would make no difference."""
    side: int | None = None
    """Width and height, where they are not those that the transformer's config tells."""


CALLS: Mapping[str, Call] = {
    "AuraFlowPipeline": Call(steps=50, guidance=3.5, side=1024),
    "ChromaPipeline": Call(steps=35, guidance=5.0),
    "CogView4Pipeline": Call(steps=50, guidance=5.0),
    "FluxPipeline": Call(steps=28, guidance=3.5, negative=False),
    "Flux2Pipeline": Call(steps=50, guidance=4.0, negative=False),
    "Flux2KleinPipeline": Call(steps=50, guidance=4.0, negative=False),
    "Lumina2Pipeline": Call(steps=30, guidance=4.0),
    "OvisImagePipeline": Call(steps=50, guidance=5.0),
    "PixArtAlphaPipeline": Call(steps=20, guidance=4.5),
    "PixArtSigmaPipeline": Call(steps=20, guidance=4.5),
    "QwenImagePipeline": Call(steps=50, guidance=4.0, argument="true_cfg_scale", unsaid=" "),
    "SanaPipeline": Call(steps=20, guidance=4.5),
    "StableDiffusion3Pipeline": Call(steps=28, guidance=7.0),
    "ZImagePipeline": Call(steps=50, guidance=5.0),
}


CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
    "safety_checker": ("diffusers.pipelines.stable_diffusion.safety_checker", "StableDiffusionSafetyChecker"),
}
"""What each component is, whatever a checkpoint's model_index.json calls it: nothing else is ever loaded."""


PIPELINES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sd": ("StableDiffusionPipeline", {}),
    "sdxl": ("StableDiffusionXLPipeline", {"add_watermarker": False}),
}
"""What each family is put together as. A watermark nobody sees would keep pictures from being equal between machines."""

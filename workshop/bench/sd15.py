"""Stable Diffusion 1.5's architecture by its public configuration, with random weights; knows neither files nor requests.

Speed and memory do not depend on what the weights are, so this measures a machine without a download of 4 GB. Only the
tokenizer is ours, since the real one's vocabulary is a file: it makes more tokens of a text, of which 77 are used anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine import samplers
from engine.contract import ModelInfo
from workshop.starter.parts import clip_tokenizer

if TYPE_CHECKING:
    import torch

    from engine.device.choice import Place
    from engine.device.layout import Settled

SIDE, TOKENS, WORDS = 512, 77, 49_408
TINY_SIDE, TINY_WIDTH = 128, 32
"""Pictures' sides and embeddings of the same architecture with few and narrow layers, which draws in no time."""
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
CONTRAST = 0.5
"""Untrained, the VAE would paint everything grey, and equal pixels would say nothing: its pictures get this deviation."""


def describe(*, is_tiny: bool = False) -> ModelInfo:
    config = {**SCHEDULER, "_class_name": "PNDMScheduler"}
    return ModelInfo(
        id="sd15-tiny" if is_tiny else "sd15-random",
        width=TINY_SIDE if is_tiny else SIDE,
        height=TINY_SIDE if is_tiny else SIDE,
        title="Stable Diffusion 1.5's architecture, random weights",
        samplers=samplers.offered(config),
        safety_checker=False,
        takes_images=True,
    )


def build(place: Place, *, is_tiny: bool = False) -> Settled:
    """The pipeline, settled as `place` wants it; "auto" is full, so that it can be made on the device."""
    from engine.device import layout

    pipeline, place = made(place, partial(assemble, is_tiny=is_tiny))
    return layout.settle(pipeline, place, called=False)


def made(place: Place, assemble: Callable[[Any], Any]) -> tuple[Any, Place]:
    """What `assemble` makes on a device, bright and in the numbers of `place`; and the place, its profile decided."""
    torch: Any = import_module("torch")
    torch.manual_seed(0)
    if place.profile == "auto":
        place = replace(place, profile="full")
    pipeline = assemble(place.device if place.profile == "full" else torch.device("cpu"))
    brighten(pipeline.vae)
    return pipeline.to(place.dtype), place


def assemble(device: torch.device, *, is_tiny: bool = False) -> Any:
    """The pipeline in float32, its weights made on that device."""
    diffusers: Any = import_module("diffusers")
    tokenizer = clip_tokenizer([], TOKENS)
    with device:
        parts = {
            "unet": unet(is_tiny=is_tiny),
            "vae": vae(is_tiny=is_tiny),
            "text_encoder": text_encoder(tokenizer, is_tiny=is_tiny),
        }
    return diffusers.StableDiffusionPipeline(
        **{name: part.eval() for name, part in parts.items()},
        tokenizer=tokenizer,
        scheduler=diffusers.PNDMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def unet(*, is_tiny: bool = False) -> Any:
    diffusers: Any = import_module("diffusers")
    return diffusers.UNet2DConditionModel(
        sample_size=(TINY_SIDE if is_tiny else SIDE) // 8,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        block_out_channels=(32, 32, 64, 64) if is_tiny else (320, 640, 1280, 1280),
        layers_per_block=1 if is_tiny else 2,
        cross_attention_dim=TINY_WIDTH if is_tiny else 768,
        attention_head_dim=8,
    )


def vae(*, is_tiny: bool = False, **changes: Any) -> Any:
    """The autoencoder that SDXL has too, but for these changes."""
    diffusers: Any = import_module("diffusers")
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32,) * 4 if is_tiny else (128, 256, 512, 512),
        layers_per_block=1 if is_tiny else 2,
        **{"sample_size": SIDE, **changes},
    )


def text_encoder(tokenizer: Any, *, is_tiny: bool = False) -> Any:
    """CLIP ViT-L/14's, which is SDXL's first one too."""
    transformers: Any = import_module("transformers")
    return transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer) if is_tiny else WORDS,
            hidden_size=TINY_WIDTH if is_tiny else 768,
            intermediate_size=TINY_WIDTH if is_tiny else 3072,
            projection_dim=TINY_WIDTH if is_tiny else 768,
            num_hidden_layers=1 if is_tiny else 12,
            num_attention_heads=2 if is_tiny else 12,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def brighten(vae: Any) -> None:
    """Gives untrained pictures some contrast."""
    torch: Any = import_module("torch")
    with torch.inference_mode():
        latents = torch.randn(1, 4, 32, 32, device=vae.device)
        spread = vae.decode(latents, return_dict=False)[0].std()
        factor = (CONTRAST / spread).item()
    last = vae.decoder.conv_out
    last.weight.data.mul_(factor)
    last.bias.data.zero_()

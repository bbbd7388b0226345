"""Stable Diffusion XL's architecture by its public configuration, with random weights; knows neither files nor requests.

For the same reasons as `workshop.bench.sd15`: 7 GB need not be downloaded to measure a machine.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine import samplers
from engine.contract import ModelInfo
from workshop.bench import sd15
from workshop.starter.parts import clip_tokenizer

if TYPE_CHECKING:
    import torch

    from engine.device.choice import Place
    from engine.device.layout import Settled

SIDE = 1024
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


def describe(*, is_tiny: bool = False) -> ModelInfo:
    config = {**SCHEDULER, "_class_name": "EulerDiscreteScheduler"}
    return ModelInfo(
        id="sdxl-tiny" if is_tiny else "sdxl-random",
        title="Stable Diffusion XL's architecture, random weights",
        family="sdxl",
        width=sd15.TINY_SIDE if is_tiny else SIDE,
        height=sd15.TINY_SIDE if is_tiny else SIDE,
        guidance_scale=5.0,
        sampler="Euler",
        samplers=samplers.offered(config),
    )


def build(place: Place, *, is_tiny: bool = False) -> Settled:
    """The pipeline, settled as `place` wants it; "auto" is full, so that it can be made on the device."""
    from engine.device import layout

    pipeline, place = sd15.made(place, partial(assemble, is_tiny=is_tiny))
    if place.dtype is import_module("torch").float16:
        pipeline.vae.float()  # it would overflow, as its config says
    return layout.settle(pipeline, place, called=False)


def assemble(device: torch.device, *, is_tiny: bool = False) -> Any:
    """The pipeline in float32, its weights made on that device."""
    diffusers: Any = import_module("diffusers")
    first, second = (clip_tokenizer([], sd15.TOKENS) for _ in range(2))
    with device:
        parts = {
            "unet": _unet(is_tiny=is_tiny),
            "vae": sd15.vae(is_tiny=is_tiny, sample_size=SIDE, scaling_factor=0.13025),
            "text_encoder": sd15.text_encoder(first, is_tiny=is_tiny),
            "text_encoder_2": _second_text_encoder(second, is_tiny=is_tiny),
        }
    return diffusers.StableDiffusionXLPipeline(
        **{name: part.eval() for name, part in parts.items()},
        tokenizer=first,
        tokenizer_2=second,
        scheduler=diffusers.EulerDiscreteScheduler(**SCHEDULER),
        add_watermarker=False,
    )


def _unet(*, is_tiny: bool) -> Any:
    diffusers: Any = import_module("diffusers")
    pooled = sd15.TINY_WIDTH if is_tiny else 1280
    return diffusers.UNet2DConditionModel(
        sample_size=(sd15.TINY_SIDE if is_tiny else SIDE) // 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 32, 64) if is_tiny else (320, 640, 1280),
        layers_per_block=1 if is_tiny else 2,
        cross_attention_dim=2 * sd15.TINY_WIDTH if is_tiny else 2048,
        attention_head_dim=(2, 2, 4) if is_tiny else (5, 10, 20),
        transformer_layers_per_block=(1, 1, 1) if is_tiny else (1, 2, 10),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8 if is_tiny else 256,
        projection_class_embeddings_input_dim=pooled + 6 * (8 if is_tiny else 256),
    )


def _second_text_encoder(tokenizer: Any, *, is_tiny: bool) -> Any:
    """OpenCLIP ViT-bigG/14's."""
    transformers: Any = import_module("transformers")
    return transformers.CLIPTextModelWithProjection(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer) if is_tiny else sd15.WORDS,
            hidden_size=sd15.TINY_WIDTH if is_tiny else 1280,
            intermediate_size=sd15.TINY_WIDTH if is_tiny else 5120,
            projection_dim=sd15.TINY_WIDTH if is_tiny else 1280,
            num_hidden_layers=2 if is_tiny else 32,
            num_attention_heads=2 if is_tiny else 20,
            hidden_act="gelu",
            max_position_embeddings=sd15.TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )

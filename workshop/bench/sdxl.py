"""Stable Diffusion XL's architecture by its public configuration, with random weights; knows neither files nor requests.

For the same reasons as `workshop.bench.sd15`: 7 GB need not be downloaded to measure a machine.
"""

from __future__ import annotations

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


def describe() -> ModelInfo:
    config = {**SCHEDULER, "_class_name": "EulerDiscreteScheduler"}
    return ModelInfo(
        id="sdxl-random",
        title="Stable Diffusion XL's architecture, random weights",
        family="sdxl",
        width=SIDE,
        height=SIDE,
        guidance_scale=5.0,
        sampler="Euler",
        samplers=samplers.offered(config),
    )


def build(place: Place) -> Settled:
    """The pipeline, settled as `place` wants it; "auto" is full, so that it can be made on the device."""
    from engine.device import layout

    pipeline, place = sd15.made(place, assemble)
    if place.dtype is import_module("torch").float16:
        pipeline.vae.float()  # it would overflow, as its config says
    return layout.settle(pipeline, place, called=False)


def assemble(device: torch.device) -> Any:
    """The pipeline in float32, its weights made on that device."""
    diffusers: Any = import_module("diffusers")
    first, second = (clip_tokenizer([], sd15.TOKENS) for _ in range(2))
    with device:
        parts = {
            "unet": _unet(),
            "vae": sd15.vae(sample_size=SIDE, scaling_factor=0.13025),
            "text_encoder": sd15.text_encoder(first),
            "text_encoder_2": _second_text_encoder(second),
        }
    return diffusers.StableDiffusionXLPipeline(
        **{name: part.eval() for name, part in parts.items()},
        tokenizer=first,
        tokenizer_2=second,
        scheduler=diffusers.EulerDiscreteScheduler(**SCHEDULER),
        add_watermarker=False,
    )


def _unet() -> Any:
    diffusers: Any = import_module("diffusers")
    return diffusers.UNet2DConditionModel(
        sample_size=SIDE // 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(320, 640, 1280),
        layers_per_block=2,
        cross_attention_dim=2048,
        attention_head_dim=(5, 10, 20),
        transformer_layers_per_block=(1, 2, 10),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def _second_text_encoder(tokenizer: Any) -> Any:
    """OpenCLIP ViT-bigG/14's."""
    transformers: Any = import_module("transformers")
    return transformers.CLIPTextModelWithProjection(
        transformers.CLIPTextConfig(
            vocab_size=sd15.WORDS,
            hidden_size=1280,
            intermediate_size=5120,
            projection_dim=1280,
            num_hidden_layers=32,
            num_attention_heads=20,
            hidden_act="gelu",
            max_position_embeddings=sd15.TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )

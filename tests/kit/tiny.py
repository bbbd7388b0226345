"""Builds tiny Stable Diffusion and SDXL folders with random weights, for tests that want such; knows the hub's layout.

The architectures are the real ones, only small, so whatever works with this folder works with a real checkpoint, except
that the pictures are colourful noise.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from workshop.starter.parts import clip_tokenizer

SIDE = 128
TITLE = "Tiny random model"
SCHEDULER: dict[str, Any] = {  # what Stable Diffusion 1.5 ships
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "clip_sample": False,
}
SCHEDULER_XL: dict[str, Any] = {  # what Stable Diffusion XL ships
    **SCHEDULER,
    "_class_name": "EulerDiscreteScheduler",
    "interpolation_type": "linear",
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "timestep_spacing": "leading",
    "use_karras_sigmas": False,
}
_WIDTH, _WIDTH_2, _POOLED = 32, 48, 24
Safety = Literal["none", "passes", "flags"]


def build(
    folder: Path,
    *,
    seed: int = 0,
    safety: Safety = "none",
    prediction_type: str = "epsilon",
    time_cond_proj_dim: int | None = None,
    fills_masks: bool = False,
    describe: bool = True,
) -> Path:
    """Writes the folder and returns it. `safety` adds a checker that passes or flags every picture.

    With `fills_masks` it is one that was made for inpainting: its UNet is shown a mask and an image, too.
    """
    _quiet()
    diffusers: Any = import_module("diffusers")
    torch: Any = import_module("torch")
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    checker, extractor = _safety_parts(safety) if safety != "none" else (None, None)
    kind = "StableDiffusionInpaintPipeline" if fills_masks else "StableDiffusionPipeline"
    pipeline = getattr(diffusers, kind)(
        vae=_vae(),
        text_encoder=_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=_unet(9 if fills_masks else 4, time_cond_proj_dim),
        scheduler=diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        safety_checker=checker,
        feature_extractor=extractor,
        requires_safety_checker=safety != "none",
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    _write_scheduler(folder, SCHEDULER, prediction_type)
    if describe:
        _write_description(folder)
    return folder


def build_xl(
    folder: Path,
    *,
    seed: int = 0,
    prediction_type: str = "epsilon",
    force_upcast: bool = True,
    zeros_for_empty: bool = True,
    fills_masks: bool = False,
) -> Path:
    """Writes a folder for StableDiffusionXLPipeline, or StableDiffusionXLInpaintPipeline, and returns it."""
    _quiet()
    torch: Any = import_module("torch")
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = assemble_xl(
        force_upcast=force_upcast, zeros_for_empty=zeros_for_empty, fills_masks=fills_masks
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    _write_scheduler(folder, SCHEDULER_XL, prediction_type)
    _write_description(folder)
    return folder


def assemble_xl(*, force_upcast: bool = True, zeros_for_empty: bool = True, fills_masks: bool = False) -> Any:
    """The pipeline that `build_xl` writes."""
    diffusers: Any = import_module("diffusers")
    tokenizer = _tokenizer("! !</w>")
    kind = "StableDiffusionXLInpaintPipeline" if fills_masks else "StableDiffusionXLPipeline"
    return getattr(diffusers, kind)(
        vae=_vae(force_upcast=force_upcast),
        text_encoder=_text_encoder(tokenizer),
        text_encoder_2=_text_encoder(tokenizer, projected=True),
        tokenizer=tokenizer,
        tokenizer_2=_tokenizer("! !</w>", pad="!"),
        unet=_unet_xl(9 if fills_masks else 4),
        scheduler=diffusers.EulerDiscreteScheduler(),
        force_zeros_for_empty_prompt=zeros_for_empty,
        add_watermarker=False,
    )


def assemble() -> Any:
    """The same pipeline as `build` writes, without a checker."""
    diffusers: Any = import_module("diffusers")
    tokenizer = _tokenizer()
    return diffusers.StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=_unet(4, None),
        scheduler=diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def build_decoder(folder: Path, *, seed: int = 0, **options: Any) -> Path:
    """Writes an AutoencoderTiny as madebyollin/taesd has it, far narrower, and returns its folder."""
    _quiet()
    diffusers: Any = import_module("diffusers")
    torch: Any = import_module("torch")
    torch.manual_seed(seed)
    narrow = dict.fromkeys(("encoder_block_out_channels", "decoder_block_out_channels"), (8,) * 4)
    decoder = diffusers.AutoencoderTiny(**{**narrow, **options})
    decoder.decoder.layers[-1].weight.data.mul_(5)  # untrained, it would paint everything black
    decoder.save_pretrained(folder, safe_serialization=True)
    return folder


def _quiet() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # read when it is imported
    for library in ("diffusers", "transformers"):
        import_module(f"{library}.utils.logging").disable_progress_bar()


def _write_scheduler(folder: Path, config: dict[str, Any], prediction_type: str) -> None:
    """As in the real checkpoint: diffusers itself would write every default too, which samplers then inherit."""
    values = config if prediction_type == "epsilon" else {**config, "prediction_type": prediction_type}
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _write_description(folder: Path) -> None:
    values = {
        "title": TITLE,
        "description": "random weights: draws colourful noise, obeys no prompt",
        "width": SIDE,
        "height": SIDE,
        "steps": 8,
        "side_max": 512,
        "pixels_max": 512 * 512,
    }
    (folder / "easel.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _unet(in_channels: int, time_cond_proj_dim: int | None) -> Any:
    diffusers: Any = import_module("diffusers")
    return diffusers.UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
        time_cond_proj_dim=time_cond_proj_dim,
    )


def _unet_xl(in_channels: int) -> Any:
    diffusers: Any = import_module("diffusers")
    numbers = 8  # for each of the six sizes that it is told
    return diffusers.UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        cross_attention_dim=_WIDTH + _WIDTH_2,
        attention_head_dim=4,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=numbers,
        projection_class_embeddings_input_dim=6 * numbers + _POOLED,
    )


def _vae(**options: Any) -> Any:
    diffusers: Any = import_module("diffusers")
    vae = diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
        **options,
    )
    vae.decoder.conv_out.weight.data.mul_(2.5)  # untrained, it would paint everything grey
    return vae


def _text_encoder(tokenizer: Any, *, projected: bool = False) -> Any:
    transformers: Any = import_module("transformers")
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    encoder = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return encoder(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=_WIDTH_2 if projected else _WIDTH,
            projection_dim=_POOLED,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            bos_token_id=start,
            eos_token_id=end,
            pad_token_id=end,
        )
    )


def _safety_parts(safety: Safety) -> tuple[Any, Any]:
    module: Any = import_module("diffusers.pipelines.stable_diffusion.safety_checker")
    transformers: Any = import_module("transformers")
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**small, "image_size": 32, "patch_size": 8}
    checker = module.StableDiffusionSafetyChecker(
        transformers.CLIPConfig(
            projection_dim=8, vision_config={**vision, "projection_dim": 8}, text_config=small
        )
    )
    threshold = -2.0 if safety == "flags" else 2.0  # a cosine lies between
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(2.0)
    size = {"height": 32, "width": 32}
    return checker, transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)


# ------------------------------------------------------------------ tokenizer

_MERGES = ("r e", "a n", "t h", "th e</w>", "o f</w>", "i n", "in g</w>", "re d</w>", "an d</w>")


def _tokenizer(*more: str, pad: str | None = None) -> Any:
    """With `pad` for filling up, and therefore never part of a longer piece, as in SDXL's second one."""
    merges = [(first, second) for first, second in (merge.split() for merge in (*_MERGES, *more))]
    tokenizer = clip_tokenizer(merges, 77)
    if pad is not None:
        tokenizer.add_special_tokens({"pad_token": pad})
    return tokenizer

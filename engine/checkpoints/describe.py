"""What a model offers, by its small files: sizes, samplers, steps; loads no weights, knows no torch.

So the bot knows what people may ask for while weights still load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import samplers
from engine.checkpoints import adapters, easel_json, hub, single_file
from engine.checkpoints import folder as checkpoint
from engine.checkpoints.architectures import CALLS, PIPELINES
from engine.checkpoints.known_models import KNOWN, KNOWN_SIDE
from engine.checkpoints.single_file import MORE_KEYS, read
from engine.checkpoints.source import local_path, model_id, on_disk
from engine.contract import OWN_SAMPLER, SIDE_MAX, SIDE_MULTIPLE, EngineSettings, ModelInfo, limits
from engine.errors import BrokenModel

_GUIDANCE = {"sd": 7.5, "sdxl": 5.0}
"""The defaults of `pipe()` itself."""


_NATIVE = 1024
"""The side of pictures where the files of a pipeline that is called are silent about it."""


def describe(settings: EngineSettings) -> ModelInfo:
    """What the configured model offers. Loads no weights and no torch; raises BrokenModel."""
    info = _describe(settings)
    if settings.models is None or info.family not in PIPELINES:
        return info
    place = on_disk(settings.model)
    return replace(info, **adapters.offered(settings.models, place, info.family))


def _describe(settings: EngineSettings) -> ModelInfo:
    path = local_path(settings.model)
    if path is not None and single_file.is_one(path):
        return describe_file(path, _describe_cached)
    if path is not None:
        return _describe_folder(path, model_id(settings.model))
    return _describe_cached(settings.model) or _describe_folder(
        hub.fetch_configs(settings.model, offline=settings.hub_offline), model_id(settings.model)
    )


def _describe_cached(model: str) -> ModelInfo | None:
    """What is known of a hub's model without asking the hub."""
    snapshot, name = hub.cached(model), hub.current_id(model)
    if snapshot is not None and _has_configs(snapshot):
        return _describe_folder(snapshot, name)
    if name not in KNOWN:
        return None
    side = KNOWN_SIDE[name]
    known = ModelInfo(id=name, title=name, takes_images=True, **limits.around(side, side, SIDE_MULTIPLE))
    return easel_json.checked(known, KNOWN[name])


def _has_configs(folder: Path) -> bool:
    """Whether all that describing takes is there: of an interrupted download some files may be missing."""
    names = ("model_index.json", "scheduler/scheduler_config.json", "vae/config.json")
    core = any((folder / part / "config.json").is_file() for part in checkpoint.CORES)
    return core and all((folder / name).is_file() for name in names)


def _describe_folder(folder: Path, model: str) -> ModelInfo:
    index = checkpoint.read_index(folder)
    if checkpoint.family(index) == "any":
        return easel_json.overridden(_called(folder, model, index), easel_json.read(folder))
    unet, vae = (checkpoint.read_json(folder, f"{part}/config.json") for part in ("unet", "vae"))
    read = ModelInfo(
        id=model,
        title=model.rsplit("/", 1)[-1],
        family=checkpoint.family(index),
        safety_checker="safety_checker" in dict(checkpoint.components(index)),
        takes_images=True,
        needs_mask=unet.get("in_channels") == 9,  # latents, the mask, and the image without what it covers
        **_native(unet, vae),
        **_drawing(folder, unet, index),
    )
    return easel_json.overridden(easel_json.checked(read, KNOWN.get(model, {})), easel_json.read(folder))


def _called(folder: Path, model: str, index: Mapping[str, Any]) -> ModelInfo:
    """A model that is drawn with by calling its pipeline, with that call's own defaults."""
    call = CALLS[index["_class_name"]]
    core, vae = (checkpoint.read_json(folder, f"{part}/config.json") for part in ("transformer", "vae"))
    blocks = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
    scale = 2 ** (len(blocks) - 1) if blocks else 8
    size = core.get("sample_size")
    told = size * scale if isinstance(size, int) and blocks else _NATIVE
    side = min(call.side or told, SIDE_MAX)
    few = index.get("is_distilled") is True  # “FLUX.2 [klein]”; then guidance makes no difference
    few |= index["_class_name"] == "FluxPipeline" and not core.get("guidance_embeds")  # “schnell”
    return ModelInfo(
        id=model,
        title=model.rsplit("/", 1)[-1],
        family="any",
        steps=4 if few else call.steps,
        guidance_scale=1.0 if few else call.guidance,
        sampler=OWN_SAMPLER.name,
        samplers=(OWN_SAMPLER.name,),
        **limits.around(side, side, max(16, 2 * scale)),
    )


def _native(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes, by what the model was trained on."""
    try:
        scale = 2 ** (len(vae["block_out_channels"]) - 1)
        size: Any = unet["sample_size"]
        down, across = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise BrokenModel(
            "unet/config.json or vae/config.json names no size: download the model again."
        ) from None
    return limits.around(across * scale, down * scale, max(SIDE_MULTIPLE, scale))


def _drawing(folder: Path, unet: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """Sampler, steps and guidance, by the scheduler the model brings."""
    config = checkpoint.read_json(folder, "scheduler/scheduler_config.json")
    config["_class_name"] = dict(checkpoint.components(index)).get("scheduler", config.get("_class_name"))
    sampler = samplers.default(config)
    quick = sampler == "LCM"
    takes_guidance = unet.get("time_cond_proj_dim") is not None
    return {
        "sampler": sampler,
        "samplers": samplers.offered(config),
        "steps": 4 if quick else 30,
        "guidance_scale": (8.5 if takes_guidance else 1.0) if quick else _GUIDANCE[checkpoint.family(index)],
    }


def describe_file(path: Path, known: Callable[[str], ModelInfo | None]) -> ModelInfo:
    """What the file's model offers: what its kind's base does, unless file or JSON tell otherwise. Raises BrokenModel.

    `known` tells what is known of a model of the hub without asking the hub.
    """
    found = read(path)
    like = next(info for base in found.kind.bases if (info := known(base)) is not None)
    fitting = samplers.offered(found.scheduler)
    info = replace(
        like,
        id=path.stem,
        title=path.stem,
        description="",
        safety_checker=False,
        needs_mask=found.channels == 9,
        samplers=tuple(name for name in like.samplers if name in fitting),
        sampler=like.sampler if like.sampler in fitting else samplers.default(found.scheduler),
        **(limits.around(*found.size, like.side_multiple) if found.size else {}),
    )
    notes = {key: value for key, value in single_file.notes(path).items() if key not in MORE_KEYS}
    return easel_json.overridden(info, notes, path.with_suffix(".json").name)

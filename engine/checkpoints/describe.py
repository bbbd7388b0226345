"""What a model offers, by its small files: sizes, samplers, steps; loads no weights, knows no torch.

So the bot knows what people may ask for while weights still load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import samplers
from engine.checkpoints import adapters, beside, easel_json, few_steps, folder, hub, single_file, vae_approx
from engine.checkpoints.architectures import BY_FAMILY, CALLED, CALLS
from engine.checkpoints.known_models import KNOWN, KNOWN_SIDE
from engine.checkpoints.single_file import MORE_KEYS
from engine.checkpoints.source import Source, SourceKind
from engine.contract import OWN_SAMPLER, SIDE_MAX, SIDE_MULTIPLE, EngineSettings, ModelInfo, limits
from engine.errors import BrokenModel

_NATIVE = 1024
"""The side of pictures where the files of a pipeline that is called are silent about it."""


def describe(source: Source, settings: EngineSettings) -> ModelInfo:
    """What a model offers. Loads no weights and no torch; raises BrokenModel."""
    info = as_checked(_describe(source, settings), settings)
    vae_approx.check(source, info, settings.models)
    if source.kind is SourceKind.FOLDER and source.path is not None:
        info = _shown(info, source.path, {})
    if not BY_FAMILY[info.family].takes_adapters:
        return info
    found = adapters.offered(settings.models, source.on_disk, info.family, source.folder)
    info = replace(info, **found)
    return replace(info, quick=few_steps.recipe_for(info))


def as_checked(info: ModelInfo, settings: EngineSettings) -> ModelInfo:
    """With what every picture is looked at here, whoever draws it."""
    return replace(info, safety_checker=info.safety_checker or settings.checker is not None)


def _describe(source: Source, settings: EngineSettings) -> ModelInfo:
    if source.path is None:
        return _describe_cached(source.named) or _describe_folder(
            hub.fetch_configs(source.named, offline=settings.hub_offline), source.id
        )
    if source.kind is SourceKind.FILE:
        return _describe_file(source.path)
    return _describe_folder(source.path, source.id)


def _describe_cached(model: str) -> ModelInfo | None:
    """What is known of a hub's model without asking the hub."""
    snapshot, name = hub.cached(model), hub.current_id(model)
    if snapshot is not None and _has_configs(snapshot):
        return _describe_folder(snapshot, name)
    if name not in KNOWN:
        return None
    side = KNOWN_SIDE[name]
    known = ModelInfo(
        id=name,
        title=name,
        takes_images=True,
        takes_tiling=True,
        **limits.around(side, side, SIDE_MULTIPLE),
    )
    return easel_json.checked(known, KNOWN[name])


def _has_configs(place: Path) -> bool:
    """Whether all that describing takes is there: of an interrupted download some files may be missing."""
    names = ("model_index.json", "scheduler/scheduler_config.json", "vae/config.json")
    core = any((place / part / "config.json").is_file() for part in folder.CORES)
    return core and all((place / name).is_file() for name in names)


def _describe_folder(place: Path, model: str) -> ModelInfo:
    index = folder.read_index(place)
    if folder.architecture(index).is_called:
        return easel_json.overridden(_called(place, model, index), easel_json.read(place))
    unet, vae = (folder.read_json(place, f"{part}/config.json") for part in ("unet", "vae"))
    read = ModelInfo(
        id=model,
        title=model.rsplit("/", 1)[-1],
        family=folder.architecture(index).family,
        safety_checker="safety_checker" in dict(folder.components(index)),
        takes_images=True,
        takes_tiling=True,
        needs_mask=unet.get("in_channels") == 9,  # latents, the mask, and the image without what it covers
        **_native(unet, vae),
        **_drawing(place, unet, index),
    )
    return easel_json.overridden(easel_json.checked(read, KNOWN.get(model, {})), easel_json.read(place))


def _called(place: Path, model: str, index: Mapping[str, Any]) -> ModelInfo:
    """A model that is drawn with by calling its pipeline, with that call's own defaults."""
    call = CALLS[index["_class_name"]]
    core, vae = (folder.read_json(place, f"{part}/config.json") for part in ("transformer", "vae"))
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
        family=CALLED.family,
        steps=4 if few else call.steps,
        guidance_scale=1.0 if few else call.guidance,
        sampler=OWN_SAMPLER.name,
        samplers=(OWN_SAMPLER.name,),
        references_min=call.references.start,
        references_max=call.references.stop - 1,
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


def _drawing(place: Path, unet: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """Sampler, steps and guidance, by the scheduler the model brings."""
    config = folder.read_json(place, "scheduler/scheduler_config.json")
    config["_class_name"] = dict(folder.components(index)).get("scheduler", config.get("_class_name"))
    sampler = samplers.default(config)
    quick = sampler in {"LCM", "TCD"}
    takes_guidance = unet.get("time_cond_proj_dim") is not None
    return {
        "sampler": sampler,
        "samplers": samplers.offered(config),
        "steps": 4 if quick else 30,
        "guidance_scale": (8.5 if takes_guidance else 1.0) if quick else folder.architecture(index).guidance,
    }


def _describe_file(path: Path) -> ModelInfo:
    """What the file's model offers: what its kind's base does, unless file or JSON tell otherwise. Raises BrokenModel."""
    found = single_file.read(path)
    like = next(info for base in found.kind.bases if (info := _describe_cached(base)) is not None)
    fitting = samplers.offered(found.scheduler)
    info = replace(
        like,
        id=path.stem,
        title=path.stem,
        description="",
        words=(),
        safety_checker=False,
        needs_mask=found.channels == 9,
        samplers=tuple(name for name in like.samplers if name in fitting),
        sampler=like.sampler if like.sampler in fitting else samplers.default(found.scheduler),
        **(limits.around(*found.size, like.side_multiple) if found.size else {}),
    )
    notes = {key: value for key, value in single_file.notes(path).items() if key not in MORE_KEYS}
    return _shown(easel_json.overridden(info, notes, path.with_suffix(".json").name), path, found.texts)


def _shown(info: ModelInfo, path: Path, texts: Mapping[str, str]) -> ModelInfo:
    """With what lies beside it for people, where it says nothing itself."""
    told = beside.read(path, texts)
    return replace(
        info,
        words=beside.clean(info.words) or told.words,
        description=info.description or told.description,
        preview=told.preview,
    )

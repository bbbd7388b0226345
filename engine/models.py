"""What a model offers, and its pipeline; knows folders, hub ids and diffusers, but no queue and no job.

`describe` reads small JSON files without torch, so that the bot knows sizes and samplers while weights still load.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from engine import adapter_files, bounds, checkpoint, hub, overrides, samplers, single_file
from engine.checkpoint import BrokenModel, Checkpoint
from engine.contract import (
    OWN_SAMPLER,
    SIDE_MAX,
    SIDE_MULTIPLE,
    EngineSettings,
    ModelInfo,
)
from engine.known import KNOWN, KNOWN_SIDE
from engine.pipelines import CALLS
from engine.places import checkpoints, local_path, model_id, on_disk
from engine.settings import Profile

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")
OnProgress = Callable[[str, float | None], None]
"""Told a stage in a few words and its share, None where unknown."""

_CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
    "safety_checker": ("diffusers.pipelines.stable_diffusion.safety_checker", "StableDiffusionSafetyChecker"),
}
"""What each component is, whatever a checkpoint's model_index.json calls it: nothing else is ever loaded."""
_PIPELINES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sd": ("StableDiffusionPipeline", {}),
    "sdxl": ("StableDiffusionXLPipeline", {"add_watermarker": False}),
}
"""What each family is put together as. A watermark nobody sees would keep pictures from being equal between machines."""
_GUIDANCE = {"sd": 7.5, "sdxl": 5.0}
"""The defaults of `pipe()` itself."""
_DIGEST_BYTES = 2**18
_NATIVE = 1024
"""The side of pictures where the files of a pipeline that is called are silent about it."""


def sources(settings: EngineSettings) -> tuple[str, ...]:
    """All that `settings.model` may become here: what it is, then what lies in `checkpoints`; no model is named twice.

    The latter are absolute paths in the order of their names, and one of them is the first where an id of the hub is
    configured whose folder lies there. Nothing but names is looked at: any may prove broken.
    """
    lying = checkpoints(settings)
    own = {model_id(str(path)): str(path) for path in lying if path.is_dir()}
    is_bare = local_path(settings.model) is None and "@" not in settings.model
    found = [own.get(model_id(settings.model), settings.model) if is_bare else settings.model]
    configured = local_path(found[0])
    ids, places = {model_id(found[0])}, {configured.resolve() if configured else None}
    for path in lying:
        name, place = model_id(str(path)), path.resolve()
        if name not in ids and place not in places:
            found.append(str(path))
        ids.add(name)
        places.add(place)
    return tuple(found)


# ------------------------------------------------------------------ describing


def describe(settings: EngineSettings) -> ModelInfo:
    """What the configured model offers. Loads no weights and no torch; raises BrokenModel."""
    info = _describe(settings)
    if settings.models is None or info.family not in _PIPELINES:
        return info
    place = on_disk(settings.model)
    return replace(info, **adapter_files.offered(settings.models, place, info.family))


def _describe(settings: EngineSettings) -> ModelInfo:
    path = local_path(settings.model)
    if path is not None and single_file.is_one(path):
        return single_file.describe(path, _describe_cached)
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
    known = ModelInfo(id=name, title=name, takes_images=True, **bounds.around(side, side, SIDE_MULTIPLE))
    return overrides.checked(known, KNOWN[name])


def _has_configs(folder: Path) -> bool:
    """Whether all that describing takes is there: of an interrupted download some files may be missing."""
    names = ("model_index.json", "scheduler/scheduler_config.json", "vae/config.json")
    core = any((folder / part / "config.json").is_file() for part in checkpoint.CORES)
    return core and all((folder / name).is_file() for name in names)


def _describe_folder(folder: Path, model: str) -> ModelInfo:
    index = checkpoint.read_index(folder)
    if checkpoint.family(index) == "any":
        return overrides.overridden(_called(folder, model, index), overrides.read(folder))
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
    return overrides.overridden(overrides.checked(read, KNOWN.get(model, {})), overrides.read(folder))


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
        **bounds.around(side, side, max(16, 2 * scale)),
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
    return bounds.around(across * scale, down * scale, max(SIDE_MULTIPLE, scale))


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


# ------------------------------------------------------------------ loading


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the model computes, and with which numbers."""

    device: torch.device
    dtype: torch.dtype
    profile: Profile | Literal["auto"] = "auto"
    """What the owner wishes; which one holds is decided when the model's size is known (`engine.placing`)."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one engine computes on, with models of every family. Asked again, a stopwatch might choose another dtype."""

    device: torch.device
    dtype: torch.dtype
    called_dtype: torch.dtype
    """Of families that are drawn with by calling their pipeline."""
    profile: Profile | Literal["auto"]

    def place(self, family: str = "sd") -> Place:
        """Where models of this family compute."""
        slow = ("No graphics card is in use: drawing on the CPU is slow.",)
        return Place(
            device=self.device,
            dtype=self.called_dtype if family == "any" else self.dtype,
            profile=self.profile,
            warnings=slow if self.device.type == "cpu" else (),
        )


def choose(settings: EngineSettings) -> Choice:
    """fp16 on CUDA, fp32 elsewhere, unless told otherwise. Raises BrokenModel where the device or dtype can't be used.

    Families that are drawn with by calling their pipeline get bf16 on CUDA: most of them overflow in fp16.
    In wide and fast a processor built for bf16 uses that: in exact a picture equals what `pipe()` draws by default.
    An engine chooses once, at its start, and hands on what it chose.
    """
    import torch

    device = _device(settings.device)
    told = settings.dtype if settings.dtype != "auto" else _usual_dtype(settings, device)
    dtype = getattr(torch, told)
    if device.type == "cpu" and dtype is torch.float16:
        raise BrokenModel(
            "Processors have no fast float16: set dtype to “auto” or “bfloat16” under [engine]."
        )
    overflows = device.type == "cuda" and settings.dtype == "auto"
    called = torch.bfloat16 if overflows else dtype
    return Choice(device=device, dtype=dtype, called_dtype=called, profile=settings.profile)


def choose_place(settings: EngineSettings, family: str = "sd") -> Place:
    """As an engine that is started now would choose for a model of this family. Raises BrokenModel."""
    return choose(settings).place(family)


def _device(name: str) -> torch.device:
    """The device of this name, which was tried. Raises BrokenModel."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BrokenModel(
            "There is no CUDA device here: install NVIDIA's driver and the torch build for CUDA, "
            "or set the device to “auto”."
        )
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:
        raise BrokenModel(
            f"The device “{name[:20]}” can't be used here ({type(error).__name__}): "
            "install its driver and the torch build for it, or set the device to “auto”."
        ) from error
    return device


def _usual_dtype(settings: EngineSettings, device: torch.device) -> str:
    from engine import tuning

    if device.type == "cuda":
        return "float16"
    pays = device.type == "cpu" and settings.mode != "exact" and tuning.bfloat16_pays()
    return "bfloat16" if pays else "float32"


def digest(settings: EngineSettings) -> str:
    """A few letters for the UNet's or transformer's weights: by the sizes of its files, their beginnings and ends.

    Raises BrokenModel where there are none: any two models that are missing would look alike.
    """
    found = hashlib.sha256()
    try:
        for file in _core_files(settings.model):
            with file.open("rb") as weights:
                size = weights.seek(0, os.SEEK_END)
                found.update(str(size).encode())
                for at in (0, max(0, size - _DIGEST_BYTES)):
                    weights.seek(at)
                    found.update(weights.read(_DIGEST_BYTES))
    except OSError as error:
        raise BrokenModel(
            f"The weights of the model {model_id(settings.model)} can't be read ({error.strerror}): {checkpoint.AGAIN}."
        ) from error
    return found.hexdigest()[:12]


def _core_files(model: str) -> list[Path]:
    """Those with the UNet's or transformer's weights, at least one. Raises BrokenModel."""
    path = on_disk(model)
    if path is not None and single_file.is_one(path):
        return [path]
    files = (
        sorted(file for part in checkpoint.CORES for file in path.glob(f"{part}/*.safetensors"))
        if path
        else []
    )
    if not files:
        raise BrokenModel(
            f"The weights of the model {model_id(model)} are not on this machine: start the engine once, which brings them."
        )
    return files


def weight_files(settings: EngineSettings, place: Place) -> list[Path]:
    """Those that `load` will read of a model on this disk. Raises BrokenModel."""
    path = local_path(settings.model)
    if path is not None and single_file.is_one(path):
        return [path]
    prefer_fp16 = str(place.dtype) == "torch.float16"
    folder = _locate(settings, prefer_fp16, untold)
    return checkpoint.weight_files(checkpoint.check(folder, prefer_fp16=prefer_fp16))


def untold(stage: str, share: float | None) -> None:
    """Tells nobody."""
    del stage, share


def check(path: Path, *, offline: bool = False) -> None:
    """Looks at a model's files, headers of weights included; `offline`: at those of its base, too. Raises BrokenModel."""
    if not single_file.is_one(path):
        checkpoint.check(path, prefer_fp16=False)
        return
    found = single_file.read(path)
    if offline:
        single_file.base(found.kind, offline=True)


def bring_base(settings: EngineSettings) -> None:
    """Gets what a model in one file lacks from the hub, unless it is here. Raises BrokenModel."""
    path = local_path(settings.model)
    if path is not None and single_file.is_one(path):
        single_file.base(single_file.read(path).kind, offline=settings.hub_offline)


def load(settings: EngineSettings, place: Place, on_progress: OnProgress) -> Any:
    """The model's pipeline, ready on its device. Downloads what is missing; raises BrokenModel."""
    return wholly(loading(settings, place, on_progress))


def wholly(parts: Generator[None, None, Result], go_on: Callable[[], None] = lambda: None) -> Result:
    """What a generator returns in the end. `go_on` is called in each of its pauses."""
    while True:
        try:
            next(parts)
        except StopIteration as done:
            return done.value
        go_on()


def loading(settings: EngineSettings, place: Place, on_progress: OnProgress) -> Generator[None, None, Any]:
    """As `load`, with a pause after each part."""
    path = local_path(settings.model)
    if path is not None and single_file.is_one(path):
        return (yield from _loading_file(settings, path, place, on_progress))
    prefer_fp16 = str(place.dtype) == "torch.float16"
    found = checkpoint.check(_locate(settings, prefer_fp16, on_progress), prefer_fp16=prefer_fp16)
    yield
    _check_libraries(found)
    parts: dict[str, Any] = {}
    for name in found.variants:
        on_progress(f"loading {name.replace('_', ' ')}", len(parts) / len(found.variants))
        parts[name] = _load_part(found, name, place.dtype)
        yield
    on_progress("starting", None)
    return _assemble(found, parts, place)


def _locate(settings: EngineSettings, prefer_fp16: bool, on_progress: OnProgress) -> Path:
    """The model's folder, downloaded if need be."""
    folder = local_path(settings.model)
    if folder is not None:
        return folder
    model = settings.model
    snapshot = hub.cached(model)
    if snapshot is not None:
        try:
            return checkpoint.check(snapshot, prefer_fp16=prefer_fp16).folder
        except BrokenModel as error:  # an interrupted download, most often: what is missing is fetched below
            if settings.hub_offline:
                raise BrokenModel(
                    f"{model} is not on this machine as a whole, and the hub can't be reached: "
                    "connect it once, then start again."
                ) from error
    weights = checkpoint.WEIGHTS
    if snapshot is not None and (snapshot / "model_index.json").is_file():
        weights = checkpoint.weights(snapshot, checkpoint.read_index(snapshot))
    stage = f"downloading {hub.current_id(model).rsplit('/', 1)[-1]}"
    on_progress(stage, None)
    return hub.fetch(
        model,
        offline=settings.hub_offline,
        prefer_fp16=prefer_fp16,
        progress=lambda share: on_progress(stage, share),
        weights=weights,
    )


def _loading_file(
    settings: EngineSettings, path: Path, place: Place, on_progress: OnProgress
) -> Generator[None, None, Any]:
    """As `loading`, from one file and the configurations of its kind's base."""
    found = single_file.read(path)
    on_progress(f"looking for the configuration of {found.kind.name}", None)
    base = single_file.base(found.kind, offline=settings.hub_offline)
    yield
    class_name, options = _PIPELINES[found.kind.family]
    try:
        pipeline = yield from single_file.loading(found, base, class_name, options, place.dtype, on_progress)
        yield
        return _settled(pipeline, found.kind.family, place)
    except Exception as error:
        raise _broken(path, "", error) from error


def _check_libraries(found: Checkpoint) -> None:
    """Before anything large is read. transformers puts something else where a class lacks a library: it names that."""
    for name, class_name in checkpoint.components(found.index):
        if checkpoint.family(found.index) == "any" and found.index[name][0] == "transformers":
            kind = getattr(import_module("transformers"), class_name, None)
            if lacking := getattr(kind, "_backends", None):
                raise BrokenModel(
                    f"The {name} of the model “{found.folder.name}” needs {' and '.join(lacking)}: "
                    "install that where Easel is installed, or choose another model."
                )


def _load_part(found: Checkpoint, name: str, dtype: torch.dtype) -> Any:
    module, class_name = found.index[name] if checkpoint.family(found.index) == "any" else _CLASSES[name]
    try:
        return getattr(import_module(module), class_name).from_pretrained(
            found.folder / name,
            dtype=dtype,
            use_safetensors=True,
            variant=found.variants[name],
            local_files_only=True,
        )
    except Exception as error:
        raise _broken(found.folder, f"{name}/", error) from error


def _assemble(found: Checkpoint, parts: Mapping[str, Any], place: Place) -> Any:
    diffusers: Any = import_module("diffusers")
    scheduler = dict(checkpoint.components(found.index))["scheduler"]
    if not hasattr(diffusers, scheduler):
        raise BrokenModel(
            f"model_index.json of “{found.folder.name}” names a scheduler that diffusers does not have "
            f"({scheduler[:60]}): correct it, or {checkpoint.AGAIN}."
        )
    class_name, options = _PIPELINES.get(
        checkpoint.family(found.index), (found.index["_class_name"], _left_out(found.index))
    )
    try:
        pipeline = getattr(diffusers, class_name).from_pretrained(
            found.folder, **parts, **options, dtype=place.dtype, use_safetensors=True, local_files_only=True
        )
        return _settled(pipeline, checkpoint.family(found.index), place)
    except Exception as error:
        raise _broken(found.folder, "", error) from error


def _left_out(index: Mapping[str, Any]) -> dict[str, Any]:
    """The optional components that this model does without, as diffusers wants to be told."""
    return {name: None for name, value in index.items() if value == [None, None]}


def _settled(pipeline: Any, family: str, place: Place) -> Any:
    """Where it computes, and its VAE in what."""
    from engine import placing

    vae = pipeline.vae
    if checkpoint.upcasts_vae(family, str(vae.dtype).removeprefix("torch."), vae.config):
        vae.float()
    return placing.settle(pipeline, place, called=family == "any")


def _broken(path: Path, part: str, error: Exception) -> BrokenModel:
    from engine import faults

    faults.check_device(error)
    if faults.is_out_of_memory(error):
        return BrokenModel(
            f"The model “{path.name}” does not fit into this machine's memory: choose a smaller one, "
            "or set profile to “auto” or “low” under [engine]."
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    detail = lines[0].replace(str(path), path.name)[:120]
    files = "The file" if single_file.is_one(path) else f"The files in {part or 'the folder'} of the model"
    return BrokenModel(f"{files} “{path.name}” can't be loaded ({detail}): {checkpoint.AGAIN}.")

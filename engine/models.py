"""What a model offers, and its pipeline; knows folders, hub ids and diffusers, but no queue and no job.

`describe` reads small JSON files without torch, so that the bot knows sizes and samplers while weights still load.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine import checkpoint, hub, overrides, samplers
from engine.checkpoint import BrokenModel, Checkpoint
from engine.contract import (
    OWN_SAMPLER,
    SIDE_MAX,
    SIDE_MIN,
    SIDE_MULTIPLE,
    STARTER,
    EngineSettings,
    ModelInfo,
)
from engine.known import KNOWN, KNOWN_SIDE
from engine.pipelines import CALLS

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
CHECKPOINTS = "checkpoints"
"""The folder of more models, in that of the engine's settings."""
FILE = ".safetensors"
STARTER_FOLDER = Path(__file__).parent / "starter" / "weights"
_DIGEST_BYTES = 2**18
_NATIVE = 1024
"""The side of pictures where the files of a pipeline that is called are silent about it."""
_CORES = ("unet", "transformer")
"""What predicts the noise."""


def local_folder(model: str) -> Path | None:
    """The folder on this disk that a setting names; None where it is an id of the hub."""
    if model == STARTER:
        return STARTER_FOLDER
    folder = Path(model)
    return folder if folder.is_dir() or not hub.is_id(model) else None


def sources(settings: EngineSettings) -> tuple[str, ...]:
    """All that `settings.model` may become here: what it is, then what lies in `checkpoints`; no model is named twice.

    The latter are absolute paths in the order of their names. Nothing but names is looked at: any may prove broken.
    """
    found = [settings.model]
    configured = local_folder(settings.model)
    ids, places = {model_id(settings.model)}, {configured.resolve() if configured else None}
    for path in _checkpoints(settings):
        name, place = model_id(str(path)), path.resolve()
        if name not in ids and place not in places:
            found.append(str(path))
        ids.add(name)
        places.add(place)
    return tuple(found)


def model_id(model: str) -> str:
    """What people call the model that a setting names: `owner/name` also for a folder `owner--name`."""
    folder = local_folder(model)
    if model == STARTER or folder is None:
        return hub.current_id(model)
    if folder.suffix == FILE:
        return folder.stem
    name = folder.name.replace("--", "/", 1)
    return name if hub.is_id(name) else folder.name or "model"


def _checkpoints(settings: EngineSettings) -> list[Path]:
    """What looks like a model among the engine's own, by name."""
    if settings.models is None:
        return []
    folder = Path(settings.models).absolute() / CHECKPOINTS
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # most often there is no such folder
        return []
    return [path for path in found if path.suffix == FILE or (path / "model_index.json").is_file()]


# ------------------------------------------------------------------ describing


def describe(settings: EngineSettings) -> ModelInfo:
    """What the configured model offers. Loads no weights and no torch; raises BrokenModel."""
    folder = local_folder(settings.model)
    if folder is not None:
        return _describe_folder(folder, model_id(settings.model))
    model = hub.current_id(settings.model)
    snapshot = hub.cached(model)
    if snapshot is not None and _has_configs(snapshot):
        return _describe_folder(snapshot, model)
    if model in KNOWN:
        side = KNOWN_SIDE[model]
        known = ModelInfo(id=model, title=model, takes_images=True, **_sizes(side, side, SIDE_MULTIPLE))
        return overrides.checked(known, KNOWN[model])
    return _describe_folder(hub.fetch_configs(model, offline=settings.hub_offline), model)


def _has_configs(folder: Path) -> bool:
    """Whether all that describing takes is there: of an interrupted download some files may be missing."""
    names = ("model_index.json", "scheduler/scheduler_config.json", "vae/config.json")
    core = any((folder / part / "config.json").is_file() for part in _CORES)
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
    blocks = vae.get("block_out_channels") or vae.get("encoder_block_out_channels") or (0,) * 4
    scale = 2 ** (len(blocks) - 1)
    size = core.get("sample_size")
    side = size * scale if isinstance(size, int) and "block_out_channels" in vae else _NATIVE
    few = index["_class_name"] == "FluxPipeline" and not core.get("guidance_embeds")  # “schnell”
    return ModelInfo(
        id=model,
        title=model.rsplit("/", 1)[-1],
        family="any",
        steps=4 if few else call.steps,
        guidance_scale=1.0 if few else call.guidance,
        sampler=OWN_SAMPLER.name,
        samplers=(OWN_SAMPLER.name,),
        **_sizes(side, side, max(16, 2 * scale)),
    )


def _native(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes, by what the model was trained on."""
    try:
        scale = 2 ** (len(vae["block_out_channels"]) - 1)
        size: Any = unet["sample_size"]
        down, across = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    except (KeyError, TypeError, ValueError, IndexError):
        raise BrokenModel(
            "unet/config.json or vae/config.json names no size: download the model again."
        ) from None
    return _sizes(across * scale, down * scale, max(SIDE_MULTIPLE, scale))


def _sizes(width: int, height: int, multiple: int) -> dict[str, Any]:
    """The bounds around a native size: from a quarter of its shorter side to twice its longer one."""
    side_max = min(SIDE_MAX, 2 * max(width, height))
    return {
        "width": width,
        "height": height,
        "side_min": max(SIDE_MIN, min(width, height) // 4),
        "side_max": side_max,
        "side_multiple": multiple,
        "pixels_max": side_max * side_max,
    }


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
    warnings: tuple[str, ...] = ()


def choose_place(settings: EngineSettings, family: str = "sd") -> Place:
    """fp16 on CUDA, fp32 elsewhere, unless told otherwise. Raises BrokenModel where the device or dtype can't be used.

    Families that are drawn with by calling their pipeline get bf16 on CUDA: most of them overflow in fp16.
    In wide and fast a processor built for bf16 uses that: in exact a picture equals what `pipe()` draws by default.
    """
    import torch

    name = settings.device
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
    usual = _usual_dtype(settings, device, family)
    dtype = getattr(torch, usual if settings.dtype == "auto" else settings.dtype)
    if device.type == "cpu" and dtype is torch.float16:
        raise BrokenModel(
            "Processors have no fast float16: set dtype to “auto” or “bfloat16” under [engine]."
        )
    slow = ("No graphics card is in use: drawing on the CPU is slow.",)
    return Place(device=device, dtype=dtype, warnings=slow if device.type == "cpu" else ())


def _usual_dtype(settings: EngineSettings, device: torch.device, family: str) -> str:
    from engine import tuning

    if device.type == "cuda":
        return "bfloat16" if family == "any" else "float16"
    pays = device.type == "cpu" and settings.mode != "exact" and tuning.bfloat16_pays()
    return "bfloat16" if pays else "float32"


def digest(settings: EngineSettings) -> str:
    """A few letters for the UNet's or transformer's weights: by the sizes of its files, their beginnings and ends."""
    folder = local_folder(settings.model) or hub.cached(hub.current_id(settings.model))
    files = [file for part in _CORES for file in (folder / part).glob("*.safetensors")] if folder else []
    return digest_of(sorted(files))


def digest_of(files: Sequence[Path]) -> str:
    """A few letters for these files."""
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as weights:
            size = weights.seek(0, os.SEEK_END)
            found.update(str(size).encode())
            for at in (0, max(0, size - _DIGEST_BYTES)):
                weights.seek(at)
                found.update(weights.read(_DIGEST_BYTES))
    return found.hexdigest()[:12]


def weight_files(settings: EngineSettings, place: Place) -> list[Path]:
    """Those that `load` will read of a model on this disk. Raises BrokenModel."""
    prefer_fp16 = str(place.dtype) == "torch.float16"
    folder = _locate(settings, prefer_fp16, untold)
    return checkpoint.weight_files(checkpoint.check(folder, prefer_fp16=prefer_fp16))


def untold(stage: str, share: float | None) -> None:
    """Tells nobody."""
    del stage, share


def load(settings: EngineSettings, place: Place, on_progress: OnProgress) -> Any:
    """The model's pipeline, ready on its device. Downloads what is missing; raises BrokenModel."""
    return wholly(loading(settings, place, on_progress))


def wholly(parts: Generator[None, None, Result]) -> Result:
    """What a generator returns in the end."""
    while True:
        try:
            next(parts)
        except StopIteration as done:
            return done.value


def loading(settings: EngineSettings, place: Place, on_progress: OnProgress) -> Generator[None, None, Any]:
    """As `load`, with a pause after each part."""
    prefer_fp16 = str(place.dtype) == "torch.float16"
    found = checkpoint.check(_locate(settings, prefer_fp16, on_progress), prefer_fp16=prefer_fp16)
    parts: dict[str, Any] = {}
    for name in found.variants:
        on_progress(f"loading {name.replace('_', ' ')}", len(parts) / len(found.variants))
        parts[name] = _load_part(found, name, place.dtype)
        yield
    on_progress("starting", None)
    return _assemble(found, parts, place)


def _locate(settings: EngineSettings, prefer_fp16: bool, on_progress: OnProgress) -> Path:
    """The model's folder, downloaded if need be."""
    folder = local_folder(settings.model)
    if folder is not None:
        return folder
    model = hub.current_id(settings.model)
    snapshot = hub.cached(model)
    if snapshot is not None:
        try:
            return checkpoint.check(snapshot, prefer_fp16=prefer_fp16).folder
        except BrokenModel:
            pass  # an interrupted download, most often: what is missing is fetched below
    weights = checkpoint.WEIGHTS
    if snapshot is not None and (snapshot / "model_index.json").is_file():
        weights = checkpoint.weights(snapshot, checkpoint.read_index(snapshot))
    stage = f"downloading {model.rsplit('/', 1)[-1]}"
    on_progress(stage, None)
    return hub.fetch(
        model,
        offline=settings.hub_offline,
        prefer_fp16=prefer_fp16,
        progress=lambda share: on_progress(stage, share),
        weights=weights,
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
        raise _broken(found, f"{name}/", error) from error


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
        pipeline = pipeline.to(place.device)
    except Exception as error:
        raise _broken(found, "", error) from error
    if checkpoint.family(found.index) == "sdxl":
        _keep_from_overflow(pipeline.vae)
    return pipeline


def _left_out(index: Mapping[str, Any]) -> dict[str, Any]:
    """The optional components that this model does without, as diffusers wants to be told."""
    return {name: None for name, value in index.items() if value == [None, None]}


def _keep_from_overflow(vae: Any) -> None:
    """SDXL's first VAE is too large for float16, and its config says so: it computes in float32, as in `pipe()`."""
    if str(vae.dtype) == "torch.float16" and vae.config.force_upcast:
        vae.float()


def _broken(found: Checkpoint, part: str, error: Exception) -> BrokenModel:
    from engine import faults

    faults.check_device(error)
    name = found.folder.name
    if faults.is_out_of_memory(error):
        return BrokenModel(
            f"The model “{name}” does not fit into this machine's memory: choose a smaller one."
        )
    detail = (str(error).strip().splitlines() or [type(error).__name__])[0][:120].replace(
        str(found.folder), name
    )
    return BrokenModel(
        f"The files in {part or 'the folder'} of the model “{name}” can't be loaded ({detail}): {checkpoint.AGAIN}."
    )

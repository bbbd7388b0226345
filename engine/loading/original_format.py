"""Loads a model that lies in one file, by the names that its parts have in diffusers; knows no device."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.checkpoints import folder
from engine.checkpoints.architectures import CLASSES
from engine.checkpoints.single_file import CLIP, NEVER_THERE, PREDICTION, SingleFile

if TYPE_CHECKING:
    import torch


def loading(
    found: SingleFile,
    base: Path,
    class_name: str,
    options: Mapping[str, Any],
    dtype: torch.dtype,
    on_progress: Callable[[str, float | None], None],
) -> Generator[None, None, Any]:
    """The file's pipeline of this class, on the CPU, with a pause between its parts; raises whatever diffusers does."""
    diffusers: Any = import_module("diffusers")
    index = dict(folder.components(folder.read_index(base)))
    on_progress("loading unet", 0.0)
    unet = part(found, base, "unet", dtype)
    yield
    on_progress("loading text encoder and vae", 0.7)
    config = folder.read_json(base, "scheduler/scheduler_config.json")
    is_told = config.get(PREDICTION, "epsilon") == found.scheduler[PREDICTION]
    changes = {key: value for key, value in found.scheduler.items() if key != PREDICTION or not is_told}
    scheduler = getattr(diffusers, index["scheduler"]).from_config({**config, **changes})
    own = {"unet": unet, "scheduler": scheduler} | {name: None for name in NEVER_THERE if name in index}
    if (encoder := _old_clip(found, base, dtype)) is not None:
        own["text_encoder"] = encoder
    pipeline = getattr(diffusers, class_name).from_single_file(
        str(found.path), **own, **_of_base(base, dtype), **options
    )
    on_progress("starting", None)
    return pipeline


def part(found: SingleFile, base: Path, name: str, dtype: torch.dtype) -> Any:
    """The file's "unet" or "vae" alone; raises whatever diffusers does."""
    diffusers: Any = import_module("diffusers")
    more = {"in_channels": found.channels} if name == "unet" else {}
    kind = getattr(diffusers, CLASSES[name][1])
    return kind.from_single_file(str(found.path), subfolder=name, **more, **_of_base(base, dtype))


def _of_base(base: Path, dtype: torch.dtype) -> dict[str, Any]:
    return {"config": str(base), "dtype": dtype, "local_files_only": True}


def _old_clip(found: SingleFile, base: Path, dtype: torch.dtype) -> Any:
    """The text encoder of a file that is older than `text_model.` in its names, which diffusers reads with it only."""
    safetensors: Any = import_module("safetensors")
    reading: Any = import_module("diffusers.loaders.single_file_utils")
    transformers: Any = import_module("transformers")
    with safetensors.safe_open(found.path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(CLIP)]  # noqa: SIM118 - it is no dictionary
        if not names or any(name.startswith(f"{CLIP}text_model.embeddings.") for name in names):
            return None
        weights = {name.replace(CLIP, f"{CLIP}text_model.", 1): file.get_tensor(name) for name in names}
    return reading.create_diffusers_clip_model_from_ldm(
        transformers.CLIPTextModel,
        weights,
        subfolder="text_encoder",
        config=str(base),
        torch_dtype=dtype,
        local_files_only=True,
    )

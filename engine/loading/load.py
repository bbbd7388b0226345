"""What a model offers, and its pipeline; knows folders, hub ids and diffusers, but no queue and no job.

`describe` reads small JSON files without torch, so that the bot knows sizes and samplers while weights still load.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.checkpoints import folder as checkpoint
from engine.checkpoints import header, hub, single_file
from engine.checkpoints.architectures import CLASSES, PIPELINES
from engine.checkpoints.folder import Checkpoint
from engine.checkpoints.source import local_path
from engine.contract import (
    EngineSettings,
)
from engine.device.choice import Place
from engine.errors import BrokenModel
from engine.loading import original_format

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")
OnProgress = Callable[[str, float | None], None]
"""Told a stage in a few words and its share, None where unknown."""


# ------------------------------------------------------------------ describing


# ------------------------------------------------------------------ loading


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
    class_name, options = PIPELINES[found.kind.family]
    try:
        pipeline = yield from original_format.loading(
            found, base, class_name, options, place.dtype, on_progress
        )
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
    module, class_name = found.index[name] if checkpoint.family(found.index) == "any" else CLASSES[name]
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
            f"({scheduler[:60]}): correct it, or {header.AGAIN}."
        )
    class_name, options = PIPELINES.get(
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
    from engine.device import layout

    vae = pipeline.vae
    if checkpoint.upcasts_vae(family, str(vae.dtype).removeprefix("torch."), vae.config):
        vae.float()
    return layout.settle(pipeline, place, called=family == "any")


def _broken(path: Path, part: str, error: Exception) -> BrokenModel:
    from engine import errors

    errors.check_device(error)
    if errors.is_out_of_memory(error):
        return BrokenModel(
            f"The model “{path.name}” does not fit into this machine's memory: choose a smaller one, "
            "or set profile to “auto” or “low” under [engine]."
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    detail = lines[0].replace(str(path), path.name)[:120]
    files = "The file" if single_file.is_one(path) else f"The files in {part or 'the folder'} of the model"
    return BrokenModel(f"{files} “{path.name}” can't be loaded ({detail}): {header.AGAIN}.")

"""A model's files, looked at once, as a pipeline on its device; knows folders, the hub and diffusers, no queue and no job."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine import errors
from engine.checkpoints import folder, header, hub, single_file
from engine.checkpoints.architectures import CLASSES, Architecture
from engine.checkpoints.folder import Checkpoint
from engine.checkpoints.single_file import SingleFile
from engine.checkpoints.source import Source, SourceKind
from engine.contract import EngineSettings
from engine.errors import BrokenModel
from engine.loading import original_format, processors

if TYPE_CHECKING:
    import torch

    from engine.device.choice import Place
    from engine.device.layout import Settled

Result = TypeVar("Result")
OnProgress = Callable[[str, float | None], None]
"""Told a stage in a few words and its share, None where unknown."""
Found = Checkpoint | SingleFile
"""What loading reads: a folder whose files are complete, or one file that is a whole model. Looked at once."""


def untold(stage: str, share: float | None) -> None:
    """Tells nobody."""
    del stage, share


def import_packages(kind: Architecture) -> None:
    """What loading models of this kind and drawing with them imports, at once, before the first is loaded.

    That is some 680,000 objects that stay. Python would look for garbage among them while they come, a fifth of all the
    time that it takes, and ever again while pictures are drawn.
    """
    gc.disable()
    try:
        for name in ("torch", "diffusers.utils", "transformers.utils", "engine.device.layout"):
            import_module(name)
        if kind.pipeline is not None:
            parts = [CLASSES[part] for part in kind.required if part in CLASSES]
            for module, class_name in (*parts, ("diffusers", kind.pipeline)):
                getattr(import_module(module), class_name)
            import_module(f"engine.families.{kind.family}")
        gc.freeze()
    finally:
        gc.enable()


def check(source: Source, *, offline: bool = False) -> None:
    """Looks at a model's files, headers of weights included; `offline`: at those of its base, too. Raises BrokenModel.

    One that is not on this disk has none.
    """
    place = source.on_disk
    if place is None:
        return
    if source.kind is not SourceKind.FILE:
        folder.check(place, prefer_fp16=False)
        return
    found = single_file.read(place)
    if offline:
        single_file.base(found.kind, offline=True)


def find(source: Source, settings: EngineSettings, place: Place, on_progress: OnProgress = untold) -> Found:
    """A model's files, checked, and downloaded if need be. Raises BrokenModel."""
    if source.path is not None and source.kind is SourceKind.FILE:
        return single_file.read(source.path)
    prefer_fp16 = str(place.dtype) == "torch.float16"
    return folder.check(_locate(source, settings, prefer_fp16, on_progress), prefer_fp16=prefer_fp16)


def weight_files(found: Found) -> list[Path]:
    """Those that loading will read."""
    return [found.path] if isinstance(found, SingleFile) else folder.weight_files(found)


def bring_base(found: Found, *, offline: bool) -> None:
    """Gets what a model in one file lacks from the hub, unless it is here. Raises BrokenModel."""
    if isinstance(found, SingleFile):
        single_file.base(found.kind, offline=offline)


def load(source: Source, settings: EngineSettings, place: Place, on_progress: OnProgress = untold) -> Settled:
    """The model's pipeline, ready on its device. Downloads what is missing; raises BrokenModel."""
    return wholly(loading(find(source, settings, place, on_progress), settings, place, on_progress))


def wholly(parts: Generator[None, None, Result], go_on: Callable[[], None] = lambda: None) -> Result:
    """What a generator returns in the end. `go_on` is called in each of its pauses."""
    while True:
        try:
            next(parts)
        except StopIteration as done:
            return done.value
        go_on()


def loading(
    found: Found, settings: EngineSettings, place: Place, on_progress: OnProgress
) -> Generator[None, None, Settled]:
    """What was found as a pipeline, settled where `place` wants it; with a pause after each part."""
    if isinstance(found, SingleFile):
        return (yield from _loading_file(found, settings, place, on_progress))
    _check_libraries(found)
    parts: dict[str, Any] = {}
    for name in found.variants:
        on_progress(f"loading {name.replace('_', ' ')}", len(parts) / len(found.variants))
        parts[name] = _load_part(found, name, place.dtype)
        yield
    on_progress("starting", None)
    return _assemble(found, parts, place)


def part(found: Found, name: str, settings: EngineSettings, place: Place) -> Any:
    """The "unet" or "vae" alone of what was found, as `loading` reads it. Raises BrokenModel."""
    if not isinstance(found, SingleFile):
        return _load_part(found, name, place.dtype)
    base = single_file.base(found.kind, offline=settings.hub_offline)
    try:
        return original_format.part(found, base, name, place.dtype)
    except Exception as error:
        raise _broken(found.path, "The file", error) from error


def _locate(source: Source, settings: EngineSettings, prefer_fp16: bool, on_progress: OnProgress) -> Path:
    """The model's folder, downloaded if need be."""
    if source.path is not None:
        return source.path
    snapshot = hub.cached(source.named)
    if snapshot is not None:
        try:
            return folder.check(snapshot, prefer_fp16=prefer_fp16).folder
        except BrokenModel as error:  # an interrupted download, most often: what is missing is fetched below
            if settings.hub_offline:
                raise BrokenModel(
                    f"{source.named} is not on this machine as a whole, and the hub can't be reached: "
                    "connect it once, then start again."
                ) from error
    weights = folder.WEIGHTS
    if snapshot is not None and (snapshot / "model_index.json").is_file():
        weights = folder.weights(snapshot, folder.read_index(snapshot))
    stage = f"downloading {source.id.rsplit('/', 1)[-1]}"
    on_progress(stage, None)
    return hub.fetch(
        source.named,
        offline=settings.hub_offline,
        prefer_fp16=prefer_fp16,
        progress=lambda share: on_progress(stage, share),
        weights=weights,
    )


def _loading_file(
    found: SingleFile, settings: EngineSettings, place: Place, on_progress: OnProgress
) -> Generator[None, None, Settled]:
    """As `loading`, from one file and the configurations of its kind's base."""
    on_progress(f"looking for the configuration of {found.kind.name}", None)
    base = single_file.base(found.kind, offline=settings.hub_offline)
    yield
    kind = found.kind.architecture
    assert kind.pipeline is not None  # such files are of no other kind
    try:
        pipeline = yield from original_format.loading(
            found, base, kind.pipeline, kind.options, place.dtype, on_progress
        )
        yield
        return _settled(pipeline, kind, place)
    except Exception as error:
        raise _broken(found.path, "The file", error) from error


def _check_libraries(found: Checkpoint) -> None:
    """Before anything large is read. transformers puts something else where a class lacks a library: it names that."""
    kind = folder.architecture(found.index)
    for name, class_name in folder.components(found.index):
        if kind.is_called and found.index[name][0] == "transformers":
            found_class = getattr(import_module("transformers"), class_name, None)
            if lacking := getattr(found_class, "_backends", None):
                raise BrokenModel(
                    f"The {name} of the model “{found.folder.name}” needs {' and '.join(lacking)}: "
                    "install that where Easel is installed, or choose another model."
                )


def _load_part(found: Checkpoint, name: str, dtype: torch.dtype) -> Any:
    is_called = folder.architecture(found.index).is_called
    module, class_name = found.index[name] if is_called else CLASSES[name]
    try:
        return getattr(import_module(module), class_name).from_pretrained(
            found.folder / name,
            dtype=dtype,
            use_safetensors=True,
            variant=found.variants[name],
            local_files_only=True,
        )
    except Exception as error:
        raise _broken(found.folder, f"The files in {name}/ of the model", error) from error


def _assemble(found: Checkpoint, parts: Mapping[str, Any], place: Place) -> Settled:
    diffusers: Any = import_module("diffusers")
    scheduler = dict(folder.components(found.index))["scheduler"]
    if not hasattr(diffusers, scheduler):
        raise BrokenModel(
            f"model_index.json of “{found.folder.name}” names a scheduler that diffusers does not have "
            f"({scheduler[:60]}): correct it, or {header.AGAIN}."
        )
    kind = folder.architecture(found.index)
    options = kind.options if kind.pipeline else _left_out(found.index)
    try:
        own = processors.of(found.folder, found.index) if kind.is_called else {}
        pipeline = getattr(diffusers, kind.pipeline or found.index["_class_name"]).from_pretrained(
            found.folder,
            **parts,
            **own,
            **options,
            dtype=place.dtype,
            use_safetensors=True,
            local_files_only=True,
        )
        return _settled(pipeline, kind, place)
    except Exception as error:
        raise _broken(found.folder, "The files in the folder of the model", error) from error


def _left_out(index: Mapping[str, Any]) -> dict[str, Any]:
    """The optional components that this model does without, as diffusers wants to be told."""
    return {name: None for name, value in index.items() if value == [None, None]}


def _settled(pipeline: Any, kind: Architecture, place: Place) -> Settled:
    """Where it computes, and its VAE in what."""
    from engine.device import layout

    vae = pipeline.vae
    if kind.upcasts(str(vae.dtype).removeprefix("torch."), vae.config):
        vae.float()
    return layout.settle(pipeline, place, called=kind.is_called)


def _broken(path: Path, files: str, error: Exception) -> BrokenModel:
    """`files` begins the sentence: which of them."""
    errors.check_device(error)
    if errors.is_out_of_memory(error):
        return BrokenModel(
            f"The model “{path.name}” does not fit into this machine's memory: choose a smaller one, "
            "or set profile to “auto” or “low” under [engine]."
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    detail = lines[0].replace(str(path), path.name)[:120]
    return BrokenModel(f"{files} “{path.name}” can't be loaded ({detail}): {header.AGAIN}.")

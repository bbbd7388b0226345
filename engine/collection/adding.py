"""Brings a model into the folder, from the hub or from this disk: complete and checked before it appears there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from engine.checkpoints import describe, easel_json, folder, hub, single_file, vae_approx
from engine.checkpoints.header import PICKLES
from engine.checkpoints.source import CHECKPOINTS, Source
from engine.collection import listing, sums
from engine.contract import STARTER, EngineSettings
from engine.device import choice
from engine.errors import BrokenModel
from engine.loading import load

Tell = Callable[[str, float | None], None]
"""Told a stage in a few words and its share, None where unknown."""
_PARTIAL = ".partial"
"""Where models are on their way, in the folder of checkpoints."""


def add(source: str, settings: EngineSettings, tell: Tell) -> Path:
    """The new model's place. Raises BrokenModel with a sentence where it is not taken."""
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - Path's own raises where there is no such user
    is_here = path.exists() or source.startswith((".", "~", "/")) or single_file.is_one(path)
    if not is_here and not hub.is_id(source):
        raise BrokenModel(
            f"There is no “{source}” here, and it is no hub id: give a file, a folder, or owner/name."
        )
    if is_here:
        path = path.parent.resolve() / path.name if path.is_file() else path.resolve()
        load.check(Source.of(str(path)))
    name = path.name if is_here else hub.current_id(source).replace("/", "--")
    target = Path(settings.models or "").absolute() / CHECKPOINTS / name
    _check_name(target)
    coming = target.parent / _PARTIAL / target.name
    try:
        coming.mkdir(parents=True, exist_ok=True)
        if not is_here:
            _download(source, coming, settings, tell)
        elif path.is_dir():
            _copy(path, _wanted(path, settings), coming, tell)
        else:
            notes = path.with_suffix(".json")
            _copy(path.parent, [path.name, *([notes.name] if notes.is_file() else [])], coming, tell)
        if is_here:
            _check_copy(coming if path.is_dir() else coming / path.name, settings)
        _move(coming, target)
    except OSError as error:
        raise BrokenModel(
            f"“{target.name}” could not be saved ({error.strerror or type(error).__name__}): "
            f"look at the disk of {target.parent}."
        ) from error
    finally:
        with suppress(OSError):  # what is not empty stays: a download goes on there
            coming.rmdir()
        with suppress(OSError):
            coming.parent.rmdir()
    return target


def _check_name(target: Path) -> None:
    name = Source.of(str(target)).id
    taken = {Source.of(str(path)).id for path in listing.lying(target.parent)}
    if name in taken or name == STARTER or target.name.startswith("."):
        raise BrokenModel(
            f"There can't be another model called {name}: rename this one, or take the other away."
        )


def _wanted(place: Path, settings: EngineSettings) -> list[str]:
    """Those of a folder's files that drawing needs, by their names relative to it."""
    index = folder.read_index(place)
    files = [str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()]
    prefer_fp16 = _prefers_fp16(settings, folder.architecture(index).family)
    chosen = hub.wanted(files, prefer_fp16=prefer_fp16, weights=folder.weights(place, index))
    tiny = (f"{vae_approx.OWN}/config.json", f"{vae_approx.OWN}/{vae_approx.STEM}")
    own = [name for name in files if name.startswith(tiny) and not name.endswith(PICKLES)]
    return [*chosen, *own, *(name for name in files if name == easel_json.FILE)]


def _prefers_fp16(settings: EngineSettings, family: str) -> bool:
    """Whether this machine draws with such numbers; not where the device can't be used."""
    try:
        return str(choice.choose_place(settings, family).dtype) == "torch.float16"
    except BrokenModel:
        return False


def _check_copy(came: Path, settings: EngineSettings) -> None:
    """What came is looked at as the engine will. Raises BrokenModel, and then nothing stays of it."""
    try:
        load.check(Source.of(str(came)))
        describe.describe(Source.of(str(came)), replace(settings, hub_offline=True))
    except BrokenModel:
        shutil.rmtree(came if came.is_dir() else came.parent)
        raise


def _copy(place: Path, names: list[str], coming: Path, tell: Tell) -> None:
    """Copies files, and notes the sums of weights."""
    size, done = sum((place / name).stat().st_size for name in names), 0
    if size > shutil.disk_usage(coming).free:
        raise BrokenModel(
            f"{coming.parent.parent} has no room for {size / 1e9:.1f} GB: make some, or set another dir under [models]."
        )

    def read(count: int) -> None:
        nonlocal done
        done += count
        tell(f"copying {coming.name}", done / size)

    shutil.rmtree(coming)  # what an earlier try left
    found: dict[str, str] = {}
    for name in names:
        target = coming / name
        target.parent.mkdir(parents=True, exist_ok=True)
        found[name] = sums.digest(place / name, read, into=target)
    _note(coming, found)


def _download(model: str, coming: Path, settings: EngineSettings, tell: Tell) -> None:
    """Fetches what drawing needs, and compares it with the sums that the hub knows."""
    if settings.hub_offline:
        raise BrokenModel(
            "offline = true under [engine] forbids downloads: leave it out to add a model of the hub."
        )
    stage = f"downloading {hub.current_id(model)}"
    tell(stage, None)
    known = hub.listing(model)
    if "model_index.json" not in known:
        raise BrokenModel(
            f"{model} on the hub is no folder of a diffusers model: if it is a checkpoint in one file, download that "
            "file and add it."
        )
    hub.fetch_configs(model, offline=False, into=coming)
    index = folder.read_index(coming)
    hub.fetch(
        model,
        offline=False,
        prefer_fp16=_prefers_fp16(settings, folder.architecture(index).family),
        progress=lambda share: tell(stage, share),
        weights=folder.weights(coming, index),
        into=coming,
    )
    load.check(Source.of(str(coming)))
    shutil.rmtree(coming / ".cache", ignore_errors=True)  # the hub library's notes for resuming
    found: dict[str, str] = {}
    for file in listing.weights(coming):
        name = str(file.relative_to(coming))
        tell(f"checking {name}", None)
        found[name] = sums.digest(file, lambda _: None)
        if known.get(name) not in {None, found[name]}:
            file.unlink()
            raise BrokenModel(f"{name} of {model} did not arrive as the hub has it: try again.")
    _note(coming, found)


def _note(coming: Path, found: Mapping[str, str]) -> None:
    sums.note(coming, {name: value for name, value in found.items() if name.endswith(single_file.SUFFIX)})


def _move(coming: Path, target: Path) -> None:
    """Lets a complete model appear at its place: a folder as it is, a file last of what belongs to it."""
    if not (coming / target.name).is_file():
        coming.replace(target)
    else:
        sums_of_it = coming / sums.OF_A_FOLDER
        sums_of_it.replace(sums.place(target))
        for path in sorted(coming.iterdir(), key=lambda path: path.name == target.name):
            path.replace(target.parent / path.name)

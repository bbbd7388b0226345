"""What lies in the folder of models, told by names and headers; reads no weights, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.checkpoints import adapters, describe, header
from engine.checkpoints.header import PICKLE, PICKLES
from engine.checkpoints.single_file import SUFFIX
from engine.checkpoints.source import CHECKPOINTS, Source, sources
from engine.contract import EngineSettings
from engine.errors import BrokenModel
from engine.loading import load, upscalers

OTHERS = {adapters.LORAS: "LoRA", adapters.EMBEDDINGS: "embedding", upscalers.FOLDER: "upscaler"}
"""Folders beside the checkpoints' -> what a file in them is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing in the folder."""

    name: str
    kind: str
    path: Path | None
    """None for a model of the hub that is not on this disk."""
    bytes: int = 0
    family: str = ""
    size: str = ""
    """Native, such as "512x512"."""
    problem: str = ""
    """Why it can't be used, in a sentence."""


def entries(settings: EngineSettings) -> Iterator[Entry]:
    """The configured model, the checkpoints, then everything else by folder and name."""
    offered = sources(settings)
    yield _configured(offered[0], settings)
    folder = Path(settings.models or "")
    for path in lying(folder / CHECKPOINTS):
        source = Source.of(str(path.absolute()))
        if source != offered[0]:
            entry = _described(source, settings)
            if not entry.problem and source not in offered:
                entry = replace(
                    entry, problem=f"Another model is called {entry.name}, too: give this one another name."
                )
            yield entry
    for name, kind in OTHERS.items():
        for path in _files(folder / name):
            yield _file(path, kind)


def lying(folder: Path) -> list[Path]:
    """What is meant as a model or another weight file, by name: folders, safetensors and pickles."""
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # most often there is no such folder
        return []
    return [path for path in found if path.is_dir() or path.suffix.lower() in {SUFFIX, *PICKLES}]


def _files(folder: Path) -> list[Path]:
    """Of upscalers those in the folder itself, of all else those in folders below it, too."""
    if folder.name == upscalers.FOLDER:
        return [path for path in lying(folder) if path.is_file()]
    found = sorted(path for path in folder.rglob("*") if not path.name.startswith("."))
    return [path for path in found if path.is_file() and path.suffix.lower() in {SUFFIX, *PICKLES}]


def weights(path: Path) -> list[Path]:
    """The weight files of a model or of anything else: itself, or those in its folder."""
    return sorted(path.glob(f"*/*{SUFFIX}")) if path.is_dir() else [path]


def _configured(source: Source, settings: EngineSettings) -> Entry:
    if source.on_disk is None:
        wait = "offline = true forbids that" if settings.hub_offline else "the next start downloads it"
        return Entry(
            name=source.id, kind="configured", path=None, problem=f"It is not on this disk yet: {wait}."
        )
    return replace(_described(source, settings), kind="configured")


def _described(source: Source, settings: EngineSettings) -> Entry:
    """Of one that is on this disk."""
    path = source.on_disk or Path()
    entry = Entry(name=source.id, kind="checkpoint", path=path, bytes=_size(path))
    try:
        info = describe.describe(source, replace(settings, hub_offline=True))
        load.check(source)
    except BrokenModel as error:
        return replace(entry, problem=str(error))
    except Exception as error:  # noqa: BLE001 - the others are still to be told
        return replace(entry, problem=f"It can't be read ({type(error).__name__}).")
    return replace(entry, family=info.family, size=f"{info.width}x{info.height}")


def _file(path: Path, kind: str) -> Entry:
    entry = Entry(name=path.stem, kind=kind, path=path, bytes=_size(path))
    try:
        check_file(path)
        if path.parent.name == upscalers.FOLDER:
            upscalers.describe(path)
    except BrokenModel as error:
        return replace(entry, problem=str(error))
    problem = adapters.problem_of(path) if kind == OTHERS[adapters.LORAS] else ""
    return replace(entry, problem=problem and f"{problem[0].upper()}{problem[1:]}.")


def check_file(path: Path) -> None:
    """Raises BrokenModel unless the file is what its safetensors header says."""
    if path.suffix.lower() in PICKLES:
        raise BrokenModel(f"The file “{path.name}” is a pickle, which {PICKLE}.")
    header.read_header(path, f"The file “{path.name}”")


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

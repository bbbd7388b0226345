"""Where a model lies, read once and passed on: what a setting names, and what lies in the folder for more; opens no file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from engine.checkpoints import hub, single_file
from engine.contract import STARTER, EngineSettings

CHECKPOINTS = "checkpoints"
"""The folder of more models, in that of the engine's settings."""
STARTER_FOLDER = Path(__file__).parents[1] / "starter" / "weights"


class SourceKind(StrEnum):
    """What lies there."""

    FOLDER = "folder"
    """In the hub's layout, on this disk."""
    FILE = "file"
    """A whole model in one file, on this disk."""
    HUB = "hub"
    """A model of the hub, which may be in its cache."""
    UPSCALER = "upscaler"
    """A network that enlarges, in one file on this disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One model, wherever it lies."""

    id: str
    """What people call it: `owner/name` also for a folder `owner--name`."""
    kind: SourceKind
    path: Path | None
    """None exactly for a model of the hub."""
    named: str
    """As the setting, or the folder for models, names it: with the revision of a model of the hub."""

    @classmethod
    def of(cls, named: str) -> Self:
        """What a setting names: the starter, a folder, a file, or an id of the hub. Whether it is there is not asked."""
        if named == STARTER:
            return cls(id=hub.current_id(named), kind=SourceKind.FOLDER, path=STARTER_FOLDER, named=named)
        path = Path(named)
        if not path.is_dir() and single_file.is_one(path):
            return cls(id=path.stem, kind=SourceKind.FILE, path=path, named=named)
        if path.is_dir() or not hub.is_id(named):
            name = path.name.replace("--", "/", 1)
            return cls(
                id=name if hub.is_id(name) else path.name or "model",
                kind=SourceKind.FOLDER,
                path=path,
                named=named,
            )
        return cls(id=hub.current_id(named), kind=SourceKind.HUB, path=None, named=named)

    @classmethod
    def upscaler(cls, file: Path) -> Self:
        return cls(id=file.stem, kind=SourceKind.UPSCALER, path=file, named=str(file))

    @property
    def folder(self) -> Path | None:
        """Of a model in the hub's layout on this disk, outside of the hub's cache: there its owner may have put more."""
        return self.path if self.kind is SourceKind.FOLDER else None

    @property
    def on_disk(self) -> Path | None:
        """Where it is on this disk, the hub's cache included; None where it is not here."""
        return self.path or hub.cached(self.named)


def checkpoints(settings: EngineSettings) -> list[Path]:
    """What looks like a model among the engine's own, by name."""
    if settings.models is None:
        return []
    folder = Path(settings.models).absolute() / CHECKPOINTS
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # most often there is no such folder
        return []
    return [
        path
        for path in found
        if (path.suffix.lower() == single_file.SUFFIX and path.exists())
        or (path / "model_index.json").is_file()
    ]


def sources(settings: EngineSettings) -> tuple[Source, ...]:
    """All that `settings.model` may become here: what it is, then what lies in `checkpoints`; no model is named twice.

    The latter are in the order of their names, and one of them is the first where an id of the hub is configured whose
    folder lies there. Nothing but names is looked at: any may prove broken.
    """
    lying = [Source.of(str(path)) for path in checkpoints(settings)]
    first = Source.of(settings.model)
    if first.kind is SourceKind.HUB and "@" not in first.named:
        own = {source.id: source for source in lying if source.kind is SourceKind.FOLDER}
        first = own.get(first.id, first)
    found = [first]
    ids, places = {first.id}, {first.path and first.path.resolve()}
    for source in lying:
        place = source.path and source.path.resolve()
        if source.id not in ids and place not in places:
            found.append(source)
        ids.add(source.id)
        places.add(place)
    return tuple(found)

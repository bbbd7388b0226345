"""Where models lie: what a setting names, and what lies in the folder for more; knows names of files, opens none."""

from __future__ import annotations

from pathlib import Path

from engine.checkpoints import hub, single_file
from engine.contract import STARTER, EngineSettings

CHECKPOINTS = "checkpoints"
"""The folder of more models, in that of the engine's settings."""
STARTER_FOLDER = Path(__file__).parents[1] / "starter" / "weights"


def local_path(model: str) -> Path | None:
    """The folder or file on this disk that a setting names; None where it is an id of the hub."""
    if model == STARTER:
        return STARTER_FOLDER
    path = Path(model)
    return path if path.is_dir() or single_file.is_one(path) or not hub.is_id(model) else None


def on_disk(model: str) -> Path | None:
    """Where a model is on this disk, the hub's cache included; None where it is not here."""
    return local_path(model) or hub.cached(model)


def model_id(model: str) -> str:
    """What people call the model that a setting names: `owner/name` also for a folder `owner--name`."""
    path = local_path(model)
    if model == STARTER or path is None:
        return hub.current_id(model)
    if single_file.is_one(path):
        return path.stem
    name = path.name.replace("--", "/", 1)
    return name if hub.is_id(name) else path.name or "model"


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

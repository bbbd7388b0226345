"""What LoRA and embedding files say of themselves in their header; knows files and JSON, neither torch nor requests.

Anybody's files lie here: whatever one holds, the worst that comes of it is a `problem` that names what is wrong.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from engine.checkpoints import beside, lora_names
from engine.checkpoints import folder as checkpoint
from engine.checkpoints.architectures import BY_FAMILY
from engine.checkpoints.beside import Beside
from engine.checkpoints.header import read_header
from engine.checkpoints.lora_names import Layer
from engine.contract import AdapterInfo
from engine.contract.loras import is_name
from engine.errors import BrokenModel

LORAS, EMBEDDINGS = "loras", "embeddings"
"""Of the folder with models. Fingerprints name one of each as "lora NAME" and "embedding NAME"."""
Kind = Literal["Stable Diffusion 1", "Stable Diffusion 2", "Stable Diffusion XL", "another kind of model"]
Shapes = Mapping[str, tuple[int, ...]]
DAMAGED = "its file is damaged: download it again"
_OTHER: Kind = "another kind of model"
_WIDTHS: Mapping[int, Kind] = {
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    2048: "Stable Diffusion XL",
}
"""Numbers that each token of a prompt has when the UNet sees it."""
_READS = re.compile(r"encoder_layers_\d+_(self_attn_[qkv]_proj|mlp_fc1)")
_SEES_TEXT = re.compile(r".*_attn2_to_[kv]")
_LYCORIS = re.compile(r"hada_|lokr_|oft_|glora|dora_scale|lora_magnitude_vector|diff\.weight|diff_b$")
_SD = r"(?<![a-z0-9])(sd|stable.?diffusion)[ _.-]?v?"
_BASES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(f"{_SD}xl"), "Stable Diffusion XL"),
    (re.compile(f"{_SD}1(?![a-z])"), "Stable Diffusion 1"),
    (re.compile(f"{_SD}2(?![a-z])"), "Stable Diffusion 2"),
    (
        re.compile(
            f"{_SD}3|(?<![a-z])(flux|stable.cascade|hunyuan|aura.?flow|pixart|lumina|kolors|chroma|qwen|wan)(?![a-z])"
        ),
        _OTHER,
    ),
)
"""What trainers call what they trained from. Of all other names, and new ones come every month, nothing follows."""
VECTORS_MAX = 75
"""Of an embedding: they take that many places in the window of a text encoder."""
_log = logging.getLogger("easel.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What a LoRA was made for, as far as it is known."""

    width: int | None = None
    """Numbers per token that its layers beside the prompt take."""
    text_widths: tuple[int | None, ...] = ()
    """The same for those of each text encoder."""
    kind: Kind | None = None
    beside: Beside = field(default_factory=Beside)
    problem: str = ""


def paths(models: str | Path | None, kind: str, own: Path | None = None) -> dict[str, Path]:
    """Name -> file, by name, of all that lie in `models`'s folder of this kind or in folders below it.

    `own`: a model's folder, which may have such a folder of its own; that comes first. The first of two equal names counts,
    and what nobody could name in a request is left out.
    """
    found: dict[str, Path] = {}
    for root in (own, models):
        for path in () if root is None else _files(Path(root) / kind):
            if is_name(path.stem) and not path.name.startswith(".") and path.is_file():
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.rglob("*.safetensors"), key=lambda path: (len(path.parts), path))
    except OSError:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What has to agree between a model and files for it."""

    family: str
    """"sd" or "sdxl"."""
    width: int | None = None
    """Its UNet's `cross_attention_dim`, None where it is not known: LoRAs of Stable Diffusion 1 and 2 differ in it alone."""
    text_widths: tuple[int, ...] = ()
    """Numbers that each of its text encoders has for a token."""


def offered(
    models: str | None, model: Path | None, family: str, own: Path | None = None
) -> dict[str, tuple[AdapterInfo, ...]]:
    """The fields of a ModelInfo that tell what lies in `models`, or in its `own` folder, for the model that lies at `model`."""
    fit = fit_of(model, family)
    return {"loras": loras(models, fit, own), "embeddings": embeddings(models, fit)}


def fit_of(model: Path | None, family: str) -> Fit:
    """Of a model that lies at `model`: a folder in the hub's layout, or one file. What is not there yet is not known."""
    if model is None:
        return Fit(family=family)
    try:
        return _fit_of_file(model, family) if model.is_file() else _fit_of_folder(model, family)
    except (
        BrokenModel,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
    ):  # loading it will say what is wrong
        return Fit(family=family)


def _fit_of_folder(folder: Path, family: str) -> Fit:
    unet = checkpoint.read_json(folder, "unet/config.json")
    configs = (f"{part}/config.json" for part in ("text_encoder", "text_encoder_2"))
    texts = [checkpoint.read_json(folder, config) for config in configs if (folder / config).is_file()]
    return Fit(
        family=family,
        width=int(unet["cross_attention_dim"]),
        text_widths=tuple(int(config["hidden_size"]) for config in texts),
    )


def _fit_of_file(file: Path, family: str) -> Fit:
    shapes = read_header(file, file.name).shapes
    width = next((shape[1] for key, shape in shapes.items() if key.endswith("attn2.to_k.weight")), None)
    words = sorted(key for key in shapes if key.endswith("token_embedding.weight"))
    return Fit(family=family, width=width, text_widths=tuple(shapes[key][1] for key in words))


def loras(models: str | None, fit: Fit, own: Path | None = None) -> tuple[AdapterInfo, ...]:
    """All LoRA files, with the reason for each that does not fit."""
    return tuple(_lora(name, path, fit) for name, path in paths(models, LORAS, own).items())


def _lora(name: str, path: Path, fit: Fit) -> AdapterInfo:
    made = _made(path, *stamp(path))
    return _info(name, made.beside, made.problem or _misfit(made, fit))


def _info(name: str, told: Beside, problem: str) -> AdapterInfo:
    return AdapterInfo(
        name=name, words=told.words, description=told.description, preview=told.preview, problem=problem
    )


def problem_of(path: Path) -> str:
    """Why no model can use a LoRA file, empty where nothing is wrong with it."""
    return _made(path, *stamp(path)).problem


def _misfit(made: _Made, fit: Fit) -> str:
    """Why it was made for something else, empty where it seems to fit."""
    if made.width is not None and fit.width is not None:
        fits = made.width == fit.width
        kind = _WIDTHS.get(made.width, _OTHER)
    else:
        kind = made.kind or _OTHER
        fits = made.kind is None or made.kind in _kinds_of(fit)
    if not fits:
        return f"it was made for {kind}"
    texts = zip(made.text_widths, fit.text_widths, strict=False)
    return f"it was made for {_OTHER}" if any(mine not in (None, theirs) for mine, theirs in texts) else ""


def _kinds_of(fit: Fit) -> tuple[Kind, ...]:
    """What a model can be, as far as it is known."""
    if fit.width is not None and fit.width in _WIDTHS:
        return (_WIDTHS[fit.width],)
    return tuple(_WIDTHS[width] for width in BY_FAMILY[fit.family].text_widths)


def stamp(path: Path) -> tuple[int, int]:
    """(bytes, time of its last change): a file is looked at once for as long as they stay."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=4096)
def _made(path: Path, size: int, changed_ns: int) -> _Made:
    del size, changed_ns  # part of the cache's key
    try:
        header = read_header(path, path.name)
    except BrokenModel as error:
        _log.warning("the LoRA “%s” can't be used: %s", path.stem, error)
        return _Made(problem=DAMAGED)
    layers = lora_names.layers_of(header.shapes)
    problem = _no_lora(header.shapes, layers)
    if problem:
        return _Made(problem=problem)
    return _Made(
        width=_width(header.shapes, layers, _SEES_TEXT, lora_names.UNET),
        text_widths=tuple(
            _width(header.shapes, layers, _READS, part) for part in (lora_names.TEXT, lora_names.TEXT_2)
        ),
        kind=_kind(header.shapes, layers, header.texts),
        beside=beside.read(path, header.texts),
    )


def _no_lora(shapes: Shapes, layers: Sequence[Layer]) -> str:
    """What the file is instead of a LoRA that can be drawn, empty where it is one."""
    others = lora_names.others_in(shapes)
    if any(key.startswith(("model.diffusion_model.", "first_stage_model.")) for key in others):
        return "it is a whole checkpoint: move it to the folder “checkpoints”"
    if any(_LYCORIS.search(key) for key in others):
        return "it is a LyCORIS or DoRA file, a kind that Easel can't load"
    if not layers:
        return "it is no LoRA file"
    if _is_of_another_kind(layers):
        return f"it was made for {_OTHER}"
    if others:
        return "it holds more than the layers of a LoRA, which Easel can't draw with"
    if not all(_is_sound(layer, shapes) for layer in layers if layer.is_known):
        return "its layers have no rank, or shapes that don't fit each other: get the LoRA in another version"
    return ""


def _is_of_another_kind(layers: Sequence[Layer]) -> bool:
    """Text encoders are alike in several kinds: where a file has more than their layers, the others decide."""
    texts = (lora_names.TEXT, lora_names.TEXT_2)
    deciding = [layer for layer in layers if layer.part not in texts] or layers
    return any(layer.is_foreign for layer in deciding) and not any(layer.is_known for layer in deciding)


def _is_sound(layer: Layer, shapes: Shapes) -> bool:
    """Whether the shapes of its halves agree; one that has only one of them is left out when it is loaded."""
    if not layer.is_whole:
        return True
    down, up = shapes[layer.tensors["down"]], shapes[layer.tensors["up"]]
    return len(down) in (2, 4) and len(up) in (2, 4) and min(*down, *up) > 0 and down[0] == up[1]


def _width(shapes: Shapes, layers: Iterable[Layer], name: re.Pattern[str], part: str) -> int | None:
    """Numbers that the layers of this name take, which are all as wide; None where it has none of those."""
    for layer in layers:
        if layer.part == part and layer.is_whole and name.fullmatch(layer.name):
            return shapes[layer.tensors["down"]][1]
    return None


def _kind(keys: Iterable[str], layers: Sequence[Layer], told: Mapping[str, str]) -> Kind | None:
    """By parts that only one kind of model has, else by what the trainer wrote down, as far as it is known here."""
    if any(layer.part == lora_names.TEXT_2 for layer in layers) or any(
        key.startswith("lora_te1_") for key in keys
    ):
        return "Stable Diffusion XL"
    base = f"{told.get('ss_base_model_version', '')} {told.get('modelspec.architecture', '')}".lower()
    return next((kind for pattern, kind in _BASES if pattern.search(base)), None)


# ------------------------------------------------------------------ embeddings


def embeddings(models: str | None, fit: Fit) -> tuple[AdapterInfo, ...]:
    """All embedding files, with the reason for each that does not fit."""
    return tuple(_embedding(name, path, fit.text_widths) for name, path in paths(models, EMBEDDINGS).items())


def _embedding(name: str, path: Path, widths: Sequence[int]) -> AdapterInfo:
    """Its trigger word is its name, whatever else its maker called it."""
    try:
        header = read_header(path, path.name)
    except BrokenModel as error:
        _log.warning("the embedding “%s” can't be used: %s", path.stem, error)
        return AdapterInfo(name=name, problem=DAMAGED)
    told = replace(beside.read(path, header.texts), words=())
    return _info(name, told, _embedding_problem(header.shapes, widths))


def _embedding_problem(shapes: Shapes, widths: Sequence[int]) -> str:
    keys = vectors_of(shapes)
    sides = [shapes[key] for key in keys]
    if not keys or not all(1 <= len(shape) <= 2 and 1 <= _vectors(shape) <= VECTORS_MAX for shape in sides):
        return "it is no embedding file"
    if [shape[-1] for shape in sides] != [*widths] or len({*map(_vectors, sides)}) > 1:
        return f"it was made for {_OTHER}"
    return ""


def vectors_of(keys: Collection[str]) -> tuple[str, ...]:
    """The names of the tensors for each text encoder, in their order; empty where it is no embedding."""
    if {"clip_l", "clip_g"} <= {*keys}:
        return "clip_l", "clip_g"
    params = tuple(key for key in keys if key == "emb_params" or key.startswith("string_to_param"))
    if params:
        return params if len(params) == 1 else ()
    return tuple(keys) if len(keys) == 1 else ()


def _vectors(shape: Sequence[int]) -> int:
    return shape[0] if len(shape) == 2 else 1


# ------------------------------------------------------------------ whole files


def digest_of(data: bytes) -> str:
    """A few letters that tell one file's bytes from another's."""
    return hashlib.sha256(data).hexdigest()[:12]


def digests(models: str | None, keys: Iterable[str], own: Path | None = None) -> dict[str, str]:
    """What a picture's fingerprint would say here: "lora NAME" or "embedding NAME" -> digest of its file.

    `own`: the model's folder, where it has one. A file that is not here, or can't be read, is left out.
    """
    found: dict[str, str] = {}
    for key in keys:
        kind, _, name = key.partition(" ")
        path = paths(models, f"{kind}s", own if kind == "lora" else None).get(name)
        try:
            found |= {} if path is None else {key: digest_of(path.read_bytes())}
        except OSError:
            continue
    return found

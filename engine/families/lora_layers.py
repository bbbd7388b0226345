"""Puts what a LoRA file holds beside the layers of a pipeline, with peft: alpha / rank · up · down for each; switches nothing.

diffusers' own loaders take the alphas and ranks of a file from patterns over names, which fail where layers differ in
them. Here every layer gets its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import get_pattern_key
from safetensors.torch import load as tensors_in
from torch import Tensor

from engine.checkpoints import lora_names
from engine.checkpoints.lora_names import TEXT, TEXT_2, UNET, Layer

_METADATA = "lora_adapter_metadata"
"""Where diffusers writes peft's settings into a file; its keys begin with the part that they are for."""


class Misfit(Exception):
    """A file's layers are not those of this model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What became of a file's layers."""

    parts: frozenset[str]
    """Of the pipeline, that some belong to."""
    used: int
    count: int
    """In the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What is added to the weights of one layer: alpha / rank · up · down."""

    down: Tensor
    """(rank, in) or (rank, in, height, width)."""
    up: Tensor
    """(out, rank), for a convolution with two more sides of 1."""
    alpha: float


def place(pipeline: Any, data: bytes, adapter: str) -> Placed:
    """Puts the file beside the layers that it names, as peft's `adapter`. Raises Misfit, and what safetensors and torch raise."""
    tensors = tensors_in(data)
    layers = lora_names.layers_of(tensors)
    if lora_names.others_in(tensors):
        raise Misfit
    settings = _settings(data)
    parts = {
        part: module for part in (UNET, TEXT, TEXT_2) if (module := getattr(pipeline, part, None)) is not None
    }
    known = {part: _known(module) for part, module in parts.items()}
    changes: dict[str, dict[str, _Change]] = {}
    for layer in layers:
        module = known.get(layer.part, {}).get(layer.name)
        if module is not None and layer.is_whole and module not in changes.get(layer.part, {}):
            change = _change(layer, tensors, settings, module)
            changes.setdefault(layer.part, {})[module] = change
    if not changes:
        raise Misfit
    for part, found in changes.items():
        _inject(parts[part], found, adapter)
    return Placed(parts=frozenset(changes), used=sum(map(len, changes.values())), count=len(layers))


def added(part: Any, adapter: str) -> Any:
    """The same network without any adapter's layers, with what this one's now add in its weights; the others are shared."""
    weights: dict[str, Tensor] = {}
    for name, module in part.named_modules():
        own: Any = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
        for key, tensor in (*own.named_parameters(recurse=False), *own.named_buffers(recurse=False)):
            weights[f"{name}.{key}" if name else key] = tensor
        if isinstance(module, BaseTunerLayer) and adapter in (layer := cast("Any", module)).lora_A:
            weights[f"{name}.weight"] = own.weight + layer.get_delta_weight(adapter)
    with torch.device("meta"):
        made = cast("Any", type(part)).from_config(part.config)
    made.load_state_dict({name: weights[name] for name in made.state_dict()}, assign=True)
    return made.eval().requires_grad_(False)


def _known(module: Any) -> dict[str, str]:
    """Names that files use -> the layer of this part of a pipeline that is meant."""
    names = [
        name.removesuffix(".base_layer")
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and ".lora_" not in name
    ]
    per_block = getattr(module.config, "layers_per_block", None)
    return lora_names.known_by(names, per_block if isinstance(per_block, int) else None)


def _change(layer: Layer, tensors: Mapping[str, Tensor], settings: Mapping[str, Any], module: str) -> _Change:
    down, up = tensors[layer.tensors["down"]], tensors[layer.tensors["up"]]
    if min(down.ndim, up.ndim) < 2 or not 0 < down.shape[0] == up.shape[1]:
        raise Misfit
    rank = down.shape[0]
    if (mid := layer.tensors.get("mid")) is not None:
        down = _around(tensors[mid], down)
    if (alpha := layer.tensors.get("alpha")) is None:
        return _Change(down=down, up=up, alpha=_told(settings, layer.part, module, rank))
    if tensors[alpha].numel() != 1:
        raise Misfit
    return _Change(down=down, up=up, alpha=float(tensors[alpha].item()))


def _around(mid: Tensor, down: Tensor) -> Tensor:
    """One convolution for the two that LyCORIS makes of it: 1x1 to the rank, then the kernel from rank to rank."""
    rank = down.shape[0]
    if mid.ndim != 4 or mid.shape[:2] != (rank, rank):
        raise Misfit
    return torch.einsum("mrhw,ri->mihw", mid.float(), down.float().reshape(rank, -1))


def _settings(data: bytes) -> Mapping[str, Any]:
    """peft's, where the file tells them."""
    length = int.from_bytes(data[:8], "little")
    told = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(_METADATA, "{}")
    try:
        settings = json.loads(told)
    except ValueError:
        return {}
    return cast("dict[str, Any]", settings) if isinstance(settings, dict) else {}


def _told(settings: Mapping[str, Any], part: str, module: str, rank: int) -> float:
    """A layer's alpha by peft's settings; its rank where they don't tell, so that it weighs 1."""
    patterns: dict[str, Any] = settings.get(f"{part}.alpha_pattern") or {}
    found: Any = patterns.get(get_pattern_key(list(patterns), module))
    alpha = settings.get(f"{part}.lora_alpha", rank) if found is None else found
    return float(alpha) * (math.sqrt(rank) if settings.get(f"{part}.use_rslora") else 1)


def _inject(part: Any, changes: Mapping[str, _Change], adapter: str) -> None:
    """Layers of rank 1 at first, which only make the place: peft would look for each rank with patterns over names."""
    config = LoraConfig(r=1, target_modules=[*changes], init_lora_weights=False)
    places = {f"{module}.lora_A.weight": change.down for module, change in changes.items()}
    inject_adapter_in_model(config, part, adapter, state_dict=places)
    part._hf_peft_config_loaded = True
    for module, change in changes.items():
        layer = part.get_submodule(module)
        layer.update_layer(adapter, change.down.shape[0], lora_alpha=change.alpha, config=config)
        _copy(change.down, layer.lora_A[adapter].weight)
        _copy(change.up, layer.lora_B[adapter].weight)


def _copy(source: Tensor, target: Tensor) -> None:
    """Sides of 1 don't matter: some trainers have matrices for convolutions of 1x1, or the other way round."""
    sides = source.shape[:2] == target.shape[:2]
    if not sides or source.numel() != target.numel():
        raise Misfit
    target.data.copy_(source.reshape(target.shape))

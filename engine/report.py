"""Tells which profile an engine would choose, by the model's files alone; loads no weights and starts nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from engine.checkpoints import describe, header, source
from engine.checkpoints import folder as checkpoint
from engine.checkpoints.folder import Checkpoint
from engine.contract import EngineSettings
from engine.device import choice, memory, profiles
from engine.device.memory import Needs
from engine.device.profiles import Weights

if TYPE_CHECKING:
    from engine.device.choice import Place


def foreseen(settings: EngineSettings) -> str:
    """A sentence: the profile, and why. Raises BrokenModel where model or device can't be used."""
    settings = replace(settings, model=source.sources(settings)[0])  # as the engine does
    folder = source.on_disk(settings.model)
    if folder is None or not (folder / "model_index.json").is_file():
        return "Chosen at the start, when the model's weights are known."
    place = choice.choose_place(settings, describe.describe(settings).family)
    found = checkpoint.check(folder, prefer_fp16=str(place.dtype) == "torch.float16")
    weights, needs = _of(found, place)
    free = memory.free_bytes(place.device) if place.device.type == "cuda" else None
    return profiles.plan(place.profile, weights, needs, size=_size(found), free_bytes=free).why


def _of(found: Checkpoint, place: Place) -> tuple[Weights, Needs]:
    """What the model's files say about its weights, and its configs about activations."""
    family, itemsize = checkpoint.family(found.index), place.dtype.itemsize
    vae = checkpoint.read_json(found.folder, "vae/config.json")
    upcast = checkpoint.upcasts_vae(family, str(place.dtype).removeprefix("torch."), vae)
    counts = Counter[str]()
    for file in checkpoint.weight_files(found):
        counts[file.parent.name] += header.count_numbers(file)
    core = sum(count for name, count in counts.items() if name in checkpoint.CORES)
    weights = Weights(
        core=core * itemsize,
        vae=counts["vae"] * (4 if upcast else itemsize),
        aside=(sum(counts.values()) - core - counts["vae"]) * itemsize,
        called=family == "any",
    )
    if weights.called:
        return weights, profiles.called_needs(prod(_size(found)))
    unet = checkpoint.read_json(found.folder, "unet/config.json")
    return weights, Needs.of(
        unet, vae, itemsize=itemsize, vae_itemsize=4 if upcast else itemsize, tiles=False
    )


def _size(found: Checkpoint) -> tuple[int, int]:
    """(width, height) of the pictures that the model was trained on."""
    if checkpoint.family(found.index) == "any":
        return profiles.trained_on(None, None)
    unet, vae = (checkpoint.read_json(found.folder, f"{part}/config.json") for part in ("unet", "vae"))
    return profiles.trained_on(unet.get("sample_size"), 2 ** (len(vae["block_out_channels"]) - 1))

"""Tells which profile an engine would choose, by the model's files alone; loads no weights and starts nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from engine import checkpoint, memory, models, places, profiles
from engine.checkpoint import Checkpoint
from engine.contract import EngineSettings
from engine.memory import Needs
from engine.profiles import Weights

if TYPE_CHECKING:
    from engine.models import Place


def foreseen(settings: EngineSettings) -> str:
    """A sentence: the profile, and why. Raises BrokenModel where model or device can't be used."""
    folder = places.on_disk(settings.model)
    if folder is None or not (folder / "model_index.json").is_file():
        return "Chosen at the start, when the model's weights are known."
    info = models.describe(settings)
    place = models.choose_place(settings, info.family)
    found = checkpoint.check(folder, prefer_fp16=str(place.dtype) == "torch.float16")
    weights, needs = _of(found, place)
    free = memory.free_bytes(place.device) if place.device.type == "cuda" else None
    size = info.width, info.height
    return profiles.plan(place.profile, weights, needs, size=size, free_bytes=free).why


def _of(found: Checkpoint, place: Place) -> tuple[Weights, Needs]:
    """What the model's files say about its weights, and its configs about activations."""
    family, itemsize = checkpoint.family(found.index), place.dtype.itemsize
    vae = checkpoint.read_json(found.folder, "vae/config.json")
    upcast = family == "sdxl" and itemsize == 2 and vae.get("force_upcast", True)
    counts = Counter[str]()
    for file in checkpoint.weight_files(found):
        counts[file.parent.name] += checkpoint.count_numbers(file)
    core = sum(count for name, count in counts.items() if name in checkpoint.CORES)
    weights = Weights(
        core=core * itemsize,
        vae=counts["vae"] * (4 if upcast else itemsize),
        aside=(sum(counts.values()) - core - counts["vae"]) * itemsize,
        called=family == "any",
    )
    if weights.called:
        return weights, profiles.called_needs()
    unet = checkpoint.read_json(found.folder, "unet/config.json")
    return weights, Needs.of(
        unet, vae, itemsize=itemsize, vae_itemsize=4 if upcast else itemsize, tiles=False
    )

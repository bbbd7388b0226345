"""Upscalers: which files there are, what each of them can do, and its network on a device; knows no queue and no request."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import upscaler_file
from engine.checkpoints import beside, folder, header
from engine.checkpoints.architectures import UPSCALER
from engine.checkpoints.single_file import SUFFIX
from engine.checkpoints.source import Source
from engine.contract import OWN_SAMPLER, SIDE_MIN, UPSCALED_SIDE_MAX, ModelInfo
from engine.errors import BrokenModel
from engine.upscaler_file import FOLDER

if TYPE_CHECKING:
    import torch

    from engine.device.choice import Place

_PICKLES = (*header.PICKLES, ".onnx")
WORKING = 1 << 30
"""Bytes that a tile takes, roughly: the largest networks of the kind hold 64 channels of its enlarged pixels, twice or thrice."""


def files(models: str | None) -> list[Path]:
    """What looks like an upscaler in the folder for models, by name."""
    return [path for path in _visible(models) if path.suffix == SUFFIX]


def others(models: str | None) -> list[str]:
    """Sentences about files that were meant to be upscalers and can't be read."""
    return [
        f"“{path.name}” in {FOLDER} is not read, since such files can run foreign code when they are opened: "
        f"get it as {SUFFIX}."
        for path in _visible(models)
        if path.suffix in _PICKLES
    ]


def _visible(models: str | None) -> list[Path]:
    if models is None:
        return []
    try:
        found = sorted((Path(models).absolute() / FOLDER).iterdir())
    except OSError:  # most often there is no such folder
        return []
    return [path for path in found if not path.name.startswith(".")]


# ------------------------------------------------------------------ describing and loading


def describe(file: Path) -> ModelInfo:
    """What an upscaler offers, by names and shapes of its tensors. Imports torch; raises BrokenModel."""
    folder.check_safetensors(file.parent, file.name)
    network = upscaler_file.recognised(file)
    architecture = str(network.architecture.name)
    return ModelInfo(
        id=file.stem,
        title=file.stem,
        family=UPSCALER.family,
        description=f"upscaler, {network.scale}× ({architecture})",
        preview=beside.preview(file),
        steps=1,
        guidance_scale=1.0,
        sampler=OWN_SAMPLER.name,
        samplers=(OWN_SAMPLER.name,),
        side_min=SIDE_MIN,
        side_max=UPSCALED_SIDE_MAX,
        side_multiple=1,
        pixels_max=UPSCALED_SIDE_MAX**2,
        steps_max=1,
        takes_images=True,
        scale=int(network.scale),
    )


def size_of(file: Path) -> int:
    """Bytes that its network takes at most, and what tiles take while it works. Raises BrokenModel."""
    try:
        return file.stat().st_size + WORKING
    except OSError:
        raise BrokenModel(f"The upscaler “{file.stem}” is gone from {FOLDER}: put it back.") from None


def load(file: Path, place: Place) -> Any:
    """Its network on the device, as spandrel's `ImageModelDescriptor`. Raises BrokenModel."""
    from engine import errors

    network = upscaler_file.built(file)
    try:
        return network.to(place.device, _dtype(network, place)).eval()
    except Exception as error:
        if errors.is_out_of_memory(error):
            raise BrokenModel(f"There is no memory left for the upscaler “{file.stem}”.") from error
        raise


def _dtype(network: Any, place: Place) -> torch.dtype:
    """As the other models, on a GPU and where the architecture bears it; float32 everywhere else."""
    import torch

    bears = {torch.float16: network.supports_half, torch.bfloat16: network.supports_bfloat16}
    return place.dtype if place.device.type == "cuda" and bears.get(place.dtype) else torch.float32


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundUpscalers:
    """What lies among the upscalers."""

    models: tuple[tuple[ModelInfo, Source], ...]
    warnings: tuple[str, ...]
    """Sentences about what is left out."""


def find(
    models: str | None, *, tell: Callable[[str], None] = lambda _: None, set_aside: Collection[str] = ()
) -> FoundUpscalers:
    """Describes every upscaler in the folder for models, but for those `set_aside`. Imports torch where there is any.

    `tell` is given the name of each before it is looked at.
    """
    found, left_out = list[tuple[ModelInfo, Source]](), others(models)
    for file in files(models):
        if file.stem in set_aside:
            continue
        tell(file.stem)
        try:
            found.append((describe(file), Source.upscaler(file)))
        except BrokenModel as error:
            left_out.append(f"An upscaler is left out: {error}")
    return FoundUpscalers(models=tuple(found), warnings=tuple(left_out))

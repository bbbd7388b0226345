"""What a training beside an engine that draws has to ask first: whether its pictures may be learned, and whether there is room."""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from engine.contract import EngineSettings
from engine.contract.training import Event, Needs, Preparing, Stage
from engine.training.pictures import Collection
from engine.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

    from engine.families.base import Checker

SPARE_BYTES = 2**30
"""For CUDA's own context and libraries, and what the allocator leaves between."""
_HOST_SPARE_BYTES = 256 * 2**20
"""In the processor's memory, where the model lies already: for what is copied in between."""
_GREY = "grey"


def checkers(engine: EngineSettings, pipeline: Any) -> list[Checker]:
    """The engine's own, and the model's, as the engine has them; on the processor. Raises BrokenModel."""
    from engine.device.choice import choose
    from engine.families.checkers import ClipChecker
    from engine.loading import checkers as loading

    place = choose(replace(engine, device="cpu", mode="exact"))
    found = [loading.load(engine, place)]
    if (own := getattr(pipeline, "safety_checker", None)) is not None:
        found.append(ClipChecker(own, pipeline.feature_extractor, place.device))
    return [each for each in found if each is not None]


def look(checkers: Sequence[Checker], collection: Collection) -> Generator[Event, None, tuple[str, ...]]:
    """The names of all pictures that one of them flags."""
    flagged: list[str] = []
    if checkers:
        for number, example in enumerate(collection.examples, 1):
            if _is_flagged(checkers, example.image):
                flagged.append(example.file)
            yield Preparing(stage=Stage.CHECKING, share=number / len(collection.examples))
    return tuple(flagged)


def shown(checkers: Sequence[Checker], image: Image.Image) -> Image.Image:
    """The sample, or what stands in its place where one of them flags it."""
    return Image.new("RGB", image.size, _GREY) if _is_flagged(checkers, image) else image


def _is_flagged(checkers: Sequence[Checker], image: Image.Image) -> bool:
    return any(each.flags(each.score(image)) for each in checkers)


def needs(pipeline: Any, settings: TrainingSettings, device: torch.device) -> Needs | None:
    """What it takes besides what it holds already, and what there is; None where nobody can tell."""
    from engine.device.memory import reclaim

    free = reclaim(device)
    if free is None:
        return None
    import torch

    from engine.training.memory import takes

    with torch.device("meta"):
        unet = type(pipeline.unet).from_config(pipeline.unet.config)
    assert settings.resolution is not None
    assert settings.batch is not None
    assert settings.layers is not None
    told = takes(
        unet.to(pipeline.unet.dtype),
        side=settings.resolution // pipeline.vae_scale_factor,
        batch=settings.batch,
        rank=settings.rank,
        layers=settings.layers,
        twice=bool(settings.checkpointing),
    )
    needed = told.learning + told.activations
    on_card = device.type != "cpu"
    needed += told.weights + SPARE_BYTES if on_card else _HOST_SPARE_BYTES
    return Needs(needed=needed, free=free, on_card=on_card)

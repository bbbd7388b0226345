"""A tiny model that is drawn with by calling its pipeline: described and loaded as an engine does, and the tutorial's call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL.Image import Image

from engine.contract import EngineSettings, GenerationRequest, ModelInfo
from engine.device import choice, fingerprint
from engine.families.called import AnyFamily
from engine.loading import opening
from tests.kit.engines import described, settled


class Called:
    """One tiny model and how it is drawn with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = EngineSettings(model=str(folder), spool="/nowhere", device="cpu", hub_offline=True)
        self.model: ModelInfo = described(self.settings)
        fingerprint.pin(self.model)
        place = choice.choose_place(self.settings, self.model.family)
        self.settled = settled(self.settings, place)
        self.pipe: Any = self.settled.pipeline

    def family(self, **changes: Any) -> AnyFamily:
        family = opening.family_of(self.settled, replace(self.settings, **changes), self.model)
        assert isinstance(family, AnyFamily)
        return family

    def request(self, **changes: Any) -> GenerationRequest:
        values: dict[str, Any] = {"prompt": "a red fox", "seed": 7, "steps": 4, "size": (64, 64)}
        return self.model.request(**{**values, **changes})

    def plain(self, request: GenerationRequest, seed: int, references: Sequence[Image] = ()) -> bytes:
        """What the tutorial's call draws, or makes of these images."""
        import torch

        kind = type(self.pipe).__name__
        is_qwen = kind.startswith("QwenImage")
        guidance = "true_cfg_scale" if is_qwen else "guidance_scale"
        options: dict[str, Any] = {guidance: request.guidance_scale}
        if request.negative_prompt:
            options["negative_prompt"] = request.negative_prompt
        elif is_qwen:
            options["negative_prompt"] = " "  # as in its model card: else guidance makes no difference
        if references:
            options["image"] = [*references] if len(references) > 1 else references[0]
        if kind == "FluxKontextPipeline":
            options["max_area"] = (
                request.pixels
            )  # else its pictures have a million pixels, whatever their sides
        image = self.pipe(
            prompt=request.prompt,
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            generator=torch.Generator("cpu").manual_seed(seed),
            **options,
        ).images[0]
        return image.tobytes()

"""Which models are offered, and which of them is meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract import ModelInfo


def for_upscaling(models: Sequence[ModelInfo], times: int) -> ModelInfo:
    """Which of the models, of which there is at least one, enlarges where none is named: an upscaler if there is one."""
    able = (model for model in models if model.scale >= times)
    drawing = (model for model in models if model.takes_images and not model.needs_mask and model.scale == 1)
    return next(able, next(drawing, models[0]))

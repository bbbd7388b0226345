"""What goes wrong while a picture is drawn, in words for the person who asked; knows requests and errors, no model."""

from __future__ import annotations

import logging

import torch

from engine import errors
from engine.contract import SIDE_MIN, GenerationRequest, InvalidRequest
from engine.errors import BrokenModel, NotFinite

_log = logging.getLogger("easel.engine")


def check_finite(values: torch.Tensor) -> None:
    """Raises NotFinite."""
    if not bool(torch.isfinite(values).all()):
        raise NotFinite


def is_out_of_memory(error: Exception, device: torch.device) -> bool:
    """Whether less at a time could help on this device; frees what can be freed. Raises DeviceLost where it is lost."""
    errors.check_device(error)
    short = errors.is_out_of_memory(error)
    if short and device.type == "cuda":
        torch.cuda.empty_cache()
    return short


class Explaining:
    """The part of a family that meets errors."""

    _device: torch.device
    _side_min: int

    def explain(self, error: Exception, request: GenerationRequest) -> str:
        if isinstance(error, InvalidRequest | BrokenModel):
            return str(error)
        if isinstance(error, NotFinite):
            return "The numbers of this picture ran away: try another seed, less guidance or another sampler."
        if self.is_out_of_memory(error):
            smaller = _smaller(request, self._side_min)
            hint = f"try {smaller}" if smaller != request.size else "try again when fewer people are drawing"
            return f"There is not enough memory for {request.size}: {hint}."
        _log.error("a picture failed", exc_info=error)
        return f"The model could not draw this ({type(error).__name__}): try other settings."

    def is_out_of_memory(self, error: Exception) -> bool:
        return is_out_of_memory(error, self._device)


def _smaller(request: GenerationRequest, side_min: int) -> str:
    """About half the pixels in the same shape, no smaller than the model draws."""

    def side(pixels: int) -> int:
        return min(pixels, max(side_min, int(pixels * 0.7) // SIDE_MIN * SIDE_MIN))

    return f"{side(request.width)}x{side(request.height)}"

"""Look at finished pictures: Stable Diffusion's safety checker, and open_nsfw; know no model that draws, and no request.

Whatever goes wrong raises: a picture that could not be checked is nobody's to see.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from engine.families.explaining import check_finite

if TYPE_CHECKING:
    from engine.families.base import Checker
    from engine.openvino.networks import Scorer

SIDE, CROP = 256, 224
MEAN = (104.0, 117.0, 123.0)
"""Of blue, green and red: what open_nsfw was trained with."""


class ClipChecker:
    """A StableDiffusionSafetyChecker, asked as `StableDiffusionPipeline.run_safety_checker` of diffusers 0.42.1 does."""

    def __init__(self, network: Any, extractor: Any, device: torch.device) -> None:
        """`device`: where it is told of pictures."""
        self._network, self._extractor, self._device = network, extractor, device
        # Numbers that ran away are above no threshold: diffusers would let such a picture pass.
        network.visual_projection.register_forward_hook(_check)

    @torch.inference_mode()
    def score(self, image: Image.Image) -> float:
        """1 for what it flags, else 0. Raises NotFinite, or what the device raises."""
        seen = self._extractor(image, return_tensors="pt").pixel_values
        blank = [np.zeros((1, 1, 3))]  # what is flagged would be painted black
        _, flags = self._network(clip_input=seen.to(self._device, self._network.dtype), images=blank)
        return float(any(flags))

    def flags(self, score: float) -> bool:
        return score > 0

    def is_like(self, other: Checker) -> bool:
        if not isinstance(other, ClipChecker) or self._extractor.to_dict() != other._extractor.to_dict():
            return False
        own, others = self._network.state_dict(), other._network.state_dict()
        return own.keys() == others.keys() and all(_is_same(own[name], others[name]) for name in own)


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """As far as the coarser of the two tells."""
    dtype = min(one.dtype, other.dtype, key=lambda each: each.itemsize)
    return torch.equal(one.to(other.device, dtype), other.to(dtype))


def _check(_module: Any, _given: Any, found: torch.Tensor) -> None:
    check_finite(found)


class ScoreChecker:
    """Yahoo's open_nsfw: how likely a photograph shows naked people."""

    def __init__(self, network: Scorer, flagged_from: float) -> None:
        self._network, self._flagged_from = network, flagged_from

    def score(self, image: Image.Image) -> float:
        """0 … 1. Raises NotFinite, or RuntimeError."""
        found = torch.as_tensor(self._network(seen(image)))
        check_finite(found)
        return float(found[0, 1])

    def flags(self, score: float) -> bool:
        return score >= self._flagged_from

    def is_like(self, other: Checker) -> bool:
        return self is other


def seen(image: Image.Image) -> np.ndarray[Any, Any]:
    """(1, 224, 224, 3), as open_nsfw's own program shows it a picture: through a JPEG, in BGR, without the mean."""
    edge = (SIDE - CROP) // 2
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    buffer = BytesIO()
    small.crop((edge, edge, edge + CROP, edge + CROP)).save(buffer, "JPEG")
    with Image.open(buffer, formats=("JPEG",)) as jpeg:
        pixels = np.asarray(jpeg, dtype=np.float32)
    return np.ascontiguousarray(pixels[None, :, :, ::-1] - np.asarray(MEAN, dtype=np.float32))

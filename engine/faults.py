"""Which errors are only a lack of memory, and which a device never recovers from; knows torch's errors, no pictures.

NVIDIA's own word on an illegal address, a failed launch or a device assertion is that the process must be ended and
started again. So every error of CUDA and its libraries counts as such, save a lack of memory: an engine that went on
would fail request after request, or worse, draw wrong pictures.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.drawing import DeviceLost

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "alloc_failed")
_STICKY = (
    "cuda error",
    "cuda driver error",
    "cudnn error",
    "cudnn_status_",
    "cublas_status_",
    "cusparse error",
    "cusolver error",
    "cufft error",
    "nccl error",
    "hip error",
    "triton error",
    "device-side assert",
)
_NOT_SUPPORTED = "status_not_supported"
"""A library's refusal of a shape, before anything was started."""


def is_out_of_memory(error: BaseException) -> bool:
    return any(_is_short(link) for link in _chain(error))


def is_sticky(error: BaseException) -> bool:
    """Whether the device is lost to this process. Never for a lack of memory."""
    return not is_out_of_memory(error) and any(_is_sticky(link) for link in _chain(error))


def check_device(error: BaseException) -> None:
    """Raises DeviceLost for a sticky error."""
    if is_sticky(error):
        raise DeviceLost(str(error)) from error


def _is_short(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in text for words in _OUT_OF_MEMORY
    )


def _is_sticky(error: BaseException) -> bool:
    text = str(error).lower()
    told = any(words in text for words in _STICKY) and _NOT_SUPPORTED not in text
    return told or isinstance(error, torch.AcceleratorError)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it: libraries wrap what they meet."""
    while error is not None:
        yield error
        error = error.__cause__

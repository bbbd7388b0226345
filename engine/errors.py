"""Everything that may go wrong in an engine and has a name of its own; knows no model, and torch only where it is loaded.

    BrokenModel       a model can't be used as it is
      Unreachable     the hub did not answer, or not now
    InvalidRequest    a request can't be drawn
    InvalidTraining   a LoRA can't be taught as it was asked for
      NoRoom          there is not enough memory for it now
    NotFinite         a picture is not made of numbers any more
    DeviceLost        the GPU can't be used any more by this process

NVIDIA's own word on an illegal address, a failed launch or a device assertion is that the process must be ended and
started again. So every error of CUDA and its libraries counts as `DeviceLost`, save a lack of memory: an engine that
went on would fail request after request, or worse, draw wrong pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

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


class BrokenModel(Exception):
    """The model can't be used as it is; the text is one sentence for its owner."""


class Unreachable(BrokenModel):
    """The hub did not answer, or not now: the same call may work later."""


class InvalidRequest(ValueError):
    """A request that cannot be drawn; its text is one sentence for the person who asked.

    With values it is one with their `{names}` in it, so that other languages can say it too.
    """

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text.format(**values) if values else text)
        self.text = text
        self.values = values


class InvalidTraining(Exception):
    """A LoRA can't be taught so, or not any further; the text is one sentence for the person who asked."""


class NoRoom(InvalidTraining):
    """There is not enough memory now; later there may be."""


class NotFinite(Exception):
    """The picture is not made of numbers any more."""


class DeviceLost(Exception):
    """The GPU can't be used any more by this process; it must end."""


def is_out_of_memory(error: BaseException) -> bool:
    return any(_is_short(link) for link in chain(error))


def is_sticky(error: BaseException) -> bool:
    """Whether the device is lost to this process. Never for a lack of memory."""
    return not is_out_of_memory(error) and any(_is_sticky(link) for link in chain(error))


def check_device(error: BaseException) -> None:
    """Raises DeviceLost for a sticky error."""
    if is_sticky(error):
        raise DeviceLost(str(error)) from error


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it: libraries wrap what they meet."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_short(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, (MemoryError, *_of_torch("OutOfMemoryError"))) or any(
        words in text for words in _OUT_OF_MEMORY
    )


def _is_sticky(error: BaseException) -> bool:
    text = str(error).lower()
    told = any(words in text for words in _STICKY) and _NOT_SUPPORTED not in text
    return told or isinstance(error, _of_torch("AcceleratorError"))


def _of_torch(name: str) -> tuple[type[BaseException], ...]:
    """That error of torch's; none in a process without torch, where there can be no such error."""
    torch = sys.modules.get("torch")
    return () if torch is None else (getattr(torch, name),)

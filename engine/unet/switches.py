"""Settings of the pipeline that trade nothing but bits for speed: memory layout, fused projections; knows no requests.

They may change the last bits of a picture. So in exact, where pictures equal a plain `pipe()`, they are off unless
somebody turned them on; in wide and fast, "auto" keeps what made this machine's forwards faster. What was found out is
kept beside the costs: tomorrow's start must not decide otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from engine.contract import EngineSettings, Mode
from engine.unet.costs import timed

WORTH = 0.97
"""A change is kept if a forward takes at most this share of its time before."""
WORTH_BF16 = 0.75
"""bf16 costs some of the picture's precision, so it has to bring more."""
_RUNS = 3
_SIDE = 256
_FUSED = ("to_qkv", "to_kv")


def told(settings: EngineSettings) -> dict[str, str]:
    """The switches that somebody turned on."""
    switches = {"channels_last": settings.channels_last, "fused_qkv": settings.fused_qkv}
    return {name: "on" for name, switch in switches.items() if switch == "on"}


def choose(
    pipeline: Any, settings: EngineSettings, mode: Mode, rehearse: Callable[[], None]
) -> dict[str, str]:
    """Turns on what is told, and of what is left open ("auto") what pays; `rehearse` runs the forward that counts."""
    chosen = told(settings)
    turn_on(pipeline, chosen)
    if mode == "exact":
        return chosen
    for name in _SWITCHES:
        if getattr(settings, name) == "auto" and _pays(pipeline, name, rehearse):
            chosen[name] = "on"
    return chosen


def turn_on(pipeline: Any, switches: dict[str, str]) -> None:
    for name in switches:
        _SWITCHES[name][0](pipeline)


def bfloat16_pays() -> bool:
    """Whether this processor multiplies bf16 much faster than fp32: one that must imitate it is far slower instead.

    The two lie so far apart that tomorrow's answer is today's.
    """

    def multiply(dtype: torch.dtype) -> Callable[[], None]:
        matrix = torch.ones(_SIDE, _SIDE, dtype=dtype)

        def act() -> None:
            torch.matmul(matrix, matrix)

        return act

    return seconds(multiply(torch.bfloat16)) <= WORTH_BF16 * seconds(multiply(torch.float32))


def _pays(pipeline: Any, name: str, rehearse: Callable[[], None]) -> bool:
    on, off = _SWITCHES[name]
    try:
        before = seconds(rehearse)
        on(pipeline)
        if seconds(rehearse) <= WORTH * before:
            return True
    except (MemoryError, RuntimeError):  # torch's out of memory is one
        pass
    off(pipeline)
    return False


def seconds(rehearse: Callable[[], object]) -> float:
    """Of the quickest of a few calls, after one that does not count."""
    rehearse()
    return min(timed(rehearse) for _ in range(_RUNS))


def _channels_last(pipeline: Any) -> None:
    pipeline.unet.to(memory_format=torch.channels_last)


def _contiguous(pipeline: Any) -> None:
    pipeline.unet.to(memory_format=torch.contiguous_format)


def _fuse(pipeline: Any) -> None:
    pipeline.unet.fuse_qkv_projections()


def _unfuse(pipeline: Any) -> None:
    """diffusers only swaps the processors back: the fused weights would stay."""
    if getattr(pipeline.unet, "original_attn_processors", None) is not None:
        pipeline.unet.unfuse_qkv_projections()
    for module in pipeline.unet.modules():
        for name in _FUSED:
            if hasattr(module, name):
                delattr(module, name)


_SWITCHES: dict[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {
    "channels_last": (_channels_last, _contiguous),
    "fused_qkv": (_fuse, _unfuse),
}

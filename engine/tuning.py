"""Settings of the pipeline that trade nothing but bits for speed: memory layout, fused projections; knows no requests.

They may change the last bits of a picture. So in exact, where pictures equal a plain `pipe()`, they are off unless
somebody turned them on; in wide and fast, "auto" keeps what made this machine's forwards faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from engine.contract import EngineSettings

WORTH = 0.97
"""A change is kept if a forward takes at most this share of its time before."""
_RUNS = 3


def tune(pipeline: Any, settings: EngineSettings, rehearse: Callable[[], None]) -> dict[str, str]:
    """Turns on what is told or pays; `rehearse` runs the forward that counts. Returns what is on, for the fingerprint."""
    chosen: dict[str, str] = {}
    switches = {
        "channels_last": (settings.channels_last, _channels_last, _contiguous),
        "fused_qkv": (settings.fused_qkv, _fuse, _unfuse),
    }
    for name, (switch, turn_on, turn_off) in switches.items():
        if switch == "on":
            turn_on(pipeline)
        if switch == "on" or (
            switch == "auto" and settings.mode != "exact" and _pays(pipeline, turn_on, turn_off, rehearse)
        ):
            chosen[name] = "on"
    return chosen


def _pays(
    pipeline: Any,
    turn_on: Callable[[Any], None],
    turn_off: Callable[[Any], None],
    rehearse: Callable[[], None],
) -> bool:
    before = _seconds(rehearse)
    turn_on(pipeline)
    if _seconds(rehearse) <= WORTH * before:
        return True
    turn_off(pipeline)
    return False


def _seconds(rehearse: Callable[[], None]) -> float:
    rehearse()
    times: list[float] = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        rehearse()
        times.append(time.perf_counter() - begin)
    return min(times)


def _channels_last(pipeline: Any) -> None:
    pipeline.unet.to(memory_format=torch.channels_last)


def _contiguous(pipeline: Any) -> None:
    pipeline.unet.to(memory_format=torch.contiguous_format)


def _fuse(pipeline: Any) -> None:
    pipeline.unet.fuse_qkv_projections()


def _unfuse(pipeline: Any) -> None:
    pipeline.unet.unfuse_qkv_projections()

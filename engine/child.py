"""What an engine's process knows of whoever started it: whether it is alive, and whether it told us to leave; knows no model."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import queue
import signal
import sys
import time
from typing import Protocol

from engine.contract import Control, Shutdown

LOOK_EVERY_S = 0.5
_PR_SET_PDEATHSIG = 1
BEHIND = "easel-openvino"
"""Name of the thread on which a model is made ready for OpenVINO."""


class Controls(Protocol):
    """The reading end of the queue: raises queue.Empty when nothing came."""

    def get(self, block: bool = True, timeout: float | None = None) -> Control: ...


def parent_alive() -> bool:
    """False once the process that started this one is gone."""
    parent = multiprocessing.parent_process()
    return parent is None or parent.is_alive()


def end_with_parent() -> None:
    """The system kills this process once the one that started it is gone, suspended or not. Linux alone can."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Leave(Exception):
    """There is nobody left to get ready for."""


def wait(pause: float, controls: Controls) -> None:
    """Waits for `pause` seconds before Ready; raises Leave when told to go meanwhile, or left alone."""
    end = time.monotonic() + pause
    while (left := end - time.monotonic()) > 0:
        if not parent_alive():
            raise Leave
        try:
            if isinstance(controls.get(timeout=min(left, LOOK_EVERY_S)), Shutdown):
                raise Leave  # nothing else is sent before Ready
        except queue.Empty:
            pass


def heed(controls: Controls) -> None:
    """Between two things that are done before Ready; raises Leave when told to go, or left alone."""
    if not parent_alive():
        raise Leave
    with contextlib.suppress(queue.Empty):
        while True:
            if isinstance(controls.get(block=False), Shutdown):
                raise Leave

"""Told to stop by SIGTERM or SIGINT, at whatever moment of the process: it ends with 0. Knows no bot."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """From `listen` on a signal does what was chosen last; at first, while nothing has begun, it ends the process."""

    def __init__(self) -> None:
        self._act: Callable[[], object] = _leave_at_once

    def listen(self) -> None:
        """Python's own handlers, not the loop's: those would be gone again before the process is."""
        for number in SIGNALS:
            signal.signal(number, self._heard)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self._act()

    def does(self, act: Callable[[], object]) -> None:
        """What a signal does from now on; called between two instructions of the main thread."""
        self._act = act

    def is_heard(self) -> None:
        """The end has come already: no signal changes how, not even while Python puts its own handlers away."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _leave_at_once() -> None:
    os._exit(0)

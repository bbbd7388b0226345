"""`easel train`: hands a folder of pictures to a process that teaches. Starts it, imports no torch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from types import FrameType
from typing import Any

from bot.config import Settings
from bot.config.engine import engine_settings
from bot.shell.child import environment


def train(settings: Settings, typed: Mapping[str, Any], *, resume: bool) -> int:
    """Runs `engine.training`, which prints for itself. `typed`: its settings. Returns its exit code."""
    words = [
        sys.executable,
        "-m",
        "bot.shell.streams",
        "engine.training",
        json.dumps(asdict(engine_settings(settings))),
        json.dumps(typed),
        *(["--resume"] if resume else []),
    ]
    child = subprocess.Popen(words, env=environment())

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # a terminal tells both, and it ends by itself
                continue
    finally:
        signal.signal(signal.SIGTERM, before)

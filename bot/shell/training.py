"""`easel train`: hands a folder of pictures to a process that teaches. Starts it, imports no torch."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict
from types import FrameType
from typing import Any

from bot.config import Settings
from bot.config.engine import engine_settings
from bot.shell.child import begin, ended


def train(settings: Settings, typed: Mapping[str, Any], *, resume: bool) -> int:
    """Runs `engine.training`, which prints for itself. `typed`: its settings. Returns its exit code."""
    told = json.dumps(asdict(engine_settings(settings)))
    child = begin("engine.training", told, json.dumps(typed), *(["--resume"] if resume else []))

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        return ended(child)
    finally:
        signal.signal(signal.SIGTERM, before)

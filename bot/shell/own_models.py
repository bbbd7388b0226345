"""`easel models …`: hands the owner's folder of models to a process that knows models. Starts it, imports no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

from bot.config import Settings
from bot.config.engine import engine_settings
from bot.shell.child import environment


def tend(settings: Settings, action: str, name: str | None = None) -> int:
    """Runs `engine.collection`, which prints for itself. Returns its exit code."""
    told = json.dumps(asdict(engine_settings(settings)))
    words = [
        sys.executable,
        "-m",
        "bot.shell.streams",
        "engine.collection",
        action,
        told,
        *([] if name is None else ["--", name]),
    ]
    child = subprocess.Popen(words, env=environment())
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # it got the same, and ends by itself
            continue

"""`easel models …`: hands the owner's folder of models to a process that knows models. Starts it, imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict

from bot.config import Settings
from bot.config.engine import engine_settings
from bot.shell.child import begin, ended


def tend(settings: Settings, action: str, name: str | None = None) -> int:
    """Runs `engine.collection`, which prints for itself. Returns its exit code."""
    told = json.dumps(asdict(engine_settings(settings)))
    named = [] if name is None else ["--", name]
    return ended(begin("engine.collection", action, told, *named))

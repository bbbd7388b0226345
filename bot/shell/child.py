"""Asks a Python child what only the engine's packages know, so that they are never loaded here; knows JSON alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

CHILD_TIMEOUT_S = 180.0


def ask_child(code: str, *arguments: str) -> tuple[dict[str, Any] | None, str]:
    """(answer, "") or (None, why not) of a Python child that prints JSON: what it loads never gets into this process."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DISCORD_TOKEN")}
    command = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHILD_TIMEOUT_S,
            env=environ,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {CHILD_TIMEOUT_S:.0f} s"
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1]), ""

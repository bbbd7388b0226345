"""Asks the engine's packages what only they know, in a process of its own; they are never loaded here. Knows JSON alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bot.redaction import environment

CHILD_TIMEOUT_S = 180.0
REPORT = (sys.executable, "-m", "engine.report")


def launch(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=CHILD_TIMEOUT_S,
        env=environment(),
    )


def begin(module: str, *words: str) -> subprocess.Popen[bytes]:
    """One of the engine's programs, which prints for itself where we do."""
    return subprocess.Popen((sys.executable, "-m", "bot.shell.streams", module, *words), env=environment())


def ended(child: subprocess.Popen[bytes]) -> int:
    """Its exit code. Ctrl-C on a terminal tells both, and the child ends by itself."""
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def ask_engine(question: str, **told: Any) -> tuple[dict[str, Any] | None, str]:
    """(answer, "") or (None, why not): one of the questions that `engine.report` answers, and what it is told."""
    try:
        done = launch([*REPORT, question, json.dumps(told)])
    except subprocess.TimeoutExpired:
        return None, f"no answer within {CHILD_TIMEOUT_S:.0f} s"
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1]), ""

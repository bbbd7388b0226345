"""A Ray cluster of this host alone, reached from nowhere else: a process that becomes Ray's own, and ends with the bot."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec

from engine.child import Controls
from engine.contract import EXIT_BROKEN, EngineSettings, Event

LOOPBACK = "127.0.0.1"
STORE_BYTES = 200 * 2**20
"""Room for pictures on their way."""


def run(settings: EngineSettings, controls: Controls, emit: Callable[[Event], None]) -> int:
    """Returns only where Ray is not installed. What is started here ends when this process does, however that is."""
    del controls, emit
    assert settings.cluster is not None
    if find_spec("ray") is None:
        return EXIT_BROKEN  # the links say so
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    command = (
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        f"--port={settings.cluster.port}",
        f"--node-ip-address={LOOPBACK}",
        f"--num-cpus={max(settings.cluster.number, os.cpu_count() or 1)}",
        f"--object-store-memory={STORE_BYTES}",
        "--include-dashboard=false",
        "--disable-usage-stats",
    )
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted
    return EXIT_BROKEN

"""Prints how soon a dead engine is noticed and how soon the next job runs: `python -m tests.kit.recovery_figures`.

Not a test: figures depend on what else the machine does. With the fake engine, a real process and a real SQLite file.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bot.app import Timings
from bot.core.engines.engine_client import Paused
from bot.core.engines.generation import Lost
from bot.core.engines.restarts import Patience
from engine.contract import Event, FakeSettings, Ready, Started
from tests.kit.rig import Rig, eventually, settings_for

DEATHS = 10


async def measure(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds from SIGKILL to Lost, and from Ready to the next job's first sign of life."""
    rig = Rig(
        folder,
        fake=FakeSettings(step_s=0.02, slots=2),
        settings=settings_for(folder),
        timings=Timings(patience=Patience(backoff_s=(0.05,), pause_s=0.05)),
    )
    times: list[tuple[type, float]] = []
    await rig.start()
    post = rig.engine._on_event

    def note(event: Event | Lost | Paused) -> None:
        times.append((type(event), time.monotonic()))
        post(event)

    rig.engine._on_event = note
    for user in range(3 * DEATHS):
        await rig.imagine(user=user)
    noticed: list[float] = []
    resumed: list[float] = []
    for _ in range(DEATHS):
        await eventually(lambda: rig.engine.status.is_ready and rig.dispatcher.running())
        await asyncio.sleep(0.1)
        times.clear()
        killed = time.monotonic()
        os.kill(rig.engine.pid or 0, signal.SIGKILL)
        await eventually(lambda: any(kind is Started for kind, _ in times[_after(times, Ready) :]))
        noticed.append(next(at for kind, at in times if kind is Lost) - killed)
        ready = next(at for kind, at in times if kind is Ready)
        resumed.append(next(at for kind, at in times if kind is Started and at > ready) - ready)
    await rig.stop()
    return noticed, resumed


def _after(times: list[tuple[type, float]], wanted: type) -> int:
    return next((number for number, (kind, _) in enumerate(times) if kind is wanted), len(times))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        noticed, resumed = asyncio.run(measure(Path(folder)))
    for what, seconds in (("SIGKILL to Lost", noticed), ("Ready to the next job's Started", resumed)):
        sys.stdout.write(
            f"{what}: median {1000 * statistics.median(seconds):.0f} ms, worst {1000 * max(seconds):.0f} ms "
            f"of {len(seconds)}\n"
        )


if __name__ == "__main__":
    main()

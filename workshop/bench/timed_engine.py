"""A remote engine that writes into what it tells when that was, and the link to it; for `workshop.bench.cluster`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from engine import codec
from engine.child import Controls
from engine.cluster import link
from engine.cluster.remote_engine import RemoteEngine
from engine.contract import EngineSettings, Event, Finished, Stepped

_run = link.run


class TimedEngine(RemoteEngine):
    """One machine has one monotonic clock."""

    def _tell(self, data: bytes, files: tuple[tuple[str, bytes], ...], event: Event) -> None:
        match event:
            case Stepped():
                data = codec.encode(replace(event, seconds_left=time.monotonic()))
            case Finished():
                data = codec.encode(replace(event, seconds=time.monotonic()))
            case _:
                pass
        super()._tell(data, files, event)


def run(settings: EngineSettings, controls: Controls, emit: Callable[[Event], None]) -> int:
    """As `link.run`."""
    link.RemoteEngine = TimedEngine
    return _run(settings, controls, emit)

"""Engines in a Ray cluster of this host alone: it is started with the first of them, and anew where it has died.

Knows of Ray only that a process of its own becomes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import replace

import structlog

from bot.core.engines import generation
from bot.core.engines.generation import Generation, Tell
from bot.core.engines.watch import Watch
from engine import process
from engine.cluster import head
from engine.contract import EngineSettings

log = structlog.get_logger(__name__)

STOPPED_WITHIN_S = 10.0


class OwnCluster:
    """For so many engines; `start` is how each of them is."""

    def __init__(self, engines: int) -> None:
        self._engines = engines
        self._head: process.EngineProcess | None = None
        self._address = ""

    def start(self, settings: EngineSettings, watch: Watch, tell: Tell) -> Generation:
        """As `generation.start`. Raises OSError."""
        assert settings.cluster is not None
        if self._head is None or not self._head.is_alive():
            self._begin(settings)
        cluster = replace(settings.cluster, address=self._address)
        return generation.start(replace(settings, cluster=cluster), watch, tell)

    def _begin(self, settings: EngineSettings) -> None:
        assert settings.cluster is not None
        if self._head is not None:
            self._head.close()
        with socket.create_server((head.LOOPBACK, 0)) as free:
            self._address = f"{head.LOOPBACK}:{free.getsockname()[1]}"
        log.info("cluster_starts", address=self._address)
        own = replace(settings.cluster, address=self._address, number=self._engines)
        self._head = process.start(replace(settings, data=None, cluster=own), run=head.run)

    async def stop(self) -> None:
        """Once the engines are stopped."""
        if self._head is not None:
            with contextlib.suppress(ProcessLookupError):  # Ray ends all of it when it is told so
                os.kill(self._head.pid, signal.SIGTERM)
            await asyncio.to_thread(self._head.stop, STOPPED_WITHIN_S)
            await asyncio.to_thread(self._head.close)
            self._head = None

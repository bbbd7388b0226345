"""One engine seen from the bot: generations of a process, its queue and its event pipe, replaced when they die.

Knows no jobs, only controls and events. Everything here runs on the event loop, but for one daemon
thread per generation that reads the pipe and kills an engine which has stopped making progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import structlog

from engine.contract import Broken, Control, EngineSettings, Event, Loading, ModelInfo, Ready
from engine.process import EngineProcess, start

log = structlog.get_logger(__name__)

BACKOFF_S = (1.0, 2.0, 5.0, 15.0, 60.0)
LOADS_MAX = 3
"""An engine that dies so often before it was ever ready counts as broken."""
HEALTHY_S = 600.0
"""A generation that lived this long makes the next restart a first one again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds without any event after which an engine counts as hung. Real time, not a test's clock."""

    loading_s: float = 1800.0
    working_s: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The engine's process is gone; what it had taken is unfinished."""

    exitcode: int | None


class Phase(StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What people are told about an engine."""

    phase: Phase = Phase.STARTING
    stage: str = ""
    fraction: float | None = None
    reason: str = ""
    models: tuple[ModelInfo, ...] = ()
    ready: Ready | None = None

    @property
    def is_ready(self) -> bool:
        return self.phase is Phase.READY

    @property
    def slots(self) -> int:
        return self.ready.slots if self.ready and self.is_ready else 0


class EngineClient:
    """Starts an engine, passes its events on in order, and starts the next generation when one dies."""

    def __init__(self, settings: EngineSettings, *, deadlines: Deadlines | None = None) -> None:
        self.status = EngineStatus()
        self.working = False
        """Set by the owner while jobs are aboard: then silence means that the engine hangs."""
        self.described = asyncio.Event()
        """Set once it is known what the engine offers, or that it is broken."""
        self._settings = settings
        self._deadlines = deadlines or Deadlines()
        self._process: EngineProcess | None = None
        self._reader: threading.Thread | None = None
        self._on_event: Callable[[Event | Lost], None] = lambda _event: None
        self._deaths = 0
        self._never_ready = 0
        self._stopping = False
        self._started_at = 0.0
        self._restart: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, on_event: Callable[[Event | Lost], None]) -> None:
        """Starts the first generation. Call it on the main thread, inside the loop that wants the events."""
        self._on_event = on_event
        self._spawn()

    def send(self, control: Control) -> None:
        """Into the current generation's queue; without one the control is dropped, since Lost was told."""
        if self._process is not None:
            with contextlib.suppress(ValueError, OSError):  # buried in this moment: Lost is on its way
                self._process.send(control)

    async def stop(self, *, timeout_s: float = 5.0) -> None:
        """Shutdown, then SIGKILL; no further generation."""
        self.status = EngineStatus(phase=Phase.STOPPED, models=self.status.models)
        if self._restart is not None:
            self._restart.cancel()
        self._stopping = True
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(self._end, process, timeout_s)

    def _end(self, process: EngineProcess, timeout_s: float) -> None:
        with contextlib.suppress(ValueError):  # the reader buried it in this moment
            process.stop(timeout_s)
        if self._reader is not None:  # it meets the end of the pipe, which must not be closed under it
            self._reader.join()
        process.close()

    # -------------------------------------------------------------- one generation

    def _spawn(self) -> None:
        self._restart = None
        self._started_at = time.monotonic()
        self.status = EngineStatus(models=self.status.models)
        try:
            process = self._process = start(self._settings)
        except OSError as error:  # no memory or no process number left: that may pass
            log.error("engine_not_started", error=str(error))
            self._plan_restart(exitcode=None)
            return
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def hand_over(event: Event | Lost) -> None:
            loop.call_soon_threadsafe(self._receive, process, event, context=context)

        self._reader = threading.Thread(
            target=self._listen, args=(process, hand_over), name=f"engine-{process.pid}", daemon=True
        )
        self._reader.start()

    def _listen(self, process: EngineProcess, hand_over: Callable[[Event | Lost], None]) -> None:
        """The reader thread: events in order, then Lost. Kills an engine that is silent for too long."""
        try:
            try:
                while True:
                    if not self._wait_for_event(process):
                        log.error("engine_hung", pid=process.pid)
                        process.kill()
                    hand_over(process.events.recv())
            except (EOFError, OSError):
                if not self._stopping:  # a dying process may take seconds, which the loop has not
                    process.close()
                hand_over(Lost(exitcode=process.exitcode))
        except RuntimeError:  # the loop is closed: nobody is left to be told
            pass

    def _wait_for_event(self, process: EngineProcess) -> bool:
        silent_since = time.monotonic()
        while not process.events.poll(1.0):
            limit = self._deadlines.working_s if self.status.is_ready else self._deadlines.loading_s
            idle = self.status.is_ready and not self.working
            if idle or self.status.phase is Phase.BROKEN:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > limit:
                return False
        return True

    def _receive(self, process: EngineProcess, event: Event | Lost) -> None:
        if process is not self._process:  # a discarded generation, or we are stopping
            return
        match event:
            case Loading():
                self.status = EngineStatus(
                    phase=Phase.LOADING,
                    stage=event.stage,
                    fraction=event.fraction,
                    models=event.models or self.status.models,
                )
            case Ready():
                self.status = EngineStatus(phase=Phase.READY, models=event.models, ready=event)
                _log_ready(event)
            case Broken():
                self.status = EngineStatus(phase=Phase.BROKEN, reason=event.reason, models=self.status.models)
                log.error("engine_broken", reason=event.reason)
            case Lost():
                self._bury(event)
            case _:
                pass
        if self.status.models or self.status.phase is Phase.BROKEN:
            self.described.set()
        self._on_event(event)

    def _bury(self, lost: Lost) -> None:
        """Plans the next generation, unless starting again would not help."""
        self._process = None
        if self.status.phase is Phase.BROKEN:
            return
        self._never_ready = 0 if self.status.is_ready else self._never_ready + 1
        if self._never_ready >= LOADS_MAX:
            reason = f"it died {LOADS_MAX} times while getting ready; the log says more."
            self.status = EngineStatus(phase=Phase.BROKEN, reason=reason, models=self.status.models)
            log.error("engine_broken", reason=reason, exitcode=lost.exitcode)
            return
        self._plan_restart(exitcode=lost.exitcode)

    def _plan_restart(self, *, exitcode: int | None) -> None:
        lived = time.monotonic() - self._started_at
        self._deaths = 1 if lived > HEALTHY_S else self._deaths + 1
        delay = BACKOFF_S[min(self._deaths, len(BACKOFF_S)) - 1]
        log.warning("engine_died", exitcode=exitcode, restart_in_s=delay)
        self.status = EngineStatus(phase=Phase.RESTARTING, models=self.status.models)
        self._restart = asyncio.get_running_loop().call_later(delay, self._spawn)


def _log_ready(ready: Ready) -> None:
    models = ", ".join(model.id for model in ready.models)
    log.info("engine_ready", device=ready.device, dtype=ready.dtype, models=models, slots=ready.slots)
    for note in ready.notes:
        log.info("engine_note", text=note)
    for warning in ready.warnings:
        log.warning("engine_warning", text=warning)

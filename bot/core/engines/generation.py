"""One life of an engine: its process, its queue and its event pipe, and the thread that reads it.

Everything is told on the event loop, in order, and last that it is lost. The thread alone blocks: it also kills an engine
which has stopped making progress, as `bot.core.engines.watch` finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from bot.core.engines.watch import Watch
from engine import process
from engine.cluster import link
from engine.contract import Control, EngineSettings, Event
from engine.process import GONE_S, EngineProcess, Garbled

log = structlog.get_logger(__name__)

LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The engine's process is gone; what it had taken is unfinished."""

    exitcode: int | None
    """None for a process that not even SIGKILL has ended so far."""
    hung: bool = False
    garbled: bool = False
    """It was ended for what it sent, which no engine sends."""
    reading: str | None = None
    """The id of the model that it was reading before it got ready."""


Tell = Callable[[Event | Lost], None]


class Generation(Protocol):
    """One life of an engine, as its client sees it."""

    @property
    def pid(self) -> int | None:
        """Its process, where it has one on this machine."""
        ...

    def send(self, control: Control) -> None:
        """Hands a control over without waiting; what a dead engine is told is lost."""
        ...

    async def stop(self, timeout_s: float) -> None:
        """Asks it to leave, kills it after `timeout_s` seconds, and returns once it is gone; may be called when it is."""
        ...


Start = Callable[[EngineSettings, Watch, Tell], Generation]
"""Starts one and returns at once; it tells the watch and, on this event loop, its client. Raises OSError, which may pass."""


def start(
    settings: EngineSettings,
    watch: Watch,
    tell: Tell,
    *,
    gone_s: float = GONE_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> Generation:
    """In a process of its own, or in that of a link to it. Call it on the main thread, inside the loop that wants the events.

    `monotonic` decides over a real process, so it is a real clock, even where a simulation replaces time's.
    """
    run = None if settings.cluster is None else link.run
    return _InAProcess(process.start(settings, gone_s=gone_s, run=run), watch, tell, monotonic)


class _InAProcess:
    def __init__(
        self, process: EngineProcess, watch: Watch, tell: Tell, monotonic: Callable[[], float]
    ) -> None:
        self._process = process
        self._watch = watch
        self._now = monotonic
        self._stopping = False
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def hand_over(event: Event | Lost) -> None:
            loop.call_soon_threadsafe(tell, event, context=context)

        self._reader = threading.Thread(
            target=self._listen, args=(hand_over,), name=f"engine-{process.pid}", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, control: Control) -> None:
        with contextlib.suppress(ValueError, OSError):  # buried in this moment: Lost is on its way
            self._process.send(control)

    async def stop(self, timeout_s: float) -> None:
        self._stopping = True
        await asyncio.to_thread(self._end, timeout_s)

    def _end(self, timeout_s: float) -> None:
        with contextlib.suppress(ValueError):  # the reader buried it in this moment
            self._process.stop(timeout_s)
        self._reader.join(
            self._process.gone_s
        )  # it meets the end of the pipe, which must not be closed under it
        if self._reader.is_alive():
            self._process.abandon()
            return
        self._process.close()

    # -------------------------------------------------------------- the reader thread

    def _listen(self, hand_over: Tell) -> None:
        """Events in order, then Lost."""
        try:
            why = self._pass_on(hand_over)
            if not self._stopping:  # a dying process may take seconds, which the loop has not
                self._process.close()
            hand_over(Lost(exitcode=self._process.exitcode, hung=why == "hung", garbled=why == "garbled"))
        except RuntimeError:  # the loop is closed: nobody is left to be told
            pass

    def _pass_on(self, hand_over: Tell) -> str:
        """Until there are no more events. Why it was killed, if it was: "hung" or "garbled"."""
        process, why = self._process, "hung"
        try:
            while self._wait_for_event():
                event = process.events.recv()
                self._watch.told(event, self._now())
                hand_over(event)
        except Garbled as error:
            log.error("engine_garbled", pid=process.pid, cause=repr(error.__cause__)[:500])
            why = "garbled"
        except (EOFError, OSError):
            return ""
        else:
            log.error("engine_hung", pid=process.pid)
        process.kill()
        return why

    def _wait_for_event(self) -> bool:
        """Until there is something to read, were it the pipe's end; False for an engine that hangs."""
        while not self._process.events.poll(LOOK_S):
            if self._watch.is_overdue(self._now()):
                return False
        return True

"""One engine seen from the bot: its generations, replaced when they die, and what people are told of it.

Knows no jobs, only controls and events, and of a generation how to start, tell and stop it. Everything here runs on the
event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from bot.core.engines import generation
from bot.core.engines.deaths import EngineEnd, NotStarted, Perished, SaidWhy, Way
from bot.core.engines.generation import Generation, Lost, Start
from bot.core.engines.restarts import Patience, Restarts
from bot.core.engines.status import EngineStatus, Phase
from bot.core.engines.watch import Deadlines, Watch
from bot.core.happenings import EngineDied, EngineGotReady, EngineRests, Listener, ModelRead
from engine.contract import (
    EXIT_DEVICE_LOST,
    EXIT_HOST_LOST,
    Broken,
    Control,
    EngineSettings,
    Event,
    Finished,
    Loading,
    ModelInfo,
    OfferChanged,
    Ready,
    Resident,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The engine died too often: none is started for a while."""

    end: EngineEnd
    """How it ended the last time."""
    deaths: int
    within_s: float
    """So often it died in so many seconds of work."""
    again_s: float
    """It is tried again every so many seconds."""
    again: bool = False
    """The engine that was tried after the last pause died as well."""


class EngineClient:
    """Starts an engine, passes its events on in order, and starts the next generation when one dies."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        number: int = 1,
        deadlines: Deadlines | None = None,
        patience: Patience | None = None,
        tell: Listener = lambda _happening: None,
        start: Start = generation.start,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`number`: of the bot's engines. `monotonic` is the clock by which `start` tells the watch."""
        self.status = EngineStatus()
        self.generation = 0
        """Counts the lives that were begun."""
        self._settings: EngineSettings = settings
        self._number = number
        self._tell = tell
        self._start = start
        self._now = monotonic
        self._watch = Watch(deadlines or Deadlines())
        self._current: Generation | None = None
        self._on_event: Callable[[Event | Lost | Paused], None] = lambda _event: None
        self._patience = patience or Patience()
        self._restarts = Restarts(self._patience)
        self._was_ready = False
        self._said: SaidWhy | None = None
        self._reading: str | None = None
        self._restart: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """May be asked by any thread."""
        return current.pid if (current := self._current) else None

    def start(self, on_event: Callable[[Event | Lost | Paused], None]) -> None:
        """Starts the first generation. Call it on the main thread, inside the loop that wants the events."""
        self._on_event = on_event
        self._spawn()

    def send(self, control: Control) -> bool:
        """Into the current generation's queue; False, and it is dropped, where there is none: Lost was told."""
        if self._current is None:
            return False
        self._watch.sent(control, self._now())
        self._current.send(control)
        return True

    def blame_a_job(self, deaths: int) -> None:
        """A job has killed engines alone, and is out: so many of this one's last deaths were not the device's."""
        self._restarts.blame_a_job(deaths)

    def set_aside(self, model_id: str) -> bool:
        """Later generations do without that model, whose loading has killed two: not the device's fault. May be called again.

        False, and nothing is done, where no other model draws.
        """
        if model_id in self._settings.set_aside:
            return True
        left = tuple(model for model in self.status.models if model.id != model_id)
        if all(model.scale > 1 for model in left):
            return False
        log.error("model_set_aside", model=model_id, engine=self._number)
        self._settings = replace(self._settings, set_aside=(*self._settings.set_aside, model_id))
        self.status = replace(self.status, models=left)
        self._restarts.forgive(2)
        return True

    def _offered(self, models: tuple[ModelInfo, ...]) -> tuple[ModelInfo, ...]:
        return tuple(model for model in models if model.id not in self._settings.set_aside)

    async def renew(self, *, timeout_s: float = 5.0) -> None:
        """The next generation in place of this one, which is asked to leave and is no death. Nothing may be aboard."""
        if self.status.phase is Phase.STOPPED:
            return
        if self._restart is not None:
            self._restart.cancel()
        self.status = EngineStatus(models=self.status.models)
        current, self._current = self._current, None
        if current is not None:
            await current.stop(timeout_s)
        if self.status.phase is Phase.STARTING:  # else the bot has ended it meanwhile
            self._spawn()

    async def stop(self, *, timeout_s: float = 5.0) -> None:
        """Shutdown, then SIGKILL; no further generation."""
        self.status = EngineStatus(phase=Phase.STOPPED, models=self.status.models)
        if self._restart is not None:
            self._restart.cancel()
        current, self._current = self._current, None
        if current is not None:
            await current.stop(timeout_s)

    # -------------------------------------------------------------- one generation

    def _spawn(self) -> None:
        self._restart = None
        self.generation += 1
        number = self.generation
        self._said, self._reading = None, None
        self._restarts.started()
        self.status = EngineStatus(models=self.status.models)
        self._watch.started(self._now())
        try:
            self._current = self._start(
                self._settings, self._watch, lambda event: self._receive(number, event)
            )
        except OSError as error:  # no memory or no process number left: that may pass
            log.error("engine_not_started", error=str(error), engine=self._number)
            self._plan_restart(NotStarted(problem=str(error)))

    def _receive(self, number: int, event: Event | Lost) -> None:
        if number != self.generation or self._current is None:  # a discarded generation, or we are stopping
            return
        match event:
            case Loading():
                self._reading = event.reading
                self.status = EngineStatus(
                    phase=Phase.LOADING,
                    stage=event.stage,
                    fraction=event.fraction,
                    models=self._offered(event.models) or self.status.models,
                )
            case Ready():
                self._receive_ready(event)
            case OfferChanged():
                self.status = replace(self.status, models=self._offered(event.models))
            case Resident():
                for model in event.models:
                    if model not in self.status.loaded:
                        self._tell(ModelRead(model=model))
                self.status = replace(self.status, loaded=event.models)
            case Broken():
                self._receive_broken(event)
            case Finished():
                self._restarts.finished()
            case Lost():
                event = replace(event, reading=self._reading)
                self._bury(event)
            case _:
                pass
        self._on_event(event)

    def _receive_ready(self, ready: Ready) -> None:
        self.status = EngineStatus(
            phase=Phase.READY,
            models=self._offered(ready.models),
            loaded=(ready.models[0].id,),
            ready=ready,
        )
        self._was_ready, self._said, self._reading = True, None, None
        self._restarts.ready(self._now())
        self._settings = pinned(self._settings, ready)
        self._tell(EngineGotReady(ready=ready, engine=self._number))

    def _receive_broken(self, broken: Broken) -> None:
        log.error("engine_broken", reason=broken.reason, engine=self._number)
        self._said = SaidWhy(reason=broken.reason)
        # What worked before may work again: a card that was gone, a disk that was not mounted.
        if not self._was_ready:
            self.status = EngineStatus(phase=Phase.BROKEN, reason=broken.reason, models=self.status.models)

    # -------------------------------------------------------------- death

    def _bury(self, lost: Lost) -> None:
        """Plans the next generation, unless starting again would not help."""
        self._current = None
        self._watch.started(self._now())
        if self.status.phase is Phase.BROKEN:
            return
        self._tell(EngineDied(exitcode=lost.exitcode, reading=lost.reading, engine=self._number))
        self._plan_restart(_end_of(lost) if self.status.is_ready or self._said is None else self._said)

    def _plan_restart(self, end: EngineEnd) -> None:
        self._restarts.died(self._now())
        self.status = EngineStatus(phase=Phase.RESTARTING, models=self.status.models)
        loop = asyncio.get_running_loop()
        self._restart = loop.call_later(self._restarts.breath_s, self._spawn_or_pause, end)

    def _spawn_or_pause(self, end: EngineEnd) -> None:
        """Decided after the first pause for breath, since a job may have been found guilty meanwhile."""
        if not self._restarts.are_too_many:
            self._spawn()
            return
        patience, deaths = self._patience, self._restarts.deaths
        self._tell(EngineRests(end=end, deaths=deaths, for_s=patience.pause_s, engine=self._number))
        self.status = EngineStatus(
            phase=Phase.PAUSED, end=end, again_s=patience.pause_s, models=self.status.models
        )
        self._restart = asyncio.get_running_loop().call_later(patience.pause_s, self._spawn)
        self._on_event(
            Paused(
                end=end,
                deaths=patience.deaths_max,
                within_s=patience.window_s,
                again_s=patience.pause_s,
                again=self._restarts.were_too_many_before,
            )
        )


def pinned(settings: EngineSettings, ready: Ready) -> EngineSettings:
    """The settings of the next generation: where "auto" found a GPU, a later one without it must not draw on the CPU."""
    found = ready.fingerprint.get("device", "cpu")
    if settings.device != "auto" or found in ("cpu", "mps"):
        return settings
    return replace(settings, device="cuda")


def _end_of(lost: Lost) -> Perished:
    match lost:
        case Lost(exitcode=None):
            way, code = Way.UNKILLABLE, None
        case Lost(hung=True):
            way, code = Way.HUNG, None
        case Lost(garbled=True):
            way, code = Way.GARBLED, None
        case Lost(exitcode=int(number)) if number == EXIT_DEVICE_LOST:
            way, code = Way.DEVICE_LOST, None
        case Lost(exitcode=int(number)) if number == EXIT_HOST_LOST:
            way, code = Way.HOST_LOST, None
        case Lost(exitcode=int(number)) if number < 0:
            way, code = Way.SIGNALLED, -number
        case _:
            way, code = Way.EXITED, lost.exitcode
    return Perished(way=way, code=code, reading=lost.reading)

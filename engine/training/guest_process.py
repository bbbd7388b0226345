"""The process of a training beside a bot that draws: tells lines of JSON on stdout, is told on stdin to stop, ends with the bot.

It yields to everybody: lowest priority on the processor, and whoever started it may suspend it at any moment. What was
learned until its last checkpoint is never lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.checkpoints.source import sources
from engine.child import end_with_parent
from engine.contract import EXIT_DEVICE_LOST, EngineSettings
from engine.contract.training import (
    EXIT_FAILED,
    EXIT_NO_ROOM,
    EXIT_STOPPED,
    EXIT_TAUGHT,
    Event,
    Failed,
    Flagged,
    Stepped,
    Taught,
    encode,
)
from engine.device import fingerprint
from engine.errors import BrokenModel, DeviceLost, InvalidTraining, NoRoom, Unreachable
from engine.training.course import Course, Guest
from engine.training.settings import TrainingSettings

_LEAST = 19


def teach(engine: EngineSettings, told: str, folder: str) -> int:
    """Returns the exit code. `told`: of TrainingSettings, and `model`, an id of what the engine offers."""
    tell = _begin()
    ears = _Ears()
    fingerprint.prepare_environment(engine)
    is_over: Event | None = None
    try:
        values = json.loads(told)
        taught = _found(engine, values.pop("model"))
        settings = TrainingSettings.from_json(json.dumps(values))
        course = Course.of_guest(taught, settings, Guest(folder=folder))
        for event in course.run():
            if isinstance(event, Stepped):
                ears.stops(course.stop)
            tell(event)
            is_over = event
    except (NoRoom, Unreachable) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_NO_ROOM if isinstance(error, NoRoom) else EXIT_DEVICE_LOST
    except (BrokenModel, InvalidTraining) as error:
        tell(Failed(text=str(error)))
        return EXIT_FAILED
    except DeviceLost:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(EXIT_DEVICE_LOST)  # an orderly exit would talk to the lost device and may hang
    match is_over:
        case Taught():
            return EXIT_TAUGHT
        case Flagged():
            return EXIT_FAILED
        case _:
            return EXIT_STOPPED


def _found(engine: EngineSettings, model: str) -> EngineSettings:
    """With the model to be taught as its own. Raises InvalidTraining."""
    for source in sources(engine):
        if source.id == model:
            return replace(engine, model=source.named)
    raise InvalidTraining(f"The model {model} is not there any more.")


def _begin() -> Callable[[Event], None]:
    """Makes the process a guest. What libraries print goes to stderr: stdout is for the lines."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has none
        os.nice(_LEAST)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    end_with_parent()
    if os.getppid() != parent:  # it died before that could see it
        os._exit(EXIT_STOPPED)
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: Event) -> None:
        try:
            print(encode(event), file=lines, flush=True)
        except OSError:
            os._exit(EXIT_STOPPED)  # nobody reads any more

    return tell


class _Ears:
    """A line on stdin, or its end, stops the training: at once before it has learned, then after its step.

    Its end means that whoever started us is gone: then it always ends at once, and goes on from its last checkpoint.
    """

    def __init__(self) -> None:
        self._stop: Callable[[], None] | None = None
        self._is_told = False
        threading.Thread(target=self._listen, name="easel-ears", daemon=True).start()

    def stops(self, stop: Callable[[], None]) -> None:
        """From now on it ends after its step."""
        self._stop = stop
        if self._is_told:
            stop()

    def _listen(self) -> None:
        stdin: Any = sys.stdin
        for _ in stdin.buffer:
            self._is_told = True
            if self._stop is None:
                os._exit(EXIT_STOPPED)
            self._stop()
        os._exit(EXIT_STOPPED)

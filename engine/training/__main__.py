"""`python -m engine.training ENGINE TRAINING`: teaches one LoRA on a terminal; prints, and leaves the work to `course`.

With `--guest FOLDER` it tells lines of JSON instead, for a bot that draws beside it (`guest_process`).

Runs as its own process, because learning takes torch; knows neither Discord nor the bot.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from engine.contract import EngineSettings
from engine.contract.training import (
    EXIT_FAILED,
    EXIT_STOPPED,
    EXIT_TAUGHT,
    Checkpointed,
    Event,
    Failed,
    Flagged,
    Needs,
    Noted,
    Preparing,
    Sampled,
    Stepped,
    Taught,
)
from engine.device import fingerprint
from engine.errors import BrokenModel, DeviceLost, InvalidTraining
from engine.training import guest_process
from engine.training.course import Course
from engine.training.settings import TrainingSettings

_SMOOTH = 0.95
"""Share of the loss shown that stays with each step: that of a single step says little."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.training")
    parser.add_argument("engine", type=json.loads, help="EngineSettings as JSON")
    parser.add_argument("training", help="what was typed, of TrainingSettings, as JSON")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--guest", metavar="FOLDER", help="of what is under way; a model is told by its id")
    options = parser.parse_args()
    settings = EngineSettings(**options.engine)
    if options.guest is not None:
        return guest_process.teach(settings, options.training, options.guest)
    fingerprint.prepare_environment(settings)
    try:
        return teach(settings, options.training, resume=options.resume)
    except (BrokenModel, DeviceLost, InvalidTraining) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_STOPPED


def teach(engine: EngineSettings, typed: str, *, resume: bool) -> int:
    """Until the LoRA is there, or Ctrl-C: then the last checkpoint is of the step before."""
    course = (
        Course.resumed(engine, json.loads(typed))
        if resume
        else Course.new(engine, TrainingSettings.from_json(typed))
    )
    with _Display() as display:
        stopping = _Stopping(course)
        for event in course.run():
            if isinstance(event, Stepped):
                stopping.listen()  # until now Ctrl-C ends it at once: nothing was learned yet
            display.show(event)
    return display.last_words()


class _Stopping:
    """Ctrl-C and SIGTERM end the training after its micro-step; once more, and it ends at once."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._listens = False

    def listen(self) -> None:
        if not self._listens:
            self._listens = True
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._heard)

    def _heard(self, number: int, frame: object) -> None:
        del frame
        self._course.stop()
        signal.signal(number, signal.default_int_handler)


class _Display:
    """A bar on a terminal; elsewhere a line for each checkpoint."""

    def __init__(self) -> None:
        self._console = Console(markup=False, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
        self._bar = Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )
        self._task = self._bar.add_task("beginning", total=None)
        self._loss: float | None = None
        self._left_s: float | None = None
        self._done = 0
        self._taught: Taught | None = None

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        match event:
            case Noted(text=text):
                self._say(f"! {text}")
            case Preparing(stage=stage, share=share):
                self._bar.update(
                    self._task, description=stage, total=None if share is None else 1.0, completed=share or 0
                )
            case Stepped():
                self._stepped(event)
            case Checkpointed(done=done):
                self._done = done
                if not self._console.is_terminal:
                    self._say(f"step {done}, {self._told()}: kept")
            case Sampled(sheet=sheet):
                self._say(f"Samples: {sheet}")
            case Taught():
                self._taught = event
            case Needs() | Flagged() | Failed():  # guests alone tell them
                pass

    def _stepped(self, step: Stepped) -> None:
        self._left_s = step.left_s
        if step.loss is not None:
            mean = self._loss
            self._loss = step.loss if mean is None else _SMOOTH * mean + (1 - _SMOOTH) * step.loss
        text = f"step {step.done}/{step.steps}, {self._told()}"
        self._bar.update(self._task, description=text, total=step.steps, completed=step.done)

    def _told(self) -> str:
        loss = "" if self._loss is None else f"loss {self._loss:.4f}"
        left = "" if self._left_s is None else f"{self._left_s:.0f} s left"
        return ", ".join(filter(None, (loss, left)))

    def _say(self, text: str) -> None:
        self._bar.console.print(text)

    def last_words(self) -> int:
        if self._taught is None:
            self._say(f"Stopped at step {self._done}, which is kept: the same command with --resume goes on.")
            return EXIT_STOPPED
        file = Path(self._taught.file)
        self._say(
            f"The LoRA is {file}: draw with it by --lora {file.stem}, or lora: {file.stem} in /imagine."
        )
        return EXIT_TAUGHT


if __name__ == "__main__":
    sys.exit(main())

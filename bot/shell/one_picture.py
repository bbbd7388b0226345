"""`easel imagine`: one picture through a real engine process, no Discord and no database."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, assert_never

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bot.config import Settings
from bot.config.engine import STARTER_NOTE, engine_settings, is_starter
from bot.core.asking.offer import for_upscaling
from bot.core.asking.refused import Unmet
from bot.core.asking.wish import Picture, Wish, resolve, size_of
from bot.shell.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from bot.texts.language import ENGLISH
from bot.texts.refusals import refusal
from engine.contract import (
    REFERENCES_MAX,
    SEEDS,
    UPSCALED_SIDE_MAX,
    AdapterInfo,
    Broken,
    Cancel,
    Cancelled,
    EngineSettings,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    HubTries,
    InvalidRequest,
    Loading,
    Lora,
    ModelInfo,
    NotLoaded,
    OfferChanged,
    Ready,
    Resident,
    SpooledImage,
    Started,
    Stepped,
    Submit,
    from_prompt,
    parse_loras,
)
from engine.pictures import inputs, metadata
from engine.process import EngineProcess, start

JOB_ID, ATTEMPT = 1, 1
STOP_TIMEOUT_S = 5.0
HUB = HubTries(limit_s=30.0)
"""How long a hub that can't be reached is tried again."""
ToRequest = Callable[[Sequence[ModelInfo]], GenerationRequest]
"""The wish for one of these models; raises InvalidRequest."""
_ANY = ModelInfo(
    id="any", title="Any model", takes_images=True, takes_tiling=True, references_max=REFERENCES_MAX
)
_ANY_LARGE = replace(_ANY, side_max=UPSCALED_SIDE_MAX, pixels_max=UPSCALED_SIDE_MAX**2, side_multiple=1)
_COUNT = re.compile(r" \d+/\d+$")


class NoPicture(Exception):
    """The engine could not draw it; the text is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What was typed: the wish, and what only a shell has."""

    wish: Wish
    """All of it but the files."""
    image: Path | None = None
    mask: Path | None = None
    references: tuple[Path, ...] = ()
    upscaler: str | None = None
    is_model_named: bool = False
    """Whether the engine was told which model to load, instead of taking the configured one."""
    out: Path | None = None

    def keep(self, folder: Path) -> Wish:
        """The wish with the images that were named, which are put where the engine looks. Raises InvalidRequest."""
        edited = tuple(
            Picture(
                name=file.name, size=_shape(file, "--reference"), digest=_kept(folder, file, "--reference")
            )
            for file in self.references
        )
        wish, image, mask = replace(self.wish, references=edited), self.image, self.mask
        if image is None:
            if (mask, wish.strength, wish.upscale) != (None, None, None):
                raise InvalidRequest("--mask, --strength and --upscale need an image: name one with --image.")
            return wish
        given = Picture(
            name=image.name,
            size=_shape(image) if wish.upscale is not None else None,
            digest=_kept(folder, image, "--image"),
        )
        within = None if mask is None else Picture(name=mask.name, digest=_kept(folder, mask, "--mask"))
        return replace(wish, image=given, mask=within, upscale=wish.upscale or 1)

    def model_among(self, models: Sequence[ModelInfo]) -> ModelInfo:
        """Which one draws; raises InvalidRequest where the named upscaler is not there."""
        if self.upscaler is not None:
            named = {model.id: model for model in models if model.scale > 1}
            if self.upscaler not in named:
                there = f"use one of {', '.join(named)}" if named else "there is none at all"
                raise InvalidRequest(
                    f"--upscaler: There is no upscaler “{self.upscaler[:60]}” here: {there}."
                )
            return named[self.upscaler]
        if self.wish.upscale is None or self.is_model_named:
            return models[0]
        return for_upscaling(models, self.wish.upscale)

    def check(self, wish: Wish, seed: int) -> None:
        """Finds what no model could draw and no disk could hold, before anything is loaded. Raises InvalidRequest."""
        if wish.size and wish.aspect:
            raise InvalidRequest("Give --size or --aspect, not both.")
        if self.upscaler is not None and self.wish.upscale is None:
            raise InvalidRequest("An upscaler has to know how many times: say it with --upscale.")
        if self.wish.upscale is not None and (wish.size or wish.aspect):
            raise InvalidRequest("Upscaling keeps the image's shape: leave out --size and --aspect.")
        named = (*_loras(wish), *from_prompt(wish.prompt)[1])
        offered = tuple(AdapterInfo(name=lora.name) for lora in named)
        any_model = _ANY if self.wish.upscale is None else _ANY_LARGE
        if wish.steps is not None and not 1 <= wish.steps <= any_model.steps_max:
            # said here: the sampler that a request would name is nobody's choice
            raise InvalidRequest(
                f"--steps: A picture takes 1 to {any_model.steps_max} steps, not {wish.steps}."
            )
        if self.upscaler is None:  # which tells how many times it enlarges, and takes nothing else
            request_of(wish, replace(any_model, loras=offered), seed)
        with _blamed("--out"):
            self._check_out()

    def _check_out(self) -> None:
        out = (self.out or Path()).absolute()
        if not out.is_dir():
            if out.suffix.lower() not in {"", ".png"}:
                raise InvalidRequest(f"Pictures are PNG files: end {out} in .png.")
            if not out.parent.is_dir():
                raise InvalidRequest(f"There is no folder {out.parent} to write to.")
        folder = out if out.is_dir() else out.parent
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise InvalidRequest(
                f"{folder} can't be written to ({error.strerror or error}): name a file elsewhere."
            ) from None

    def target(self, number: int, image_seed: int) -> Path:
        """Where image `number` (from 0) goes. A name given with -o is overwritten, one of ours never."""
        if self.out is None or self.out.is_dir():
            folder = self.out or Path()
            names = [
                f"easel-{image_seed}.png",
                *(f"easel-{image_seed}-{copy}.png" for copy in range(2, 1000)),
            ]
            return next((folder / name for name in names if not (folder / name).exists()), folder / names[0])
        out = self.out.with_suffix(".png")
        return out if self.wish.images == 1 else out.with_stem(f"{out.stem}-{number + 1}")


def request_of(wish: Wish, model: ModelInfo, seed: int) -> GenerationRequest:
    """The request for `model`; raises InvalidRequest, with the option that is to blame where one alone is."""
    with _blamed("--aspect" if wish.aspect else "--size" if wish.size else "--upscale"):
        size_of(wish, model)
    _loras(wish)
    try:
        return resolve(wish, model, seed=seed)
    except InvalidRequest:
        for option, alone in _alone(wish).items():
            with _blamed(option):
                resolve(alone, model, seed=0)
        raise


def _alone(wish: Wish) -> dict[str, Wish]:
    """Each option as if it were the only one."""

    def only(**options: Any) -> Wish:
        return Wish(prompt="x", **options)

    begun = {"image": wish.image, "upscale": wish.upscale}
    return {
        "--seed": only(seed=wish.seed),
        "--negative": only(negative_prompt=wish.negative_prompt),
        "--aspect" if wish.aspect else "--size": only(aspect=wish.aspect, size=wish.size),
        "--steps": only(steps=wish.steps),
        "--guidance": only(guidance=wish.guidance),
        "--sampler": only(sampler=wish.sampler),
        "--schedule": only(schedule=wish.schedule),
        "--guidance-until": only(guidance_until=wish.guidance_until),
        "--images": only(images=wish.images),
        "--image": only(**begun),
        "--strength": only(**begun, strength=wish.strength),
        "--mask": only(**begun, strength=wish.strength, mask=wish.mask),
        "--lora": only(lora=wish.lora),
        "--reference": only(references=wish.references),
        "--tile": only(tile=wish.tile),
    }


def _loras(wish: Wish) -> tuple[Lora, ...]:
    with _blamed("--lora"):
        return parse_loras(wish.lora or "")


@contextmanager
def _blamed(option: str) -> Generator[None]:
    """What is refused inside is told with the option that is to blame, unless one within it has been blamed."""
    try:
        yield
    except Unmet as error:
        raise InvalidRequest(f"{option}: {refusal(error.refused, ENGLISH)}") from None
    except InvalidRequest as error:
        raise (error if str(error).startswith("--") else InvalidRequest(f"{option}: {error}")) from None


def _kept(folder: Path, file: Path, option: str) -> str:
    with _blamed(option):
        try:
            with file.open("rb") as opened:
                return inputs.keep(folder, opened.read(inputs.BYTES_MAX + 1))
        except OSError as error:
            raise InvalidRequest(f"{file.absolute()} can't be read: {error.strerror or error}.") from None


def _shape(file: Path, option: str = "--image") -> tuple[int, int]:
    """(width, height) by the file's header, which is all that is looked at here: decoding is the engine's."""
    try:
        with Image.open(file, formats=inputs.FORMATS) as image:
            return metadata.upright_size(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        problem = f"{option}: {file.absolute()} can't be read as PNG, JPEG or WebP: name one of those."
        raise InvalidRequest(problem) from None


def imagine(settings: Settings, line: CommandLine, *, hub: HubTries = HUB) -> int:
    """Draws, writes and prints; returns the exit code."""
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    seed = secrets.randbelow(SEEDS)
    try:
        with _told_to_end(), tempfile.TemporaryDirectory(prefix="easel-") as spool:
            wish = line.keep(Path(spool) / inputs.FOLDER)
            line.check(wish, seed)
            if is_starter(settings) and line.upscaler is None:
                console.print(STARTER_NOTE)

            def to_request(models: Sequence[ModelInfo]) -> GenerationRequest:
                return request_of(wish, line.model_among(models), seed)

            def deliver(finished: Finished) -> int:
                return _deliver(finished, line, console)

            early = line.wish.upscale is None
            # one picture repays no measurements, nobody sees its previews, and somebody waits for it
            told = replace(
                engine_settings(settings, spool=Path(spool)),
                data=None,
                preview_every=0,
                hub=hub,
            )
            return _draw(told, to_request, deliver, console, early=early)
    except InvalidRequest as error:
        console.print(str(error))
        return EXIT_USAGE
    except NoPicture as error:
        console.print(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        console.print("Cancelled.")
        return EXIT_INTERRUPTED


@contextmanager
def _told_to_end() -> Generator[None]:
    """SIGTERM ends it as Ctrl-C does: without a file or a process left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _draw(
    told: EngineSettings,
    to_request: ToRequest,
    deliver: Callable[[Finished], int],
    console: Console,
    *,
    early: bool,
) -> int:
    """What `deliver` returns. `early`: the models that are known before weights load tell whether the wish can be fulfilled."""
    display = Display(console)
    with display:
        display.stage("starting the engine", None)
        process = start(told)
    try:
        with display:
            finished = _converse(process, to_request, display, early=early)
        return deliver(finished)
    except KeyboardInterrupt:
        _send_cancel(process)
        process.stop(STOP_TIMEOUT_S)
        raise
    finally:
        process.close()  # an orderly end would keep its person waiting for nothing


def _send_cancel(process: EngineProcess) -> None:
    """Lets the engine leave at its next step instead of finishing a picture nobody wants."""
    process.send(Cancel(job_id=JOB_ID, attempt=ATTEMPT))


def _converse(process: EngineProcess, to_request: ToRequest, display: Display, *, early: bool) -> Finished:
    """Follows the engine's events until the pictures lie in the spool; raises NoPicture or InvalidRequest."""
    while True:
        event = _next_event(process)
        match event:
            case Loading():
                # Models are known before their weights are: a wrong option need not wait for those.
                if event.models and early:
                    to_request(event.models)
                display.stage(event.stage, event.fraction)
            case Ready():
                for warning in event.warnings:
                    display.say(warning)
                request = to_request(event.models)
                process.send(Submit(job_id=JOB_ID, attempt=ATTEMPT, request=request))
            case Started():
                display.stage("drawing", 0.0)
            case Stepped():
                display.stage(_stage(event), event.fraction)
            case Resident() | OfferChanged():
                pass
            case Finished():
                return event
            case Broken() | Failed() | NotLoaded():
                raise NoPicture(event.reason)
            case Cancelled():
                raise NoPicture("The engine cancelled the picture.")
            case _:
                assert_never(event)


def _stage(step: Stepped) -> str:
    match step.stage:
        case "waiting":
            return "waiting for its turn"
        case "loading":
            return "loading its model"
        case "encoding":
            return "reading the prompt"
        case "denoising":
            return f"denoising {step.step}/{step.steps}"
        case "decoding" | "saving":
            return f"decoding {step.step}/{step.steps}"


def _next_event(process: EngineProcess) -> Event:
    try:
        return process.events.recv()
    except (EOFError, OSError):
        raise NoPicture(
            "The engine ended unexpectedly: its own message, if it left one, stands above."
        ) from None


def _deliver(finished: Finished, line: CommandLine, console: Console) -> int:
    """Moves the pictures to where they were wished and prints one line each; the exit code."""
    written = 0
    for number, image in enumerate(finished.images):
        if image.path is None:
            console.print(f"Image {number + 1} (seed {image.seed}) was withheld by a safety checker.")
            continue
        target = line.target(number, image.seed)
        _move(image, Path(image.path), target)
        print(f"{target}  seed {image.seed}  {finished.seconds:.1f} s", flush=True)
        written += 1
    for note in finished.notes:
        console.print(note)
    return 0 if written else EXIT_FAILED


def _move(image: SpooledImage, source: Path, target: Path) -> None:
    try:
        shutil.move(source, target)
    except OSError as error:
        raise NoPicture(
            f"{target} (seed {image.seed}) can't be written: {error.strerror or error}."
        ) from error


class Display:
    """One moving line on a terminal's stderr; into a file or pipe, a plain line whenever the stage changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = ""
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, stage: str, fraction: float | None) -> None:
        """`fraction` 0 … 1 of this stage, None when unknown."""
        if not self._console.is_terminal:
            name = _COUNT.sub("", stage)
            if name != self._told:
                self._told = name
                self.say(f"{name} …")
            return
        total = None if fraction is None else 1.0
        self._progress.update(self._task, description=stage, total=total, completed=fraction or 0.0)

    def say(self, text: str) -> None:
        self._progress.console.print(text)

"""An engine without torch: seeded pictures at a chosen pace, with faults on request; knows the contract and Pillow.

It runs the real worker, so turns, cancels, files and events are the real ones; only the drawing is pretended.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path

from PIL import Image, ImageDraw

from engine.checkpoints import adapters, beside
from engine.checkpoints.source import CHECKPOINTS
from engine.child import Controls
from engine.contract import (
    EXIT_BROKEN,
    EXIT_DEVICE_LOST,
    EXIT_OK,
    AdapterInfo,
    Broken,
    EngineSettings,
    Event,
    FakeSettings,
    GenerationRequest,
    Loading,
    Mode,
    ModelInfo,
    Ready,
    Recipe,
    failpoints,
)
from engine.errors import DeviceLost
from engine.families.base import Checker, Sharing
from engine.loop.job import Loaded
from engine.loop.shelf import Shelf
from engine.loop.widths import Widths
from engine.loop.worker import Worker
from engine.pictures.decoding import Inputs

MODEL = ModelInfo(
    id="fake",
    title="Fake model",
    family="fake",
    description="coloured shapes from the seed; obeys no prompt",
    width=128,
    height=128,
    steps=8,
    guidance_scale=7.5,
    sampler="Euler a",
    side_max=1024,
    pixels_max=1024 * 1024,
    safety_checker=True,
    takes_images=True,
    takes_tiling=True,
    quick=Recipe(steps=4, guidance_scale=7.5, sampler="Euler a"),
    loras=(
        AdapterInfo(name="detail", words=("finely drawn",)),
        AdapterInfo(name="pixel", words=("pixel art", "16 bit")),
        AdapterInfo(name="other", problem="it was made for Stable Diffusion XL"),
    ),
    embeddings=(
        AdapterInfo(name="cat-toy", description="a toy cat in bright colours"),
        AdapterInfo(name="easynegative", description="what is usually kept out"),
        AdapterInfo(name="sdxl-toy", problem="it was made for another kind of model"),
    ),
)
EDITOR = replace(MODEL, takes_images=False, takes_tiling=False, references_max=3)
FINGERPRINT = {"engine": "fake"}
_FIT = adapters.Fit(family="sd", width=768, text_widths=(768,))
_HANGING_S = 0.01
_LOADING_S = 0.05
FLAGGED = "flagged"


class Refused(Exception):
    """The fault that `fail_word` asks for."""


class Sticky(Exception):
    """The fault that `sticky_word` asks for."""


def fingerprint_of(fake: FakeSettings) -> dict[str, str]:
    return {**FINGERPRINT, **({"device": fake.card} if fake.card else {})}


def run(settings: EngineSettings, controls: Controls, emit: Callable[[Event], None]) -> int:
    """The engine's life in its process; returns the exit code."""
    fake = settings.fake or FakeSettings()
    source = _Opener(settings, fake)
    names = (MODEL.id, *fake.others, *fake.editing)
    offered = [name for name in names if name not in settings.set_aside] or [MODEL.id]
    first, *others = (_info(settings, fake, name) for name in offered)
    opened = source.loaded(first)
    shelf = Shelf(opened, others, source, unload_after_s=settings.unload_after_s)
    emit(Loading(stage="loading the fake model", fraction=0.0, models=shelf.models))
    _load(fake, shelf.models, emit)
    if fake.broken is not None:
        emit(Broken(reason=fake.broken))
        return EXIT_BROKEN
    folder = Path(settings.spool)
    folder.mkdir(parents=True, exist_ok=True)
    if fake.crash_at:
        failpoints.arm(failpoints.dies_once(fake.crash_at, folder.parent / "engine-crashed"))
    emit(
        Ready(
            device="no device",
            dtype="none",
            models=shelf.models,
            slots=fake.slots,
            fingerprint=opened.fingerprint,
            together=opened.widths.together,
        )
    )
    try:
        Worker.of(shelf, replace(settings, slots=fake.slots), controls, emit).run()
    except DeviceLost:
        return EXIT_DEVICE_LOST
    return EXIT_OK


class _Opener:
    """Pretends to load the fake models that are not loaded from the beginning."""

    def __init__(self, settings: EngineSettings, fake: FakeSettings) -> None:
        self._settings, self._fake = settings, fake
        self._mode: Mode = "exact" if settings.mode == "auto" else settings.mode

    def loaded(self, info: ModelInfo) -> Loaded:
        return Loaded(
            info=info,
            family=FakeFamily(self._fake),
            widths=Widths(self._mode, self._settings.rows_by_torch),
            fingerprint={**fingerprint_of(self._fake), "mode": self._mode},
        )

    def open(self, model_id: str) -> Generator[None, None, Loaded]:
        time.sleep(self._fake.load_s)
        _meet(self._fake, model_id)
        yield
        return self.loaded(_info(self._settings, self._fake, model_id))

    def size_of(self, model_id: str) -> int:
        del model_id
        return 0

    def least_of(self, model_id: str) -> int:
        return self.size_of(model_id)

    def reclaim(self) -> int | None:
        return None


def _load(fake: FakeSettings, models: tuple[ModelInfo, ...], emit: Callable[[Event], None]) -> None:
    begin = time.monotonic()
    while (spent := time.monotonic() - begin) < fake.load_s:
        emit(Loading(stage="loading the fake model", fraction=spent / fake.load_s, models=models))
        time.sleep(min(_LOADING_S, fake.load_s - spent))
    if fake.load_freezes:
        _freeze()
    if models[0].id in (*fake.deadly, *fake.frozen):
        emit(Loading(stage="loading the fake model", models=models, reading=models[0].id))
        _meet(fake, models[0].id)


def _meet(fake: FakeSettings, model_id: str) -> None:
    """What loading that model does to the process."""
    if model_id in fake.deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if model_id in fake.frozen:
        _freeze()


def _info(settings: EngineSettings, fake: FakeSettings, model_id: str) -> ModelInfo:
    """Its own LoRAs and embeddings, and those that lie in the folder for models, which it passes for a Stable Diffusion 1 in."""
    info = EDITOR if model_id in fake.editing else MODEL
    if model_id != MODEL.id:
        info = replace(info, id=model_id, title=model_id)
    if settings.models is None:
        return info
    return replace(
        info,
        preview=beside.preview(Path(settings.models) / CHECKPOINTS / model_id),
        loras=(*info.loras, *adapters.loras(settings.models, _FIT)),
        embeddings=(*info.embeddings, *adapters.embeddings(settings.models, _FIT)),
    )


def _freeze() -> None:
    while True:  # no tick, no event, no look at the queue
        time.sleep(3600)


@dataclass(slots=True, kw_only=True)
class FakeCanvas:
    request: GenerationRequest
    seed: int
    left: int
    start: Inputs | None
    looked: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        return self.start.notes if self.start else ()

    @property
    def made_with(self) -> Mapping[str, str]:
        return {f"lora {lora.name}": "fake" for lora in self.request.loras}

    @property
    def widest(self) -> None:
        return None

    @property
    def rows(self) -> int:
        return 1 + (self.request.evaluations - self.left < self.request.guided_evaluations)

    @property
    def shape(self) -> Hashable:
        return self.request.size


class FakeForwards:
    """Every row is as good in one width as in another."""

    def equal_widths(self, canvas: FakeCanvas, rows: int) -> Sequence[int] | None:
        del canvas
        return (rows,)

    def spare(self, canvases: Sequence[FakeCanvas]) -> None:
        """Nothing of it takes memory."""


class FakeChecker:
    """Flags what was painted to be flagged."""

    def score(self, image: Image.Image) -> float:
        return float(FLAGGED in image.info)

    def flags(self, score: float) -> bool:
        return score > 0

    def is_like(self, other: Checker) -> bool:
        return isinstance(other, FakeChecker)


class FakeFamily:
    """Draws ovals; obeys the fault words of FakeSettings."""

    checker = FakeChecker()

    def __init__(self, fake: FakeSettings) -> None:
        self._fake = fake
        self.forwards: Sharing = FakeForwards()

    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> FakeCanvas:
        return FakeCanvas(request=request, seed=seed, left=request.evaluations, start=inputs)

    def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
        del padded
        prompts = [canvas.request.prompt for canvas in canvases]

        def meets(word: str) -> bool:
            return any(word in prompt for prompt in prompts)

        if meets(self._fake.crash_word):
            os.kill(os.getpid(), signal.SIGKILL)
        if meets(self._fake.freeze_word):
            _freeze()
        if meets(self._fake.sticky_word):
            raise Sticky("the fake device is lost")
        if meets(self._fake.memory_word):
            raise MemoryError
        hangs = all(self._fake.hang_word in prompt for prompt in prompts)
        time.sleep(_HANGING_S if hangs else self._fake.step_s)
        return [None] * len(canvases)

    def advance(self, canvas: FakeCanvas, prediction: None, *, look: bool) -> None:
        del prediction
        if self._fake.fail_word in canvas.request.prompt:
            raise Refused
        if self._fake.hang_word not in canvas.request.prompt:
            canvas.left -= 1
        canvas.looked = look

    def sketch(self, canvas: FakeCanvas) -> Callable[[], bytes] | None:
        return partial(_sketch, canvas) if canvas.looked else None

    def is_out_of_memory(self, error: Exception) -> bool:
        if isinstance(error, Sticky):
            raise DeviceLost(str(error)) from error
        return isinstance(error, MemoryError)

    def decode(self, canvas: FakeCanvas, *, sparing: bool = False) -> Image.Image:
        del sparing
        time.sleep(self._fake.decode_s)
        image = _paint(canvas)
        prompt, is_first = canvas.request.prompt, canvas.seed == canvas.request.seed
        if self._fake.flag_word in prompt or (self._fake.flag_first_word in prompt and is_first):
            image.info[FLAGGED] = True
        return image

    def explain(self, error: Exception, request: GenerationRequest) -> str:
        if isinstance(error, Refused):
            return "The fake engine was asked to fail here."
        if self.is_out_of_memory(error):
            return f"There is not enough memory for {request.size}: try a smaller size."
        return f"The fake engine could not draw “{request.prompt[:40]}” ({type(error).__name__}: {error})."


def _paint(canvas: FakeCanvas) -> Image.Image:
    """The drawing, or as much of it as strength and mask lay over the image; what is edited shines through."""
    drawing, start = draw(canvas.request, canvas.seed), canvas.start
    if start is None:
        return drawing
    if start.references:
        edited = [Image.blend(image.resize(drawing.size), drawing, 0.5) for image in start.references]
        return reduce(partial(Image.blend, alpha=0.5), edited)
    mixed = Image.blend(start.image, drawing, canvas.request.strength or 0.0)
    return mixed if start.mask is None else Image.composite(mixed, start.image, start.mask)


def _sketch(canvas: FakeCanvas) -> bytes:
    image = _paint(canvas)
    image.thumbnail((64, 64))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG")
    return buffer.getvalue()


_BESIDE = ((0, 0), *((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y))
"""Where an oval stands: in the picture, and in the copies around it whose edges meet its own."""


def draw(request: GenerationRequest, seed: int) -> Image.Image:
    """The same picture for the same seed and the same words, on every machine."""
    words = [str(seed), request.prompt, request.negative_prompt, *map(str, request.loras)]
    dice = random.Random(hashlib.sha256("\n".join(words).encode()).digest())  # noqa: S311 - pictures, not secrets

    def colour() -> tuple[int, int, int]:
        return dice.randrange(256), dice.randrange(256), dice.randrange(256)

    image = Image.new("RGB", (request.width, request.height), colour())
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = dice.randrange(request.width), dice.randrange(request.height)
        radius = dice.randrange(4, max(5, min(request.width, request.height) // 3))
        fill = colour()
        for across, down in _BESIDE if request.tile else _BESIDE[:1]:
            left, top = x + across * image.width, y + down * image.height
            pen.ellipse((left - radius, top - radius, left + radius, top + radius), fill=fill)
    return image

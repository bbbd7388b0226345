"""Draws and edits with any pipeline of diffusers by calling it, one step at a time; knows no queue and no job.

Each picture is one call of a copy of the pipeline (the weights are shared) on a thread of its own, which stands still
until its next step is asked for. So others are served in between, a cancel ends it at its next step, and its pixels are
those of the plain call. What stops it is its scheduler, the one part that every pipeline calls once a step.
"""

from __future__ import annotations

import copy
import functools
import inspect
import queue
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from PIL.Image import new as new_image

from engine import samplers
from engine.checkpoints.architectures import Call
from engine.contract import GenerationRequest, InvalidRequest
from engine.device.layout import Layout, as_it_lies
from engine.families.explaining import Explaining, check_finite
from engine.families.preview import Sketcher
from engine.pictures.decoding import Inputs

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

RATIO_MAX = 8
"""Of the sides of an image to edit: what some pipelines insist on, and what no model was trained on."""
_NEGATIVE = "This model draws without negative prompts: yours was left out."


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a scheduler did: its arguments, and the latents after it."""

    scheduler: Any
    prediction: Tensor
    timestep: Tensor
    before: Tensor
    after: Tensor

    def guess(self) -> Tensor:
        """The finished latents as far as they can be told: good for looking at, no more."""
        if hasattr(self.scheduler, "alphas_cumprod") and not self.scheduler.config.get("use_flow_sigmas"):
            return samplers.guess(self.scheduler, self.before, self.prediction, self.timestep)
        # Flow matching: the picture is where the straight line through this point ends.
        return self.before - self.scheduler.sigmas[self.scheduler.step_index - 1] * self.prediction


class _Left(BaseException):
    """Nobody waits for the picture any more."""


class Performance:
    """A function on a thread of its own that goes on only while somebody waits for its next step or its end."""

    def __init__(self, play: Callable[[Callable[[Step], None]], Image]) -> None:
        """`play` is given what it has to call after each step."""
        self._turns: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._handed: queue.SimpleQueue[Step | Image | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(play,), name="easel-picture", daemon=True)
        self._thread.start()

    def go_on(self) -> Step | Image:
        """The next step, or the picture. Raises what the function raises."""
        self._turns.put(True)
        handed = self._handed.get()
        if isinstance(handed, BaseException):
            raise handed
        return handed

    def leave(self) -> None:
        """Ends it where it stands; nothing happens where it has ended."""
        self._turns.put(False)

    def _run(self, play: Callable[[Callable[[Step], None]], Image]) -> None:
        try:
            self._wait()
            self._handed.put(play(self._hand_over))
        except _Left:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
            self._handed.put(error)

    def _hand_over(self, step: Step) -> None:
        self._handed.put(step)
        self._wait()

    def _wait(self) -> None:
        if not self._turns.get():
            raise _Left


@dataclass(slots=True, eq=False, kw_only=True, weakref_slot=True)
class AnyCanvas:
    """One picture under way."""

    request: GenerationRequest
    seed: int
    notes: tuple[str, ...]
    references: tuple[Image, ...] = ()
    """What it is to edit."""
    performance: Performance | None = None
    """Begins with the first step, and once more after running out of memory."""
    done: int = 0
    latents: Tensor | None = None
    guess: Tensor | None = None
    image: Image | None = None

    @property
    def left(self) -> int:
        return 0 if self.image is not None else max(0, self.request.evaluations - self.done)

    @property
    def widest(self) -> None:
        return None

    @property
    def rows(self) -> int:
        return 1

    @property
    def shape(self) -> Hashable:
        return self.request.width, self.request.height

    @property
    def made_with(self) -> Mapping[str, str]:
        return {}


class AnyFamily(Explaining):
    """A pipeline of `checkpoint.FAMILIES` that has no family of its own here. Its pictures share no forward."""

    forwards = None
    checker = None
    words: Set[str] = frozenset()

    def __init__(
        self,
        pipeline: Any,
        sketcher: Sketcher | None = None,
        *,
        side_min: int,
        call: Call,
        lies: Layout | None = None,
    ) -> None:
        self._pipe = pipeline
        self._pipe.set_progress_bar_config(disable=True)
        self._sketcher = sketcher
        self._side_min = side_min
        self._call = call
        self._device = (lies or as_it_lies(pipeline)).device

    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> AnyCanvas:
        """Raises InvalidRequest for images to edit that no pipeline takes."""
        references = inputs.references if inputs else ()
        for image in references:
            _check_shape(image)
        unheard = bool(request.negative_prompt) and not self._call.negative
        notes = (_NEGATIVE,) if unheard else ()
        return AnyCanvas(
            request=request,
            seed=seed,
            notes=notes + (inputs.notes if inputs else ()),
            references=references,
        )

    def predict(self, canvases: Sequence[AnyCanvas], *, padded: int | None) -> list[Step | Image]:
        """One step of the only canvas; the first one also encodes the prompt."""
        del padded  # wide is not for this family
        (canvas,) = canvases
        if canvas.performance is None:
            canvas.performance = Performance(
                partial(self._play, canvas.request, canvas.seed, canvas.references)
            )
            weakref.finalize(canvas, canvas.performance.leave)
        try:
            return [canvas.performance.go_on()]
        except Exception:
            canvas.performance, canvas.done = None, 0  # a second try begins anew
            raise

    def advance(self, canvas: AnyCanvas, prediction: Step | Image, *, look: bool) -> None:
        if not isinstance(prediction, Step):
            canvas.image = prediction  # it took fewer steps than it was told
            return
        canvas.done += 1
        canvas.latents = prediction.after
        if look:
            check_finite(prediction.after)
            canvas.guess = prediction.guess() if self._sketcher else None

    @torch.inference_mode()
    def sketch(self, canvas: AnyCanvas) -> Callable[[], bytes] | None:
        guess, canvas.guess = canvas.guess, None
        if guess is None or self._sketcher is None:
            return None
        if guess.ndim == 3:  # in patches, one behind the other
            size = canvas.request.height, canvas.request.width
            guess = self._pipe._unpack_latents(guess, *size, self._pipe.vae_scale_factor)
        return partial(self._sketcher.jpeg, guess.to("cpu", torch.float32))

    def decode(self, canvas: AnyCanvas, *, sparing: bool = False) -> Image:
        """The pipeline decodes itself, and only whole: with a `sparing` second try it would have to begin anew."""
        if sparing:
            raise torch.OutOfMemoryError
        if canvas.latents is not None:
            check_finite(canvas.latents)
        while canvas.image is None:
            (outcome,) = self.predict([canvas], padded=None)
            self.advance(canvas, outcome, look=False)
        return canvas.image

    def self_test(self, size: tuple[int, int]) -> None:
        """A picture of two steps at `size` (width, height). Raises NotFinite, or what the device raises."""
        blank = new_image("RGB", size, "grey")
        options = self._options(size, (blank,) * self._call.references.start, steps=2, guidance=1.0)
        pixels: Any = self._pipe(prompt="a test", output_type="pt", generator=_generator(0), **options).images
        check_finite(pixels)

    # -------------------------------------------------------------- its parts

    def _play(
        self,
        request: GenerationRequest,
        seed: int,
        references: tuple[Image, ...],
        hand_over: Callable[[Step], None],
    ) -> Image:
        """The plain call, with a scheduler that hands over after each step."""
        pipe = copy.copy(self._pipe)
        pipe.scheduler = _watched(self._pipe.scheduler, hand_over)
        options = self._options(
            (request.width, request.height),
            references,
            steps=request.steps,
            guidance=request.guidance_scale,
        )
        negative = request.negative_prompt or (self._call.unsaid if request.guidance_scale > 1 else None)
        if self._call.negative and negative:
            options["negative_prompt"] = negative
        return pipe(prompt=request.prompt, generator=_generator(seed), **options).images[0]

    def _options(
        self, size: tuple[int, int], references: tuple[Image, ...], *, steps: int, guidance: float
    ) -> dict[str, Any]:
        width, height = size
        several = self._call.references.stop > 2
        return {
            "width": width,
            "height": height,
            "num_inference_steps": steps,
            self._call.argument: guidance,
            **({self._call.area: width * height} if self._call.area else {}),
            **({"image": [*references] if several else references[0]} if references else {}),
        }


def _check_shape(image: Image) -> None:
    if max(image.size) > RATIO_MAX * min(image.size):
        raise InvalidRequest(
            f"An image to edit may be {RATIO_MAX} times as long as it is wide, and this one has "
            f"{image.width}x{image.height} pixels: cut it."
        )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def _watched(scheduler: Any, hand_over: Callable[[Step], None]) -> Any:
    """A fresh one of the same kind whose `step` hands over; to pipelines it looks like any other."""
    fresh: Any = scheduler.__class__.from_config(scheduler.config)
    step, names = fresh.step, [*inspect.signature(fresh.step).parameters]

    @functools.wraps(step)
    def handing(*args: Any, **kwargs: Any) -> Any:
        told = {**dict(zip(names, args, strict=False)), **kwargs}
        moved = step(*args, **kwargs)
        hand_over(
            Step(
                scheduler=fresh,
                prediction=told["model_output"],
                timestep=told["timestep"],
                before=told["sample"],
                after=moved[0],
            )
        )
        return moved

    fresh.step = handing
    return fresh

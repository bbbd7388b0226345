"""What crosses the process boundary: requests, controls, events. Standard library only; knows neither Discord nor torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self, cast

from engine import foreign
from engine import loras as lora_words
from engine.bounds import (
    ASPECTS,
    GUIDANCE_MAX,
    GUIDANCE_MIN,
    IMAGES_MAX,
    PROMPT_CHARS_MAX,
    SIDE_MAX,
    SIDE_MIN,
    SIDE_MULTIPLE,
    UPSCALE_MAX,
    UPSCALED_SIDE_MAX,
    InvalidRequest,
    check_enlarging,
    check_guidance,
    check_inputs,
    check_prompt,
    check_side,
    check_text,
    check_upscaled,
    choice_of,
    parse_aspect,
    parse_size,
    side_problem,
    usual_strength,
)
from engine.fake_settings import FakeSettings
from engine.loras import AdapterInfo, Lora, from_prompt, misread
from engine.loras import parse as parse_loras
from engine.sampler_names import EVERY_SAMPLER, LANCZOS, OWN_SAMPLER, SAMPLERS, Sampler, spelled
from engine.settings import WIDE_ROWS, EngineSettings, Mode, Switch
from engine.shapes import Shape, enlarged, rounded, too_large

__all__ = [
    "ASPECTS",
    "EVERY_SAMPLER",
    "GUIDANCE_MAX",
    "GUIDANCE_MIN",
    "IMAGES_MAX",
    "LANCZOS",
    "OWN_SAMPLER",
    "PROMPT_CHARS_MAX",
    "SAMPLERS",
    "SIDE_MAX", "SIDE_MIN", "SIDE_MULTIPLE",
    "UPSCALED_SIDE_MAX",
    "UPSCALE_MAX",
    "WIDE_ROWS",
    "AdapterInfo",
    "EngineSettings",
    "FakeSettings",
    "InvalidRequest",
    "Lora",
    "Mode",
    "Sampler",
    "Switch",
    "choice_of",
    "from_prompt",
    "misread",
    "parse_loras",
    "parse_size",
]  # fmt: skip

SEEDS = 2**32
"""Seeds are 0 … SEEDS - 1; image i of a request uses (seed + i) mod SEEDS."""


STARTER = "starter"
"""The name of the model that ships with Easel, wherever a model's id or folder is asked for."""


# ------------------------------------------------------------------ requests


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One picture or a few, fully described: no user, no channel, nothing left to a default.

    Sizes are pixels; `guidance_scale` 1 means no guidance (one UNet row instead of two).
    Raises InvalidRequest for anything outside the bounds every model shares; a model's own
    bounds are checked by `ModelInfo.check`.
    """

    prompt: str
    negative_prompt: str = ""
    width: int
    height: int
    steps: int
    guidance_scale: float
    sampler: str
    seed: int
    images: int = 1
    model: str
    image: str | None = None
    """SHA-256, in hex, of the file to start from: its name among the spool's inputs."""
    mask: str | None = None
    """The same of a mask for it: white is drawn anew, black stays."""
    strength: float | None = None
    """Share of the steps that are taken, from an image with that much noise; None exactly where there is no image."""
    loras: tuple[Lora, ...] = ()
    upscale: int = 1
    """How many times as wide and as high as its image the picture is; 1 where it is no enlargement."""
    remarks: tuple[str, ...] = ()
    """Sentences for the person who asked, about what was typed and is not heeded: they come back with the picture."""

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raises InvalidRequest outside of today's bounds; only one that was `stored` can be."""
        check_text("negative prompt", self.negative_prompt)
        if self.upscale == 1:
            check_prompt(self.prompt)
            for name in ("width", "height"):
                check_side(name, getattr(self, name))
        else:
            check_text("prompt", self.prompt)
            check_upscaled(self.upscale, self.image, self.mask, (self.width, self.height))
        if self.is_plain and self.upscale == 1:
            raise InvalidRequest("Lanczos only enlarges images: attach one, and say how many times.")
        if self.sampler not in EVERY_SAMPLER:
            raise InvalidRequest(
                f"There is no sampler “{self.sampler[:60]}”: use one of {', '.join(SAMPLERS)}."
            )
        sampler = EVERY_SAMPLER[self.sampler]
        if not sampler.steps_min <= self.steps <= sampler.steps_max:
            raise InvalidRequest(
                f"{sampler.name} takes {sampler.steps_min} to {sampler.steps_max} steps, not {self.steps}."
            )
        check_guidance(self.guidance_scale)
        if not 0 <= self.seed < SEEDS:
            raise InvalidRequest(f"A seed is a whole number from 0 to {SEEDS - 1}, or -1 for a random one.")
        if not 1 <= self.images <= IMAGES_MAX:
            raise InvalidRequest(f"One request makes 1 to {IMAGES_MAX} images, not {self.images}.")
        check_inputs(self.image, self.mask, self.strength, self.steps)
        lora_words.check(self.loras)

    @property
    def steps_taken(self) -> int:
        """Steps that are left of the schedule, as diffusers' image-to-image pipelines count them."""
        return self.steps if self.strength is None else min(int(self.steps * self.strength), self.steps)

    @property
    def is_seedless(self) -> bool:
        """Whether every seed gives the same picture: Lanczos or an upscaler's network makes it, from no noise."""
        return self.is_plain or (self.upscale > 1 and self.sampler == OWN_SAMPLER.name)

    @property
    def is_plain(self) -> bool:
        """Whether it is an image enlarged with Lanczos alone, which no model is needed for."""
        return self.sampler == LANCZOS.name

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def evaluations(self) -> int:
        """UNet calls for one image; one for each step with a sampler that is known no more."""
        sampler = EVERY_SAMPLER.get(self.sampler, Sampler(name=self.sampler))
        return sampler.evaluations(self.steps, self.steps_taken)

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    def seed_of(self, image: int) -> int:
        """The seed of image `image`, counted from 0."""
        return (self.seed + image) % SEEDS

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`; keys of newer versions are ignored, missing ones raise TypeError."""
        known = {entry.name for entry in fields(cls)} & values.keys() - {"loras", "remarks"}
        loras = tuple(map(Lora.from_dict, values.get("loras", ())))
        told = tuple(map(str, values.get("remarks", ())))
        return cls(**{key: values[key] for key in known}, loras=loras, remarks=told)

    @classmethod
    def stored(cls, values: Any) -> Self:
        """What was written down, perhaps by another version: nothing is refused, and what can't be read is left empty.

        A row has to be readable for as long as it lies there; whoever draws it anew asks `check` first.
        """
        told = cast("dict[str, Any]", values) if isinstance(values, dict) else {}
        request = object.__new__(cls)
        for name, (kinds, empty) in _STORED.items():
            value = told.get(name, empty)
            kept = isinstance(value, kinds) and not (isinstance(value, float) and not math.isfinite(value))
            object.__setattr__(request, name, value if kept else empty)
        object.__setattr__(request, "loras", _stored_loras(told.get("loras")))
        object.__setattr__(request, "remarks", _stored_texts(told.get("remarks")))
        return request


_NUMBER = (int, float)
_STORED: Mapping[str, tuple[tuple[type, ...], Any]] = {
    **dict.fromkeys(("prompt", "negative_prompt", "sampler", "model"), ((str,), "")),
    **dict.fromkeys(("width", "height", "steps", "seed"), ((int,), 0)),
    **dict.fromkeys(("images", "upscale"), ((int,), 1)),
    **dict.fromkeys(("image", "mask"), ((str, type(None)), None)),
    "guidance_scale": (_NUMBER, 1.0),
    "strength": ((*_NUMBER, type(None)), None),
}
"""The fields of a stored request but for its LoRAs and remarks: what each may be, and what it is where it is something else."""


def _stored_texts(values: Any) -> tuple[str, ...]:
    entries = cast("list[Any]", values) if isinstance(values, list) else []
    return tuple(entry for entry in entries if isinstance(entry, str))


def _stored_loras(values: Any) -> tuple[Lora, ...]:
    entries = cast("list[Any]", values) if isinstance(values, list) else []
    found = [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]
    return tuple(
        Lora(name=entry["name"], weight=entry["weight"])
        for entry in found
        if isinstance(entry.get("name"), str) and isinstance(entry.get("weight"), _NUMBER)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a picture starts from instead of noise alone: the fields of these names of a request."""

    image: str
    mask: str | None = None
    strength: float | None = None
    """None: what suits the model."""
    upscale: int = 1


# ------------------------------------------------------------------ models


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What one model offers, with its own defaults and bounds (pixels per side and in all, steps)."""

    id: str
    title: str
    family: str = "sd"
    description: str = ""
    width: int = 512
    height: int = 512
    steps: int = 30
    guidance_scale: float = 7.5
    sampler: str = "PNDM"
    side_min: int = SIDE_MIN
    side_max: int = SIDE_MAX
    side_multiple: int = SIDE_MULTIPLE
    pixels_max: int = SIDE_MAX * SIDE_MAX
    steps_max: int = 150
    samplers: tuple[str, ...] = tuple(SAMPLERS)
    safety_checker: bool = False
    takes_images: bool = False
    """Whether it can start from an image, and draw within a mask."""
    needs_mask: bool = False
    """Whether it can do nothing else."""
    loras: tuple[AdapterInfo, ...] = ()
    embeddings: tuple[AdapterInfo, ...] = ()
    """Words that its prompts may hold besides those of its language, by the files that taught them."""
    scale: int = 1
    """Of an upscaler: how many times as wide and as high its network makes a picture; 1 for all other models."""

    def size_for(self, aspect: str) -> tuple[int, int]:
        """(width, height) with about this model's native pixel count and the ratio "W:H"; raises InvalidRequest."""
        return self.size_like(*parse_aspect(aspect))

    def size_like(self, across: int, down: int) -> tuple[int, int]:
        """The same with the ratio of `across` to `down`, both above 0: always a size that `check` takes."""
        return Shape(across=across, down=down).fitted(
            self.width * self.height, least=self.side_min, most=self.side_max,
            multiple=self.side_multiple, pixels_max=self.pixels_max,
        )  # fmt: skip

    def request(  # noqa: PLR0913 - one for each option
        self,
        *,
        prompt: str,
        seed: int,
        negative_prompt: str | None = None,
        size: tuple[int, int] | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        images: int | None = None,
        start: Start | None = None,
        loras: tuple[Lora, ...] = (),
    ) -> GenerationRequest:
        """A request for this model; every option left out takes the model's own default. Raises InvalidRequest.

        Tags of LoRAs are taken out of the prompt and count like `loras`.
        """
        text, tagged = from_prompt(prompt)
        against = lora_words.without_tags(negative_prompt or "")
        told = (*lora_words.remarks(prompt, negative_prompt or ""), *foreign.remarks(text, against))
        width, height = size or (self.width, self.height)
        asked = sampler is not None and spelled(sampler) == LANCZOS.name
        plain = start is not None and start.upscale > 1 and (asked or not self.enlarges(width, height))
        if plain:
            sampler, steps, guidance_scale = LANCZOS.name, 1, 1.0
        elif self.scale > 1:
            sampler = steps = guidance_scale = None
        if plain or self.scale > 1:  # what takes an image and nothing else
            against, told, loras, tagged = "", (), (), ()
        chosen = spelled(sampler) if sampler else self.sampler
        if not plain:
            self._check_sampler(chosen, steps)
            if start is None or start.upscale == 1:
                self._check_size(width, height)
        if steps is None:  # a default never breaks a chosen sampler's own range
            steps = min(self.steps, EVERY_SAMPLER[chosen].steps_max)
        begun: dict[str, Any] = {}
        if start is not None:
            given = 1.0 if plain or self.scale > 1 else start.strength
            usual = usual_strength(start.upscale, steps)
            begun = {**asdict(start), "strength": usual if given is None else given}
        request = GenerationRequest(
            prompt=text,
            negative_prompt=against,
            width=width,
            height=height,
            steps=steps,
            guidance_scale=self.guidance_scale if guidance_scale is None else guidance_scale,
            sampler=chosen,
            seed=seed,
            images=1 if images is None else images,
            model=self.id,
            loras=lora_words.spelled((*loras, *tagged), self.loras),
            remarks=told,
            **begun,
        )
        self.check(request)
        return request

    def upscaled(self, across: int, down: int, times: int) -> tuple[int, int]:
        """(width, height) of a picture of `across` x `down` pixels, enlarged; raises InvalidRequest beyond the bounds.

        What is too large for a model that draws is refused where a smaller scale is not; else Lanczos makes it.
        """
        size = across, down
        if (found := self._upscaled(size, times)) is not None:
            return found
        scales = range(times - 1, 1, -1)
        fits = next((scale for scale in scales if self._upscaled(size, scale)), 1)
        if fits == 1 and self.scale == 1:
            if (found := _plainly(size, times)) is not None:
                return found
            fits = next((scale for scale in scales if _plainly(size, scale)), 1)
        raise InvalidRequest(too_large(size, times, fits, UPSCALED_SIDE_MAX // 2))

    def _upscaled(self, size: tuple[int, int], times: int) -> tuple[int, int] | None:
        """None where it can't do that itself."""
        if times > (UPSCALE_MAX if self.scale == 1 else self.scale) or not self._takes_whole_images:
            return None
        return enlarged(
            size,
            times,
            least=self.side_min,
            most=self.side_max,
            multiple=self.side_multiple,
            pixels_max=self.pixels_max,
        )

    def enlarges(self, width: int, height: int) -> bool:
        """Whether a picture of that size, enlarged already, is what this model draws anew or makes itself."""
        return self.scale > 1 or (self._takes_whole_images and not self._size_problem(width, height))

    @property
    def _takes_whole_images(self) -> bool:
        return self.takes_images and not self.needs_mask

    def check(self, request: GenerationRequest) -> None:
        """Raises InvalidRequest where the request is outside what this model can draw."""
        if request.is_plain:
            check_enlarging(LANCZOS.name, UPSCALE_MAX, request.upscale, request.images)
            return
        self._check_kind(request)
        self._check_size(request.width, request.height, enlarged=request.upscale > 1)
        self._check_sampler(request.sampler, request.steps)

    def _check_size(self, width: int, height: int, *, enlarged: bool = False) -> None:
        """Raises InvalidRequest with a size that is accepted, as near as there is one."""
        shared = () if enlarged else (side_problem("width", width), side_problem("height", height))
        problem = next(filter(None, shared), "") or self._size_problem(width, height)
        if not problem:
            return
        near = self.nearest(width, height)
        if width != near[0] and height != near[1]:
            raise InvalidRequest(f"{problem}: use {near[0]}x{near[1]} instead of {width}x{height}.")
        use, side = (near[0], width) if width != near[0] else (near[1], height)
        raise InvalidRequest(f"{problem}: use {use} instead of {side}.")

    def _size_problem(self, width: int, height: int) -> str:
        """What is wrong with a size for this model alone, as the beginning of a sentence; empty where nothing is."""
        multiple = self.side_multiple
        for name, side in (("width", width), ("height", height)):
            if not self.side_min <= side <= self.side_max:
                least, most = -(-self.side_min // multiple) * multiple, self.side_max // multiple * multiple
                return f"{self.title} draws {least} to {most} pixels a side, and the {name} {side} is outside"
            if side % multiple:
                return f"{self.title} needs sides that are multiples of {multiple}"
        if width * height > self.pixels_max:
            return f"{width}x{height} is too large for {self.title}, which draws at most {self.pixels_max} pixels"
        return ""

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """The accepted size that is nearest to this one."""
        multiple = self.side_multiple
        least, most = -(-self.side_min // multiple) * multiple, self.side_max // multiple * multiple
        across, down = (min(most, max(least, rounded(side, multiple))) for side in (width, height))
        if across * down <= self.pixels_max:
            return across, down
        return Shape(across=across, down=down).fitted(
            self.pixels_max, least=least, most=most, multiple=multiple, pixels_max=self.pixels_max
        )

    def _check_sampler(self, sampler: str, steps: int | None) -> None:
        """Raises InvalidRequest where this model does not work with a sampler of that name, or it not with so many steps."""
        if sampler not in EVERY_SAMPLER:
            offered = ", ".join(self.samplers)
            raise InvalidRequest(f"There is no sampler “{sampler[:60]}”: use one of {offered}.")
        if sampler not in self.samplers:
            raise InvalidRequest(
                f"{self.title} does not work with {sampler}: use one of {', '.join(self.samplers)}."
            )
        own = EVERY_SAMPLER[sampler]
        most = min(own.steps_max, self.steps_max)
        if steps is not None and not own.steps_min <= steps <= most:
            taker = self.title if self.steps_max < own.steps_max else own.name
            raise InvalidRequest(f"{taker} takes {own.steps_min} to {most} steps, not {steps}.")

    def _check_kind(self, request: GenerationRequest) -> None:
        """Whether it is a request for this kind of model at all."""
        if request.image is not None and not self.takes_images:
            raise InvalidRequest(f"{self.title} draws from words alone: leave out the image.")
        if request.mask is None and self.needs_mask:
            raise InvalidRequest(f"{self.title} only fills masks: attach an image and a mask.")
        lora_words.check_offered(request.loras, self.loras, title=self.title)
        if self.scale > 1:
            check_enlarging(self.title, self.scale, request.upscale, request.images)


def _plainly(size: tuple[int, int], times: int) -> tuple[int, int] | None:
    """(width, height) of a picture of that size that Lanczos makes so many times as large; None beyond its bounds."""
    most = UPSCALED_SIDE_MAX
    return enlarged(size, times, least=SIDE_MIN, most=most, multiple=1, pixels_max=most * most)


# ------------------------------------------------------------------ controls: into the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    job_id: int
    attempt: int
    request: GenerationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    pass


Control = Submit | Cancel | Shutdown


# ------------------------------------------------------------------ events: out of the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """The engine is getting ready. `models` is filled as soon as they are described, before weights load."""

    stage: str
    """A few words for people: "downloading stable-diffusion-v1-5", "loading UNet"."""
    fraction: float | None = None
    """0 … 1 of this stage, None when unknown."""
    models: tuple[ModelInfo, ...] = ()
    reading: str | None = None
    """The id of the model whose files are being read: what to blame where the engine dies of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    device: str
    """For people, such as "NVIDIA GeForce RTX 3060 (12 GB)" or "CPU (2 threads)"."""
    dtype: str
    models: tuple[ModelInfo, ...]
    slots: int
    fingerprint: Mapping[str, str]
    """Equality of pixels is promised between engines with equal fingerprints."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the log: what each mode costs and brings on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """This engine can't work and starting it again would not help; `reason` is a sentence that says what to do."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    job_id: int
    attempt: int


Stage = Literal["waiting", "loading", "encoding", "denoising", "decoding", "saving"]
"""What is done next for a job: its model is loaded first where it is not; saving goes on behind whatever else is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """Progress of a job, over all its images."""

    job_id: int
    attempt: int
    stage: Stage
    step: int
    """UNet calls done, over all images of the job."""
    steps: int
    """UNet calls in all."""
    seconds_left: float | None = None
    """Until the job is done, by the engine's own pace."""
    preview: bytes | None = None
    """A small JPEG of the image drawn last, every few steps."""

    @property
    def fraction(self) -> float:
        return min(1.0, self.step / max(1, self.steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledImage:
    """A finished image in the spool; `path` is None where the safety checker withheld it (nothing was written)."""

    seed: int
    path: str | None
    sha256: str = ""
    size_bytes: int = 0
    width: int = 0
    height: int = 0
    flagged: bool = False

    @classmethod
    def stored(cls, values: Any) -> Self:
        """Inverse of `asdict`; keys of other versions are ignored, and one without a file was withheld."""
        told = cast("dict[str, Any]", values) if isinstance(values, dict) else {}
        known = {entry.name: told[entry.name] for entry in fields(cls) if entry.name in told}
        whole: dict[str, Any] = {"seed": 0, "path": None} | known
        return cls(**whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    job_id: int
    attempt: int
    images: tuple[SpooledImage, ...]
    """One entry per image of the request, in order."""
    seconds: float
    """From the first step to the last spooled image."""
    notes: tuple[str, ...] = ()
    """Sentences for the person who asked, such as where the prompt was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """This request failed alone; the engine goes on. `reason` is a plain sentence."""

    job_id: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    job_id: int
    attempt: int
    done: float = field(default=0.0)
    """Share of the request's UNet calls already made, 0 … 1."""


Event = Loading | Ready | Broken | Started | Stepped | Finished | Failed | Cancelled

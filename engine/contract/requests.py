"""What somebody wants drawn, fully described, and its bounds; knows no user, no channel and no model's own. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, cast

from engine.contract import loras
from engine.contract.limits import (
    IMAGES_MAX,
    Listed,
    check_guidance,
    check_inputs,
    check_prompt,
    check_references,
    check_side,
    check_text,
    check_upscaled,
)
from engine.contract.loras import Lora
from engine.contract.samplers import EVERY_SAMPLER, LANCZOS, OWN_SAMPLER, SAMPLERS, Sampler, check_schedule
from engine.errors import InvalidRequest

SEEDS = 2**32
"""Seeds are 0 … SEEDS - 1; image i of a request uses (seed + i) mod SEEDS."""


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
    schedule: str = ""
    """One of SCHEDULES; empty: at the timesteps that the sampler takes of itself."""
    guidance_until: float = 1.0
    """Share of the steps after which guidance is left out, as `SDCFGCutoffCallback` of diffusers counts it: with 0 the first
    step alone has it, with 1 all have."""
    seed: int
    images: int = 1
    model: str
    image: str | None = None
    """SHA-256, in hex, of the file to start from: its name among the spool's inputs."""
    mask: str | None = None
    """The same of a mask for it: white is redrawn, black stays."""
    strength: float | None = None
    """Share of the steps that are taken, from an image with that much noise; None exactly where there is no image."""
    loras: tuple[Lora, ...] = ()
    upscale: int = 1
    """How many times as wide and as high as its image the picture is; 1 where it is no enlargement."""
    references: tuple[str, ...] = ()
    """The same of images that the prompt is an instruction about, "make it night": they are looked at, and no noise is laid
    over them. The first is the one that is edited."""
    tile: bool = False
    """Seamless tiling: the right edge goes on at the left one and the lower at the upper, so that copies fit together."""
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
            raise InvalidRequest(
                "{model} only enlarges images: attach one, and say how many times.", model=LANCZOS.name
            )
        if self.sampler not in EVERY_SAMPLER:
            raise InvalidRequest(
                "There is no sampler “{name}”: use one of {offered}.",
                name=self.sampler[:60],
                offered=Listed(names=tuple(SAMPLERS)),
            )
        sampler = EVERY_SAMPLER[self.sampler]
        if not sampler.steps_min <= self.steps <= sampler.steps_max:
            raise InvalidRequest(
                "{taker} takes {least} to {most} steps, not {given}.",
                taker=sampler.name,
                least=sampler.steps_min,
                most=sampler.steps_max,
                given=self.steps,
            )
        check_schedule(sampler, self.schedule, self.steps, SAMPLERS)
        check_guidance(self.guidance_scale)
        if not 0 <= self.guidance_until <= 1:
            raise InvalidRequest(
                "Guidance is left out after a share of the steps from 0 to 1, not {given}.",
                given=f"{self.guidance_until:g}",
            )
        if not 0 <= self.seed < SEEDS:
            raise InvalidRequest(
                "A seed is a whole number from 0 to {most}, or -1 for a random one.", most=SEEDS - 1
            )
        if not 1 <= self.images <= IMAGES_MAX:
            raise InvalidRequest(
                "One request makes 1 to {most} images, not {given}.", most=IMAGES_MAX, given=self.images
            )
        check_inputs(self.image, self.mask, self.strength, self.steps)
        check_references(self.references, self.image)
        loras.check(self.loras)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The digests of all files that it needs."""
        started = (digest for digest in (self.image, self.mask) if digest is not None)
        return (*started, *self.references)

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
        sampler = EVERY_SAMPLER.get(self.sampler) or Sampler(name=self.sampler)
        return sampler.evaluations(self.steps, self.steps_taken)

    @property
    def guided_evaluations(self) -> int:
        """Those of them that have guidance."""
        return guided(self.evaluations, self.guidance_until) if self.guidance_scale > 1 else 0

    @property
    def rows(self) -> int:
        """UNet rows that are evaluated for one image: two with guidance, the one without the prompt besides."""
        return self.evaluations + self.guided_evaluations

    @property
    def mean_rows(self) -> float:
        """Of a forward of one image."""
        return self.rows / max(1, self.evaluations)

    @property
    def work(self) -> float:
        """Pixels × UNet rows of all its images: what time is proportional to."""
        return float(self.images * self.pixels * self.rows)

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
        known = {entry.name for entry in fields(cls)} & values.keys() - {"loras", "references", "remarks"}
        loras = tuple(map(Lora.from_dict, values.get("loras", ())))
        texts: dict[str, Any] = {
            name: tuple(map(str, values.get(name, ()))) for name in ("references", "remarks")
        }
        return cls(**{key: values[key] for key in known}, **texts, loras=loras)

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
        for name in ("references", "remarks"):
            object.__setattr__(request, name, _stored_texts(told.get(name)))
        return request


def guided(evaluations: int, until: float) -> int:
    """How many of the first `evaluations` have guidance, where it ends after that share of them."""
    return evaluations if until >= 1 else min(evaluations, int(evaluations * until) + 1)


_NUMBER = (int, float)
_STORED: Mapping[str, tuple[tuple[type, ...], Any]] = {
    **dict.fromkeys(("prompt", "negative_prompt", "sampler", "model"), ((str,), "")),
    **dict.fromkeys(("width", "height", "steps", "seed"), ((int,), 0)),
    **dict.fromkeys(("images", "upscale"), ((int,), 1)),
    **dict.fromkeys(("image", "mask"), ((str, type(None)), None)),
    "tile": ((bool,), False),
    "guidance_scale": (_NUMBER, 1.0),
    "guidance_until": (_NUMBER, 1.0),
    "schedule": ((str,), ""),
    "strength": ((*_NUMBER, type(None)), None),
}
"""The fields of a stored request but for those that are lists: what each may be, and what it is where it is something else."""


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

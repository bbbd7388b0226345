"""What a person asked for, as typed, and the request that it becomes. Pure: knows no Discord, no disk and no person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self, cast

from bot.core.asking.refused import QualityAndSteps, ShapeIsKept, ShapeUnknown, SizeAndAspect, Unmet
from engine.contract import (
    EVERY_SAMPLER,
    GenerationRequest,
    ModelInfo,
    Start,
    parse_loras,
    parse_size,
    with_embeddings,
)
from engine.contract.recipes import FEW
from engine.contract.samplers import spelled

UNKNOWN = "0" * 64
"""Stands for a digest until the file is here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file that a picture is to start from, as far as it is known before anybody looks into it."""

    name: str
    size: tuple[int, int] | None = None
    """(width, height)."""
    digest: str = UNKNOWN


class Quality(StrEnum):
    """How much work goes into a picture, by what is usual for the model."""

    QUICK = "quick"
    """The model's quick recipe; where it has none and takes more than a few steps, half of them, rounded up."""
    STANDARD = "standard"
    HIGH = "high"
    """Half as many steps more, rounded up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options by their names in the chat; None is left out: the model's own default holds, or the image's shape."""

    prompt: str
    negative_prompt: str | None = None
    image: Picture | None = None
    mask: Picture | None = None
    strength: float | None = None
    upscale: int | None = None
    """How many times as large the picture is to be as the image; None: what the model does."""
    aspect: str | None = None
    size: str | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    """-1 leaves it out, too."""
    sampler: str | None = None
    schedule: str | None = None
    guidance_until: float | None = None
    """Share of the steps after which guidance is left out."""
    images: int | None = None
    model: str | None = None
    lora: str | None = None
    """Such as "detail:0.8, pixel"."""
    embedding: str | None = None
    """Such as "cat-toy, -blurry": names whose words the prompt gets, and with a minus the negative prompt."""
    style: str | None = None
    """By its name, as typed."""
    quality: Quality | None = None
    tile: bool | None = None
    """Whether its edges are to meet, so that it can be laid beside itself."""
    references: tuple[Picture, ...] = ()
    """Images to edit by the prompt's words; the first gives the shape."""

    def options(self) -> Mapping[str, Any]:
        """What was given, by the options' names, as a row keeps it: of a file its name."""
        given = {entry.name: _kept(getattr(self, entry.name)) for entry in fields(self)}
        return {name: value for name, value in given.items() if value not in (None, [])}

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Such a row, perhaps of another version: options that this one does not know are left out."""
        known: dict[str, Any] = {entry.name: options.get(entry.name) for entry in fields(cls)}
        for name in ("image", "mask"):
            known[name] = None if known[name] is None else Picture(name=str(known[name]))
        known["references"] = tuple(Picture(name=str(name)) for name in options.get("references", ()))
        known["prompt"] = str(options.get("prompt", ""))
        known["quality"] = next((kind for kind in Quality if kind == known["quality"]), None)
        return cls(**known)

    def unseeded(self) -> Self:
        return replace(self, seed=None)

    def seed_or(self, drawn: int) -> int:
        """The one that was given, else the one that was drawn for it."""
        return drawn if self.seed is None or self.seed == -1 else self.seed

    def times(self, model: ModelInfo) -> int:
        """How many times as large the picture is to be as the image; 1 where it is not to be enlarged."""
        return self.upscale or model.scale


def _kept(value: Any) -> Any:
    """An option's value as a row keeps it."""
    match value:
        case Picture():
            return value.name
        case tuple():
            return [picture.name for picture in cast("tuple[Picture, ...]", value)]
        case _:
            return value


def resolve(wish: Wish, model: ModelInfo, *, seed: int) -> GenerationRequest:
    """The request for this model; raises InvalidRequest or Unmet. `seed` is taken where the wish has none."""
    wish = worded(wish, model)
    return model.request(
        prompt=wish.prompt,
        negative_prompt=wish.negative_prompt,
        size=size_of(wish, model),
        steps=_steps_of(wish, model),
        guidance_scale=wish.guidance,
        sampler=wish.sampler,
        schedule=wish.schedule,
        guidance_until=wish.guidance_until,
        recipe=model.quick if wish.quality is Quality.QUICK else None,
        seed=wish.seed_or(seed),
        images=wish.images,
        start=_start_of(wish, model),
        loras=parse_loras(wish.lora or ""),
        references=tuple(picture.digest for picture in wish.references),
        tile=bool(wish.tile),
    )


def worded(wish: Wish, model: ModelInfo) -> Wish:
    """With the words of the chosen embeddings in the prompts, which then say all of it. Raises InvalidRequest."""
    if not wish.embedding or model.scale > 1:  # which heeds no words
        return replace(wish, embedding=None)
    prompt, against = with_embeddings(
        wish.embedding,
        wish.prompt,
        wish.negative_prompt or "",
        offered=model.embeddings,
        title=model.title,
    )
    return replace(wish, prompt=prompt, negative_prompt=against or None, embedding=None)


def size_of(wish: Wish, model: ModelInfo) -> tuple[int, int] | None:
    """What was asked for, else the shape of the image, or of the first that is edited; None leaves it to the model.

    Raises InvalidRequest or Unmet.
    """
    given = (*([wish.image] if wish.image is not None else ()), *wish.references)
    shape = given[0].size if given else None
    if wish.image is not None and (times := wish.times(model)) > 1:
        if wish.size or wish.aspect:
            raise Unmet(ShapeIsKept())
        if shape is None:
            raise Unmet(ShapeUnknown())
        return model.upscaled(*shape, times)
    if wish.size and wish.aspect:
        raise Unmet(SizeAndAspect())
    if wish.size:
        return parse_size(wish.size)
    if wish.aspect:
        return model.size_for(wish.aspect)
    return model.size_like(*shape) if shape is not None else None


def _steps_of(wish: Wish, model: ModelInfo) -> int | None:
    """None leaves them to the model. Raises Unmet."""
    if wish.quality is None or wish.quality is Quality.STANDARD:
        return wish.steps
    if wish.steps is not None:
        raise Unmet(QualityAndSteps(quality=wish.quality, steps=wish.steps))
    if wish.quality is Quality.QUICK and (model.quick is not None or model.steps <= FEW):
        return None
    sampler = EVERY_SAMPLER.get(spelled(wish.sampler or model.sampler))
    if sampler is None:  # the request is refused for that
        return None
    most = min(sampler.steps_max, model.steps_max)
    usual = min(model.steps, most)
    halves = 1 if wish.quality is Quality.QUICK else 3
    return min(most, max(sampler.steps_min, -(-usual * halves // 2)))


def _start_of(wish: Wish, model: ModelInfo) -> Start | None:
    if wish.image is None:
        return None
    mask = None if wish.mask is None else wish.mask.digest
    return Start(image=wish.image.digest, mask=mask, strength=wish.strength, upscale=wish.times(model))

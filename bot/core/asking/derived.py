"""Wishes and requests that are made from a job: a variation, an enlargement, the same from its seed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from bot.core.asking import wildcards
from bot.core.asking.wish import Picture, Wish
from bot.job import Job
from engine.contract import GenerationRequest, ModelInfo, least_strength

SUBTLE, STRONG = 0.4, 0.75
"""How much of a picture a variation redraws."""


def varied(job: Job, *, digest: str, strength: float, seed: int) -> tuple[GenerationRequest, Wish]:
    """Image to image from a kept picture of the job, by its own settings; as many as the job has."""
    request = job.request
    start = max(strength, least_strength(request.steps))
    wish = replace(
        wish_of(job),
        image=_picture(job, digest),
        mask=None,
        references=(),
        strength=strength,
        seed=None,
        upscale=None,
    )
    return replace(request, image=digest, mask=None, references=(), strength=start, seed=seed), wish


def edited(job: Job, *, digest: str, words: str, editor: ModelInfo | None) -> Wish:
    """The wish for a kept picture of the job as the words say: by an instruction, else redrawn by the settings of its time."""
    if editor is not None:
        return Wish(prompt=words, references=(_picture(job, digest),), model=editor.id)
    return replace(
        wish_of(job),
        prompt=words,
        image=_picture(job, digest),
        mask=None,
        references=(),
        strength=None,
        size=job.request.size,
        aspect=None,
        upscale=None,
        images=None,
        seed=None,
        model=job.request.model,
    )


def enlarged(job: Job, *, digest: str, times: int, model: str) -> Wish:
    """The wish for a kept picture of the job in so many times its size, made by that model."""
    request = job.request
    return Wish(
        prompt=wildcards.literal(request.prompt),
        negative_prompt=wildcards.literal(request.negative_prompt) or None,
        image=_picture(job, digest),
        upscale=times,
        lora=_loras(request) if model == request.model else None,
        model=model,
    )


def of_image(job: Job, image: int) -> Job:
    """The job as if it had been asked for that one of its images, counted from 0."""
    request = replace(job.request, seed=job.request.seed_of(image), images=1)
    return replace(job, request=request, images=(job.images[image],))


def redrawn(job: Job, image: int) -> tuple[GenerationRequest, Wish]:
    """What draws that one of its images again."""
    request = of_image(job, image).request
    return request, replace(wish_of(job), seed=request.seed, images=1)


def drawn_by(job: Job, first: Job) -> str:
    """The kind of engine that drew the picture of `first` which the job draws again, itself or one that it came from.

    "" where it draws another one, and where that is not known: earlier versions did not write it down.
    """
    request = job.request
    if request.is_seedless or request.model != first.request.model:
        return ""
    for number, image in enumerate(first.images):
        if image.drawn_by and request.seed == first.request.seed_of(number):
            return image.drawn_by
    return ""


def is_drawn_otherwise(job: Job, first: Job) -> bool:
    """Whether it was to draw a picture of `first` again, but another kind of engine drew it."""
    wanted = drawn_by(job, first)
    return bool(wanted) and any(image.drawn_by not in ("", wanted) for image in job.images)


def wish_of(job: Job) -> Wish:
    """As typed, with the files it started from; of a row without its wish what the request tells."""
    if job.wish is None:
        return exact(job.request)
    typed = Wish.of(job.wish)
    return replace(
        typed,
        image=_started(typed.image, job.request.image),
        mask=_started(typed.mask, job.request.mask),
        references=_referred(typed.references, job.request),
    )


def exact(request: GenerationRequest) -> Wish:
    """The wish with nothing left out."""
    return Wish(
        prompt=wildcards.literal(request.prompt),
        negative_prompt=wildcards.literal(request.negative_prompt) or None,
        image=_started(None, request.image),
        mask=_started(None, request.mask),
        strength=request.strength,
        size=request.size,
        steps=request.steps,
        guidance=request.guidance_scale,
        seed=request.seed,
        sampler=request.sampler,
        schedule=request.schedule or None,
        guidance_until=request.guidance_until if request.guidance_until < 1 else None,
        images=request.images,
        model=request.model,
        lora=_loras(request),
        tile=request.tile or None,
        references=_referred((), request),
    )


def _picture(job: Job, digest: str) -> Picture:
    return Picture(name=f"easel-{job.id}.png", size=(job.request.width, job.request.height), digest=digest)


def _started(typed: Picture | None, digest: str | None) -> Picture | None:
    if digest is None:
        return None
    return replace(typed, digest=digest) if typed is not None else Picture(name="image.png", digest=digest)


def _referred(typed: Sequence[Picture], request: GenerationRequest) -> tuple[Picture, ...]:
    return tuple(
        replace(named, digest=digest) if named is not None else Picture(name="image.png", digest=digest)
        for named, digest in zip_longest(typed[: len(request.references)], request.references)
    )


def _loras(request: GenerationRequest) -> str | None:
    return ", ".join(map(str, request.loras)) or None

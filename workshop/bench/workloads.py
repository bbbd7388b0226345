"""What is asked for, and when: requests of each workload and their arrivals; pure, knows the contract only.

Every prompt is another one, as people's are, so that no side draws on texts that it has encoded in an earlier round.
"""

from __future__ import annotations

import io
import random
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from PIL import Image, ImageDraw

from engine.contract import SAMPLERS, GenerationRequest, ModelInfo
from workshop.bench.load import Ask

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
THINGS = ("circle", "square", "triangle", "star", "heart")
FEW_STEPS = 4
STRENGTHS = (0.3, 0.75, 0.5, 1.0)
STEPS_FROM_IMAGE = 4
"""At the lowest strength one of them is left."""
KINDS = 6
"""Samplers of the mixed workload."""
PREFERRED = ("PNDM", "Euler a", "Heun", "DPM++ 2M Karras", "DDIM", "UniPC")
"""The mixed workload's samplers where the model offers them: among them the two kinds that make more calls than steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The settings of one request of the mixed workload; its sampler is the one at its place."""

    steps: int
    guidance_scale: float


DECK = (
    Card(steps=4, guidance_scale=1.0),
    Card(steps=50, guidance_scale=12.0),
    Card(steps=12, guidance_scale=5.0),
    Card(steps=25, guidance_scale=7.5),
    Card(steps=8, guidance_scale=3.0),
    Card(steps=30, guidance_scale=9.0),
    Card(steps=20, guidance_scale=7.5),
    Card(steps=40, guidance_scale=1.0),
)
"""Dealt anew when it is used up: every eight requests are the same amount of work, in another order."""


def prompt(number: int, turn: int) -> str:
    """A prompt that no other request of this run has."""
    colour, ground = COLOURS[number % len(COLOURS)], COLOURS[(number + 1 + turn) % len(COLOURS)]
    return f"a {colour} {THINGS[number % len(THINGS)]} on a {ground} background, number {turn}.{number}"


def seed(number: int, turn: int) -> int:
    return 10_000 * (turn + 1) + number


def homogeneous(info: ModelInfo, count: int, turn: int) -> list[GenerationRequest]:
    """The model's own defaults, as many times: the best case of a static batch."""
    return [info.request(prompt=prompt(number, turn), seed=seed(number, turn)) for number in range(count)]


def mixed(info: ModelInfo, count: int, turn: int, pace: float = 1.0) -> list[GenerationRequest]:
    """From 4 to 50 steps, guidance 1 to 12, six samplers; shuffled anew in every round."""
    order: list[int] = []
    shuffle = random.Random(turn)
    while len(order) < count:
        deck = list(range(len(DECK)))
        shuffle.shuffle(deck)
        order += deck
    kinds = samplers_for(info)
    return [
        _dealt(info, place, kinds[place % len(kinds)], number, turn, pace)
        for number, place in enumerate(order[:count])
    ]


def few(info: ModelInfo, count: int, turn: int) -> list[GenerationRequest]:
    """What Turbo and LCM models are asked for: four steps without guidance, with LCM's sampler where there is one."""
    sampler = "LCM" if "LCM" in info.samplers else info.sampler
    return [
        info.request(
            prompt=prompt(number, turn),
            seed=seed(number, turn),
            steps=FEW_STEPS,
            guidance_scale=1.0,
            sampler=sampler,
        )
        for number in range(count)
    ]


def with_images(
    info: ModelInfo, count: int, turn: int, images: Sequence[str], pace: float = 1.0
) -> list[GenerationRequest]:
    """The mixed workload, of which every second request starts from one of these images at another strength."""
    return [
        replace(
            request,
            image=images[number // 2 % len(images)],
            strength=STRENGTHS[number // 2 % len(STRENGTHS)],
            steps=max(request.steps, STEPS_FROM_IMAGE),
        )
        if number % 2
        else request
        for number, request in enumerate(mixed(info, count, turn, pace))
    ]


def pictures(size: tuple[int, int], count: int = 3) -> list[bytes]:
    """PNGs to start from: stripes of two colours each."""
    made: list[bytes] = []
    for number in range(count):
        ground, stripe = ((40 + 80 * number, 90, 200 - 60 * number), (220, 60 + 70 * number, 90))
        image = Image.new("RGB", size, ground)
        draw = ImageDraw.Draw(image)
        for left in range(0, size[0], size[0] // 4):
            draw.rectangle((left, 0, left + size[0] // 8, size[1]), fill=stripe)
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        made.append(buffer.getvalue())
    return made


def samplers_for(info: ModelInfo) -> tuple[str, ...]:
    """Six samplers that the model offers, fewer where it has fewer."""
    ranked = [*(name for name in PREFERRED if name in info.samplers), *info.samplers]
    return tuple(islice(dict.fromkeys(ranked), KINDS))


def _dealt(
    info: ModelInfo, place: int, sampler: str, number: int, turn: int, pace: float
) -> GenerationRequest:
    card, kind = DECK[place], SAMPLERS[sampler]
    steps = min(round(card.steps * pace), info.steps_max, kind.steps_max)
    return info.request(
        prompt=prompt(number, turn),
        seed=seed(number, turn),
        steps=max(kind.steps_min, steps),
        guidance_scale=card.guidance_scale,
        sampler=sampler,
    )


# ------------------------------------------------------------------ when


def at_once(requests: Sequence[GenerationRequest]) -> list[Ask]:
    return [Ask(number=number, request=request) for number, request in enumerate(requests)]


def scheduled(requests: Sequence[GenerationRequest], times: Sequence[float]) -> list[Ask]:
    return [
        Ask(number=number, request=request, at=at)
        for number, (request, at) in enumerate(zip(requests, times, strict=True))
    ]


def poisson(rate: float, count: int, turn: int) -> list[float]:
    """`count` arrival times in seconds, `rate` a second on average, independent of each other."""
    chance = random.Random(turn)
    at, times = 0.0, list[float]()
    for _ in range(count):
        at += chance.expovariate(rate)
        times.append(at)
    return times


def joining(requests: Sequence[GenerationRequest], spacing_s: float) -> list[Ask]:
    """In reverse order, half of them at once and the others one by one while those are under way."""
    half = len(requests) // 2
    asks = [
        Ask(number=number, request=request, at=max(0, place - half + 1) * spacing_s)
        for place, (number, request) in enumerate(reversed(list(enumerate(requests))))
    ]
    return sorted(asks, key=lambda ask: ask.at)


# ------------------------------------------------------------------ static batches


def bucket_of(request: GenerationRequest) -> Hashable:
    """What the requests of one `pipe()` call must agree on: it has one sampler, one step count and one guidance."""
    return (
        request.sampler,
        request.steps,
        request.guidance_scale,
        request.size,
        request.strength,
        request.image is None,
    )


def take_batch(waiting: deque[Ask], size: int) -> list[Ask]:
    """Takes out the one that waits longest and up to `size` in all that can be drawn by the same call."""
    bucket = bucket_of(waiting[0].request)
    batch = [ask for ask in waiting if bucket_of(ask.request) == bucket][:size]
    for ask in batch:
        waiting.remove(ask)
    return batch

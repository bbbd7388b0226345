"""Who asks for what and when, from a seed: ten thousand people who come and go, and fifty who always have something in line.

Pure; knows no engine but how long a usual one takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from engine.contract import GenerationRequest
from engine.fake import MODEL

MODELS = tuple(
    replace(MODEL, id=f"model {number}", width=1024, height=1024, steps=30) for number in range(1, 7)
)
"""All of them are offered by every engine, which begins with the first."""
WANTED = tuple(number**-1.5 for number in range(1, len(MODELS) + 1))
"""How many people want each."""
SHAPES = ((1024, 1024), (1024, 768), (768, 768), (512, 512))
USUAL_S = 6.0
"""For which a usual engine draws one of 1024×1024 in 30 steps."""
PACE_S = USUAL_S / MODELS[0].request(prompt="a red circle", seed=0).work
MODEST = 3
"""Whoever asks for no more is not to wait for those who ask for dozens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    at_s: float
    user_id: int
    request: GenerationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Regular:
    """Somebody who asks for the next picture as soon as one is done."""

    pending: int
    """So many they always have in line."""
    draw: Callable[[], GenerationRequest]
    """What they ask for next."""


def seconds_of(request: GenerationRequest) -> float:
    """What a usual engine takes to draw it."""
    return request.work * PACE_S


def visitors(people: int, hands: float, load: float, random: Random) -> list[Ask]:
    """They come at any time: most want up to three pictures, some a handful, a few thirty at once; each by one model.

    `hands` is what all engines draw in the time in which a usual one draws one; without reading any model they would be
    busy for so much of the time as `load` says.
    """
    wanted = [(random.random(), user, [*_visit(random)]) for user in range(people)]
    whole_s = sum(seconds_of(request) for _, _, visit in wanted for _, request in visit) / (load * hands)
    asks = (
        Ask(at_s=share * whole_s + later_s, user_id=user, request=request)
        for share, user, visit in wanted
        for later_s, request in visit
    )
    return sorted(asks, key=lambda each: (each.at_s, each.user_id))


def _visit(random: Random) -> Iterator[tuple[float, GenerationRequest]]:
    """(seconds after they came, what they ask for)"""
    draw = _taste(random)
    kind = random.choices(("some", "many", "dozens"), (80, 18, 2))[0]
    match kind:
        case "some":
            after_s = 0.0
            for _ in range(random.randint(1, MODEST)):
                yield after_s, draw()
                after_s += random.expovariate(1 / 30)
        case "many":
            for number in range(6):
                yield 30.0 * (number // 3), draw()
        case _:
            for _ in range(30):
                yield 0.0, draw()


def regulars(people: int, random: Random) -> list[Regular]:
    """Every tenth has thirty in line, all others three."""
    return [Regular(pending=30 if user % 10 == 0 else MODEST, draw=_taste(random)) for user in range(people)]


def _taste(random: Random) -> Callable[[], GenerationRequest]:
    """One person's: a model, of which they want pictures of any shape and length."""
    model = random.choices(MODELS, WANTED)[0]

    def request() -> GenerationRequest:
        size, steps = random.choice(SHAPES), random.choice((20, 30, 40))
        return model.request(prompt="a red circle", seed=0, size=size, steps=steps)

    return request


def jain(values: Sequence[float]) -> float:
    """1 where all are equal, 1/n where one has all. Jain, Chiu, Hawe: "A quantitative measure of fairness" (1984)."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0

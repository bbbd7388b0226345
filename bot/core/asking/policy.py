"""What a person may have drawn and what it costs. Pure; knows no clock, store or Discord."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.job import Asker, Refusal, cost_of
from bot.limits import LimitEntry, Limits, Subject, Usage
from engine.contract import SIDE_MIN, SIDE_MULTIPLE, GenerationRequest, ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    reason: str
    """One sentence for the person who asked."""
    is_repetition: bool = False
    """Discord delivered an event twice: the first one answers, and only one answer is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The calendar day in which credits are counted, as seconds since 1970."""

    start: float
    end: float


def day_of(now: float, zone: ZoneInfo) -> Window:
    """The local calendar day around `now`; days of 23 and 25 hours included."""
    today = datetime.fromtimestamp(now, zone).date()
    start = datetime.combine(today, time.min, zone).timestamp()
    end = datetime.combine(today + timedelta(days=1), time.min, zone).timestamp()
    return Window(start=start, end=end)


def limits_for(asker: Asker, entries: Iterable[LimitEntry], *, defaults: Limits, ceilings: Limits) -> Limits:
    """The limits that hold for one person, field by field.

    The member's own entry beats the most generous of their roles, which beats the entry for
    everyone, which beats the configuration's default; nothing exceeds the operator's ceilings.
    """
    relevant = [entry for entry in entries if _concerns(entry, asker)]

    def value(name: str) -> int:
        for subject in (Subject.MEMBER, Subject.ROLE, Subject.EVERYONE):
            found = [
                entry.values[name] for entry in relevant if entry.subject is subject and name in entry.values
            ]
            if found:
                return max(found)
        return int(getattr(defaults, name))

    return Limits(**{name: min(value(name), int(getattr(ceilings, name))) for name in Limits.names()})


def _concerns(entry: LimitEntry, asker: Asker) -> bool:
    match entry.subject:
        case Subject.EVERYONE:
            return True
        case Subject.ROLE:
            return entry.subject_id in asker.role_ids
        case Subject.MEMBER:
            return entry.subject_id == asker.user_id


BLOCKED = "You are blocked from making images on this server: only its admins can change that."
"""Said before anything is judged: nothing that a person changes about the picture would help."""


def judge(
    request: GenerationRequest, limits: Limits, *, model: ModelInfo | None = None
) -> Admitted | Refused:
    """Whether the picture itself is allowed. Limits that count rows are the admitting statement's.

    `model` is the one that draws: what is proposed instead is then a size that it takes, too.
    """
    if request.pixels > limits.max_pixels and request.upscale > 1:
        return Refused(reason=_too_much_upscaled(request, limits))
    if request.pixels > limits.max_pixels:
        return Refused(
            reason=f"{request.size} is above your limit of {limits.max_pixels:,} pixels: "
            f"{_smaller(limits.max_pixels, model)}."
        )
    if request.steps > limits.max_steps:
        return Refused(reason=f"{request.steps} steps are above your limit of {limits.max_steps}.")
    if request.images > limits.max_images:
        return Refused(
            reason=f"{request.images} images are above your limit of {limits.max_images} per request."
        )
    cost = cost_of(request)
    if cost > limits.credits_per_day:
        return Refused(
            reason=f"This costs {credit(cost)} and your day has {credit(limits.credits_per_day)}: "
            "ask for fewer images, fewer steps or a smaller size."
        )
    return Admitted(cost=cost)


def _smaller(max_pixels: int, model: ModelInfo | None) -> str:
    """What to ask for instead, as the end of a sentence."""
    side = max(SIDE_MIN, math.isqrt(max_pixels) // 64 * 64)
    if model is not None:
        across, down = model.nearest(side, side)
        if across * down > max_pixels:
            return f"{model.title} draws no picture as small as that, so name another model"
        side = min(across, down)
    return f"ask for {side}x{side} or smaller"


def _too_much_upscaled(request: GenerationRequest, limits: Limits) -> str:
    def pixels(times: int) -> int:
        """At most: sides may have been rounded, and are rounded anew."""
        step = 1 if request.is_seedless else SIDE_MULTIPLE
        sides = ((side + step // 2) // request.upscale * times for side in (request.width, request.height))
        return math.prod(round(side / step) * step for side in sides)

    scales = range(request.upscale - 1, 1, -1)
    fits = next((times for times in scales if pixels(times) <= limits.max_pixels), 1)
    hint = f"upscale {fits} times" if fits > 1 else "take a smaller image"
    return f"{request.size} is above your limit of {limits.max_pixels:,} pixels: {hint}."


def foresee(cost: int, limits: Limits, usage: Usage) -> Refusal | None:
    """What the admitting statement would refuse, as far as a person's own rows tell."""
    if usage.pending >= limits.pending:
        return Refusal.PENDING
    return Refusal.CREDITS if usage.used + cost > limits.credits_per_day else None


def explain(refusal: Refusal, *, cost: int, limits: Limits, usage: Usage, window: Window) -> Refused:
    """What the admitting statement's refusal means for the person."""
    match refusal:
        case Refusal.DUPLICATE:
            return Refused(reason="This request is already on its way.", is_repetition=True)
        case Refusal.BUTTON:
            return Refused(reason="You already pressed this button: that image is still being made.")
        case Refusal.PENDING | Refusal.CREDITS if limits.is_blocked:  # in this moment
            return Refused(reason=BLOCKED)
        case Refusal.PENDING:
            many = f"{usage.pending} of {limits.pending} requests waiting"
            if usage.pending > limits.pending:  # it was lowered since
                many = f"{usage.pending} requests waiting, and may have {limits.pending}"
            return Refused(reason=f"You have {many}: wait for one to finish or cancel one.")
        case Refusal.QUEUE:
            return Refused(reason="The line is full for everybody: try again in a few minutes.")
        case Refusal.CREDITS:
            left = max(0, limits.credits_per_day - usage.used)
            return Refused(
                reason=f"This costs {credit(cost)} and you have {left} of {limits.credits_per_day} left today; "
                f"they renew <t:{int(window.end)}:R>."
            )


def area(pixels: int) -> str:
    """A number of pixels as people know sizes: the most square sides of whole eights, or about which square."""
    side = math.isqrt(pixels)
    for height in range(side - side % 8, side // 2, -8):
        if pixels % height == 0 and (width := pixels // height) % 8 == 0:
            return f"{width}×{height}"
    return f"{pixels:,} pixels (about {side}×{side})"


def credit(count: int) -> str:
    return f"{count} credit" if count == 1 else f"{count} credits"

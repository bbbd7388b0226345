"""What a person may have drawn and what it costs. Pure; knows no clock, store or Discord."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.core.asking.price import cost_of
from bot.core.asking.refused import (
    Blocked,
    CreditsSpent,
    LineFull,
    NoSizeOfModel,
    NothingAtNight,
    NotPermitted,
    NotShared,
    PlanGone,
    PressedBefore,
    Refused,
    Repeated,
    TooDear,
    TooFarUpscaled,
    TooManyImages,
    TooManyPixels,
    TooManySteps,
    TooManyWaiting,
    TooSoon,
)
from bot.job import Action, Asker, Refusal
from bot.limits import (
    LimitEntry,
    Limits,
    Night,
    Period,
    PermitEntry,
    PermitKind,
    Permits,
    Subject,
    Usage,
    Use,
    most_generous,
    strictest,
)
from bot.training import Sharing, Training
from engine.contract import SIDE_MIN, SIDE_MULTIPLE, GenerationRequest, ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """In which credits are counted, as seconds since 1970."""

    start: float
    end: float
    period: Period = Period.DAY


def window_of(now: float, zone: ZoneInfo, night: Night | None = None) -> Window:
    """What holds `now`: without a night the local calendar day, days of 23 and 25 hours included; else the night, or the time
    from one night to the next.

    Windows follow one another without a gap. A night that clocks leave out is none, and one in which they are set has its
    hours more or fewer.
    """
    today = datetime.fromtimestamp(now, zone).date()

    def moment(days: int, hour: int = 0) -> float:
        return datetime.combine(today + timedelta(days=days), time(hour), zone).timestamp()

    if night is None:
        return Window(start=moment(0), end=moment(1))
    over_midnight = night.ends <= night.begins
    nights = [(moment(day, night.begins), moment(day + over_midnight, night.ends)) for day in range(-2, 3)]
    real = [(start, end) for start, end in nights if start < end]
    for start, end in real:
        if start <= now < end:
            return Window(start=start, end=end, period=Period.NIGHT)
    before, after = max(end for _, end in real if end <= now), min(start for start, _ in real if start > now)
    return Window(start=before, end=after, period=Period.DAYTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one limit of a person is, and which entry says so."""

    name: str
    value: int
    said: int
    """What the entry has; `value` is the owner's ceiling where that is stricter."""
    subject: Subject | None
    """Whom the entry is for; None: it is the configuration's default."""
    subject_id: int = 0
    is_one_of_several: bool = False
    """Several of their roles say something, and this is the most generous."""


def rulings_for(
    asker: Asker, entries: Iterable[LimitEntry], *, defaults: Limits, ceilings: Limits
) -> tuple[Ruling, ...]:
    """The limits that hold for one person, field by field.

    The member's own entry beats the most generous of their roles, which beats the entry for
    everyone, which beats the configuration's default; nothing exceeds the operator's ceilings.
    """
    relevant = [entry for entry in entries if _concerns(entry, asker)]

    def ruling(name: str) -> Ruling:
        ceiling = int(getattr(ceilings, name))
        for subject in (Subject.MEMBER, Subject.ROLE, Subject.EVERYONE):
            found = [entry for entry in relevant if entry.subject is subject and name in entry.values]
            if found:
                said = most_generous(name, *(entry.values[name] for entry in found))
                return Ruling(
                    name=name,
                    value=strictest(name, said, ceiling),
                    said=said,
                    subject=subject,
                    subject_id=min(entry.subject_id for entry in found if entry.values[name] == said),
                    is_one_of_several=len(found) > 1,
                )
        said = int(getattr(defaults, name))
        return Ruling(name=name, value=strictest(name, said, ceiling), said=said, subject=None)

    return tuple(ruling(name) for name in Limits.names())


def limits_for(asker: Asker, entries: Iterable[LimitEntry], *, defaults: Limits, ceilings: Limits) -> Limits:
    rulings = rulings_for(asker, entries, defaults=defaults, ceilings=ceilings)
    return Limits(**{ruling.name: ruling.value for ruling in rulings})


def permitting(asker: Asker, entries: Iterable[PermitEntry]) -> list[PermitEntry]:
    """What is listed for everyone and, besides that, for the person's roles and for themselves, of kinds that count: those of
    which something is listed for everyone.
    """
    known = tuple(entries)
    listed = {entry.kind for entry in known if entry.subject is Subject.EVERYONE}
    return [entry for entry in known if entry.kind in listed and _concerns(entry, asker)]


def may_use(training: Training, asker: Asker) -> bool:
    """Whether this person may draw with what comes of it: in its own server alone, and there with whom its maker or admins share it."""
    if training.guild_id != asker.guild_id:
        return False
    if training.user_id == asker.user_id or training.sharing is Sharing.ALL:
        return True
    return training.sharing is Sharing.ROLE and training.role_id in asker.role_ids


def permits_for(asker: Asker, entries: Iterable[PermitEntry], trainings: Iterable[Training] = ()) -> Permits:
    """Where nothing of a kind is listed for everyone, all of it is allowed to all. `trainings`: of which a LoRA comes or came."""
    mine = permitting(asker, entries)
    return Permits(
        closed=frozenset(each.name.casefold() for each in trainings if not may_use(each, asker)),
        names={
            kind: frozenset(entry.name for entry in mine if entry.kind is kind)
            for kind in {entry.kind for entry in mine}
        },
    )


def uses_of(request: GenerationRequest, action: Action, *, is_one_of_several: bool) -> Iterator[Use]:
    """What is done with a request besides drawing from words."""
    if is_one_of_several:
        yield Use.SEVERAL
    if request.upscale > 1:
        yield Use.UPSCALE
    match action:
        case Action.IMAGINE if request.image is not None or request.references:
            yield Use.IMAGES
        case Action.REROLL:
            yield Use.REROLL
        case Action.VARY_SUBTLE | Action.VARY_STRONG:
            yield Use.VARY
        case Action.REMIX:
            yield Use.REMIX
        case Action.EDIT:
            yield Use.EDIT
        case _:
            pass


def not_permitted(
    request: GenerationRequest, permits: Permits, asker: Asker, model: ModelInfo | None, uses: Iterable[Use]
) -> NotPermitted | NotShared | None:
    """What of it admins keep from this person, if anything; a recipe's own LoRA comes with its model."""
    if asker.channel_ids and not permits.allows(PermitKind.CHANNEL, *map(str, asker.channel_ids)):
        return _refusing(permits, PermitKind.CHANNEL, str(asker.channel_ids[-1]))
    for use in uses:
        if not permits.allows(PermitKind.FEATURE, use):
            return _refusing(permits, PermitKind.FEATURE, use)
    if not permits.allows_model(request.model, scale=1 if model is None else model.scale):
        return _refusing(permits, PermitKind.MODEL, request.model)
    quick = None if model is None or model.quick is None else model.quick.lora
    for lora in request.loras:
        if lora != quick and not permits.allows(PermitKind.LORA, lora.name):
            return _refusing(permits, PermitKind.LORA, lora.name)
    return None


def _refusing(permits: Permits, kind: PermitKind, name: str) -> NotPermitted | NotShared:
    if kind is PermitKind.LORA and permits.is_closed(name):
        return NotShared(name=name)
    return NotPermitted(kind=kind, name=name, allowed=permits.listed(kind))


def _concerns(entry: LimitEntry | PermitEntry, asker: Asker) -> bool:
    match entry.subject:
        case Subject.EVERYONE:
            return True
        case Subject.ROLE:
            return entry.subject_id in asker.role_ids
        case Subject.MEMBER:
            return entry.subject_id == asker.user_id


def judge(
    request: GenerationRequest,
    limits: Limits,
    *,
    model: ModelInfo | None = None,
    period: Period = Period.DAY,
) -> Admitted | Refused:
    """Whether the picture itself is allowed. Limits that count rows are the admitting statement's.

    `model` is the one that draws: what is proposed instead is then a size that it takes, too.
    """
    if request.pixels > limits.max_pixels:
        return _too_many_pixels(request, limits, model)
    if request.steps > limits.max_steps:
        return TooManySteps(steps=request.steps, most=limits.max_steps)
    if request.images > limits.max_images:
        return TooManyImages(images=request.images, most=limits.max_images)
    cost = cost_of(request)
    return affordable(cost, limits, period)


def affordable(cost: int, limits: Limits, period: Period) -> Admitted | TooDear:
    """Whether a whole period's credits would pay for it."""
    most = limits.credits_in(period)
    return Admitted(cost=cost) if cost <= most else TooDear(cost=cost, most=most, period=period)


def at_night(limits: Limits, window: Window) -> NothingAtNight | None:
    """Why nothing at all is drawn now for a person who is not blocked, whatever it were."""
    return NothingAtNight(until=window.end) if limits.credits_in(window.period) == 0 else None


def _too_many_pixels(
    request: GenerationRequest, limits: Limits, model: ModelInfo | None
) -> TooManyPixels | NoSizeOfModel | TooFarUpscaled:
    """With what to ask for instead."""
    size, most = request.size, limits.max_pixels
    if request.upscale > 1:
        return TooFarUpscaled(size=size, most=most, times=_times_allowed(request, most))
    side = max(SIDE_MIN, math.isqrt(most) // 64 * 64)
    if model is not None:
        across, down = model.nearest(side, side)
        if across * down > most:
            return NoSizeOfModel(size=size, most=most, model=model.title)
        side = min(across, down)
    return TooManyPixels(size=size, most=most, side=side)


def _times_allowed(request: GenerationRequest, most: int) -> int | None:
    def pixels(times: int) -> int:
        """At most: sides may have been rounded, and are rounded anew."""
        step = 1 if request.is_seedless else SIDE_MULTIPLE
        sides = ((side + step // 2) // request.upscale * times for side in (request.width, request.height))
        return math.prod(round(side / step) * step for side in sides)

    return next((times for times in range(request.upscale - 1, 1, -1) if pixels(times) <= most), None)


def foresee(cost: int, limits: Limits, usage: Usage, *, period: Period, now: float) -> Refusal | None:
    """What the admitting statement would refuse, as far as a person's own rows tell."""
    if usage.pending >= limits.pending:
        return Refusal.PENDING
    if usage.again_at is not None and usage.again_at > now:
        return Refusal.PAUSE
    return Refusal.CREDITS if usage.used + cost > limits.credits_in(period) else None


def explain(
    refusal: Refusal, *, cost: int, limits: Limits, usage: Usage, window: Window, now: float
) -> Refused:
    """What the admitting statement's refusal means for the person."""
    if limits.is_blocked and refusal in (Refusal.PENDING, Refusal.CREDITS):  # in this moment
        refusal = Refusal.BLOCKED
    match refusal:
        case Refusal.DUPLICATE:
            return Repeated()
        case Refusal.BUTTON:
            return PressedBefore()
        case Refusal.BLOCKED:  # in this moment
            return Blocked()
        case Refusal.PENDING:
            return TooManyWaiting(waiting=usage.pending, most=limits.pending)
        case Refusal.PAUSE:
            return TooSoon(again_at=usage.again_at or now)
        case Refusal.QUEUE:
            return LineFull()
        case Refusal.PLAN:
            return PlanGone()
        case Refusal.CREDITS:
            most = limits.credits_in(window.period)
            return CreditsSpent(
                cost=cost,
                left=max(0, most - usage.used),
                most=most,
                ends_at=window.end,
                period=window.period,
            )

"""What a person may use and what an admin changed about it: the words of /quota and /limits. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from bot.core.asking.admission import Allowance
from bot.core.asking.policy import Ruling
from bot.core.asking.refused import Blocked
from bot.limits import Limits, Night, Period, Subject
from bot.store.server_settings import LimitChange
from bot.texts.amounts import area, credit, duration, mention, moment, who
from bot.texts.language import Language, Say, fixed
from bot.texts.refusals import refusal

PIXELS = "max_pixels"
WEIGHT = "weight"
PAUSE = "seconds_between"
TRAININGS: dict[str, Say] = {
    "trainings": fixed("trainings"),
    "training_pictures": fixed("pictures per training"),
    "training_steps": fixed("steps per training"),
    "training_mb": fixed("MB of pictures for trainings"),
}
_LABELS: dict[str, Say] = {
    "credits_per_day": fixed("credits per day"),
    "credits_per_night": fixed("credits per night"),
    "pending": fixed("pending requests"),
    PIXELS: fixed("per image"),
    "max_steps": fixed("steps"),
    "max_images": fixed("images per request"),
    PAUSE: fixed("seconds between requests"),
    WEIGHT: fixed("weight in the line"),
    **TRAININGS,
}
_SUBJECTS: dict[str, Say] = {
    "credits_per_day": fixed("credits a day"),
    "credits_per_night": fixed("credits a night"),
    "pending": fixed("requests at a time"),
    PIXELS: fixed("the size of images"),
    "max_steps": fixed("steps"),
    "max_images": fixed("images a request"),
    WEIGHT: fixed("weight in the line"),
    PAUSE: fixed("the time between requests"),
    **TRAININGS,
}

nothing_changed = fixed("Nothing changed: it was like that already.")
nothing_named = fixed("Name at least one limit to set, such as credits or pending.")
no_such_zone = fixed("There is no such time zone: pick one from the list, such as Europe/Berlin.")
half_a_night = fixed("Name both hours, such as begins:22 ends:6, or none of them for no night.")
night_without_hours = fixed("A night needs two different hours, such as begins:22 ends:6.")
role_or_member = fixed("Name a role or a member, not both.")


# ------------------------------------------------------------------ /quota


def quota(allowance: Allowance, to: Language) -> list[str]:
    """What was used, what is left and when it renews: lines."""
    limits, usage = allowance.limits, allowance.usage
    if isinstance(allowance.barred, Blocked):
        used = to.gettext(
            "Used today: **{used}**. Waiting or running: {pending}.", used=usage.used, pending=usage.pending
        )
        return [refusal(allowance.barred, to), used]
    return [
        _used(allowance, to),
        _pending(allowance, to),
        *_pause(allowance, to),
        to.gettext(
            "Per request: up to {area}, {steps} steps, {images} images.",
            area=area(limits.max_pixels, to),
            steps=limits.max_steps,
            images=limits.max_images,
        ),
        to.gettext(
            "-# One credit is one 512×512 image of up to 30 steps; larger sizes and more steps cost more."
        ),
    ]


def _used(allowance: Allowance, to: Language) -> str:
    """With what comes next, and when."""
    used, most = allowance.usage.used, allowance.credits
    when = moment(allowance.window.end)
    left, of = max(0, most - used), credit(most, to)
    match allowance.window.period:
        case Period.DAY if used > most:
            return to.gettext(
                "Used today: **{used}**; the limit is {most} by now, so nothing is left; renews {when}.",
                used=used,
                most=most,
                when=when,
            )
        case Period.DAY:
            return to.gettext(
                "Used today: **{used}** of {most}, left: **{left}**; renews {when}.",
                used=used,
                most=of,
                left=left,
                when=when,
            )
        case Period.DAYTIME:
            return to.gettext(
                "Used today: **{used}** of {most}, left: **{left}**; the night, which has credits of its own, begins {when}.",
                used=used,
                most=of,
                left=left,
                when=when,
            )
        case Period.NIGHT:
            return to.gettext(
                "Used this night: **{used}** of {most}, left: **{left}**; the day, which has credits of its own, begins {when}.",
                used=used,
                most=of,
                left=left,
                when=when,
            )


def _pending(allowance: Allowance, to: Language) -> str:
    pending, most = allowance.usage.pending, allowance.limits.pending
    if pending > most:
        return to.gettext(
            "Waiting or running: {pending}; new ones are taken below {most}.", pending=pending, most=most
        )
    return to.gettext("Waiting or running: {pending} of at most {most}.", pending=pending, most=most)


def _pause(allowance: Allowance, to: Language) -> list[str]:
    if not allowance.limits.seconds_between:
        return []
    told = to.gettext("Between requests: {time}.", time=duration(allowance.limits.seconds_between, to))
    if (again_at := allowance.usage.again_at) is None:
        return [told]
    return [told, to.gettext("The next: {when}.", when=moment(math.ceil(again_at)))]


# ------------------------------------------------------------------ /limits


def defaults(limits: Limits, to: Language) -> str:
    return to.gettext("**Default** {limits}", limits=values(_all(limits), to))


def of_one(user_id: int, rulings: Iterable[Ruling], to: Language) -> list[str]:
    """Each limit of a person, and which rule says so."""
    head = to.gettext("**What {who} may use, and why**", who=mention(user_id))
    return [
        head,
        *(
            to.gettext("{limit}: {why}", limit=_labelled(each.name, each.value, to), why=_why(each, to))
            for each in rulings
        ),
    ]


def _why(ruling: Ruling, to: Language) -> str:
    match ruling.subject:
        case None:
            why = to.gettext("the default, since nothing is set")
        case Subject.EVERYONE:
            why = to.gettext("set for everyone")
        case Subject.ROLE if ruling.is_one_of_several:
            role = who(Subject.ROLE, ruling.subject_id, to)
            why = to.gettext("set for {role}, the most generous of their roles", role=role)
        case Subject.ROLE:
            why = to.gettext("set for {role}", role=who(Subject.ROLE, ruling.subject_id, to))
        case Subject.MEMBER:
            why = to.gettext("set for them, which comes before all else")
    if ruling.value == ruling.said:
        return why
    number = _number(ruling.name, ruling.said, to)
    return to.gettext("{why}; the owner's ceiling, in place of {number}", why=why, number=number)


def entry(subject: Subject, subject_id: int, limits: Mapping[str, int], to: Language) -> str:
    return f"**{who(subject, subject_id, to)}** {values(limits, to)}"


def ceilings(limits: Limits, to: Language) -> str:
    return to.gettext("-# The owner's ceilings: {limits}", limits=values(_all(limits), to))


def values(limits: Mapping[str, int], to: Language) -> str:
    return to.listed(_labelled(name, value, to) for name, value in limits.items())


def _labelled(name: str, value: int, to: Language) -> str:
    number = _number(name, value, to)
    if name == WEIGHT:
        return to.gettext("weight {number} in the line", number=number)
    return f"{number} {_LABELS[name](to)}"


def _all(limits: Limits) -> dict[str, int]:
    return {name: int(getattr(limits, name)) for name in Limits.names()}


def day_begins(zone: str, to: Language) -> str:
    return to.gettext("-# Days begin at midnight in {zone}.", zone=zone)


def day_begins_now(zone: str, to: Language) -> str:
    return to.gettext("Days now begin at midnight in {zone}.", zone=zone)


def night(night: Night, zone: str, to: Language) -> str:
    return to.gettext(
        "-# Nights are from {begins} to {ends} in {zone}, and days in between.", **_hours(night), zone=zone
    )


def night_now(night: Night, zone: str, to: Language) -> str:
    return to.gettext(
        "Nights are now from {begins} to {ends} in {zone}: what is asked for then is paid for by the credits per night, and "
        "what is asked for in between by those per day.",
        **_hours(night),
        zone=zone,
    )


def _hours(night: Night) -> dict[str, str]:
    return {"begins": f"{night.begins:02}:00", "ends": f"{night.ends:02}:00"}


def above_ceiling(name: str, value: int, ceiling: int) -> Say:
    def say(to: Language) -> str:
        found, highest = _number(name, value, to), _number(name, ceiling, to)
        if name == PAUSE:
            return to.gettext(
                "{found} s between requests is less than the owner wants: {highest} s at least.",
                found=found,
                highest=highest,
            )
        if name == PIXELS:
            return to.gettext(
                "{found} for an image is above the owner's ceiling of {highest}.",
                found=found,
                highest=highest,
            )
        return to.gettext(
            "{found} for {what} is above the owner's ceiling of {highest}.",
            found=found,
            what=_LABELS[name](to),
            highest=highest,
        )

    return say


def changed_by(told: LimitChange, defaults: Limits, to: Language) -> str:
    """A line of the log."""
    return to.gettext(
        "{when} by {who}: {change}.",
        when=moment(told.at),
        who=mention(told.by_user_id),
        change=change(told, defaults, to),
    )


def changed(told: LimitChange, defaults: Limits, to: Language) -> str:
    return to.gettext("{change}.", change=change(told, defaults, to))


def cancelled(count: int, to: Language) -> str:
    return to.gettext("Cancelled what they had waiting: {count}, not charged.", count=count)


def change(told: LimitChange, defaults: Limits, to: Language) -> str:
    """What holds now and what held before, as people would say it; no full stop."""
    person, name = who(told.subject, told.subject_id, to), told.field
    is_everyone = told.subject is Subject.EVERYONE
    default = int(getattr(defaults, name)) if is_everyone else None
    old = default if told.old_value is None else told.old_value
    if old is None:
        before = to.gettext("no limit of their own before")
    else:
        before = to.gettext("{limit} before", limit=_number(name, old, to))
    if told.new_value is not None:
        now = _allowance(name, told.new_value, to)
        return to.gettext("{who} now has {limit} ({before})", who=person, limit=now, before=before)
    if default is not None:
        now = _allowance(name, default, to)
        return to.gettext("{who} has {limit} again ({before})", who=person, limit=now, before=before)
    what = _SUBJECTS[name](to) if name in _SUBJECTS else name
    return to.gettext(
        "The own limit of {who} on {what} is gone ({before})", who=person, what=what, before=before
    )


def _allowance(name: str, value: int, to: Language) -> str:
    number = _number(name, value, to)
    match name:
        case "credits_per_day":
            return to.ngettext("{number} credit a day", "{number} credits a day", value, number=number)
        case "credits_per_night":
            return to.ngettext("{number} credit a night", "{number} credits a night", value, number=number)
        case "pending":
            return to.ngettext(
                "{number} request at a time", "{number} requests at a time", value, number=number
            )
        case "max_pixels":
            return to.gettext("images of up to {area}", area=number)
        case "max_steps":
            return to.ngettext("up to {number} step", "up to {number} steps", value, number=number)
        case "seconds_between" if value == 0:
            return to.gettext("no pause between requests")
        case "seconds_between":
            return to.ngettext(
                "{number} second from one request to the next",
                "{number} seconds from one request to the next",
                value,
                number=number,
            )
        case _ if name in TRAININGS:
            return _training_allowance(name, value, to)
        case "weight":
            return to.gettext("a weight of {number} in the line", number=number)
        case _:
            return to.ngettext(
                "up to {number} image a request", "up to {number} images a request", value, number=number
            )


def _training_allowance(name: str, value: int, to: Language) -> str:
    number = to.number(value)
    match name:
        case "training_pictures":
            return to.gettext("trainings of up to {number} pictures", number=number)
        case "training_steps":
            return to.gettext("trainings of up to {number} steps", number=number)
        case "training_mb":
            return to.gettext("{number} MB of pictures for trainings", number=number)
        case _:
            return to.ngettext("{number} training", "{number} trainings", value, number=number)


def _number(name: str, value: int, to: Language) -> str:
    return area(value, to) if name == PIXELS else to.number(value)

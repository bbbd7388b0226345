"""How a job gets on, as its message says it, and who else is in line. Pure."""

from __future__ import annotations

from bot.core.ports import Progress
from bot.texts.amounts import duration, ordinal, seconds
from bot.texts.language import Language, fixed
from bot.texts.why_waiting import held_up
from engine.contract import Stepped

overtaken = fixed("Somebody's shorter request is drawn first; then this one goes on where it is.")
yours = fixed("**Yours**")
everybody = fixed("**The line**")
nobody_waits = fixed("Nobody is waiting.")
starts_at_once = fixed("Nobody is waiting: your image would start at once.")
somebody_elsewhere = fixed("somebody elsewhere")
private = fixed("private")
"""Stands for the words that only their person reads."""


def waiting(progress: Progress, to: Language) -> str:
    """Place and time left, and under it what holds everybody up."""
    return "\n".join(filter(None, [f"⏳ {turn(progress, to)}", hint(progress, to)]))


in_review = fixed("It is drawn, and a moderator looks at it before anybody else does.")


def turn(progress: Progress, to: Language) -> str:
    """Place and time left."""
    place = _place(progress.place, to)
    if progress.eta_s is None:
        return place
    return to.gettext(
        "{place} · done in about {duration}", place=place, duration=duration(progress.eta_s, to)
    )


def hint(progress: Progress, to: Language) -> str:
    """What holds everybody up; empty where nothing."""
    return "" if progress.held_up is None else held_up(progress.held_up, to)


def _place(place: int | None, to: Language) -> str:
    match place:
        case None:
            return to.gettext("In line")
        case 1:
            return to.gettext("Next in line")
        case number:
            return to.gettext("{ordinal} in line", ordinal=ordinal(number), number=number)


def starting(elapsed_s: float, to: Language) -> str:
    return to.gettext("Starting … {elapsed}", elapsed=seconds(elapsed_s, to, digits=0))


def running(step: Stepped, progress: Progress, to: Language) -> str:
    """What the engine does with it, since when and for how long."""
    parts = [stage(step, to), seconds(progress.elapsed_s, to)]
    if progress.eta_s:
        parts.append(to.gettext("about {duration} left", duration=duration(progress.eta_s, to)))
    return " · ".join(parts)


def stage(step: Stepped, to: Language) -> str:
    match step.stage:
        case "waiting":
            return to.gettext("waiting for its turn in the engine")
        case "loading":
            return to.gettext("loading its model")
        case "encoding":
            return to.gettext("reading the prompt")
        case "denoising":
            return to.gettext("step {step} of {steps}", step=step.step, steps=step.steps)
        case "decoding" | "saving":
            return to.gettext("decoding")


def in_line(who: str, eta_s: float | None, to: Language) -> str:
    """Somebody's entry in /queue."""
    if eta_s is None:
        return who
    return to.gettext("{who} · about {duration}", who=who, duration=duration(eta_s, to))


def left_out(count: int, to: Language) -> str:
    """Stands for lines that a message has no room for."""
    return to.ngettext("… and {count} more", "… and {count} more", count)

"""Sentences about the engine that several commands show, and about the ends of jobs. Pure."""

from __future__ import annotations

from bot.core.engines.client import Paused
from bot.core.engines.status import EngineStatus, Phase
from bot.job import Reason, ReasonCode

CLOSING = "Easel is being restarted: ask again in a minute."


def model_set_aside(model: str) -> str:
    """What the bot's owner is told of a model that kills engines."""
    return (
        f"Easel has set the model {model} aside: its image engine died twice while loading it. Requests for it were "
        "refunded, and the other models draw on. Check its files or remove it; it is tried again when Easel is restarted."
    )


_REASONS: dict[str, str] = {
    ReasonCode.TOLD: "{text}",
    ReasonCode.NOT_ANSWERED: "Discord did not take the answer in time.",
    ReasonCode.TOO_LATE: "Easel was away for too long when this was asked for: ask again.",
    ReasonCode.CANCELLED: "Cancelled by {by}.",
    ReasonCode.WITHDRAWN: "Cancelled by a moderator, not charged.",
    ReasonCode.REMOVED: "The bot was removed from the server.",
    ReasonCode.OTHER_NUMBER: "The image engine made another number of pictures than were asked for.",
    ReasonCode.GIVEN_UP: "The image engine gave this up.",
    ReasonCode.DIED_TWICE: "The image engine died twice while making this.",
    ReasonCode.SET_ASIDE: "The image engine died each time it loaded the model {model}: use another one.",
    ReasonCode.BLOCKED: "This server's AutoMod blocked the message with your prompt.",
    ReasonCode.CHANNEL_GONE: "The channel is gone.",
    ReasonCode.THREAD_ARCHIVED: "The thread is archived.",
    ReasonCode.SHUT_OUT: "I may not post in that channel any more.",
    ReasonCode.MESSAGE_GONE: "The message is gone.",
    ReasonCode.UNREACHABLE: "Discord was out of reach for too long.",
    ReasonCode.OUT_OF_ORDER: "Discord was out of order for too long.",
    ReasonCode.NOT_TAKEN: "Discord did not take the finished message.",
    ReasonCode.UNREADABLE: "The finished image could not be read from disk.",
    ReasonCode.TOO_LARGE: "The finished image is too large for Discord, even as a JPEG.",
}


def why(reason: Reason) -> str:
    """The sentence that a job's person reads; what another version wrote is shown as far as it can be understood."""
    template = _REASONS.get(reason.code)
    if template is None:
        return reason.values.get("text") or "It ended for a reason that this version of Easel does not know."
    return template.format_map(_Known(reason.values))


class _Known(dict[str, str]):
    """Values by name; one that another version left out is a mere dash."""

    def __missing__(self, key: str) -> str:
        return "–"


YOURS, EVERYBODYS = "your place in line is kept", "places in line are kept"


def held_up_by(status: EngineStatus, *, is_closing: bool = False, kept: str = YOURS) -> str | None:
    """What keeps waiting jobs waiting, besides the line; None while the engine works. `kept`: whose place is."""
    if is_closing:
        return f"Easel is being restarted; {kept}."
    match status.phase:
        case Phase.READY:
            return None
        case Phase.STARTING:
            return "The image engine is starting."
        case Phase.LOADING:
            share = "" if status.fraction is None else f" ({status.fraction:.0%})"
            return f"The image engine is loading: {status.stage}{share}."
        case Phase.BROKEN:
            return f"The image engine can't work: {status.reason} {kept.capitalize()}."
        case Phase.RESTARTING:
            return f"The image engine restarts after a crash; {kept}."
        case Phase.PAUSED:
            return f"{_paused(status)} {kept.capitalize()}."
        case Phase.STOPPED:
            return f"Easel is shutting down; {kept}."


def why_nothing_is_offered(status: EngineStatus) -> str:
    """Why a request can't even be read or taken while the engine does not work, or has not said what it offers."""
    match status.phase:
        case Phase.BROKEN:
            return f"The image engine can't work right now: {status.reason}"
        case Phase.PAUSED:
            return f"{_paused(status)} Places in line are kept; please ask again later."
        case _:
            return "The image engine is just starting: try again in a few seconds."


def for_the_owner(paused: Paused, *, waiting: int) -> str:
    """What the bot's owner is told of a pause."""
    places = "1 request keeps its place" if waiting == 1 else f"{waiting} requests keep their places"
    return (
        f"Easel's GPU is paused: its image engine died {paused.deaths} times within {_minutes(paused.within_s)}. "
        f"The last time: {paused.reason} {places} in line. The engine is tried again every {_minutes(paused.again_s)} and when Easel is "
        "restarted; the log and `easel doctor` say more."
    )


def of_damage(problem: str) -> str:
    """What the bot's owner is told of a database that only they can mend; `problem` says how."""
    return f"Easel needs you: {problem.rstrip('.')}."


def _paused(status: EngineStatus) -> str:
    return (
        "The GPU is paused, since the image engine died again and again; "
        f"it is tried again every {_minutes(status.again_s)}."
    )


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} minutes"

"""Sentences about the engine that several commands show. Pure."""

from __future__ import annotations

from bot.core.engine_client import DEATHS_MAX, PAUSE_S, WINDOW_S, EngineStatus, Phase

CLOSING = "Easel is being restarted: ask again in a minute."
SET_ASIDE = "The image engine died each time it loaded the model {model}: use another one."


def model_set_aside(model: str) -> str:
    """What the bot's owner is told of a model that kills engines."""
    return (
        f"Easel has set the model {model} aside: its image engine died twice while loading it. Requests for it were "
        "refunded, and the other models draw on. Check its files or remove it; it is tried again when Easel is restarted."
    )


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
            return f"{_paused()} {kept.capitalize()}."
        case Phase.STOPPED:
            return f"Easel is shutting down; {kept}."


def why_nothing_is_offered(status: EngineStatus) -> str:
    """Why a request can't even be read or taken while the engine does not work, or has not said what it offers."""
    match status.phase:
        case Phase.BROKEN:
            return f"The image engine can't work right now: {status.reason}"
        case Phase.PAUSED:
            return f"{_paused()} Places in line are kept; please ask again later."
        case _:
            return "The image engine is just starting: try again in a few seconds."


def for_the_owner(reason: str, *, waiting: int) -> str:
    """What the bot's owner is told of a pause; `reason` is a sentence."""
    places = "1 request keeps its place" if waiting == 1 else f"{waiting} requests keep their places"
    return (
        f"Easel's GPU is paused: its image engine died {DEATHS_MAX} times within {_minutes(WINDOW_S)}. "
        f"The last time: {reason} {places} in line. The engine is tried again every {_minutes(PAUSE_S)} and when Easel is "
        "restarted; the log and `easel doctor` say more."
    )


def of_damage(problem: str) -> str:
    """What the bot's owner is told of a database that only they can mend; `problem` says how."""
    return f"Easel needs you: {problem.rstrip('.')}."


def _paused() -> str:
    return (
        "The GPU is paused, since the image engine died again and again; "
        f"it is tried again every {_minutes(PAUSE_S)}."
    )


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} minutes"

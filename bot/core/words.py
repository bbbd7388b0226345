"""Sentences about the engine that several commands show. Pure."""

from __future__ import annotations

from bot.core.engine_client import EngineStatus, Phase


def held_up_by(status: EngineStatus) -> str | None:
    """What keeps waiting jobs waiting, besides the line; None while the engine works."""
    match status.phase:
        case Phase.READY:
            return None
        case Phase.STARTING:
            return "The image engine is starting."
        case Phase.LOADING:
            share = "" if status.fraction is None else f" ({status.fraction:.0%})"
            return f"The image engine is loading: {status.stage}{share}."
        case Phase.BROKEN:
            return f"The image engine can't work: {status.reason} Your place in line is kept."
        case Phase.RESTARTING:
            return "The image engine restarts after a crash; your place in line is kept."
        case Phase.STOPPED:
            return "Easel is shutting down; your place in line is kept."


def why_nothing_is_offered(status: EngineStatus) -> str:
    """Why a request can't even be read or taken while the engine is broken, or has not said what it offers."""
    if status.phase is Phase.BROKEN:
        return f"The image engine can't work right now: {status.reason}"
    return "The image engine is just starting: try again in a few seconds."

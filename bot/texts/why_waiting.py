"""What keeps everybody waiting, as people read it under their place in line. Pure."""

from __future__ import annotations

from bot.core.held_up import (
    Closing,
    EngineBroken,
    EngineLoads,
    EnginePaused,
    EngineRestarts,
    EngineStarts,
    EngineStopped,
    Halted,
    HeldUp,
)
from bot.texts.amounts import minutes
from bot.texts.language import Language


def held_up(by: HeldUp, to: Language, *, is_own: bool = True) -> str:
    """`is_own`: told to somebody who waits themselves, else to whoever looks at the line."""
    match by:
        case Closing():
            return to.gettext("Easel is being restarted; {kept}.", kept=_kept(is_own, to))
        case Halted(is_everywhere=True, reason=reason):
            return to.gettext("Easel is paused (“{reason}”); {kept}.", reason=reason, kept=_kept(is_own, to))
        case Halted(reason=reason):
            return to.gettext(
                "An admin has paused Easel on this server (“{reason}”); {kept}.",
                reason=reason,
                kept=_kept(is_own, to),
            )
        case EngineStarts():
            return to.gettext("The image engine is starting.")
        case EngineLoads(stage=stage, fraction=None):
            return to.gettext("The image engine is loading: {stage}.", stage=stage)
        case EngineLoads(stage=stage, fraction=fraction):
            share = to.percent(fraction or 0)
            return to.gettext("The image engine is loading: {stage} ({share}).", stage=stage, share=share)
        case EngineBroken(reason=reason):
            return to.gettext(
                "The image engine can't work: {reason} {kept}", reason=reason, kept=_are_kept(is_own, to)
            )
        case EngineRestarts():
            return to.gettext("The image engine restarts after a crash; {kept}.", kept=_kept(is_own, to))
        case EnginePaused():
            return f"{paused(by, to)} {_are_kept(is_own, to)}"
        case EngineStopped():
            return to.gettext("Easel is shutting down; {kept}.", kept=_kept(is_own, to))


def paused(by: EnginePaused, to: Language) -> str:
    return to.gettext(
        "The GPU is paused, since the image engine died again and again; it is tried again every {pause}.",
        pause=minutes(by.again_s, to),
    )


def _kept(is_own: bool, to: Language) -> str:
    """The end of a sentence."""
    if is_own:
        return to.gettext("your place in line is kept")
    return to.gettext("places in line are kept")


def _are_kept(is_own: bool, to: Language) -> str:
    if is_own:
        return to.gettext("Your place in line is kept.")
    return to.gettext("Places in line are kept.")

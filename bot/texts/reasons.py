"""Why a job ended without its pictures, as its person reads it, and what that costs. Pure."""

from __future__ import annotations

from bot.job import Job, Reason, ReasonCode
from bot.texts.amounts import credit
from bot.texts.language import Language, Say, fixed

MISSING = "–"
"""Stands for a value that another version left out."""

kept_no_more = fixed("🗄️ These pictures are no longer kept here: 🔄 Reroll makes new ones.")
redrawn = fixed("The picture was no longer kept, so it was redrawn from its seed.")

_REASONS: dict[str, Say] = {
    ReasonCode.NOT_ANSWERED: fixed("Discord did not take the answer in time."),
    ReasonCode.TOO_LATE: fixed("Easel was away for too long when this was asked for: ask again."),
    ReasonCode.WITHDRAWN: fixed("Cancelled by a moderator, not charged."),
    ReasonCode.REMOVED: fixed("The bot was removed from the server."),
    ReasonCode.OTHER_NUMBER: fixed("The image engine made another number of pictures than were asked for."),
    ReasonCode.GIVEN_UP: fixed("The image engine gave this up."),
    ReasonCode.DIED_TWICE: fixed("The image engine died twice while making this."),
    ReasonCode.BLOCKED: fixed("This server's AutoMod blocked the message with your prompt."),
    ReasonCode.CHANNEL_GONE: fixed("The channel is gone."),
    ReasonCode.THREAD_ARCHIVED: fixed("The thread is archived."),
    ReasonCode.THREAD_LOCKED: fixed("The thread is locked."),
    ReasonCode.SHUT_OUT: fixed("I may not post in that channel any more."),
    ReasonCode.MESSAGE_GONE: fixed("The message is gone."),
    ReasonCode.UNREACHABLE: fixed("Discord was out of reach for too long."),
    ReasonCode.OUT_OF_ORDER: fixed("Discord was out of order for too long."),
    ReasonCode.NOT_TAKEN: fixed("Discord did not take the finished message."),
    ReasonCode.UNREADABLE: fixed("The finished image could not be read from disk."),
    ReasonCode.TOO_LARGE: fixed("The finished image is too large for Discord, even as a JPEG."),
}
"""Those without a value."""


def why(reason: Reason, to: Language) -> str:
    """What another version wrote is said as far as it can be understood."""
    values = reason.values
    match reason.code:
        case ReasonCode.TOLD:
            return values.get("text", MISSING)
        case ReasonCode.CANCELLED:
            return to.gettext("Cancelled by {by}.", by=values.get("by", MISSING))
        case ReasonCode.SET_ASIDE:
            return to.gettext(
                "The image engine died each time it loaded the model {model}: use another one.",
                model=values.get("model", MISSING),
            )
        case code if (say := _REASONS.get(code)) is not None:
            return say(to)
        case _:
            return values.get("text") or to.gettext(
                "It ended for a reason that this version of Easel does not know."
            )


def failed(why: str, job: Job, to: Language) -> str:
    """`why`: the reason as a sentence, fit for the message."""
    if job.shown_images:
        return to.gettext("{why} Nothing was charged. The images wait for you in `/history`.", why=why)
    return to.gettext("{why} Nothing was charged.", why=why)


def not_shown_here(job: Job, to: Language) -> str:
    """Of pictures that were shown before, and can't be any more."""
    return to.gettext("No longer shown here: `/show number:{number}`.", number=job.id)


def cancelled(why: str, job: Job, to: Language) -> str:
    if not job.charged:
        return why
    return to.gettext(
        "{why} It cost {price} for the part already done.", why=why, price=credit(job.charged, to)
    )


def sent_to_its_person(why: str, to: Language) -> str:
    """Above images in a direct message."""
    return to.gettext("{why} So here it is.", why=why)


went_to_its_person = fixed("I may not post images here any more: they went to a direct message.")

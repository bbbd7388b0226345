"""What people read of the bot's facts, in English."""

from __future__ import annotations

from bot.core.asking.refused import Refused
from bot.core.held_up import HeldUp
from bot.core.news import News
from bot.job import Reason
from bot.texts import for_operator, reasons, refusals, why_waiting
from bot.texts.language import ENGLISH


def refusal(refused: object) -> str:
    """Of what has to be a refusal."""
    assert isinstance(refused, Refused), refused
    told = refusals.refusal(refused, ENGLISH)
    assert told, refused
    return told


def hint(by: HeldUp | None, *, is_own: bool = True) -> str:
    """Of what has to be held up."""
    assert by is not None
    return why_waiting.held_up(by, ENGLISH, is_own=is_own)


def why(reason: Reason) -> str:
    return reasons.why(reason, ENGLISH)


def news(told: News) -> str:
    return for_operator.news(told, ENGLISH)

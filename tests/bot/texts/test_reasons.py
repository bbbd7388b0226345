"""Why a job ended, as its person reads it: a sentence for every code, and none that is lost."""

from __future__ import annotations

import re

import pytest

from bot.job import Reason, ReasonCode
from tests.kit.said import why

VALUES = {
    ReasonCode.TOLD: {"text": "The engine says {why}."},
    ReasonCode.CANCELLED: {"by": "<@{1}>"},
    ReasonCode.SET_ASIDE: {"model": "a{b}c"},
}


@pytest.mark.parametrize("code", ReasonCode)
def test_every_code_has_a_sentence(code: ReasonCode) -> None:
    """It is one sentence that holds the values as they are, braces included."""
    values = VALUES.get(code, {})
    sentence = why(Reason.of(code, **values))
    assert re.fullmatch(r"[A-Z].+\.", sentence)
    assert all(value in sentence for value in values.values())


def test_no_two_codes_say_the_same() -> None:
    """A code that said what another says would be one too many."""
    assert len({why(Reason.of(code)) for code in ReasonCode}) == len(ReasonCode)


def test_an_old_sentence_is_told_as_it_was() -> None:
    """What was stored as a sentence is that sentence."""
    assert why(Reason.told("The channel is gone.")) == "The channel is gone."


@pytest.mark.parametrize("values", [{}, {"more": "x"}])
@pytest.mark.parametrize("code", [*ReasonCode, "dreamt"])
def test_what_another_version_wrote_is_still_a_sentence(code: str, values: dict[str, str]) -> None:
    """An unknown code, values that are missing or unknown: no error, and something to read."""
    assert why(Reason(code=code, values=values))


def test_an_unknown_code_with_a_text_is_told_as_that() -> None:
    """A later version may have left its own sentence."""
    assert why(Reason(code="dreamt", values={"text": "It was a dream."})) == "It was a dream."

"""What is wrong with a request, in the contract's sentences: they stand there, and are looked up here. Pure."""

from __future__ import annotations

from bot.texts.amounts import listed
from bot.texts.language import Language, noted, noted_in
from engine.contract import InvalidRequest, Listed

NOUN = "noun"
NOUNS = (
    noted_in("noun", "prompt"),
    noted_in("noun", "negative prompt"),
    noted_in("noun", "image"),
    noted_in("noun", "mask"),
    noted_in("noun", "strength"),
    noted_in("noun", "width"),
    noted_in("noun", "height"),
    noted_in("noun", "nothing"),
)
"""What its sentences are about, as their values."""


_MISREAD = (
    noted("its prompt would be read as one with the tag of a LoRA"),
    noted("its negative prompt would be read as one with a tag"),
)


def misread(how: str, to: Language) -> str:
    """The end of a sentence."""
    assert how in _MISREAD
    return to.gettext(how)


def invalid(error: InvalidRequest, to: Language) -> str:
    """An engine's own words, which have no values, stay as they are."""
    if not error.values:
        return to.translated(error.text) or error.text
    return to.gettext(error.text, **{name: _told(value, to) for name, value in error.values.items()})


def _told(value: object, to: Language) -> object:
    match value:
        case Listed():
            return listed(value, to)
        case str() if value in NOUNS:
            return to.translated(value, NOUN) or value
        case _:
            return value

"""What people type to search by, as a query of SQLite's full-text search. Pure; knows no table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

WORDS_MAX = 16
"""More are left out: each has to be looked up."""
PREFIX_MIN = 3
"""Letters of which a beginning has to consist: fewer begin too many words."""
_TYPED = re.compile(r'"([^"]*)"?|([^\s"]+)')
_PLAIN = re.compile(r"[0-9A-Za-z]+")
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»″＂", '"'))
"""As phones and languages have them."""


def parts_of(typed: str) -> list[tuple[str, bool]]:
    """(words that stand side by side, whether they were in quotes), what nobody can search by left out.

    Whatever means something to the search itself, such as AND, NEAR, brackets or a minus, is a word like any other here.
    """
    found = [(match[1], True) if match[1] is not None else (match[2], False) for match in _typed(typed)]
    clean = ((_clean(text), is_quoted) for text, is_quoted in found)
    return [(text, is_quoted) for text, is_quoted in clean if text][:WORDS_MAX]


def _typed(typed: str) -> list[re.Match[str]]:
    return list(_TYPED.finditer(typed.translate(_QUOTES)))


def _clean(text: str) -> str:
    """On one line and without what no text holds; empty where there is neither letter nor digit, which is no word to the index."""
    shown = "".join(char if unicodedata.category(char) not in ("Cc", "Cs") else " " for char in text)
    return " ".join(shown.split()) if any(map(_is_of_a_word, text)) else ""


def _is_of_a_word(char: str) -> bool:
    """As `unicode61` has it."""
    kind = unicodedata.category(char)
    return kind[0] in "LN" or kind == "Co"


def beginnings_of(parts: Sequence[tuple[str, bool]]) -> list[str]:
    """What of these may go on after its last letter."""
    return [
        text for text, is_quoted in parts if not is_quoted and len(text.rsplit(maxsplit=1)[-1]) >= PREFIX_MIN
    ]


def as_indexed(text: str) -> str | None:
    """One plain word as the index has it; None for anything else, which only the index itself can tell."""
    return text.lower() if _PLAIN.fullmatch(text) else None


def match_of(parts: Sequence[tuple[str, bool]], begun: Mapping[str, Sequence[str] | None]) -> str:
    """The query for all of these; `begun`: those that may go on, with the words that they begin, None: whichever these are."""
    return " AND ".join(
        _beginning(text, begun[text]) if text in begun and not is_quoted else f'"{text}"'
        for text, is_quoted in parts
    )


def _beginning(text: str, words: Sequence[str] | None) -> str:
    """By itself the index gathers all rows of these words first; it looks for named ones as it goes, and stops when it has enough."""
    if words is None:
        return f'"{text}"*'
    either = " OR ".join(f'"{word}"' for word in words or (text,))
    return f"({either})"

"""What people type to search by, as a query of SQLite's full-text search. Pure; knows no table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

WORDS_MAX = 16
"""More are left out: each has to be looked up."""
PREFIX_MIN = 3
"""Letters of which a beginning has to consist: fewer begin too many words."""
_TYPED = re.compile(r'"([^"]*)"?|([^\s"]+)')
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


def match_of(parts: Sequence[tuple[str, bool]], *, beginnings: bool) -> str:
    """The query for all of these; with `beginnings` what was not in quotes may go on after its last letter."""
    return " AND ".join(_phrase(text, beginnings and not is_quoted) for text, is_quoted in parts)


def _phrase(text: str, is_beginning: bool) -> str:
    return f'"{text}"*' if is_beginning and len(text.rsplit(maxsplit=1)[-1]) >= PREFIX_MIN else f'"{text}"'

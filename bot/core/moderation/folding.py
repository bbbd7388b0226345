"""Texts as they are read and not as they are written: capitals, marks, look-alikes and hidden characters folded. Pure.

After Unicode's own rules: compatibility forms (NFKC) and case folding (UAX 15, UAX 44), marks left out, characters that look
like a letter or digit of ASCII taken for it (UTS 39's confusables, by the package confusable-homoglyphs).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

_SIGNS = str.maketrans(
    {
        "0": "o",
        "1": "i",
        "l": "i",
        "|": "i",
        "!": "i",
        "3": "e",
        "4": "a",
        "@": "a",
        "5": "s",
        "$": "s",
        "7": "t",
    }
)
"""What people write for letters; l is folded with i, as 1 and | stand for both."""
_WORD = re.compile(r"[\w@$|!]+")
_LETTERS = re.compile(r"[^\W\d_]")
_SPELLED = 3
"""Letters that stand alone, at least so many in a row, are read as a word: “f o x”."""


@cache
def load_look_alikes() -> dict[int, str]:
    """Characters beyond ASCII, in lower case, that look like a letter or a digit of it; the first time takes 50 ms."""
    text = files("confusable_homoglyphs").joinpath("confusables.json").read_text("utf-8")
    table: dict[str, list[dict[str, Any]]] = json.loads(text)
    found: dict[int, str] = {}
    for char, alike in table.items():
        plain = [
            each["c"] for each in alike if len(each["c"]) == 1 and each["c"].isascii() and each["c"].isalnum()
        ]
        if len(char) == 1 and not char.isascii() and plain:
            found[ord(char)] = plain[0].lower()
    return found


def folded(text: str) -> str:
    """As it is read: what nobody sees is left out, and what looks like a plain letter is one."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if plain.isascii():
        return plain
    bare = unicodedata.normalize("NFD", plain)
    seen = "".join(char for char in bare if unicodedata.category(char) not in {"Mn", "Cf"})
    return unicodedata.normalize("NFC", seen).translate(load_look_alikes())


def disguised(word: str) -> str:
    """With signs and digits taken for the letters that they stand for: equal for “k1ll” and “kill”."""
    return word.translate(_SIGNS)


def words_of(text: str) -> Iterator[tuple[str, ...]]:
    """The words of a folded text, in order, each in all ways in which it may be read: as it is, and undisguised where it
    holds more than letters. Letters that stand alone in a row are one word, too."""
    alone: list[str] = []
    for found in _WORD.findall(text):
        word = found.strip("_")
        if len(word) == 1:
            alone.append(word)
            continue
        yield from _spelled(alone)
        alone = []
        if word:
            yield _readings(word)
    yield from _spelled(alone)


def joined_in(text: str) -> Iterator[tuple[str, ...]]:
    """What is one word but for the signs within it, as in “f.ox”, read in all ways."""
    for chunk in text.split():
        pieces = _WORD.findall(chunk)
        if len(pieces) > 1:
            yield _readings("".join(pieces))


def _spelled(letters: list[str]) -> Iterator[tuple[str, ...]]:
    if len(letters) >= _SPELLED:
        yield _readings("".join(letters))
    else:
        yield from ((letter,) for letter in letters)


def _readings(word: str) -> tuple[str, ...]:
    if word.isalpha():
        return (word,)
    bare = word.replace("_", "")
    forms = dict.fromkeys((word.strip("@$|!"), bare.strip("@$|!")))
    if _LETTERS.search(word):
        forms |= dict.fromkeys((disguised(bare), disguised(bare.rstrip("!|"))))
    return tuple(form for form in forms if form)

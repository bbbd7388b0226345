"""A server's list of forbidden words: what an entry means, and which one a text meets. Pure.

An entry is a word, several words in a row, or a word with `*` at its ends for whatever may follow or go before. Words are met
as wholes: “ass” is not in “grass”. Languages that write without spaces have no such wholes: an entry in their characters is met
wherever it stands. What the list of allowed entries covers is never met.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from bot.core.moderation.folding import disguised, folded, joined_in, words_of

ENTRIES_MAX = 5000
ENTRY_CHARS_MAX = 60
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")
"""By what their characters' names begin with: scripts in which words are not, or not always, parted."""
_INSIDE_MIN = 3
"""Letters of an entry that is met within words: fewer would be everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """Lines of a file or a form: those that can be entries, and those that can't."""

    entries: tuple[str, ...]
    wrong: tuple[str, ...]


def parse(text: str) -> Parsed:
    """One entry a line, or between commas; empty lines and those behind # say nothing."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    found = (" ".join(part.split()) for line in lines for part in line.split(","))
    entries, wrong = dict[str, None](), list[str]()
    for entry in filter(None, found):
        if is_entry(entry):
            entries[entry.casefold()] = None
        else:
            wrong.append(entry)
    return Parsed(entries=tuple(entries), wrong=tuple(wrong))


def is_entry(text: str) -> bool:
    """Whether something could ever be met by it that is no accident."""
    core = text.strip("*")
    if not core.strip() or len(text) > ENTRY_CHARS_MAX or "*" in core or not text.isprintable():
        return False
    plain = folded(core)
    words = [*words_of(plain)]
    if not words or not all(words) or not any(map(str.isalnum, plain)):
        return False
    is_inside = core != text
    return not is_inside or (plain in words[0] and len(words) == 1 and len(plain) >= _INSIDE_MIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordList:
    """Entries made ready; looking a text up takes time by its length, and not by theirs."""

    whole: Mapping[tuple[str, ...], str]
    """The words of an entry -> the entry."""
    longest: int
    """Words of the longest one."""
    firsts: frozenset[str]
    """The first words of them."""
    begins: Mapping[str, str]
    ends: Mapping[str, str]
    inside: Mapping[str, str]
    """Parts of words -> the entry: those that words begin with, end with, and have in them anywhere."""
    unspaced: Mapping[str, str]
    """What is met anywhere in a text."""
    lengths: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Of the parts of each kind, so that no other ones are looked up."""

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        whole: dict[tuple[str, ...], str] = {}
        parts: dict[str, dict[str, str]] = {"begins": {}, "ends": {}, "inside": {}, "unspaced": {}}
        for entry in entries:
            core = folded(entry.strip("*"))
            kind = {(True, True): "inside", (True, False): "ends", (False, True): "begins"}.get(
                (entry.startswith("*"), entry.endswith("*"))
            )
            if any(map(_is_unspaced, core)):
                parts["unspaced"][_run(core)] = entry
            elif kind is None:
                for words in _combinations([*words_of(core)]):
                    whole |= dict.fromkeys((words, tuple(map(disguised, words))), entry)
            else:
                parts[kind] |= dict.fromkeys((core, disguised(core)), entry)
        lengths = {kind: tuple(sorted({len(part) for part in found})) for kind, found in parts.items()}
        return cls(
            whole=whole, longest=max(map(len, whole), default=0), firsts=frozenset(words[0] for words in whole),
            lengths=lengths, **parts,
        )  # fmt: skip

    def met_in(self, text: str, allowed: WordList | None = None) -> str | None:
        """The entry that forbids this text, None where none does; what is `allowed` is as if it did not stand there."""
        plain = folded(text)
        words = [*words_of(plain)]
        free = allowed.covered(words) if allowed is not None else set[int]()
        for at, readings in enumerate(words):
            if at not in free and (entry := self._met_at(words, at, free) or self._part_in(readings)):
                return entry
        for readings in joined_in(plain):
            if allowed is None or not any((reading,) in allowed.whole for reading in readings):
                found = next((self.whole[reading,] for reading in readings if (reading,) in self.whole), None)
                if entry := found or self._part_in(readings):
                    return entry
        return self._unspaced_in(plain, allowed)

    def covered(self, words: Sequence[tuple[str, ...]]) -> set[int]:
        """Places of the words that entries meet."""
        found: set[int] = set()
        for at in range(len(words)):
            for length in range(1, self.longest + 1):
                if self._row(words, at, length) is not None:
                    found |= set(range(at, at + length))
            if self._part_in(words[at]) is not None:
                found.add(at)
        return found

    def _met_at(self, words: Sequence[tuple[str, ...]], at: int, free: set[int]) -> str | None:
        if self.firsts.isdisjoint(words[at]):
            return None
        for length in range(1, self.longest + 1):
            entry = self._row(words, at, length)
            if entry is not None and free.isdisjoint(range(at, at + length)):
                return entry
        return None

    def _row(self, words: Sequence[tuple[str, ...]], at: int, length: int) -> str | None:
        """The entry of so many words that begins there, in one of the ways in which they are read."""
        row = words[at : at + length]
        if len(row) < length:
            return None
        return next((self.whole[each] for each in _combinations(row) if each in self.whole), None)

    def _part_in(self, readings: Sequence[str]) -> str | None:
        for word in readings:
            for length in self.lengths["begins"]:
                if (part := word[:length]) in self.begins:
                    return self.begins[part]
            for length in self.lengths["ends"]:
                if (part := word[-length:]) in self.ends:
                    return self.ends[part]
            for length in self.lengths["inside"]:
                for at in range(len(word) - length + 1):
                    if (part := word[at : at + length]) in self.inside:
                        return self.inside[part]
        return None

    def _unspaced_in(self, plain: str, allowed: WordList | None) -> str | None:
        if not self.unspaced or plain.isascii():
            return None
        run = _run(plain)
        for part in allowed.unspaced if allowed is not None else ():
            run = run.replace(part, " ")
        for length in self.lengths["unspaced"]:
            for at in range(len(run) - length + 1):
                if (entry := self.unspaced.get(run[at : at + length])) is not None:
                    return entry
        return None


def _combinations(row: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    if len(row) == 1:
        yield from ((reading,) for reading in row[0])
        return
    first, last = tuple(each[0] for each in row), tuple(each[-1] for each in row)
    yield first
    if last != first:
        yield last


def _run(text: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[\W_]+", "", text)


def _is_unspaced(char: str) -> bool:
    return not char.isascii() and unicodedata.name(char, "").startswith(_UNSPACED)

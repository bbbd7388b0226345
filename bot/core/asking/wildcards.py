"""Wildcards in a prompt, such as `__animal__`: words from the operator's files, drawn by the seed. Knows a folder, no Discord.

`__animal__` is a line of `animal.txt`, `__nature/tree__` one of `nature/tree.txt`, whatever the capitals; empty lines and
those that begin with `#` don't count. A line may hold wildcards, and alternatives (`{a|b}`), of which it takes one.
`\\__name__` is drawn as it stands. The same seed and files give the same words: each place, from left to right, takes line
⌊random · lines⌋, counted from 0, by Python's `random.Random(seed)`, whose `random()` is the same in every version; where
there is but one line no number is drawn.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from bot.core.asking import permutations
from bot.core.asking.refused import (
    NoSuchWildcard,
    Unmet,
    WildcardInCircle,
    WildcardProblem,
    WildcardsTooLong,
    WildcardTooDeep,
    WildcardUnusable,
)
from bot.core.asking.wish import Wish
from engine.contract import PROMPT_CHARS_MAX

log = structlog.get_logger(__name__)

DEPTH_MAX = 8
"""Files within one another."""
FILES_MAX, BYTES_MAX, LINES_MAX, LINE_CHARS_MAX = 10_000, 4 << 20, 50_000, 1000
"""Of the folder, of a file, of its lines, of one of these; a file beyond that is not used."""
ENDING = ".txt"
_NAME = re.compile(r"[^\W_][\w/*.\-]*?")
_SIGN = re.compile(rf"(?<![\w\\])(?P<escape>\\*)__(?P<name>{_NAME.pattern})__(?!\w)")
DRAWS_MAX = 500
"""Lines that one text takes, those inside of others included."""
_RESOLUTION = 53
"""Bits of a number that `random()` gives."""

Lines = Sequence[str]
Lookup = Callable[[str], Lines]
"""The lines of a wildcard, at least one; raises Unmet."""


# ------------------------------------------------------------------ texts


def names_in(text: str) -> tuple[str, ...]:
    return tuple(found["name"] for found in _SIGN.finditer(text) if not found["escape"])


def literal(text: str) -> str:
    """What is to be written so that no wildcard is found in it, and this text is what comes of it."""
    return _SIGN.sub(lambda found: f"\\{found[0]}", text)


def check(text: str, lines_of: Lookup) -> None:
    """Whether every draw of a text will end, whatever the seed. Raises Unmet."""
    known: set[str] = set()

    def follow(names: Sequence[str], around: tuple[str, ...]) -> None:
        for name in names:
            key = name.casefold()
            if key in around:
                raise Unmet(WildcardInCircle(names=(*around[around.index(key) :], key)))
            if len(around) == DEPTH_MAX:
                raise Unmet(WildcardTooDeep(name=around[0], most=DEPTH_MAX))
            if key not in known:
                inside = {found for line in lines_of(name) for found in names_in(line)}
                follow(sorted(inside), (*around, key))
                known.add(key)

    follow(names_in(text), ())


class Draw:
    """Chance that a seed decides, and that comes to an end."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret: the same seed is to give the same words
        self._left = DRAWS_MAX

    def line(self, lines: Lines) -> str:
        """One of them, and of its own alternatives one as well. Raises Unmet."""
        if self._left == 0:
            raise Unmet(WildcardsTooLong(most=PROMPT_CHARS_MAX))
        self._left -= 1
        template = permutations.read(lines[self._below(len(lines))])
        return template.text(self._below(template.count))

    def _below(self, count: int) -> int:
        """A number from 0 to below `count`, however large that is; where there is no choice, nothing is drawn."""
        if count == 1:
            return 0
        return int(self._random.random() * (1 << _RESOLUTION)) * count >> _RESOLUTION


def filled(text: str, lines_of: Lookup, draw: Draw) -> str:
    """With a line in the place of every wildcard. Raises Unmet."""
    told: list[str] = []
    at = 0
    for found in _SIGN.finditer(text):
        told.append(text[at : found.start()])
        at = found.end()
        if found["escape"]:
            told.append(found[0][1:])
        else:
            told.append(filled(draw.line(lines_of(found["name"])), lines_of, draw))
        if sum(map(len, told)) > PROMPT_CHARS_MAX:
            raise Unmet(WildcardsTooLong(most=PROMPT_CHARS_MAX))
    return "".join([*told, text[at:]])


# ------------------------------------------------------------------ files


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The lines of a file as it was."""

    stamp: tuple[int, int]
    """Time of its last change, in nanoseconds, and bytes."""
    lines: Lines


class Wildcards:
    """The files of one folder; a changed one counts from the next request on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[Path, _Kept] = {}

    async def fill(self, wish: Wish, *, seed: int) -> Wish:
        """The wish with words in the place of wildcards, as its request is to have them. Raises Unmet."""
        texts = (wish.prompt, wish.negative_prompt or "")
        if not any(_SIGN.search(text) for text in texts):
            return wish
        prompt, against = await asyncio.to_thread(self._filled, texts, seed)
        return replace(wish, prompt=prompt, negative_prompt=against or wish.negative_prompt)

    def names(self) -> tuple[str, ...]:
        """What there is, as people write it between the underscores."""
        return tuple(sorted(self._files()))

    def problems(self) -> Iterator[tuple[str, WildcardProblem]]:
        """Names that are refused whatever the seed, and why."""
        files = self._files()
        for name in files:
            try:
                check(f"__{name}__", self._lookup(files))
            except Unmet as unmet:
                if isinstance(unmet.refused, WildcardProblem):
                    yield name, unmet.refused

    def _filled(self, texts: Sequence[str], seed: int) -> list[str]:
        lines_of = self._lookup(self._files())
        for text in texts:
            check(text, lines_of)
        draw = Draw(seed)
        return [filled(text, lines_of, draw) for text in texts]

    def _lookup(self, files: Mapping[str, Path]) -> Lookup:
        def lines_of(name: str) -> Lines:
            if (file := files.get(name.casefold())) is None:
                raise Unmet(NoSuchWildcard(name=name, offered=nearest(name, [*files])))
            if lines := self._lines(file):
                return lines
            raise Unmet(WildcardUnusable(name=name))

        return lines_of

    def _files(self) -> Mapping[str, Path]:
        """By name, without capitals. What people write is compared with these, and never made part of a path."""
        found: dict[str, Path] = {}
        for file in _walk(self._folder):
            name = file.relative_to(self._folder).with_suffix("").as_posix().casefold()
            if _NAME.fullmatch(name):
                found.setdefault(name, file)
            if len(found) == FILES_MAX:
                log.warning("wildcards_left_out", folder=str(self._folder), kept=FILES_MAX)
                break
        return found

    def _lines(self, file: Path) -> Lines:
        """Empty where it can't be used; the log says why."""
        try:
            status = file.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            kept = self._kept.get(file)
            if kept is None or kept.stamp != stamp:
                kept = self._kept[file] = _Kept(stamp=stamp, lines=_read(file))
        except OSError as error:
            log.warning("wildcard_not_read", file=str(file), error=str(error))
            return ()
        return kept.lines


def nearest(name: str, offered: Sequence[str]) -> tuple[str, ...]:
    """All that is offered, what is spelled most like `name` first."""
    near = difflib.get_close_matches(name.casefold(), offered, n=3, cutoff=0.5)
    return (*near, *sorted({*offered} - {*near}))


def _walk(folder: Path) -> Iterator[Path]:
    """Its files, in an order that stays; of what can't be looked into, none."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            file = Path(place, name)
            if file.suffix.casefold() == ENDING and file.is_file():
                yield file


def _read(file: Path) -> Lines:
    """Raises OSError."""
    with file.open("rb") as opened:
        data = opened.read(BYTES_MAX + 1)
    text = data.decode("utf-8-sig", errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    told = tuple(line for line in lines if line and not line.startswith("#"))
    too_long = max(map(len, told), default=0) > LINE_CHARS_MAX
    if len(data) > BYTES_MAX or len(told) > LINES_MAX or too_long:
        log.warning("wildcard_too_large", file=str(file))
        return ()
    return told

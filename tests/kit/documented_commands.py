"""The commands that README and docs tell people to type: found in their fences, and what becomes of each in a test.

python -m tests.kit.documented_commands      how many are run, parsed and marked
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.kit.pages import Fence, fences_of, pages

SHELL = "sh"
MARKED_ONLY = frozenset({"powershell", "bat", "cmd"})
"""Shells of which no command is ever tried here."""
OTHER_NAMES = frozenset({"bash", "console", "shell", "shell-session", "zsh"})
MARK = re.compile(r"<!-- not run: \S.* -->")
HOW_TO_MARK = "or put <!-- not run: WHY --> on the line right before its fence"
PERFORMED: Mapping[str, str] = {
    "docs/develop/verb.md": "tests/docs/test_worked_examples.py::test_a_verb",
    "docs/develop/language.md": "tests/docs/test_worked_examples.py::test_a_language",
    "docs/develop/family.md": "tests/docs/test_worked_examples.py::test_a_model_family",
}
"""A page, all of whose commands that test runs, or one command as it is typed -> the test."""
_RUN = frozenset({"backup", "doctor", "health", "imagine", "info", "models list", "models verify", "restore"})
"""Of `easel …`: those that need nobody to answer, no network and no more than some seconds."""
_ELSEWHERE = frozenset({"--config", "--model", "--online", "--upscaler", "--lora", "--reference", "--device"})
"""Options that name what is not there where the tests run."""
_BETWEEN = frozenset({"&&", "||", ";", "|", "&"})
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=.*")


class Becomes(StrEnum):
    RUN = "run"
    PARSED = "parsed"
    PERFORMED = "run by another test"
    MARKED = "marked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    place: str
    """Page and line of its fence."""
    typed: str
    """The whole line."""
    words: tuple[str, ...]
    """Of this part of it, without what is assigned or redirected."""
    becomes: Becomes

    @property
    def program(self) -> str:
        return Path(self.words[0]).name

    @property
    def module(self) -> str | None:
        """Of `python -m MODULE …`."""
        is_python = re.fullmatch(r"python[\d.]*", self.program)
        return self.words[2] if is_python and self.words[1:2] == ("-m",) and len(self.words) > 2 else None

    @property
    def easel(self) -> tuple[str, ...] | None:
        """What is said to `easel`, however it is called."""
        if self.program == "easel":
            return self.words[1:]
        return self.words[3:] if self.module in {"easel", "bot"} else None

    @property
    def is_understood(self) -> bool:
        """Whether there is something of ours that says if it is right: the command line, the Makefile, a module."""
        package = (self.module or "").partition(".")[0]
        return self.easel is not None or self.program == "make" or package in {"pytest", "tests", "workshop"}


def commands(fence: Fence) -> Iterator[Command]:
    """Raises ValueError with a sentence for a line that can't be read."""
    marked = fence.touches and MARK.fullmatch(fence.above) is not None
    for line in fence.text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            parts = [*_parts(line)]
        except ValueError as error:
            if marked:  # what stands for something else may look like anything
                parts = [line.split()]
            else:
                raise ValueError(f"{fence.place}: {line!r} can't be read ({error})") from None
        for words in parts:
            typed = line.strip()
            command = Command(place=fence.place, typed=typed, words=tuple(words), becomes=Becomes.MARKED)
            if not marked:
                becomes = _becomes(command, fence)
                command = Command(place=fence.place, typed=typed, words=tuple(words), becomes=becomes)
            yield command


def _parts(line: str) -> Iterator[list[str]]:
    """The simple commands of a line."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    words: list[str] = []
    tokens = iter(reader)
    for token in tokens:
        if token in _BETWEEN:
            if words:
                yield words
            words = []
        elif token in {">", ">>", "<"}:
            next(tokens, None)
        elif words or not _ASSIGNED.fullmatch(token):
            words.append(token)
    if words:
        yield words


def _becomes(command: Command, fence: Fence) -> Becomes:
    if fence.language != SHELL:
        return Becomes.UNKNOWN
    if fence.page in PERFORMED or command.typed in PERFORMED:
        return Becomes.PERFORMED
    if (said := command.easel) is not None:
        return Becomes.RUN if _can_run(said) else Becomes.PARSED
    return Becomes.PARSED if command.is_understood else Becomes.UNKNOWN


def _can_run(said: tuple[str, ...]) -> bool:
    named = {word.partition("=")[0] for word in said}
    if named & {"--help", "--version"}:
        return True
    verb = " ".join(said[:2]) if said[:1] == ("models",) else said[0] if said else ""
    return verb in _RUN and not named & _ELSEWHERE


def documented(paths: Iterable[Path]) -> Iterator[Command]:
    for path in paths:
        for fence in fences_of(path):
            if fence.language == SHELL or fence.language in MARKED_ONLY:
                yield from commands(fence)


def counted() -> Mapping[Becomes, int]:
    return Counter(command.becomes for command in documented(pages()))


def main() -> None:
    found = counted()
    print(", ".join(f"{becomes}: {found.get(becomes, 0)}" for becomes in Becomes))
    both = sum(each.is_understood for each in documented(pages()) if each.becomes is Becomes.MARKED)
    print(f"of those that are marked, parsed all the same: {both}")


if __name__ == "__main__":
    main()

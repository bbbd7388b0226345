"""What the shell's commands print: never a secret, never a sign that the terminal can't show, never to a closed pipe.

`python -m bot.shell.streams MODULE …` runs another module so, for commands that work in a process of their own.
"""

from __future__ import annotations

import errno
import io
import os
import runpy
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from bot.redaction import REMOVED, cleaned

_PLAIN = str.maketrans(
    {"✔": "+", "✘": "x", "✖": "x", "×": "x", "…": "...", "–": "-", "→": "->", "≤": "<=", "·": "-", "±": "+-"}
    | {"“": '"', "”": '"', "’": "'", "²": "^2"}
)
"""Easel's own signs, for terminals without them; anything else is written as an escape."""
_SECRET_MIN = 8
"""Characters: what is shorter is no secret, and would eat ordinary words."""


class Shown(io.TextIOWrapper):
    """A standard stream whose reader may go and whose encoding may be poor: the command goes on."""

    buffer: Any = None
    """Hidden: what is written to it directly would be shown as it is."""

    def __init__(self, buffer: BinaryIO, encoding: str, *, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(buffer, encoding=encoding, errors="backslashreplace", line_buffering=True)
        self._secrets = secrets
        self._is_poor = "✔".encode(encoding, "ignore") == b""
        self.problem: OSError | None = None
        """Why nothing is written any more."""

    def write(self, text: str, /) -> int:
        shown = cleaned(text)
        for secret in self._secrets:
            shown = shown.replace(secret, REMOVED)
        try:
            super().write(shown.translate(_PLAIN) if self._is_poor else shown)
        except OSError as problem:
            self._let_go(problem)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as problem:
            self._let_go(problem)

    def _let_go(self, problem: OSError) -> None:
        """What is still to come goes nowhere: the last words of a program must not fail either."""
        if self.problem is None:
            self.problem = problem
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


def prepare(environ: Mapping[str, str]) -> None:
    """Puts them in the place of this process's own, once, before anything is printed."""
    _open_missing()
    token = environ.get("DISCORD_TOKEN", "").strip()
    secrets = (token,) if len(token) >= _SECRET_MIN else ()
    sys.stdout = sys.__stdout__ = _instead_of(sys.stdout, secrets)
    sys.stderr = sys.__stderr__ = _instead_of(sys.stderr, secrets)


def _instead_of(stream: Any, secrets: tuple[str, ...]) -> Shown:
    encoding = stream.encoding
    return Shown(stream.detach(), encoding, secrets=secrets)


def _open_missing() -> None:
    """Those that whoever started us has closed: else the next file that is opened would be taken for one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest free number: the one that is missing
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8"))


def finish() -> int | None:
    """Writes what is left; the exit code where it could not be written. A reader who has gone is no failure."""
    sys.stdout.flush()
    problem = sys.stdout.problem if isinstance(sys.stdout, Shown) else None
    if problem is None or problem.errno == errno.EPIPE:
        return None
    print(f"What was to be printed could not be written: {problem.strerror or problem}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    prepare(os.environ)
    del sys.argv[0]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        if (failed := finish()) is not None:
            raise SystemExit(failed)

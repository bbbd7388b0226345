"""Words for people on the bot's side are made in bot/texts alone: no module beneath or above it holds a sentence.

Looked at are the chat, the core, the nouns and the composition root, and of the store whatever is not told to the owner
alone. What `easel …` prints is the shell's own report, and so are the settings' problems (bot/config) and what
`easel health` reads (bot/vitals). What the contract says of a request stands there, with its
values beside it for other languages; what an engine says while it draws stays the engine's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOKED_AT = ("bot/chat", "bot/core", "bot/store", "bot/app.py", "bot/job.py", "bot/limits.py")
OWNERS = {f"bot/store/{name}.py" for name in ("backup", "checks", "database_errors", "db", "schema")}
"""What a database, its copies and its migrations suffer from: read by who runs the bot, in a terminal."""
EXCEPTIONS = {
    # what nobody is shown: bugs and the log
    "the retries end by returning or raising",
    "{} does not fit into {} bytes in any form",
    "the bot ends",
    "the gateway ended {} connections in a row, so the next one waits",
    # an OSError among those of the operating system, which the owner is told as they are
    "less than {} MB are free in {}",
}
_PROSE = re.compile(r"\b[A-Za-z'’]+,? [a-z'’]+,? [a-z'’]+\b")
"""Three words in a row."""
_SENTENCE = re.compile(r"\W*[A-Z].* .*[.?!]\W*", re.DOTALL)
_STATEMENT = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|PRAGMA|WITH|VACUUM|CREATE|ATTACH|BEGIN)\b|.*\b[A-Z]{3,} "
)
"""SQL, or a part of it."""


def words_in(source: str) -> Iterator[str]:
    """Every text outside docstrings that reads like prose; what an f-string fills in is {}."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for string in strings for part in string.values}
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr():
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
                )
            case ast.Constant(value=str(text)) if id(node) not in docstrings | parts:
                pass
            case _:
                continue
        if _PROSE.search(text) or _SENTENCE.fullmatch(text):
            yield text


def looked_at() -> Iterator[Path]:
    for name in LOOKED_AT:
        place = ROOT / name
        yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def test_no_other_module_holds_words_for_people() -> None:
    """Facts below texts, and above it nothing but its sentences: a language is one file."""
    strangers = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in looked_at()
        if str(path.relative_to(ROOT)) not in OWNERS
        for text in words_in(path.read_text("utf-8"))
        if text not in EXCEPTIONS and not ("store" in path.parts and _STATEMENT.match(text))
    ]

    assert strangers == []


def test_every_exception_is_still_needed() -> None:
    """None outlives what it was made for."""
    told = {text for path in looked_at() for text in words_in(path.read_text("utf-8"))}

    assert told >= EXCEPTIONS
    assert all((ROOT / name).exists() for name in OWNERS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise UserError("You may not.")', ["You may not."]),
        ('text = f"{count} steps are too many: take {less}."', ["{} steps are too many: take {}."]),
        ('text = f"{sign} could not be posted"', ["{} could not be posted"]),
        ('text = "Cancelled!"', []),
        ('"""You may not do that."""\nlog.info("job_failed", reason="out of order")', ["out of order"]),
        ('class A:\n    x = 1\n    """What you may not do."""', []),
        ('text = "Is it" f" {done}?"', ["Is it {}?"]),
        ('text = f"{value:>{width}} and {rest}"', []),
    ],
)
def test_words_are_noticed(source: str, found: list[str]) -> None:
    """Sentences and parts of them, in any kind of string; names of events and docstrings are none."""
    assert list(words_in(source)) == found

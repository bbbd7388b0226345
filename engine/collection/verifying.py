"""Reads every weight file of a model wholly and compares it with what is known of it; writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.checkpoints import header
from engine.collection import listing, sums
from engine.collection.listing import Entry
from engine.collection.sums import Read
from engine.errors import BrokenModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found out about one file, or about an entry before any of its files was read."""

    name: str
    is_good: bool
    text: str


def verify(entry: Entry, read: Read) -> Iterator[Verdict]:
    """One verdict for each weight file; `read` is told the bytes as they are read."""
    if entry.path is None or entry.problem:
        yield Verdict(name=entry.name, is_good=entry.path is None, text=entry.problem)
        return
    known = sums.noted(entry.path)
    for file in listing.weights(entry.path):
        name = str(file.relative_to(entry.path)) if entry.path.is_dir() else file.name
        shown = f"{entry.name}/{name}" if entry.path.is_dir() else name
        try:
            header.read_header(file, f"The file “{shown}”")
            found = sums.digest(file, read)
        except BrokenModel as error:
            yield Verdict(name=shown, is_good=False, text=str(error))
        except OSError as error:
            yield Verdict(
                name=shown, is_good=False, text=f"It can't be read ({error.strerror}): look at the disk."
            )
        else:
            yield _judged(shown, found, known.get(name))
    for name in sorted(known):
        if entry.path.is_dir() and not (entry.path / name).exists():
            yield Verdict(name=f"{entry.name}/{name}", is_good=False, text=f"It is gone: {header.AGAIN}.")


def _judged(name: str, found: str, known: str | None) -> Verdict:
    if known is None:
        return Verdict(
            name=name, is_good=True, text=f"read wholly; SHA-256 {found}, and none is known to compare"
        )
    if known != found:
        return Verdict(
            name=name,
            is_good=False,
            text=f"Its SHA-256 is {found}, but should be {known}: {header.AGAIN}.",
        )
    return Verdict(name=name, is_good=True, text="read wholly; its SHA-256 is the known one")

"""What an engine's host tells its link, as plain values; knows neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event, told again until the link says that it has it."""

    number: int
    """Counted from 1."""
    event: bytes
    """As `engine.codec` writes it."""
    files: tuple[tuple[str, bytes], ...] = ()
    """Finished pictures: their names and bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The engine's process is gone, and tells nothing after this."""

    exitcode: int | None

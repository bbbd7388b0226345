"""How long forwards and decodes of one kind take, by those of late; knows no pictures."""

from __future__ import annotations

from dataclasses import dataclass

SHARE = 0.1
"""How much the newest forward counts."""


@dataclass(slots=True)
class Pace:
    """Of one model and one size."""

    forward_s: float = 0.0
    """0 before the first one."""
    rows: float = 1.0
    """That such a forward has."""
    decode_s: float = 0.0
    """Of the last picture."""

    def observe(self, seconds: float, rows: int) -> None:
        """A forward of so many rows took so long."""
        share = SHARE if self.forward_s else 1.0
        self.forward_s += share * (seconds - self.forward_s)
        self.rows += share * (rows - self.rows)

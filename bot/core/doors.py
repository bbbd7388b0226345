"""Whether anything new is taken and begun: written by who closes, read by admission and by the line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Doors:
    is_closing: bool = False
    """The bot is about to end: nothing new is admitted, and nothing that waits is begun."""

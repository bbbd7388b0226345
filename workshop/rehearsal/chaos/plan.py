"""What a storm is to be like; loads nothing, so that a wrong word on the command line is told at once."""

from __future__ import annotations

from dataclasses import dataclass

VICTIMS = ("bot", "engine", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    jobs: int
    kills: int
    seed: int
    victims: tuple[str, ...] = VICTIMS
    lost_replies: float = 0.1
    """Share of Discord's replies that are lost."""
    calm_s: float = 180.0
    """How long everything may take once the weather is good and nobody is killed any more."""


def victims_in(text: str) -> tuple[str, ...]:
    """The victims that are named with commas between them. Raises ValueError, a sentence, for any other word."""
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in VICTIMS]:
        raise ValueError(
            f"Nothing is called “{unknown[0]}” here: name some of {', '.join(VICTIMS)}, with commas between them."
        )
    return names

"""What a storm is to be like; loads nothing, so that a wrong word on the command line is told at once."""

from __future__ import annotations

from dataclasses import dataclass

VICTIMS = ("bot", "engine", "both")
OF_A_FLEET = ("bot", "engine", "engines", "both")
"""One engine, several at once, or all of them with the bot."""

OF_A_CLUSTER = (*OF_A_FLEET, "actor", "worker", "host")
"""There an engine is what links the bot to it, which may be lost alone; so may what runs on its host, or the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    jobs: int
    kills: int
    seed: int
    victims: tuple[str, ...] = VICTIMS
    fleet: str = "local"
    engines: int = 1
    lost_replies: float = 0.1
    """Share of Discord's replies that are lost."""
    calm_s: float = 180.0
    """How long everything may take once the weather is good and nobody is killed any more."""


def victims_in(text: str | None, engines: int = 1, fleet: str = "local") -> tuple[str, ...]:
    """The victims that are named with commas between them, where there are so many engines; all of them for None.

    Raises ValueError, a sentence, for any other word.
    """
    known = OF_A_CLUSTER if fleet == "ray" else VICTIMS if engines == 1 else OF_A_FLEET
    if text is None:
        return known
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"Nothing is called “{unknown[0]}” here: name some of {', '.join(known)}, with commas between them."
        )
    return names

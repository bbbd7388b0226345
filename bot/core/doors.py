"""Whether anything new is taken and begun: written by who closes or halts, read by admission and by the line."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.store.halts import EVERYWHERE, Halt


@dataclass(slots=True)
class Doors:
    is_closing: bool = False
    """The bot is about to end: nothing new is admitted, and nothing that waits is begun."""
    halts: dict[int, Halt] = field(default_factory=dict[int, Halt])
    """By the server in which they hold, as the rows have them."""

    def halted(self, guild_id: int) -> Halt | None:
        """Why nothing new is taken from there."""
        return self.halts.get(EVERYWHERE) or self.halts.get(guild_id)

    def held(self, guild_id: int) -> Halt | None:
        """Why what waits there isn't begun."""
        found = (self.halts.get(place) for place in (EVERYWHERE, guild_id))
        return next((halt for halt in found if halt is not None and not halt.is_draining), None)

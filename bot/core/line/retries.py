"""Writes that must not be given up, and how patiently they are tried again. Knows of the store its errors alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import stamina

from bot.store.database_errors import DatabaseError, Unusable


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    pause_s: float = 1.0
    """Between two tries, at the most: a store that is busy is free again within moments."""
    refusals_max: int = 60
    """So often in a row may the store refuse one event; then the operator hears of it, and it is tried on."""

    def persistent(self) -> AsyncIterator[stamina.Attempt]:
        """Attempts at a write that must not be given up: a stranger's lock passes, damage does not."""
        return stamina.retry_context(on=_passes, attempts=None, timeout=None, wait_max=self.pause_s)


def _passes(error: Exception) -> bool:
    return isinstance(error, DatabaseError) and not isinstance(error, Unusable)

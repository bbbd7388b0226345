"""A job in an engine's hands: how far it is, and what is left of it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bot.job import Job
from engine.contract import Stepped

OVERTAKEN_S = 1.5
"""Two steps of one picture may have others' between them; after so long it is a turn of theirs."""


@dataclass(slots=True, kw_only=True)
class Aboard:
    """A job in an engine's hands."""

    job: Job
    engine: int = 0
    """The number of that engine."""
    since: float | None = None
    """When the engine told that it had begun."""
    step: Stepped | None = None
    told_at: float | None = None
    """When the engine last told of it."""
    preview: bytes | None = None
    """The newest one: most steps bring none."""
    engine_s: float = 0.0
    """Engine time spent on this job alone."""

    def elapsed_s(self, now: float) -> float:
        return 0.0 if self.since is None else max(0.0, now - self.since)

    def is_overtaken(self, others: Collection[Aboard], now: float) -> bool:
        """Whether it stands still while the engine draws others that came later and will be done sooner."""
        if self.step is None or self.told_at is None or now - self.told_at < OVERTAKEN_S:
            return False
        return any(other.told_at is not None and other.told_at > self.told_at for other in others)

    @property
    def work_left(self) -> float:
        done = self.step.fraction if self.step else 0.0
        return self.job.request.work * (1 - done)

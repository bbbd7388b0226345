"""Waiting times, learned from this machine's own history. Pure arithmetic; knows no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from bot.job import Job

JOBS_REMEMBERED = 50


class Pace:
    """Seconds per unit of work (pixels × UNet rows), averaged over the last jobs."""

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        """Learns from finished jobs, oldest first."""
        self._seen: deque[tuple[float, float]] = deque(maxlen=JOBS_REMEMBERED)
        for job in jobs:
            self.observe(job.request.work, job.engine_seconds or 0.0)

    def observe(self, work: float, seconds: float) -> None:
        """`work` took the engine `seconds` of its time."""
        if work > 0 and seconds > 0:
            self._seen.append((work, seconds))

    def seconds_for(self, work: float) -> float | None:
        """None until something was observed."""
        if not self._seen:
            return None
        return work * sum(seconds for _, seconds in self._seen) / sum(done for done, _ in self._seen)

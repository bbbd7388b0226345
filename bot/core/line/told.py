"""What those who wait were told last, and whether it is worth saying anew. Pure; knows no clock and no message."""

from __future__ import annotations

from collections.abc import Collection

from bot.core.ports import Progress

NOTICED_SHARE, NOTICED_S = 0.25, 3.0
"""A time left is told anew when it has become another by this share of what was told, and by so many seconds."""


class LineTold:
    def __init__(self) -> None:
        self._last: dict[int, Progress] = {}

    def tells(self, job_id: int, progress: Progress) -> None:
        """It is about to be shown."""
        self._last[job_id] = progress

    def is_news(self, job_id: int, progress: Progress) -> bool:
        """Whether somebody who reads what was told last is misled by now."""
        last = self._last.get(job_id)
        if last is None or last.place != progress.place or last.held_up != progress.held_up:
            return True
        if last.eta_s is None or progress.eta_s is None:
            return last.eta_s != progress.eta_s
        return abs(progress.eta_s - last.eta_s) >= max(NOTICED_S, NOTICED_SHARE * last.eta_s)

    def keep(self, job_ids: Collection[int]) -> None:
        """All others wait no more."""
        self._last = {job_id: told for job_id, told in self._last.items() if job_id in job_ids}

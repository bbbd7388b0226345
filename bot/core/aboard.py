"""A job in the engine's hands, and who of several is to blame when the engine dies. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bot.jobs import Job, work_of
from engine.contract import Stepped


@dataclass(slots=True, kw_only=True)
class Aboard:
    """A job in the engine's hands."""

    job: Job
    generation: int
    """Of the engine that it was sent to."""
    since: float | None = None
    """When the engine told that it had begun."""
    step: Stepped | None = None
    preview: bytes | None = None
    """The newest one: most steps bring none."""
    engine_s: float = 0.0
    """Engine time spent on this job alone."""
    was_alone: bool | None = None
    """Whether the engine worked on nothing else when it died; None while the engine lives."""

    @property
    def is_begun(self) -> bool:
        return self.since is not None

    def elapsed_s(self, now: float) -> float:
        return 0.0 if self.since is None else max(0.0, now - self.since)

    @property
    def work_left(self) -> float:
        done = self.step.fraction if self.step else 0.0
        return work_of(self.job.request) * (1 - done)


def judge(guests: Collection[Aboard]) -> None:
    """Their engine has just died: notes who was alone. Only the first judgement counts, should a busy store ask twice.

    A job that the engine never told of beginning can't have been the cause, and was no company either.
    """
    begun = [guest for guest in guests if guest.is_begun]
    for guest in begun:
        if guest.was_alone is None:
            guest.was_alone = len(begun) == 1

"""A job in the engine's hands, and who of several is to blame when the engine dies. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bot.job import Job, work_of
from engine.contract import Stepped

DEATHS_MAX = 2
"""So many engines may die of loading one model before it is set aside."""
OVERTAKEN_S = 1.5
"""Two steps of one picture may have others' between them; after so long it is a turn of theirs."""


@dataclass(slots=True, kw_only=True)
class Aboard:
    """A job in the engine's hands."""

    job: Job
    generation: int
    """Of the engine that it was sent to."""
    since: float | None = None
    """When the engine told that it had begun."""
    step: Stepped | None = None
    told_at: float | None = None
    """When the engine last told of it."""
    preview: bytes | None = None
    """The newest one: most steps bring none."""
    engine_s: float = 0.0
    """Engine time spent on this job alone."""
    was_alone: bool | None = None
    """Whether the engine worked on nothing else when it died; None while the engine lives."""

    @property
    def is_loading(self) -> bool:
        """Whether its model was being loaded when it was last heard of."""
        return self.step is not None and self.step.stage == "loading"

    @property
    def is_begun(self) -> bool:
        """Whether the engine works on it, were it only by loading its model."""
        return self.since is not None or self.is_loading

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
        return work_of(self.job.request) * (1 - done)


class Deadly:
    """Which models engines died of while they loaded them."""

    def __init__(self) -> None:
        self._deaths: dict[str, set[int]] = {}
        """Of each model, the generations of the engines; asked again about one, should a store be busy, it counts once."""

    def is_culprit(self, model: str, generation: int) -> bool:
        """An engine has just died of that model: whether it was not the first."""
        deaths = self._deaths.setdefault(model, set())
        deaths.add(generation)
        return len(deaths) >= DEATHS_MAX

    def acquit(self, model: str) -> None:
        """It was loaded."""
        self._deaths.pop(model, None)


def loaded_alone(guests: Collection[Aboard]) -> str | None:
    """The model that the engine was loading when it died with nothing else to do, by these guests, who were judged."""
    return next((guest.job.request.model for guest in guests if guest.was_alone and guest.is_loading), None)


def judge(guests: Collection[Aboard]) -> None:
    """Their engine has just died: notes who was alone. Only the first judgement counts, should a busy store ask twice.

    A job that the engine never told of, or only to say that it waits, can't have been the cause, and was no company either.
    """
    begun = [guest for guest in guests if guest.is_begun]
    for guest in begun:
        if guest.was_alone is None:
            guest.was_alone = len(begun) == 1

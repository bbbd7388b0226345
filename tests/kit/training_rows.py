"""The rows of trainings without a database: what the store promises of them, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from bot.job import Reason
from bot.training import UNDER_WAY, Training, TrainingPicture, TrainingState

COST = 100


class TrainingRows:
    def __init__(self) -> None:
        self.all: dict[int, Training] = {}
        self.sets: dict[int, list[TrainingPicture]] = {}
        self.told: set[int] = set()

    def paid(self, name: str, *, user_id: int = 1, guild_id: int = 5, steps: int = 20) -> Training:
        """One that waits, with two pictures."""
        training = Training(
            id=len(self.all) + 1, guild_id=guild_id, user_id=user_id, name=name, trigger=f"{name} toy", model="starter",
            steps=steps, state=TrainingState.WAITING, cost=COST, charged=COST, created_at=0.0,
        )  # fmt: skip
        self.all[training.id] = training
        self.sets[training.id] = [
            TrainingPicture(
                training_id=training.id, number=number, digest=f"{number}" * 64, caption="", size_bytes=9, width=64, height=64
            )
            for number in (1, 2)
        ]  # fmt: skip
        return training

    def _move(
        self, training_id: int, fresh: TrainingState, *before: TrainingState, **more: object
    ) -> Training | None:
        training = self.all[training_id]
        if training.state not in before:
            return None
        self.all[training_id] = replace(training, state=fresh, **more)  # type: ignore[arg-type]
        return self.all[training_id]

    def _owed(self, training_id: int) -> int:
        training = self.all[training_id]
        return training.cost * training.done // training.steps

    async def listed(self, guild_id: int, user_id: int | None) -> list[Training]:
        return [
            each
            for each in self.all.values()
            if each.guild_id == guild_id and user_id in (None, each.user_id)
        ]

    async def pictures(self, training_id: int) -> list[TrainingPicture]:
        return self.sets[training_id]

    async def waiting(self) -> list[Training]:
        return [each for each in self.all.values() if each.state is TrainingState.WAITING]

    async def next_waiting(self) -> Training | None:
        return next(iter(await self.waiting()), None)

    async def run(self, training_id: int, *, now: float) -> Training | None:
        return self._move(training_id, TrainingState.RUNNING, TrainingState.WAITING, started_at=now)

    async def progress(self, training_id: int, done: int) -> None:
        self._move(training_id, TrainingState.RUNNING, TrainingState.RUNNING, done=done)

    async def finish(self, training_id: int, *, now: float) -> Training | None:
        return self._move(training_id, TrainingState.DONE, TrainingState.RUNNING, finished_at=now)

    async def fail(self, training_id: int, *, reason: Reason, now: float) -> Training | None:
        more = {"charged": 0, "reason": reason, "finished_at": now}
        return self._move(training_id, TrainingState.FAILED, *UNDER_WAY, **more)

    async def cancel(self, training_id: int, *, reason: Reason, now: float) -> Training | None:
        more = {"charged": self._owed(training_id), "reason": reason, "finished_at": now}
        return self._move(training_id, TrainingState.CANCELLED, *UNDER_WAY, **more)

    async def shown(self, training_id: int, *, now: float) -> None:
        assert now >= 0
        self.told.add(training_id)

    async def unshown(self) -> list[Training]:
        return [
            each for each in self.all.values() if each.finished_at is not None and each.id not in self.told
        ]

    async def close(self, training_id: int, *, now: float) -> Training | None:
        assert now >= 0
        training = self.all[training_id]
        return None if training.state in UNDER_WAY else training

    async def delete(self, training_id: int, *, now: float, entry: object) -> bool:
        assert now >= 0
        del self.all[training_id]
        return True

    async def recover(self) -> None:
        for training_id in self.all:
            self._move(training_id, TrainingState.WAITING, TrainingState.RUNNING)

"""What a training under way costs those who want pictures: `python -m workshop.teaching.beside`.

A real engine with the starter draws one picture after the other, with pauses in between as people make them. In rounds by turns
there is no training, and a real one by the bot's own guest, which learns in every pause. Prints the percentiles of both, and their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

from bot.core.training.child import Lesson, beginning
from bot.core.training.guest import Guest, Left, Turn
from engine.checkpoints.source import Source
from engine.contract import STARTER, EngineSettings
from engine.contract.training import Event, Stepped
from workshop.bench.figures import percentile
from workshop.starter.evaluate import Examiner, Question, held_out_scenes, questions
from workshop.teaching import snail

GOAL = 1.1


class Sitting:
    """Somebody who asks for pictures, and a guest that may be there."""

    def __init__(self, folder: Path) -> None:
        self.engine = EngineSettings(
            model=STARTER, spool=str(folder / "spool"), device="cpu", models=str(folder / "models")
        )
        self.examiner = Examiner(STARTER, "cpu", self.engine.spool)
        self.guest = Guest(beginning(self.engine), turn=lambda: self._turn)
        self.steps = 0
        self._turn = Turn.GO
        self._learned = asyncio.Event()
        told = {
            "name": snail.NAME, "trigger": snail.NAME, "folder": str(folder / "pictures"), "steps": 100_000,
            "sample_every": 0,
        }  # fmt: skip
        self.lesson = Lesson(model=Source.of(STARTER).id, told=told, folder="beside")

    async def draw(self, asked: list[Question], pause_s: float) -> list[float]:
        """Seconds of each, from the wish to the picture."""
        random, found = Random(len(asked)), list[float]()
        for question in asked:
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))
            began = time.monotonic()
            self._turn = Turn.YIELD
            self.guest.give_way()
            await asyncio.to_thread(self.examiner.draw, [question])
            found.append(time.monotonic() - began)
            self._turn = Turn.GO
        return found

    @contextlib.asynccontextmanager
    async def taught(self) -> AsyncGenerator[None]:
        """Once it learns, until it has left."""
        self._learned.clear()
        lesson = asyncio.create_task(self.guest.teach(self.lesson, self._hear))
        await self._learned.wait()
        yield
        self.guest.leave()
        end = await lesson
        assert end == Left(), end

    def _hear(self, event: Event | Turn) -> None:
        if isinstance(event, Stepped):
            self.steps += 1
            self._learned.set()


async def measure(folder: Path, *, rounds: int, pictures: int, pause_s: float) -> None:
    snail.learn_to_see()
    snail.write(folder / "pictures")
    sitting = Sitting(folder)
    alone, beside = list[float](), list[float]()
    try:
        await sitting.draw(questions(held_out_scenes(3, pairs=False)), 0.0)
        asked = questions(held_out_scenes(pictures, pairs=False))
        for number in range(rounds):
            alone += await sitting.draw(asked, pause_s)
            async with sitting.taught():
                before = sitting.steps
                beside += await sitting.draw(asked, pause_s)
                steps = sitting.steps - before
            print(f"round {number + 1} of {rounds}: {steps} steps were learned in the pauses", flush=True)
            show(alone, beside)
    finally:
        sitting.examiner.close()


def show(alone: list[float], beside: list[float]) -> None:
    """All that was measured so far."""
    print(f"| {len(alone)} pictures each | p50 | p95 |\n|---|---|---|")
    for name, found in (("no training", alone), ("beside a training", beside)):
        print(f"| {name} | {percentile(found, 0.5):.3f} s | {percentile(found, 0.95):.3f} s |")
    ratios = [percentile(beside, share) / percentile(alone, share) for share in (0.5, 0.95)]
    print(f"| ratio (goal: p95 at most {GOAL}) | {ratios[0]:.3f} | {ratios[1]:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workshop.teaching.beside", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=20, help="of each half of a round")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two, on average")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="easel-") as folder:
        asyncio.run(
            measure(Path(folder), rounds=options.rounds, pictures=options.pictures, pause_s=options.pause)
        )


if __name__ == "__main__":
    main()

"""Teaches the starter model a snail, and examines it: `python -m workshop.teaching WORK`.

Ten drawings are taught by `easel train`'s own course. Then forty prompts with other colours are drawn by a real engine with the
LoRA, and read by the starter's checker; and so are held-out prompts of what the model knew before, without it and with it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from engine import process
from engine.contract import STARTER, EngineSettings, Lora
from engine.contract.training import Noted, Sampled, Stepped
from engine.device import fingerprint
from engine.training.course import Course
from engine.training.settings import TrainingSettings
from workshop.starter import captions
from workshop.starter.evaluate import Examiner, held_out_scenes, questions, share
from workshop.starter.scenes import Scene, sample
from workshop.teaching import snail

KEPT, SINGLES, PAIRS = 24, 60, 40
WITHIN = 0.8
"""Weight of the LoRA while it is asked what the model knew before."""


class Pupil(Examiner):
    """The starter in an engine of its own, with a folder of LoRAs."""

    def __init__(self, models: Path, spool: str) -> None:
        settings = EngineSettings(model=STARTER, spool=spool, device="cpu", models=str(models))
        self._engine = process.start(settings)
        self.model = self._model()

    def score(self, scenes: Sequence[Scene], weight: float | None = None) -> float:
        """Percent of these that are drawn as their prompts say. `weight`: of the LoRA, None for none."""
        options = {} if weight is None else {"loras": (Lora(name=snail.NAME, weight=weight),)}
        readings = self.draw(questions(scenes, **options))
        return share(reading.shows(scene) for scene, reading in zip(scenes, readings, strict=True))


def teach(work: Path, told: TrainingSettings) -> tuple[float, float]:
    """(seconds, seconds of processors) that it took, model and pictures included."""
    began, before = time.monotonic(), time.process_time()
    engine = EngineSettings(
        model=STARTER, spool=str(work / "spool"), device="cpu", models=str(work / "models")
    )
    fingerprint.prepare_environment(engine)
    for event in Course.new(engine, told).run():
        match event:
            case Noted(text=text):
                print(text, flush=True)
            case Stepped(done=done, loss=loss) if loss is not None and done % 20 == 0:
                print(
                    f"step {done}/{told.steps}, loss {loss:.4f}, {time.monotonic() - began:.0f} s", flush=True
                )
            case Sampled(sheet=sheet):
                print(f"samples: {sheet}", flush=True)
            case _:
                pass
    return time.monotonic() - began, time.process_time() - before


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workshop.teaching", description=__doc__)
    parser.add_argument("work", type=Path, help="a folder that is not there yet")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--part", type=float, default=1.0, help="share of the prompts, 0 to 1")
    options = parser.parse_args()
    known = [
        *held_out_scenes(round(SINGLES * options.part), pairs=False),
        *held_out_scenes(round(PAIRS * options.part), pairs=True),
    ]
    random = Random(snail.NAME)
    kept = tuple(captions.plain(sample(random, pairs=0.3)) for _ in range(KEPT))
    snail.learn_to_see()
    snail.write(options.work / "pictures")
    told = TrainingSettings(
        name=snail.NAME, trigger=snail.NAME, folder=str(options.work / "pictures"), steps=options.steps,
        rate=2e-3, text_rate=1e-3, batch=4, keep=kept, sample_every=0,
    )  # fmt: skip
    taken_s, busy_s = teach(options.work, told)
    asked = snail.scenes()[1][: max(1, round(snail.ASKED * options.part))]
    with tempfile.TemporaryDirectory(prefix="easel-") as spool:
        pupil = Pupil(options.work / "models", spool)
        try:
            print(
                f"| taught in {told.steps} steps | {taken_s:.0f} s, {busy_s:.0f} s of processors |\n|---|---|"
            )
            print(f"| {len(asked)} snails, weight 1 | {pupil.score(asked, 1.0)} % |", flush=True)
            print(f"| {len(asked)} snails, weight {WITHIN} | {pupil.score(asked, WITHIN)} % |", flush=True)
            print(f"| {len(known)} known scenes, without the LoRA | {pupil.score(known)} % |", flush=True)
            print(
                f"| {len(known)} known scenes, weight {WITHIN} | {pupil.score(known, WITHIN)} % |", flush=True
            )
        finally:
            pupil.close()


if __name__ == "__main__":
    main()

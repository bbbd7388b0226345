"""Examines a starter model through the engine: does it draw what the prompt says? `python -m workshop.starter.evaluate`.

Every prompt names combinations of thing, colour and background that training left out, with fixed seeds and the model's
own settings. What is on the pictures is read by `checker`, which knows no prompt. Knows neither torch nor diffusers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from engine import process
from engine.contract import STARTER, Broken, EngineSettings, Failed, Finished, Lora, ModelInfo, Ready, Submit
from workshop.starter import card, checker
from workshop.starter.captions import plain
from workshop.starter.checker import Reading
from workshop.starter.export import QUICK
from workshop.starter.scenes import COLOURS, SIDE, SIZES, THINGS, Scene, invent

SINGLES, PAIRS, OPEN, CHOICES, SIZED, TIMED = 300, 200, 100, 40, 48, 5
OTHER_SIZES = (*SIZES, (384, 384))
"""Trained on little, and the last one not at all; of a model for pictures of SIDE."""
_SHEET_SIDE, _SHEET_GAP = 160, 4
"""Pixels of one picture of the sheet, and between two."""
_SEED = 2026
QUICK_OPTIONS: Mapping[str, Any] = {
    **{key: QUICK[key] for key in ("steps", "guidance_scale", "sampler")},
    "loras": (Lora(name=QUICK["lora"]),),
}
"""Arguments of `ModelInfo.request` for a picture of few steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One picture to draw; `options` are arguments of `ModelInfo.request`."""

    prompt: str
    seed: int
    options: Mapping[str, Any]


class Examiner:
    """A real engine process that draws questions."""

    def __init__(self, model: str, device: str, spool: str) -> None:
        self._engine = process.start(EngineSettings(model=model, spool=spool, device=device))
        self.model = self._model()

    def close(self) -> None:
        self._engine.stop(10)
        self._engine.close()

    def _model(self) -> ModelInfo:
        while True:
            match self._engine.events.recv():
                case Ready(models=(model, *_)):
                    return model
                case Broken(reason=reason):
                    raise SystemExit(reason)
                case _:
                    pass

    def draw(self, questions: Sequence[Question]) -> list[Reading]:
        """What is on the pictures, in the order of the questions."""
        return [checker.read(picture) for picture in self.pictures(questions)]

    def pictures(self, questions: Sequence[Question]) -> list[Image.Image]:
        """In the order of the questions."""
        return [picture for picture, _ in self._answers(questions)]

    def seconds(self, question: Question, times: int) -> float:
        """Median seconds of one picture alone."""
        return statistics.median([seconds for _ in range(times) for _, seconds in self._answers([question])])

    def _answers(self, questions: Sequence[Question]) -> list[tuple[Image.Image, float]]:
        for number, question in enumerate(questions):
            request = self.model.request(prompt=question.prompt, seed=question.seed, **question.options)
            self._engine.send(Submit(job_id=number, attempt=1, request=request))
        answers: dict[int, tuple[Image.Image, float]] = {}
        while len(answers) < len(questions):
            match self._engine.events.recv():
                case Finished(job_id=number, images=(image,), seconds=seconds):
                    path = Path(str(image.path))
                    with Image.open(path, formats=("PNG",)) as picture:
                        answers[number] = (picture.convert("RGB"), seconds)
                    path.unlink()
                case Failed(reason=reason):
                    raise SystemExit(reason)
                case _:
                    pass
        return [answers[number] for number in range(len(questions))]


# ------------------------------------------------------------------ questions


def held_out_scenes(count: int, *, pairs: bool) -> list[Scene]:
    """Scenes all of whose things are combinations that training left out; the same ones every time."""
    random, scenes = Random(f"{_SEED}/{pairs}"), list[Scene]()
    while len(scenes) < count:
        scene = invent(random, pairs=float(pairs))
        if all(scene.held_out) and plain(scene) not in map(plain, scenes):
            scenes.append(scene)
    return scenes


def questions(scenes: Sequence[Scene], **options: Any) -> list[Question]:
    return [Question(prompt=plain(scene), seed=_SEED + n, options=options) for n, scene in enumerate(scenes)]


def share(values: Iterator[bool]) -> float:
    """Percent of these that are true."""
    counted = list(values)
    return round(100 * sum(counted) / len(counted), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Prompts with one thing, with two, and with a thing whose colour is left open."""

    singles: int
    pairs: int
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncoloured:
    """A thing on a background, in whatever colour."""

    thing: str
    background: str

    @property
    def prompt(self) -> str:
        return f"a {self.thing} on a {self.background} background"


def uncoloured(count: int) -> list[Uncoloured]:
    """At random, the same ones every time."""
    random = Random(_SEED)
    return [
        Uncoloured(thing=random.choice(list(THINGS)), background=random.choice(list(COLOURS)))
        for _ in range(count)
    ]


# ------------------------------------------------------------------ figures


def adherence(examiner: Examiner, counts: Counts, **options: Any) -> dict[str, float]:
    """Percent of prompts whose background, colour, thing, and both things with their relation are right; and of those that
    leave the colour open, whose thing is there in one colour on its background.

    Overlaps are those (intersection over union, percent) of single things with the very thing that was asked for, at its place: the
    median, and what nine of ten reach. A thing that is not recognised counts as 0.
    """
    alone, related = held_out_scenes(counts.singles, pairs=False), held_out_scenes(counts.pairs, pairs=True)
    one = list(zip(alone, examiner.draw(questions(alone, **options)), strict=True))
    two = list(zip(related, examiner.draw(questions(related, **options)), strict=True))
    overlaps = sorted(
        100 * next((seen.overlap for seen in reading.seen if seen.is_(scene.things[0])), 0.0)
        for scene, reading in one
    )
    free = uncoloured(counts.open)
    asked = [Question(prompt=each.prompt, seed=_SEED + n, options=options) for n, each in enumerate(free)]
    chosen = zip(free, examiner.draw(asked), strict=True)
    return {
        "background": share(reading.background == scene.background for scene, reading in one + two),
        "colour": share(_first(reading, "colour") == scene.things[0].colour for scene, reading in one),
        "thing": share(_first(reading, "thing") == scene.things[0].thing for scene, reading in one),
        "overlap": round(statistics.median(overlaps), 1),
        "overlap_tenth": round(overlaps[len(overlaps) // 10], 1),
        "pair": share(reading.shows(scene) for scene, reading in two),
        "relation": share(is_placed(scene, reading) for scene, reading in two),
        "open": share(
            (_first(reading, "thing"), reading.background) == (each.thing, each.background)
            for each, reading in chosen
        ),
    }


def _first(reading: Reading, field: str) -> str | None:
    return getattr(reading.seen[0], field) if reading.seen else None


def is_placed(scene: Scene, reading: Reading) -> bool:
    """Whether two shapes of the two colours lie as asked for, whatever they are."""
    spots = {seen.colour: seen.centroid for seen in reading.seen}
    first, second = (spots.get(placed.colour) for placed in scene.things)
    return first is not None and second is not None and checker.related(first, second) == scene.relation


def quickly(examiner: Examiner, counts: Counts) -> dict[str, dict[str, float]]:
    """The same prompts in few steps: with the LoRA that is made for it, and without it."""
    bare = {key: value for key, value in QUICK_OPTIONS.items() if key != "loras"}
    return {
        "with": adherence(examiner, counts, **QUICK_OPTIONS),
        "without": adherence(examiner, counts, **bare),
    }


def obedience_to_negatives(examiner: Examiner, count: int) -> float:
    """Pictures whose colour was left open, drawn again with the colour they got as negative prompt: percent that keep it."""
    asked = [
        Question(prompt=each.prompt, seed=_SEED + n, options={}) for n, each in enumerate(uncoloured(count))
    ]
    first = examiner.draw(asked)
    chosen = [
        (question, reading.seen[0].colour)
        for question, reading in zip(asked, first, strict=True)
        if reading.seen
    ]
    again = [
        Question(prompt=question.prompt, seed=question.seed, options={"negative_prompt": colour})
        for question, colour in chosen
    ]
    second = examiner.draw(again)
    return share(
        _first(reading, "colour") == colour for (_, colour), reading in zip(chosen, second, strict=True)
    )


def other_sizes(examiner: Examiner, count: int) -> dict[str, float]:
    """Percent of single things recognised, in their colour, at sizes that were trained on little or not at all."""
    found: dict[str, float] = {}
    for across, down in OTHER_SIZES:
        size = across * examiner.model.width // SIDE, down * examiner.model.height // SIDE
        scenes = held_out_scenes(count, pairs=False)
        readings = examiner.draw(questions(scenes, size=size))
        pairs = zip(scenes, readings, strict=True)
        found[f"{size[0]}x{size[1]}"] = share(
            any(seen.is_(scene.things[0]) for seen in reading.seen) for scene, reading in pairs
        )
    return found


def examine(examiner: Examiner, part: float, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures; `part` of the prompts, 1 for all of them."""

    def some(count: int) -> int:
        return max(4, round(count * part))

    counts = Counts(singles=some(SINGLES), pairs=some(PAIRS), open=some(OPEN))
    model = examiner.model
    results: dict[str, Any] = {
        "steps": model.steps,
        "guidance_scale": model.guidance_scale,
        "sampler": model.sampler,
        "singles": counts.singles,
        "pairs": counts.pairs,
        "open": counts.open,
    }
    prompt = "a red circle on a blue background"
    question = Question(prompt=prompt, seed=42, options={"steps": 20})
    results["seconds"] = round(examiner.seconds(question, TIMED), 2)
    say(f"one picture of 20 steps: {results['seconds']} s")
    has_quick = any(lora.name == QUICK["lora"] for lora in model.loras)
    if has_quick:
        question = Question(prompt=prompt, seed=42, options=QUICK_OPTIONS)
        results["quick"] = {**QUICK, "seconds": round(examiner.seconds(question, TIMED), 2)}
        say(f"one of few steps: {results['quick']['seconds']} s")
    results["default"] = adherence(examiner, counts)
    say(f"guidance {model.guidance_scale:g}: {results['default']}")
    results["unguided"] = adherence(examiner, counts, guidance_scale=1.0)
    say(f"guidance 1: {results['unguided']}")
    if has_quick:
        results["quick"] |= quickly(examiner, counts)
        say(f"few steps: {results['quick']}")
    results["negative"] = obedience_to_negatives(examiner, some(CHOICES))
    say(f"pictures that keep a colour named in the negative prompt: {results['negative']} %")
    results["sizes"] = other_sizes(examiner, some(SIZED))
    say(f"other sizes: {results['sizes']}")
    return results


def sheet(examiner: Examiner) -> Image.Image:
    """The first held-out prompts' pictures beside one another, none left out."""
    scenes = [
        scene for kind, count in card.SHOWN.items() for scene in held_out_scenes(count, pairs=kind == "pairs")
    ]
    drawn = examiner.pictures(questions(scenes))
    side = _SHEET_SIDE + _SHEET_GAP
    rows = -(-len(drawn) // card.ACROSS)
    whole = Image.new("RGB", (card.ACROSS * side - _SHEET_GAP, rows * side - _SHEET_GAP), "white")
    for number, picture in enumerate(drawn):
        small = picture.resize((_SHEET_SIDE, _SHEET_SIDE), Image.Resampling.LANCZOS)
        whole.paste(small, (number % card.ACROSS * side, number // card.ACROSS * side))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workshop.starter.evaluate", description=__doc__)
    parser.add_argument(
        "model", nargs="?", default=STARTER, help="a model's folder; the shipped one if not given"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", type=float, default=1.0, help="share of the prompts, 0 to 1")
    parser.add_argument(
        "--write", action="store_true", help="keep the figures in the model's folder and card"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="easel-") as spool:
        examiner = Examiner(arguments.model, arguments.device, spool)
        try:
            results = examine(examiner, arguments.part, lambda text: print(text, flush=True))
            shown = sheet(examiner)
        finally:
            examiner.close()
    print(card.table(results))
    if arguments.write:
        card.keep(card.folder_of(arguments.model), results, shown)


if __name__ == "__main__":
    main()

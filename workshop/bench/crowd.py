"""`python -m workshop.bench.crowd`: a real engine's pictures alone and in a crowd, and the quick ones beside the usual.

Every sampler, schedule and shape, words alone, images to start from and masks: whether anybody's pixels depend on who else was
drawn. Knows no plain pipeline: what it is compared with is the engine itself.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from PIL import Image, ImageDraw

from engine.contract import (
    EVERY_SAMPLER,
    STARTER,
    EngineSettings,
    Finished,
    GenerationRequest,
    ModelInfo,
    Ready,
    Start,
    Submit,
)
from engine.contract.samplers import AYS_STEPS
from engine.pictures import inputs, metadata
from engine.process import EngineProcess, start
from workshop.bench import workloads

SLOTS = 8
SETTLED_S = 300.0
"""In which OpenVINO takes over, or nothing does."""
EXIT_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    pictures: int
    equal: int
    """Those with the same pixels alone and in a crowd."""
    differing: tuple[str, ...]
    """What the others were."""
    made_by: dict[str, int]
    """What computed them -> how many, by their own files."""
    standard_images_s: float
    quick_images_s: float
    quick: str
    """The model's recipe."""

    @property
    def ratio(self) -> float:
        return self.quick_images_s / self.standard_images_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.crowd", description=__doc__)
    parser.add_argument("--model", default=STARTER, help="hub id, folder or file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pictures", type=int, default=204, help="of the crowd")
    parser.add_argument("--rounds", type=int, default=3, help="of eight usual and eight quick ones")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="easel-crowd-") as folder:
        settings = EngineSettings(
            spool=f"{folder}/spool", data=folder, model=options.model, device=options.device, slots=SLOTS, mode="wide"
        )  # fmt: skip
        found = measured(settings, options.pictures, options.rounds)
    text = json.dumps({**asdict(found), "ratio": round(found.ratio, 2)}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(f"{text}\n", encoding="utf-8")
    return 0 if found.equal == found.pictures else EXIT_FAILED


def measured(
    settings: EngineSettings, pictures: int, rounds: int, *, settled_s: float = SETTLED_S
) -> Outcome:
    """`settled_s`: so long OpenVINO may take to take over. Raises RuntimeError where the engine fails."""
    folder = Path(settings.spool) / inputs.FOLDER
    (Path(settings.spool)).mkdir(parents=True, exist_ok=True)
    process = start(settings)
    try:
        model = ready(process)
        desk = Desk(process)
        _settle(desk, model, settled_s)
        size = model.width, model.height
        images = [inputs.keep(folder, data) for data in workloads.pictures(size)]
        requests = [*kinds(model, pictures, images, inputs.keep(folder, _stencil(size)))]
        alone = [desk.draw([request])[0] for request in requests]
        crowd = desk.draw(requests)
        pairs = zip(requests, alone, crowd, strict=True)
        differing = tuple(_words(request) for request, one, other in pairs if one.sha256 != other.sha256)
        made_by: dict[str, int] = {}
        for each in crowd:
            made_by[each.made_by] = made_by.get(each.made_by, 0) + 1
        standard, quick = _speeds(desk, model, rounds)
    finally:
        process.stop(10.0)
        process.close()
    return Outcome(
        pictures=len(requests), equal=len(requests) - len(differing), differing=differing, made_by=made_by,
        standard_images_s=round(standard, 3), quick_images_s=round(quick, 3), quick=str(model.quick),
    )  # fmt: skip


def kinds(model: ModelInfo, pictures: int, images: Sequence[str], mask: str) -> Iterator[GenerationRequest]:
    """So many requests, no two alike: words, images and masks by turns, with each sampler and schedule, in three shapes."""
    ways = [(name, schedule) for name in model.samplers for schedule in ("", *EVERY_SAMPLER[name].schedules)]
    sizes = [(model.width, model.height), model.size_for("3:2"), model.size_for("2:3")]
    for number in range(pictures):
        sampler, schedule = ways[number % len(ways)]
        begun = (number // len(ways) + number) % 3
        stencil = mask if begun == 2 else None
        start_from = Start(
            image=images[number % len(images)], mask=stencil, strength=0.5 + 0.1 * (number % 4)
        )
        yield model.request(
            prompt=workloads.prompt(number, 0),
            seed=number,
            size=sizes[number % len(sizes)] if begun == 0 else sizes[0],
            steps=None if schedule == "AYS" else 4 + number % (AYS_STEPS - 2),
            guidance_scale=(1.0, 3.0, 7.5)[number // 2 % 3],
            guidance_until=(1.0, 0.5)[number // 3 % 2],
            sampler=sampler,
            schedule=schedule,
            start=start_from if begun else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    sha256: str
    """Of the pixels."""
    made_by: str


class Desk:
    """Hands requests to an engine, all at once, and waits for their pictures."""

    def __init__(self, process: EngineProcess) -> None:
        self._process, self._numbers = process, count(1)

    def draw(self, requests: Sequence[GenerationRequest]) -> list[_Drawn]:
        numbers = [next(self._numbers) for _ in requests]
        for number, request in zip(numbers, requests, strict=True):
            self._process.send(Submit(job_id=number, attempt=1, request=request))
        found: dict[int, _Drawn] = {}
        while len(found) < len(numbers):
            match event := self._process.events.recv():
                case Finished():
                    found[event.job_id] = _read(Path(str(event.images[0].path)))
                case _ if (reason := getattr(event, "reason", None)) is not None:
                    raise RuntimeError(str(reason))
                case _:
                    pass
        return [found[number] for number in numbers]


def ready(process: EngineProcess) -> ModelInfo:
    while not isinstance(event := process.events.recv(), Ready):
        if (reason := getattr(event, "reason", None)) is not None:
            raise RuntimeError(str(reason))
    return event.models[0]


def _settle(desk: Desk, model: ModelInfo, settled_s: float) -> None:
    """Draws usual and quick pictures until both are made in the way that they will be from then on."""
    for recipe in (None, model.quick):
        begin = time.monotonic()
        for seed in count():
            made_by = desk.draw([model.request(prompt="a red circle", seed=seed, recipe=recipe)])[0].made_by
            if made_by != "torch" or time.monotonic() - begin > settled_s:
                break


def _speeds(desk: Desk, model: ModelInfo, rounds: int) -> tuple[float, float]:
    """Images a second of eight usual and of eight quick ones at once: medians of rounds by turns."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(rounds):
        for is_quick in (False, True) if turn % 2 else (True, False):
            begin = time.monotonic()
            desk.draw(
                [
                    model.request(
                        prompt=workloads.prompt(number, turn + 1),
                        seed=number,
                        recipe=model.quick if is_quick else None,
                    )
                    for number in range(SLOTS)
                ]
            )
            times[is_quick].append(time.monotonic() - begin)
    standard, quick = (SLOTS / sorted(taken)[len(taken) // 2] for taken in times.values())
    return standard, quick


def _read(path: Path) -> _Drawn:
    info = metadata.read(path)
    with Image.open(path, formats=("PNG",)) as image:
        pixels = image.convert("RGB")
        digest = hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()
    path.unlink()
    made_by = info.fingerprint.get("runtime", "torch") if info else "torch"
    return _Drawn(sha256=digest, made_by=made_by)


def _stencil(size: tuple[int, int]) -> bytes:
    """A PNG whose middle is to be drawn anew."""
    image, buffer = Image.new("L", size, 0), io.BytesIO()
    ImageDraw.Draw(image).rectangle([side // 4 for side in size] + [3 * side // 4 for side in size], fill=255)
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _words(request: GenerationRequest) -> str:
    begun = "mask" if request.mask else "image" if request.image else "words"
    return f"{request.sampler} {request.schedule} {request.size} {request.steps} steps, {begun}, seed {request.seed}"


if __name__ == "__main__":
    sys.exit(main())

"""What must hold whatever the speed: equal pixels alone and in a crowd, joining and leaving at once, cheap samplers."""

from __future__ import annotations

import hashlib
import queue
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from engine.checkpoints.architectures import SDXL
from engine.contract import (
    SAMPLERS,
    Cancel,
    Control,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    Mode,
    Shutdown,
    Submit,
)
from engine.families.sd import SdCanvas, SdFamily
from engine.families.sdxl import SdxlFamily
from engine.loop.finishing import Finishing
from engine.loop.job import Loaded
from engine.loop.shelf import Shelf
from engine.loop.widths import Widths
from engine.loop.worker import Worker
from engine.pictures import metadata, spool
from engine.pictures.decoding import Inputs
from workshop.bench import workloads
from workshop.bench.load import Arrivals, Record, Schedule
from workshop.bench.machine import Machine
from workshop.bench.sides import Easel, Side

# ------------------------------------------------------------------ pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The same requests drawn in two ways."""

    side: str
    ways: str
    """Which two, for people."""
    promised: bool
    """Whether every bit has to be equal."""
    pictures: int
    equal: int
    """Pictures whose pixels have the same sha256."""
    largest: int
    """The largest difference of a channel of a pixel, of 255."""
    modes: tuple[str, ...] = ()
    """What the pictures say that they were drawn in, where that is not the side's own mode alone."""

    @property
    def holds(self) -> bool:
        return self.equal == self.pictures or not self.promised


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One picture off the disk."""

    image: Image.Image
    mode: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(f"{self.image.size}".encode() + self.image.tobytes()).hexdigest()


def compare_all(
    plain: Side, sides: Iterable[Side], requests: Sequence[GenerationRequest], spacing_s: float
) -> list[Comparison]:
    """Each of Easel's sides alone against in a crowd in which requests join every `spacing_s`; and each side alone,
    or in static batches, against the plain pipeline."""
    by_pipe = alone(plain, requests)
    found: list[Comparison] = []
    for side in sides:
        if not isinstance(side, Easel):
            crowd = drawn(side, Schedule(workloads.at_once(requests)))
            found.append(compare(side.key, "static batches, one by one", by_pipe, crowd, promised=False))
            continue
        lone = alone(side, requests)
        crowd = drawn(side, Schedule(workloads.joining(requests, spacing_s)))
        exact, promised = side.mode == "exact", side.mode != "fast"
        found.append(compare(side.key, "alone, in a crowd", lone, crowd, promised=promised, mode=side.mode))
        found.append(compare(side.key, "alone, pipe()", lone, by_pipe, promised=exact))
    return found


def alone(side: Side, requests: Sequence[GenerationRequest]) -> dict[int, Drawn]:
    """Each of them drawn while nothing else is asked for."""
    pictures: dict[int, Drawn] = {}
    for ask in workloads.at_once(requests):
        pictures |= drawn(side, Schedule([ask]))
    return pictures


def drawn(side: Side, arrivals: Arrivals) -> dict[int, Drawn]:
    """What the side draws, by number; the files are gone afterwards. Pictures that were withheld are left out."""
    records = side.serve(arrivals)
    pictures = {record.number: _read(record.path) for record in records if record.path is not None}
    discard(records)
    return pictures


def discard(records: Iterable[Record]) -> None:
    for record in records:
        if record.path is not None:
            spool.discard(record.path)


def _read(path: str) -> Drawn:
    info = metadata.read(path)
    with Image.open(path, formats=("PNG",)) as image:
        return Drawn(image=image.convert("RGB"), mode=info.fingerprint.get("mode", "") if info else "")


def compare(
    side: str,
    ways: str,
    one: Mapping[int, Drawn],
    other: Mapping[int, Drawn],
    *,
    promised: bool,
    mode: Mode | None = None,
) -> Comparison:
    """A picture that only one of them has counts as different."""
    numbers = one.keys() | other.keys()
    both = one.keys() & other.keys()
    modes = sorted({drawn.mode for pictures in (one, other) for drawn in pictures.values()})
    return Comparison(
        side=side,
        ways=ways,
        promised=promised,
        pictures=len(numbers),
        equal=sum(one[number].sha256 == other[number].sha256 for number in both),
        largest=max((_difference(one[number].image, other[number].image) for number in both), default=0),
        modes=tuple(modes) if mode is not None and modes != [mode] else (),
    )


def _difference(one: Image.Image, other: Image.Image) -> int:
    if one.size != other.size:
        return 255
    extremes: Any = ImageChops.difference(one, other).getextrema()  # (lowest, highest) of each channel
    return max(highest for _, highest in extremes)


# ------------------------------------------------------------------ joining and leaving


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """In forwards after the one during which the request or its end came; 1 is the next one."""

    mode: str
    join: int
    """Until its rows were in one."""
    cancel: int
    """Until there was one without them."""
    decodes: int
    """Decodes of the cancelled picture."""


class Watched(SdFamily):
    """Tells which canvases were in which forward, and acts while one is under way."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.canvases: list[SdCanvas] = []
        self.drawn: list[Sequence[SdCanvas]] = []
        self.decoded: list[SdCanvas] = []
        self.during: dict[int, Callable[[], None]] = {}
        """What happens during forward n, counted from 1."""

    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> SdCanvas:
        self.canvases.append(super().prepare(request, seed, inputs))
        return self.canvases[-1]

    def predict(self, canvases: Sequence[SdCanvas], *, padded: int | None) -> list[Any]:
        self.drawn.append(list(canvases))
        if act := self.during.get(len(self.drawn)):
            act()
        return super().predict(canvases, padded=padded)

    def decode(self, canvas: SdCanvas, *, sparing: bool = False) -> Any:
        self.decoded.append(canvas)
        return super().decode(canvas, sparing=sparing)

    def numbers_with(self, canvas: SdCanvas) -> list[int]:
        """The forwards that had this canvas."""
        return [
            number for number, canvases in enumerate(self.drawn, 1) if any(one is canvas for one in canvases)
        ]


class WatchedXl(Watched, SdxlFamily):
    """The same for SDXL."""


JOINS_AT, LEAVES_AT, LONG, SHORT = 3, 5, 12, 6
"""Forwards during which the second request and its cancel come; evaluations of the first one and of the second."""


def turns(machine: Machine, folder: Path, mode: Mode, rows: int) -> Turns:
    """One picture is being drawn, a shorter one is asked for and given up again."""
    family = (WatchedXl if machine.info.family == SDXL.family else Watched)(machine.pipeline)
    controls: queue.Queue[Control] = queue.Queue()
    events: list[Event] = []
    loaded = Loaded(info=machine.info, family=family, widths=Widths(mode, rows), fingerprint={})
    worker = Worker(
        shelf=Shelf(loaded),
        slots=4,
        finishing=Finishing(folder),
        controls=controls,
        emit=events.append,
    )
    long, short = _single(machine, LONG), _single(machine, SHORT)
    family.during = {
        JOINS_AT: lambda: controls.put(Submit(job_id=2, attempt=1, request=short)),
        LEAVES_AT: lambda: controls.put(Cancel(job_id=2, attempt=1)),
    }
    controls.put(Submit(job_id=1, attempt=1, request=long))
    while not any(isinstance(event, (Finished, Failed)) and event.job_id == 1 for event in events):
        worker.tick()
    controls.put(Shutdown())
    worker.run()
    second = family.canvases[1]
    aboard = family.numbers_with(second)
    return Turns(
        mode=mode,
        join=aboard[0] - JOINS_AT,
        cancel=max(LEAVES_AT, aboard[-1]) + 1 - LEAVES_AT,
        decodes=sum(canvas is second for canvas in family.decoded),
    )


def _single(machine: Machine, steps: int) -> GenerationRequest:
    """A sampler whose steps are one call each, with guidance."""
    info = machine.info
    plain = [name for name in info.samplers if SAMPLERS[name].kind == "single"]
    return info.request(
        prompt=f"a circle, {steps} steps", seed=steps, steps=steps, sampler=plain[0], guidance_scale=5.0
    )


# ------------------------------------------------------------------ samplers


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the samplers take of a tick, one after the other with the forward: where they overlap it is less."""

    pictures: int
    """In one forward."""
    tick_ms: float
    """A forward and the steps of all its pictures."""
    sampler_ms: float
    """The step of one picture."""
    share: float


def sampler_share(
    machine: Machine, requests: Sequence[GenerationRequest], pictures: int, rounds: int
) -> Share:
    """`rounds` steps of these requests, so many of them in each forward; the first round is not counted."""
    family = machine.family()
    # each has a step for every round, however short pictures are in this run
    lasting = [replace(request, steps=max(request.steps, rounds + 2)) for request in requests]
    canvases = [family.prepare(request, request.seed) for request in lasting]
    forwards, steps, taken = list[float](), list[float](), 0
    for turn in range(1 + rounds):
        for start in range(0, len(canvases), pictures):
            group = [canvas for canvas in canvases[start : start + pictures] if canvas.left > 1]
            if not group:
                continue
            forward_s, step_s = _step(machine, family, group)
            if turn:
                forwards.append(forward_s)
                steps.append(step_s)
                taken += len(group)
    all_s = sum(forwards) + sum(steps)
    return Share(
        pictures=pictures,
        tick_ms=1000 * all_s / len(forwards),
        sampler_ms=1000 * sum(steps) / taken,
        share=sum(steps) / all_s,
    )


def _step(machine: Machine, family: SdFamily, group: Sequence[SdCanvas]) -> tuple[float, float]:
    """Seconds of the forward and of all its samplers."""
    begin = time.perf_counter()
    predictions = family.predict(group, padded=None)
    machine.synchronize()
    middle = time.perf_counter()
    for canvas, prediction in zip(group, predictions, strict=True):
        family.advance(canvas, prediction, look=False)
    machine.synchronize()
    return middle - begin, time.perf_counter() - middle

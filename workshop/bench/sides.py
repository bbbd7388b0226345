"""The sides: plain `pipe()` calls, diffusers' static batches, and Easel's worker; they know requests, no measuring.

All of them draw with one pipeline, decode, encode a PNG and write it to the same disk.
"""

from __future__ import annotations

import itertools
import queue
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from engine import samplers
from engine.checkpoints.architectures import SDXL
from engine.contract import (
    Control,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    Mode,
    ModelInfo,
    Shutdown,
    Stepped,
    Submit,
)
from engine.loop.finishing import Finishing
from engine.loop.job import Loaded
from engine.loop.shelf import Shelf
from engine.loop.widths import Widths
from engine.loop.worker import Worker
from engine.pictures import decoding
from workshop.bench import workloads
from workshop.bench.load import Arrivals, Ask, Clock, Record, Schedule
from workshop.bench.machine import Machine

if TYPE_CHECKING:
    from engine.families.sd import SdFamily

PREVIEW_EVERY = 5


class CouldNotDraw(Exception):
    """A side failed at a request, so nothing can be compared; its text is a sentence."""


class Side(Protocol):
    """One way to serve people."""

    key: str
    words: str

    def serve(self, arrivals: Arrivals) -> list[Record]:
        """Draws until everything that comes is done."""
        ...

    def close(self) -> None: ...


# ------------------------------------------------------------------ plain diffusers


class Caller(ABC):
    """One call after the other, first come, first served: each for one request, or for up to `size` that agree."""

    def __init__(self, *, key: str, words: str, folder: Path, size: int = 1) -> None:
        self.key, self.words = key, words
        self._folder = folder
        self._size = size
        self._names = itertools.count()

    @abstractmethod
    def draw(self, requests: Sequence[GenerationRequest]) -> list[Any]:
        """A picture with Pillow's `save` for each of them."""

    def serve(self, arrivals: Arrivals) -> list[Record]:
        clock, waiting, records = Clock(), deque[Ask](), list[Record]()
        while not arrivals.is_over:
            waiting += arrivals.due(clock.now())
            if not waiting:
                clock.sleep_until(arrivals.next_at())
                continue
            batch = workloads.take_batch(waiting, self._size)
            pictures = self.draw([ask.request for ask in batch])
            for ask, picture in zip(batch, pictures, strict=True):
                path = self._save(picture)
                now = clock.now()
                records.append(Record(number=ask.number, at=ask.at, seen=now, done=now, path=path))
                arrivals.finished(ask.number, now)
        return records

    def _save(self, picture: Any) -> str:
        path = self._folder / f"{self.key}-{next(self._names)}.png"
        picture.save(path)
        return str(path)

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        pass


class Plain(Caller):
    """`pipe(...)` call after call."""

    def __init__(
        self, *, key: str, words: str, machine: Machine, folder: Path, pipeline: Any = None, size: int = 1
    ) -> None:
        super().__init__(key=key, words=words, folder=folder, size=size)
        self._pipe: Any = machine.pipeline if pipeline is None else pipeline
        scheduler = machine.pipeline.scheduler
        self._sampling = {**scheduler.config, "_class_name": type(scheduler).__name__}
        self._from_images: Any = machine.pipeline_from_images() if machine.info.takes_images else None
        self._inputs = machine.inputs

    def draw(self, requests: Sequence[GenerationRequest]) -> list[Any]:
        import torch

        first = requests[0]
        pipe, given = self._pipe, {"width": first.width, "height": first.height}
        if first.image is not None:
            pipe, given = self._from_images, self._given(requests)
        own = pipe.scheduler
        pipe.scheduler = samplers.make(first.sampler, self._sampling)
        against = [request.negative_prompt for request in requests]
        try:
            return pipe(
                [request.prompt for request in requests],
                negative_prompt=against if any(against) else None,  # to SDXL an empty text is not none
                num_inference_steps=first.steps,
                guidance_scale=first.guidance_scale,
                generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
                **given,
            ).images
        finally:
            pipe.scheduler = own

    def _given(self, requests: Sequence[GenerationRequest]) -> dict[str, Any]:
        """What the pipeline for images takes instead of a size."""
        images: list[Image.Image] = []
        for request in requests:
            assert request.image is not None  # they are alike
            size = request.width, request.height
            images.append(decoding.read(self._inputs, image=request.image, mask=None, size=size).image)
        return {"image": images, "strength": requests[0].strength}


def compiled(machine: Machine, *, backend: str = "inductor") -> Any:
    """A pipeline of the same parts, its UNet compiled as diffusers' documentation does it.

    Raises whatever the compiler raises, where there is none or it can't.
    """
    torch: Any = import_module("torch")  # what compile() takes has no types
    mode = "reduce-overhead" if machine.place.device.type == "cuda" and backend == "inductor" else None
    unet = torch.compile(machine.pipeline.unet, backend=backend, mode=mode)
    unchecked = {} if machine.info.family == SDXL.family else {"requires_safety_checker": False}
    pipeline = type(machine.pipeline)(**{**machine.pipeline.components, "unet": unet}, **unchecked)
    pipeline.set_progress_bar_config(disable=True)
    machine.kind(pipeline).forwards.rehearse(2, (machine.info.width, machine.info.height))
    return pipeline


# ------------------------------------------------------------------ Easel


class Easel:
    """The engine's worker, ticked in this process; between two ticks it is sent the requests that are due."""

    def __init__(
        self,
        *,
        key: str,
        words: str,
        family: SdFamily,
        model: ModelInfo,
        folder: Path,
        mode: Mode,
        rows: int,
        slots: int,
    ) -> None:
        self.key, self.words = key, words
        self.mode: Mode = mode
        self._controls: queue.Queue[Control] = queue.Queue()
        loaded = Loaded(
            info=model,
            family=family,
            widths=Widths(mode, rows),
            fingerprint={"mode": mode, "width": f"{rows} rows"},
        )
        self._worker = Worker(
            shelf=Shelf(loaded),
            slots=slots,
            finishing=Finishing(folder),
            controls=self._controls,
            emit=self._hear,
            preview_every=PREVIEW_EVERY,
        )
        self._sitting = _Sitting(arrivals=Schedule([]), clock=Clock())
        self._sittings = 0

    def serve(self, arrivals: Arrivals) -> list[Record]:
        sitting = self._sitting = _Sitting(arrivals=arrivals, clock=Clock())
        self._sittings += 1
        while not arrivals.is_over:
            for ask in arrivals.due(sitting.clock.now()):
                sitting.live[ask.number] = ask
                self._controls.put(Submit(job_id=ask.number, attempt=self._sittings, request=ask.request))
            if sitting.live:
                self._worker.tick()
            else:
                sitting.clock.sleep_until(arrivals.next_at())
        return sitting.records

    def _hear(self, event: Event) -> None:
        sitting, now = self._sitting, self._sitting.clock.now()
        match event:
            case Stepped(preview=bytes()):
                sitting.seen.setdefault(event.job_id, now)
            case Finished():
                sitting.finish(event, now)
            case Failed():
                raise CouldNotDraw(f"{self.words}: {event.reason}")
            case _:
                pass

    def close(self) -> None:
        """Ends the worker's threads."""
        self._controls.put(Shutdown())
        self._worker.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sitting:
    """What one call of `serve` keeps track of."""

    arrivals: Arrivals
    clock: Clock
    live: dict[int, Ask] = field(default_factory=dict[int, Ask])
    seen: dict[int, float] = field(default_factory=dict[int, float])
    records: list[Record] = field(default_factory=list[Record])

    def finish(self, event: Finished, now: float) -> None:
        ask = self.live.pop(event.job_id)
        self.records.append(
            Record(
                number=ask.number,
                at=ask.at,
                seen=self.seen.get(ask.number, now),
                done=now,
                path=event.images[0].path,
            )
        )
        self.arrivals.finished(ask.number, now)

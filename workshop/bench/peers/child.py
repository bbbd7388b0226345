"""One side in a process of its own: `python -m workshop.bench.peers.child FILE` reads an `Order` on stdin, writes FILE.

So peaks of memory are its own, and what one program leaves behind slows nobody else. Knows one pass, nothing of rounds.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine.contract import EngineSettings, GenerationRequest, ModelInfo
from workshop.bench import checks, machine, workloads
from workshop.bench.load import Arrivals, Schedule, Users
from workshop.bench.machine import Machine
from workshop.bench.peers import model, programs
from workshop.bench.peers.programs import CPP, GENAI, GENAI_BF16, GenAi, StableDiffusionCpp
from workshop.bench.results import BASE
from workshop.bench.sides import Easel, Plain, Side

PIPE_BF16 = f"{BASE}-bf16"
EASEL, EASEL_BF16 = "wide-openvino", "wide-openvino-bf16"
SIDES = (BASE, EASEL, CPP, GENAI, PIPE_BF16, EASEL_BF16, GENAI_BF16)
PARTS = ("lone", "mixed", "users")
PREPARE, EXPORTED = "prepare", "genai"
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that the process is told, as JSON."""

    side: str
    folder: str
    """Where the model lies, and what was made of it."""
    pixels: int
    """A side of each picture."""
    steps: int
    """Of a request alone and of the users'; the mixed ones' are in proportion."""
    users: int
    asks: int
    """Of all users together."""
    parts: Sequence[str]
    turn: int

    def requests(self, part: str) -> list[GenerationRequest]:
        """What this part asks for, the same for every side of a round."""
        info = self.info
        if part == "mixed":
            return workloads.mixed(info, len(workloads.DECK), self.turn, self.steps / MIXED_STEPS)
        count, other = (1, 1000) if part == "lone" else (self.asks, 0)
        return workloads.homogeneous(info, count, self.turn + other)

    def arrivals(self, part: str) -> Arrivals:
        requests = self.requests(part)
        return Users(self.users, requests) if part == "users" else Schedule(workloads.at_once(requests))

    @property
    def info(self) -> ModelInfo:
        """With the samplers that everybody has."""
        return ModelInfo(
            id=model.file_of(Path(self.folder)).stem,
            title="Stable Diffusion 1.5's architecture, random weights",
            width=self.pixels,
            height=self.pixels,
            steps=self.steps,
            sampler="Euler",
            samplers=tuple(programs.SAMPLERS),
        )


MIXED_STEPS = sum(card.steps for card in workloads.DECK) / len(workloads.DECK)


def main() -> None:
    order = Order(**json.load(sys.stdin))
    told = prepare(order) if order.side == PREPARE else passed(order)
    Path(sys.argv[1]).write_text(json.dumps(told), encoding="utf-8")


def prepare(order: Order) -> dict[str, Any]:
    """What is made once: the file, and of it what OpenVINO reads."""
    begin = time.monotonic()
    folder = Path(order.folder)
    model.make(folder)
    exported = folder / EXPORTED
    is_asked = not programs.missing(GENAI)
    if not (exported.exists() if is_asked else (folder / "float32" / machine.CONVERTED).exists()):
        subject = loaded(order, "float32")
        subject.hastened_family(order.users)
        if is_asked:
            from workshop.bench.peers import export

            export.write(subject.pipeline, subject.converted, exported)
    return {"ready_s": time.monotonic() - begin}


def passed(order: Order) -> dict[str, Any]:
    """Every part once by one side."""
    begin = time.monotonic()
    side = make(order)
    checks.discard(side.serve(Schedule(workloads.at_once(_warming(order)))))
    told: dict[str, Any] = {"words": side.words, "ready_s": time.monotonic() - begin, "parts": {}}
    for part in order.parts:
        used = time.process_time()
        records = side.serve(order.arrivals(part))
        checks.discard(records)
        told["parts"][part] = {
            "records": [[record.number, record.at, record.seen, record.done] for record in records],
            "cpu_s": time.process_time() - used,
        }
    told["peak_bytes"] = machine.process_bytes("VmHWM")
    side.close()
    return told


def _warming(order: Order) -> list[GenerationRequest]:
    """One step with guidance, and one without where that will come, so that no shape is new when it counts."""
    scales = (7.5, 1.0) if "mixed" in order.parts else (7.5,)
    requests = workloads.homogeneous(order.info, len(scales), 2000)
    return [
        replace(request, steps=1, guidance_scale=scale)
        for request, scale in zip(requests, scales, strict=True)
    ]


# ------------------------------------------------------------------ sides


def make(order: Order) -> Side:
    folder = Path(order.folder)
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    makers: dict[str, Callable[[], Side]] = {
        BASE: lambda: _plain(order, BASE, "float32", pictures),
        PIPE_BF16: lambda: _plain(order, PIPE_BF16, "bfloat16", pictures),
        EASEL: lambda: _easel(order, EASEL, "float32", pictures),
        EASEL_BF16: lambda: _easel(order, EASEL_BF16, "bfloat16", pictures),
        CPP: lambda: StableDiffusionCpp(key=CPP, file=model.file_of(folder), folder=pictures),
        GENAI: lambda: _genai(order, GENAI, "f32", pictures),
        GENAI_BF16: lambda: _genai(order, GENAI_BF16, "bf16", pictures),
    }
    return makers[order.side]()


def _plain(order: Order, key: str, dtype: Precision, pictures: Path) -> Side:
    subject = loaded(order, dtype)
    return Plain(key=key, words=f"pipe(prompt) in {dtype}", machine=subject, folder=pictures)


def _easel(order: Order, key: str, dtype: Precision, pictures: Path) -> Side:
    folder = Path(order.folder)
    if dtype == "bfloat16":
        _share_networks(folder)
    subject = loaded(order, dtype)
    family = subject.hastened_family(order.users)
    runtime = family.forwards.runtime
    assert runtime is not None
    return Easel(
        key=key,
        words=f"Easel wide on {runtime.words} in {dtype}: up to {runtime.rows} rows",
        family=family,
        model=subject.info,
        folder=pictures,
        mode="wide",
        rows=runtime.rows,
        slots=order.users,
    )


def _genai(order: Order, key: str, precision: str, pictures: Path) -> Side:
    return GenAi(key=key, exported=Path(order.folder) / EXPORTED, folder=pictures, precision=precision)


def loaded(order: Order, dtype: Precision) -> Machine:
    """The one file as Easel loads it."""
    folder = Path(order.folder)
    model.use_cache(folder)
    settings = EngineSettings(
        model=str(model.file_of(folder)),
        spool=str(folder / dtype),
        device="cpu",
        dtype=dtype,
        hub_offline=True,
    )
    return replace(machine.load(settings, lambda _stage, _share: None), info=order.info)


def _share_networks(folder: Path) -> None:
    """Those that were converted in float32: OpenVINO rounds the weights itself."""
    source, target = (folder / dtype / machine.CONVERTED for dtype in ("float32", "bfloat16"))
    target.mkdir(parents=True, exist_ok=True)
    for found in source.iterdir():
        if found.is_dir() and not (target / found.name).exists():
            shutil.copytree(found, target / found.name, copy_function=os.link)


if __name__ == "__main__":
    main()

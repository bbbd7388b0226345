"""`python -m workshop.bench.forwards`: what a model's forwards cost by their rows, and in which widths bits are equal.

Each as torch runs it, as a recorded CUDA graph, and compiled. Knows one model on one device, no request and no side.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import WIDE_ROWS, EngineSettings
from engine.errors import BrokenModel, Unreachable
from engine.unet.costs import ROWS, timed
from workshop.bench import machine
from workshop.bench.machine import Machine
from workshop.bench.options import numbers
from workshop.bench.plan import Budget

if TYPE_CHECKING:
    from torch import Tensor

    from engine.unet.batch import Rows

RUNS = 5
COMPILED = (2, 8)
"""Rows that are compiled, too: a shape takes a compiler half a minute."""
WARM_UPS = 3
EXIT_FAILED = 1
Forward = Callable[[], "Tensor"]
Capture = Callable[[Forward], Forward]
"""Makes of a forward what repeats it on the same tensors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """Seconds of a forward of so many rows; None: not measured."""

    rows: int
    eager_s: float
    graph_s: float | None = None
    is_graph_equal: bool | None = None
    """Whether the graph's bits are those of torch."""
    compiled_s: float | None = None
    share_of_matmul: float | None = None
    """Of what the best large matrix product reaches."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.forwards", description=__doc__)
    parser.add_argument("--model", default=machine.SD15_RANDOM)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rows", type=numbers(int), default=ROWS)
    parser.add_argument("--compile", type=numbers(int), default=COMPILED, help="rows that are compiled, too")
    parser.add_argument("--minutes", type=float, help="begin nothing more after so many")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="easel-forwards-") as folder:
            settings = EngineSettings(model=options.model, spool=folder, device=options.device)
            subject = machine.load(settings, lambda _stage, _share: None)
            budget = Budget(None if options.minutes is None else 60 * options.minutes)
            told = found(subject, options.rows, options.compile, budget)
    except (BrokenModel, Unreachable) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    text = json.dumps(told, indent=1)
    print(text)
    if options.json:
        options.json.write_text(f"{text}\n", encoding="utf-8")
    return 0


def found(
    subject: Machine,
    rows: Sequence[int],
    compiles: Sequence[int],
    budget: Budget,
    *,
    capture: Capture | None = None,
) -> dict[str, Any]:
    """All of it as plain data. `capture`: None for CUDA's graphs, where there is CUDA."""
    torch: Any = import_module("torch")
    is_cuda = subject.place.device.type == "cuda"
    notes: list[str] = []
    if capture is None and is_cuda:
        capture = captured
    if capture is None:
        notes.append("graphs: left out, they are CUDA's.")
    if not is_cuda:
        notes.append("compiled: left out, on a processor OpenVINO is what is compiled.")
        compiles = ()
    roof = machine.matmul_flops(subject)
    of_row = machine.flops_of_row(subject)
    with torch.inference_mode():
        equal = _equal(subject)
        widths: list[Width] = []
        for count in sorted(rows):
            if widths and budget.is_spent:
                notes.append(f"{count} rows and more: left out, the time was up.")
                break
            widths.append(_width(subject, count, capture, of_row / roof))
        shapes = [count for count in compiles if count in rows]
        compiled_s = _compiled(subject, shapes, budget, notes)
    told = [asdict(width) | {"compiled_s": compiled_s.get(width.rows)} for width in widths]
    return {"about": dict(subject.facts), "widths": told, "equal_widths": equal, "notes": notes}


def captured(forward: Forward) -> Forward:
    """A CUDA graph of it, as PyTorch's documentation records one: warmed up on a stream of its own first."""
    torch: Any = import_module("torch")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            forward()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = forward()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


def _batch(subject: Machine, rows: int) -> Rows:
    """Rows of noise, since zeros may be quicker, and tell bits apart badly."""
    from engine.unet.batch import noise

    family = subject.family()
    return noise(family.forwards.blank(2, (subject.info.width, subject.info.height)), rows)


def _width(subject: Machine, rows: int, capture: Capture | None, row_s: float) -> Width:
    """`row_s`: what a row would take at the matrix products' peak."""
    forwards, batch = subject.family().forwards, _batch(subject, rows)

    def eager() -> Tensor:
        return forwards(batch)

    eager_s = _best(subject, eager)
    graph_s = is_equal = None
    if capture is not None:
        repeat = capture(eager)
        graph_s = _best(subject, repeat)
        is_equal = bool(import_module("torch").equal(repeat(), eager()))
    return Width(
        rows=rows,
        eager_s=eager_s,
        graph_s=graph_s,
        is_graph_equal=is_equal,
        share_of_matmul=rows * row_s / eager_s,
    )


def _compiled(
    subject: Machine, rows: Sequence[int], budget: Budget, notes: list[str]
) -> dict[int, float | None]:
    """Seconds by rows of the compiled UNet; a compiler that fails is one of the notes."""
    from engine.unet.batch import forward

    torch: Any = import_module("torch")
    seconds: dict[int, float | None] = {}
    for count in rows:
        if budget.is_spent:
            notes.append(f"compiled, {count} rows: left out, the time was up.")
            break
        batch, begin = _batch(subject, count), time.monotonic()
        try:
            unet = torch.compile(subject.pipeline.unet, mode="reduce-overhead", dynamic=False)
            seconds[count] = _best(subject, lambda unet=unet, batch=batch: forward(unet, batch).clone())
        except Exception as error:  # noqa: BLE001 - whatever a compiler raises
            lines = [*str(error).strip().splitlines(), ""]
            notes.append(f"compiled, {count} rows: failed ({type(error).__name__}: {lines[0][:120]}).")
            break
        notes.append(f"compiled, {count} rows: took {time.monotonic() - begin:.0f} s to make and measure.")
    return seconds


def _best(subject: Machine, act: Callable[[], object]) -> float:
    """Seconds of the quickest of some calls, after those that do not count."""

    def whole() -> None:
        act()
        subject.synchronize()

    for _ in range(WARM_UPS):
        whole()
    return min(timed(whole) for _ in range(RUNS))


def _equal(subject: Machine) -> dict[str, list[int]]:
    """By the rows that a forward may have in wide: the widths with the same bits, none where even its slots differ."""
    family = subject.family()
    request = subject.info.request(prompt="a circle", seed=1, guidance_scale=5.0)
    canvas = family.prepare(request, request.seed)
    return {str(rows): sorted(family.forwards.equal_widths(canvas, rows) or ()) for rows in WIDE_ROWS}


if __name__ == "__main__":
    sys.exit(main())

"""`python -m workshop.bench`: Easel beside plain diffusers on this machine, as tables, JSON and a plot.

One process, one run, one pipeline for all sides: the same weights, dtype, sizes and kernels. In every round the sides
take turns over the same requests, ratios are taken round by round, and what is told is the median.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from engine.contract import STARTER, EngineSettings, Mode
from engine.errors import BrokenModel, Unreachable
from engine.loading import load
from workshop.bench import goals, machine, plan, plot, report
from workshop.bench.course import Course, measure_machine
from workshop.bench.machine import Machine
from workshop.bench.options import count, numbers, some_of
from workshop.bench.results import BASE, Results
from workshop.bench.sides import CouldNotDraw, Easel, Plain, Side, compiled

if TYPE_CHECKING:
    from engine.families.sd import SdFamily

SLOTS = 16
HASTENED = ("wide-openvino", "fast-openvino")
"""Sides for processors only."""
MAY_FAIL = ("compiled", *HASTENED)
"""Sides that are left out where they can't be made."""
SIDES = (BASE, "compiled", "static", "exact", "wide4", "wide8", "fast", *HASTENED)
EXIT_FAILED, EXIT_USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; failures that people can do something about are one sentence."""
    options = _parser().parse_args(arguments)
    log = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if options.plot and not plot.can_plot():
        log.print(plot.MISSING)
        return EXIT_USAGE
    try:
        results = measure(options, log)
    except (BrokenModel, Unreachable, CouldNotDraw) as error:
        log.print(str(error))
        return EXIT_FAILED
    wanted = goals.goals(results)
    report.show(results, wanted, Console(highlight=False, markup=False, width=options.width))
    if options.json:
        values = {**results.to_dict(), "goals": [goal.to_dict() for goal in wanted]}
        options.json.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.plot:
        plot.draw(results, options.plot)
    return 0


def measure(options: argparse.Namespace, log: Console) -> Results:
    """Raises BrokenModel, Unreachable or CouldNotDraw."""
    wanted = _plan(options)
    budget = plan.Budget(wanted.limit_s)
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        subject = machine.load(_settings(options, folder), _stages(log))
        results = Results(about=_about(subject, options, wanted), sides={})
        measure_machine(subject, wanted, results)
        sides = _sides(options, subject, Path(folder), results)
        try:
            course = Course(
                machine=subject,
                sides=sides,
                plan=wanted,
                budget=budget,
                results=results,
                folder=Path(folder),
                say=log.print,
            )
            return course.run()
        finally:
            for side in sides:
                side.close()


def _sides(options: argparse.Namespace, subject: Machine, folder: Path, results: Results) -> list[Side]:
    """Those that were asked for, the base always and first; what each one is and took to make goes into the results."""
    made: list[Side] = []
    for key, make in _makers(subject, folder, results.costs.knee if results.costs else 4).items():
        if key != BASE and (key not in options.sides or (key == "compiled" and not options.compile)):
            continue
        begin = time.monotonic()
        try:
            side = make()
        except Exception as error:
            if key not in MAY_FAIL:
                raise
            results.notes.append(
                f"{key}: left out, the model can't be made so here ({type(error).__name__}: {error})."
            )
            continue
        results.sides[key] = side.words
        results.warm_up_s[key] = time.monotonic() - begin
        made.append(side)
    return made


def _makers(subject: Machine, folder: Path, knee: int) -> dict[str, Callable[[], Side]]:
    def easel(key: str, words: str, mode: Mode, rows: int, family: SdFamily | None = None) -> Side:
        return Easel(
            key=key,
            words=words,
            family=family or subject.family(),
            model=subject.info,
            folder=folder,
            mode=mode,
            rows=rows,
            slots=SLOTS,
        )

    def plain(key: str, words: str, **how: Any) -> Side:
        return Plain(key=key, words=words, machine=subject, folder=folder, **how)

    batches = "(b) diffusers' static batches of up to 8 that agree in sampler, steps and guidance"
    fast = f"(e) Easel fast: up to {knee} rows, this machine's knee"

    def hastened(key: str, words: str, mode: Mode) -> Side:
        family = subject.hastened_family(SLOTS)
        runtime = family.forwards.runtime
        assert runtime is not None
        return easel(
            key, f"{words} on {runtime.words}: up to {runtime.rows} rows", mode, runtime.rows, family
        )

    wide4, wide8 = (f"(d) Easel wide: up to {rows} rows, filled up" for rows in (4, 8))
    return {
        BASE: lambda: plain(BASE, "(a) pipe(prompt), one after the other, as tutorials do"),
        "compiled": lambda: plain("compiled", "(a') the same, its UNet compiled", pipeline=compiled(subject)),
        "static": lambda: plain("static", batches, size=8),
        "exact": lambda: easel("exact", "(c) Easel exact: an image a forward", "exact", 2),
        "wide4": lambda: easel("wide4", wide4, "wide", 4),
        "wide8": lambda: easel("wide8", wide8, "wide", 8),
        "fast": lambda: easel("fast", fast, "fast", knee),
        "wide-openvino": lambda: hastened("wide-openvino", "(d) Easel wide", "wide"),
        "fast-openvino": lambda: hastened("fast-openvino", "(e) Easel fast", "fast"),
    }


def _stages(log: Console) -> load.OnProgress:
    """Says each stage of loading once."""
    told: set[str] = set()

    def tell(stage: str, share: float | None) -> None:
        del share
        if stage not in told:
            told.add(stage)
            log.print(f"{stage} …")

    return tell


# ------------------------------------------------------------------ what is asked for


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workshop.bench", description="Easel beside plain diffusers on this machine."
    )
    add = parser.add_argument
    add(
        "--model",
        default=STARTER,
        help=f"hub id, folder, “{STARTER}”, or with random weights {', '.join(machine.RANDOM)}",
    )
    add("--device", default="auto")
    add("--dtype", default="auto", choices=("auto", "float16", "bfloat16", "float32"))
    add("--offline", action="store_true", help="ask the hub for nothing")
    add("--channels-last", action="store_true", help="for all sides alike")
    add("--fused-qkv", action="store_true", help="for all sides alike")
    add(
        "--compile",
        action="store_true",
        help="also measure pipe() with its UNet compiled",
    )
    add("--quick", action="store_true", help="three minutes on two cores; rough")
    add("--sides", type=some_of(SIDES), default=SIDES, help=", ".join(SIDES))
    add("--parts", type=some_of(plan.PARTS), help=", ".join(plan.PARTS))
    add("--rounds", type=count, help="passes of every side over each workload")
    add("--arrivals", type=count, help="requests of each load of the open loop")
    add("--loads", type=numbers(float), help="such as 0.5,0.8: shares of what pipe() can draw")
    add("--users", type=numbers(int), help="such as 1,4,16")
    add("--batch", type=count, help="requests at once in the mixed and in the homogeneous workload")
    add("--pace", type=float, help="by what the mixed workload's steps are multiplied")
    add("--minutes", type=float, help="begin nothing more after so many")
    add("--json", type=Path, help="file for everything, raw seconds included")
    add("--plot", type=Path, help="PNG file: latency and throughput against load")
    add("--width", type=int, help="columns of the tables")
    return parser


def _plan(options: argparse.Namespace) -> plan.Plan:
    base = plan.QUICK if options.quick else plan.FULL
    chosen = {
        name: getattr(options, name)
        for name in ("rounds", "arrivals", "loads", "users", "parts", "batch", "pace")
    }
    if options.minutes is not None:
        chosen["limit_s"] = 60 * options.minutes
    if options.rounds is not None:
        chosen["lone"] = options.rounds
    return replace(base, **{name: value for name, value in chosen.items() if value is not None})


def _settings(options: argparse.Namespace, folder: str) -> EngineSettings:
    return EngineSettings(
        model=options.model,
        spool=folder,
        device=options.device,
        dtype=options.dtype,
        hub_offline=options.offline,
        channels_last="on" if options.channels_last else "off",
        fused_qkv="on" if options.fused_qkv else "off",
    )


def _about(subject: Machine, options: argparse.Namespace, wanted: plan.Plan) -> dict[str, Any]:
    memory = subject.place.device.type == "cuda"
    return {
        **subject.facts,
        "model": options.model,
        "size": f"{subject.info.width}x{subject.info.height}",
        "default picture": f"{subject.info.steps} steps of {subject.info.sampler}, "
        f"guidance {subject.info.guidance_scale:g}",
        "slots": SLOTS,
        "rounds": wanted.rounds,
        "rough": wanted.rough,
        "memory": "max_memory_reserved of each side"
        if memory
        else "by how much the process grew, as far as Linux tells: no measure of a side by itself",
    }


if __name__ == "__main__":
    sys.exit(main())

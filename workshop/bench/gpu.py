"""`python -m workshop.bench.gpu --json FILE`: all that is asked of a card in one run of less than eight minutes, for a day with one.

An ordered plan over the other benchmarks, what is worth most first; each part is a process with a time of its own, and the
file is written after each. Run again with the same file, only what it lacks is measured. Knows no torch.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from workshop.bench import apart, machine
from workshop.bench.apart import NoResult
from workshop.bench.options import some_of
from workshop.bench.plan import Budget

MINUTES = 7.75
"""Of the whole run; the parts' own limits are made for that."""
GRACE = 0.8
"""Of a part's limit, after which it is to begin nothing more."""
EXIT_FAILED, EXIT_USAGE = 1, 2
MEASURED, FAILED, LEFT_OUT = "measured", "failed", "left out"
BENCH, FORWARDS = "workshop.bench", "workshop.bench.forwards"
TINY = ("--quick", "--pace", "0.1", "--batch", "2", "--arrivals", "2")
"""What makes every part of the benchmark short enough for a processor that tries the run."""
NO_CUDA = "There is no CUDA device here: to try the run itself add --tiny, whose speeds say nothing."
OTHER = "was written by another run ({}): name another file, or delete it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One program, its words and the seconds after which it is ended."""

    name: str
    words: str
    limit_s: float
    module: str = BENCH
    arguments: tuple[str, ...]
    model: str = ""
    """Among those with random weights; "" where the program has its own."""
    needs_cuda: str = ""
    """Why it is left out without; "" where it is not."""
    has_end: bool = True
    """Whether it can be told after how many minutes to begin nothing more."""


PARTS = (
    Part(
        name="mixed",
        words="SD 1.5, 16 mixed requests at once: pipe(), static batches, exact, wide, fast; few steps; people who come",
        limit_s=130,
        model=machine.SD15_RANDOM,
        arguments=(
            *("--sides", "static,exact,wide8,fast", "--parts", "mixed,few,poisson", "--batch", "16"),
            *("--loads", "0.8", "--arrivals", "16", "--rounds", "2"),
        ),
    ),
    Part(
        name="compiled",
        words="SD 1.5, the same beside pipe() compiled",
        limit_s=120,
        model=machine.SD15_RANDOM,
        needs_cuda="it is a card's goal, and a processor's compiler takes minutes",
        arguments=(
            *("--compile", "--sides", "compiled,fast", "--parts", "mixed", "--batch", "16", "--rounds", "1"),
        ),
    ),
    Part(
        name="users",
        words="SD 1.5, one user and eight; peak memory of eight pictures",
        limit_s=60,
        model=machine.SD15_RANDOM,
        arguments=(
            *("--sides", "exact,fast", "--parts", "closed,memory", "--users", "1,8", "--batch", "8"),
            *("--rounds", "1"),
        ),
    ),
    Part(
        name="sdxl",
        words="SDXL at half of the steps, one user and eight; peak memory of eight pictures",
        limit_s=120,
        model=machine.SDXL_RANDOM,
        arguments=(
            *("--sides", "fast", "--parts", "closed,memory", "--users", "1,8", "--batch", "8"),
            *("--rounds", "1", "--pace", "0.5"),
        ),
    ),
    Part(
        name="forwards",
        words="SD 1.5, forwards by rows: torch, CUDA graphs, compiled; share of the matrix products' peak; equal widths",
        limit_s=80,
        module=FORWARDS,
        model=machine.SD15_RANDOM,
        arguments=("--rows", "1,2,4,8,16", "--compile", "2,8"),
    ),
    Part(
        name="fault",
        words="an engine whose device fails in a picture is replaced, and draws it again",
        limit_s=70,
        module="workshop.bench.recovery",
        arguments=(),
        has_end=False,
    ),
    *(
        Part(
            name=profile,
            words=f"SD 1.5 with profile {profile} within {limit} GB",
            limit_s=60,
            module="workshop.bench.card",
            model=machine.SD15_RANDOM,
            needs_cuda="a processor's memory can't be limited so",
            arguments=("--profile", profile, "--limit-gb", limit),
            has_end=False,
        )
        for profile, limit in (("low", "2.6"), ("balanced", "4"))
    ),
    Part(
        name="pixels",
        words="SD 1.5, bits alone and in a crowd: exact, wide, fast",
        limit_s=60,
        model=machine.SD15_RANDOM,
        arguments=("--sides", "exact,wide8,fast", "--parts", "pixels", "--batch", "4"),
    ),
)
Run = Callable[[Sequence[str], float], Any]


def main(
    arguments: Sequence[str] | None = None,
    *,
    run: Run | None = None,
    has_cuda: Callable[[], bool] | None = None,
) -> int:
    """Returns the exit code. `run` ends a process after so many seconds; both are other ones in tests."""
    options = _parser().parse_args(arguments)
    log = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    is_card = options.device != "cpu" and (has_cuda or _has_cuda)()
    if not is_card and not options.tiny:
        log.print(NO_CUDA)
        return EXIT_USAGE
    about = _about(options)
    try:
        kept = _read(options.json)
    except ValueError:
        log.print(f"{options.json} is no JSON: name another file, or delete it.")
        return EXIT_USAGE
    if kept is not None and kept.get("about") != about:
        log.print(f"{options.json} {OTHER.format(kept.get('about'))}")
        return EXIT_USAGE
    parts: dict[str, Any] = kept["parts"] if kept else {}
    budget, scale = Budget(60 * options.minutes), options.minutes / MINUTES
    for part in (part for part in PARTS if part.name in options.parts):
        if parts.get(part.name, {}).get("state") == MEASURED:
            log.print(f"{part.name}: measured before")
            continue
        part = replace(part, limit_s=scale * part.limit_s)  # noqa: PLW2901 - the same, longer
        left_s = 60 * options.minutes - budget.used_s
        parts[part.name] = _measured(part, options, left_s, run or in_process, is_card=is_card)
        log.print(f"{part.name}: {parts[part.name]['state']} {parts[part.name].get('why', '')}")
        _write(options.json, {"about": about, "parts": parts})
    show(parts, Console(highlight=False, markup=False, width=options.width))
    return 0 if all(parts[name]["state"] != FAILED for name in options.parts) else EXIT_FAILED


def _measured(
    part: Part, options: argparse.Namespace, left_s: float, run: Run, *, is_card: bool
) -> dict[str, Any]:
    """What is kept of a part."""
    told: dict[str, Any] = {"words": part.words}
    if part.needs_cuda and not is_card:
        return {**told, "state": LEFT_OUT, "why": f"without CUDA: {part.needs_cuda}"}
    if left_s < part.limit_s / 2:
        return {**told, "state": LEFT_OUT, "why": "no time was left: run it again with the same file"}
    limit_s, begin = min(part.limit_s, left_s), time.monotonic()
    try:
        result = run(command(part, options.device, limit_s, is_tiny=options.tiny), limit_s)
    except NoResult as error:
        return {**told, "state": FAILED, "why": str(error)}
    return {**told, "state": MEASURED, "took_s": round(time.monotonic() - begin, 1), "result": result}


def command(part: Part, device: str, limit_s: float, *, is_tiny: bool) -> list[str]:
    """The part's module and what it is told, without the file for its JSON."""
    words = [part.module, *part.arguments, "--device", device]
    if part.model:
        words += ["--model", part.model.replace("-random", "-tiny") if is_tiny else part.model]
    if is_tiny and part.module == BENCH:
        words += TINY
    if part.has_end:
        words += ["--minutes", f"{GRACE * limit_s / 60:.2f}"]
    return words


def in_process(words: Sequence[str], limit_s: float) -> Any:
    """The JSON of a part's process, ended after so many seconds. Raises NoResult."""
    return apart.result_of([*words, "--json"], limit_s=limit_s)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _about(options: argparse.Namespace) -> dict[str, str]:
    """What must be the same for parts in one file."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "diffusers")}
    return {"device": options.device, "models": "tiny" if options.tiny else "real size", **versions}


def _read(file: Path | None) -> Any:
    if file is None or not file.exists():
        return None
    return json.loads(file.read_text(encoding="utf-8"))


def _write(file: Path | None, values: dict[str, Any]) -> None:
    """Whole or not at all: the run may be ended at any moment."""
    if file is None:
        return
    partial = file.with_name(f".{file.name}.part")
    partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(file)


# ------------------------------------------------------------------ what is told


def show(parts: dict[str, Any], console: Console) -> None:
    """What each part came to, then the goals that were measured."""
    table = Table("part", "", "s", "what it is, or why not", title="parts")
    for name, told in parts.items():
        why = told.get("why")
        table.add_row(name, told["state"], f"{told.get('took_s', '')}", why or told["words"])
    console.print(table)
    seen: set[str] = set()  # some goals are measured in every part
    for name, told in parts.items():
        for line in _lines(told.get("result") or {}):
            if line not in seen:
                console.print(f"{name}: {line}")
            seen.add(line)


def _lines(result: dict[str, Any]) -> Iterator[str]:
    """Goals of the benchmark, forwards by rows, or what a card or an engine did."""
    for goal in result.get("goals", ()):
        if goal["measured"] is not None:
            sign = "≤" if goal["is_limit"] else "≥"
            verdict = "met" if goal["is_met"] else "missed"
            yield f"{goal['name']}: {goal['measured']:.2f}{goal['unit']}, {sign} {goal['bound']:g} {verdict}"
    for side, peak in result.get("memory", {}).items():
        if peak is not None:
            yield f"peak memory of eight pictures, {side}: {peak / 1e9:.2f} GB"
    for width in result.get("widths", ()):
        cells = [f"{1000 * width['eager_s']:.1f} ms"]
        cells += [
            f"{words} {1000 * width[key]:.1f} ms"
            for words, key in (("as a graph", "graph_s"), ("compiled", "compiled_s"))
            if width[key] is not None
        ]
        yield f"{width['rows']} rows: {', '.join(cells)}; {100 * width['share_of_matmul']:.0f} % of the matrix products"
    for rows, equal in result.get("equal_widths", {}).items():
        yield f"wide with {rows} rows, equal bits at: {', '.join(map(str, equal)) or 'none'}"
    if "said" in result:
        yield result["said"]
    if "through_s" in result:
        verdict = "drawn again, equal" if result["holds"] else "NOT drawn again as it was"
        yield f"{result['fault'] or 'no fault'}: {verdict}, {result['through_s']:.1f} s for {result['before_s']:.1f} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.gpu", description=__doc__)
    add = parser.add_argument
    names = tuple(part.name for part in PARTS)
    add("--json", type=Path, help="file for everything, and from which an earlier run is gone on with")
    add("--parts", type=some_of(names), default=names, help=", ".join(names))
    add("--device", default="auto")
    add(
        "--minutes", type=float, default=MINUTES, help="of the whole run; the parts' limits are in proportion"
    )
    add("--tiny", action="store_true", help="with models of no size, to try the run itself")
    add("--width", type=int, help="columns of the tables")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""`python -m workshop.bench.peers`: Easel beside other programs on this machine, with one file of the same weights.

Every side has a process of its own, one at a time, since few machines have memory for all of them; in every round they take
turns over the same requests. Ratios are those of rounds, and what is told is their median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.contract import EngineSettings
from engine.device import fingerprint
from engine.openvino.files import CPUINFO
from workshop.bench import apart, report
from workshop.bench.apart import NoResult
from workshop.bench.figures import Part, figures_of
from workshop.bench.goals import Goal
from workshop.bench.load import Record
from workshop.bench.options import count, some_of
from workshop.bench.peers import child, programs
from workshop.bench.peers.child import EASEL, EASEL_BF16, PARTS, PIPE_BF16, PREPARE, SIDES, Order
from workshop.bench.peers.programs import CPP
from workshop.bench.plan import Budget
from workshop.bench.results import BASE, Results

EXIT_FAILED = 1
WANTED = 1.3
"""Images a second for four users, of the better of torch and stable-diffusion.cpp."""
RIVALS = {EASEL: (BASE, CPP), EASEL_BF16: (BASE, PIPE_BF16, CPP)}
"""What each of Easel's sides is held against."""
Run = Callable[[Order], dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class Found:
    """What all rounds came to."""

    results: Results
    cpu_s: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])
    """Seconds of processors for a picture, by part and side, one a round: others on this machine change them less."""

    def to_dict(self) -> dict[str, Any]:
        values = {**self.results.to_dict(), "cpu_s_a_picture": self.cpu_s}
        return {**values, "goals": [goal.to_dict() for goal in goals(self)]}


def main(arguments: Sequence[str] | None = None, run: Run | None = None) -> int:
    """Returns the exit code. `run` has an order carried out, in a process of its own unless told otherwise."""
    options = _parser().parse_args(arguments)
    log = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="easel-peers-") as usual:
        folder = options.folder or Path(usual)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            found = measure(options, folder.absolute(), run or in_process, log)
        except NoResult as error:
            log.print(f"Nothing could be measured: {error}")
            return EXIT_FAILED
    _show(found, Console(highlight=False, markup=False, width=options.width))
    return 0


def measure(options: argparse.Namespace, folder: Path, run: Run, log: Console) -> Found:
    """Raises NoResult where the model can't be made, or nobody can draw with it."""
    budget = Budget(None if options.minutes is None else 60 * options.minutes)
    order = Order(
        side=PREPARE,
        folder=str(folder),
        pixels=options.pixels,
        steps=options.steps,
        users=options.users,
        asks=options.asks or 2 * options.users,
        parts=options.parts,
        turn=0,
    )
    found = Found(results=Results(about=_about(options, order), sides={}))
    left = [side for side in options.sides if _is_there(side, found.results, log)]
    log.print("making the model, once …")
    run(order)
    for turn in range(options.rounds):
        if budget.is_spent:
            found.results.notes.append(f"{turn} of {options.rounds} rounds, then the time was up.")
            break
        order_of_turn = left if turn % 2 == 0 else left[::-1]
        passes: dict[str, dict[str, Any]] = {}
        for side in order_of_turn:
            try:
                passes[side] = run(replace(order, side=side, turn=turn))
            except NoResult as error:
                log.print(f"{side}: left out, it failed ({error})")
                found.results.notes.append(f"{side}: left out, it failed ({error}).")
                continue
            log.print(f"round {turn + 1} of {options.rounds}: {side} {_seconds(passes[side])}")
        if not passes:
            raise NoResult("no side could draw.")
        left = [side for side in left if side in passes]
        _add(found, replace(order, turn=turn), {side: passes[side] for side in left})
        if options.json:  # after each: it takes long
            text = json.dumps(found.to_dict(), indent=1, ensure_ascii=False)
            options.json.write_text(f"{text}\n", encoding="utf-8")
    return found


def _is_there(side: str, results: Results, log: Console) -> bool:
    if words := programs.missing(side):
        log.print(words)
        results.notes.append(f"{words}.")
    return not words


def _seconds(told: dict[str, Any]) -> str:
    return ", ".join(
        f"{part} {max(done for *_, done in values['records']):.0f} s"
        for part, values in told["parts"].items()
    )


def in_process(order: Order) -> dict[str, Any]:
    """A process of its own. Raises NoResult."""
    return apart.result_of(["workshop.bench.peers.child"], given=json.dumps(asdict(order)))


# ------------------------------------------------------------------ what is kept


def _add(found: Found, order: Order, passes: dict[str, dict[str, Any]]) -> None:
    """A round that every side has completed; a side that failed leaves the earlier rounds, too."""
    results = found.results
    for side, told in passes.items():
        results.sides[side] = told["words"]
        results.warm_up_s.setdefault(side, told["ready_s"])
        if (peak := told["peak_bytes"]) is not None:
            results.memory[side] = max(peak, results.memory.get(side) or 0)
    for name in order.parts:
        part = results.part(name)
        if part is None:
            part = Part(name=name, words=_words(order, name))
            results.parts.append(part)
        for kept in (part.passes, part.rounds):
            for gone in set(kept) - set(passes):
                del kept[gone]
        requests = order.requests(name)
        rows = sum(request.evaluations * (2 if request.guidance_scale > 1 else 1) for request in requests)
        rounds: dict[str, Any] = {}
        for side, told in passes.items():
            values = told["parts"][name]
            records = [
                Record(number=number, at=at, seen=seen, done=done)
                for number, at, seen, done in values["records"]
            ]
            rounds[side] = records, figures_of(records, rows)
            used = found.cpu_s.setdefault(name, {}).setdefault(side, [])
            used.append(values["cpu_s"] / len(records))
        part.add(rounds)


def _words(order: Order, part: str) -> str:
    guided = f"{order.steps} steps with guidance"
    return {
        "lone": f"one request, {guided}",
        "mixed": "8 requests at once, of mixed steps and guidance, Euler and Euler a",
        "users": f"{order.users} users, {order.asks} requests of {guided} in all",
    }[part]


def _about(options: argparse.Namespace, order: Order) -> dict[str, Any]:
    return {
        "model": "Stable Diffusion 1.5's architecture at its full size, random weights, one file in float16",
        "size": f"{order.pixels}x{order.pixels}",
        "processor": _processor(),
        "threads": fingerprint.cores(),
        "rounds": options.rounds,
        "memory": "peak of each side's own process, loading included",
    }


def _processor() -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


# ------------------------------------------------------------------ what is told


def goals(found: Found) -> list[Goal]:
    """Easel beside the better of those that it is held against, for users and in seconds of processors."""
    return [
        Goal(
            name=f"users, images/s: {side} beside the better of {' and '.join(rivals)}",
            measured=_gain(found.results, side, rivals),
            bound=WANTED,
            is_limit=False,
        )
        for side, rivals in RIVALS.items()
    ]


def _gain(results: Results, side: str, rivals: Sequence[str]) -> float | None:
    part = results.part("users")
    if part is None:
        return None
    gains = [part.ratio(side, rival, lambda one: one.images_per_s) for rival in rivals]
    return min((gain for gain in gains if gain is not None), default=None)


def _show(found: Found, console: Console) -> None:
    report.show(found.results, goals(found), console)
    table = Table("side", *found.cpu_s, title=f"seconds of processors for a picture (x {BASE})")
    for side in found.results.sides:
        table.add_row(side, *(_cpu_cell(values, side) for values in found.cpu_s.values()))
    console.print(table)


def _cpu_cell(values: dict[str, list[float]], side: str) -> str:
    mine, base = values.get(side), values.get(BASE)
    if not mine:
        return ""
    ratio = f" ({statistics.median(mine) / statistics.median(base):.2f}x)" if base else ""
    return f"{statistics.median(mine):.3g}{ratio}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.peers", description=__doc__)
    add = parser.add_argument
    add("--sides", type=some_of(SIDES), default=SIDES, help=", ".join(SIDES))
    add("--parts", type=some_of(PARTS), default=PARTS, help=", ".join(PARTS))
    add("--pixels", type=int, default=512, help="a side of each picture")
    add("--steps", type=count, default=4)
    add("--users", type=count, default=4)
    add("--asks", type=count, help="pictures that they ask for in all; two each")
    add("--rounds", type=count, default=3)
    add("--minutes", type=float, help="begin no more rounds after so many")
    add("--folder", type=Path, help="where the model is kept from one run to the next (10 GB)")
    add("--json", type=Path, help="file for everything")
    add("--width", type=int, help="columns of the tables")
    return parser


if __name__ == "__main__":
    fingerprint.prepare_environment(EngineSettings(model=child.PREPARE, spool="."))
    sys.exit(main())

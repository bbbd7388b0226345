"""`python -m workshop.rehearsal.simulation.waiting`: how long people wait before 1, 10 and 100 engines, and how fairly.

The line and the fleet are the bot's own, in virtual time; beside them the same line before engines of which the least busy
one is taken, and that before a line in which whoever comes first is served first. Prints tables.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from random import Random
from statistics import fmean

import structlog

from workshop.bench.options import count, numbers
from workshop.rehearsal.simulation.crowds import MODEST, jain, regulars, visitors
from workshop.rehearsal.simulation.hall import Outcome, Way, insisted, visited

PEOPLE, LOAD = 10_000, 0.6
REGULARS, THEIR_ENGINES, HOURS = 50, 10, 2.0
SLOW = 0.5
"""How fast every third engine is."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m workshop.rehearsal.simulation.waiting", description=__doc__
    )
    parser.add_argument("--people", type=count, default=PEOPLE, help="who come and go")
    parser.add_argument("--engines", type=numbers(int), default=(1, 10, 100), help="such as 1,10,100")
    parser.add_argument(
        "--load", type=float, default=LOAD, help="share of the time for which they would be busy"
    )
    parser.add_argument(
        "--hours", type=float, default=HOURS, help="of those who always have something in line"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    engines = [int(each) for each in options.engines]
    first = come_and_go(options.people, engines, options.load, options.seed)
    for line in chain(first, [""], insist(options.hours, options.seed)):
        print(line, flush=True)
    return 0


def speeds(engines: int) -> list[float]:
    """Every third is slower: not all cards are bought in one year."""
    return [SLOW if number % 3 == 2 else 1.0 for number in range(engines)]


def come_and_go(people: int, engines: Sequence[int], load: float, seed: int) -> Iterator[str]:
    yield f"| engines | {people:,} people | pictures | they waited: median, p95, p99 | of who wants up to {MODEST} | models read | drew |"
    yield "|---|---|---|---|---|---|---|"
    for number in engines:
        for way in Way if number > 1 else (Way.EASEL, Way.FIRST_COME):
            asks = visitors(people, sum(speeds(number)), load, Random(seed))
            outcome = visited(asks, speeds(number), way)
            wanted = Counter(ask.user_id for ask in asks)
            modest = [each.waiting_s for each in outcome.pictures if wanted[each.user_id] <= MODEST]
            all_of = [each.waiting_s for each in outcome.pictures]
            told = (number, way, f"{len(asks):,}", _spread(all_of), _spread(modest), *_busy(outcome))
            yield f"| {' | '.join(map(str, told))} |"


def insist(hours: float, seed: int) -> Iterator[str]:
    yield (
        f"| {THEIR_ENGINES} engines, {REGULARS} people | pictures | each person's turn: median, p95, p99 | Jain's index of waiting "
        "| of pictures | models read | drew |"
    )
    yield "|---|---|---|---|---|---|---|"
    for way in Way:
        outcome = insisted(regulars(REGULARS, Random(seed)), speeds(THEIR_ENGINES), way, hours)
        turns = outcome.turns_s
        waiting = jain([fmean(each) for each in turns.values()])
        served = jain([len(each) for each in turns.values()])
        all_of = [seconds for each in turns.values() for seconds in each]
        told = (
            way,
            f"{len(all_of):,}",
            _spread(all_of),
            f"{waiting:.3f}",
            f"{served:.3f}",
            *_busy(outcome),
        )
        yield f"| {' | '.join(told)} |"


def _busy(outcome: Outcome) -> tuple[str, str]:
    return f"{outcome.reads:,}", f"{100 * outcome.busy:.0f} %"


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    found = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99))
    return f"{', '.join(f'{each:.0f}' for each in found)} s"


if __name__ == "__main__":
    sys.exit(main())

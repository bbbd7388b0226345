"""Runs the parts of the benchmark, every side in turns; knows sides and plans, no printing and no files to write."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from engine.contract import GenerationRequest, Mode
from workshop.bench import checks, machine, workloads
from workshop.bench.figures import Figures, Part, figures_of
from workshop.bench.load import Arrivals, Record, Schedule, Users
from workshop.bench.machine import Machine
from workshop.bench.plan import Budget, Plan
from workshop.bench.results import BASE, Results, Roof
from workshop.bench.sides import Easel, Side

SHARE_STEPS = 6
"""Steps over which the samplers' share is measured."""
_WARM_UP = 1000
"""The first number of rounds that are not measured: their prompts and seeds are others."""
Say = Callable[[str], None]


class Course:
    """One run over one machine."""

    def __init__(
        self,
        *,
        machine: Machine,
        sides: Sequence[Side],
        plan: Plan,
        budget: Budget,
        results: Results,
        folder: Path,
        say: Say,
    ) -> None:
        self._machine, self._plan, self._results = machine, plan, results
        self._sides = {side.key: side for side in sides}
        self._budget = budget
        self._folder = folder
        self._say = say

    def run(self) -> Results:
        """Everything in the plan, as far as the time goes."""
        self._warm_up()
        self._turns()
        self._samplers()
        parts: dict[str, Callable[[], None]] = {
            "lone": self._lone,
            "mixed": partial(self._batch, "mixed"),
            "pixels": self._pixels,
            "few": self._few,
            "images": self._images,
            "poisson": self._poisson,
            "homogeneous": partial(self._batch, "homogeneous"),
            "closed": self._closed,
            "burst": partial(self._batch, "burst"),
            "memory": self._memory,
        }
        for name, part in parts.items():
            if name in self._plan.parts:
                part()
        return self._results

    # -------------------------------------------------------------- what is asked

    def _homogeneous(self, count: int, turn: int) -> list[GenerationRequest]:
        return workloads.homogeneous(self._machine.info, count, turn)

    def _mixed(self, count: int, turn: int) -> list[GenerationRequest]:
        return workloads.mixed(self._machine.info, count, turn, self._plan.pace)

    # -------------------------------------------------------------- rounds

    def _part(
        self,
        name: str,
        words: str,
        rounds: int,
        requests_of: Callable[[int], list[GenerationRequest]],
        arrivals_of: Callable[[list[GenerationRequest], int], Arrivals],
    ) -> Part | None:
        """In every round each side serves the same requests; a round that the time cuts short does not count."""
        part = Part(name=name, words=words)
        for turn in range(rounds):
            requests = requests_of(turn)
            passes: dict[str, tuple[Sequence[Record], Figures]] = {}
            for side in self._sides.values():
                if self._budget.is_spent:
                    break
                passes[side.key] = self._pass(side, requests, arrivals_of(requests, turn))
            if len(passes) < len(self._sides):
                self._results.notes.append(f"{name}: {turn} of {rounds} rounds, then the time was up.")
                break
            part.add(passes)
            self._say(_progress(part, turn, rounds))
        if not part.rounds:
            return None
        self._results.parts.append(part)
        return part

    def _pass(
        self, side: Side, requests: list[GenerationRequest], arrivals: Arrivals
    ) -> tuple[Sequence[Record], Figures]:
        records = side.serve(arrivals)
        checks.discard(records)
        rows = sum(self._machine.rows_of(request) for request in requests)
        return records, figures_of(records, rows)

    def _at_once(self, requests: list[GenerationRequest], turn: int) -> Arrivals:
        del turn
        return Schedule(workloads.at_once(requests))

    def _warm_up(self) -> None:
        """Every shape that will come, so that nothing is compiled, chosen or fitted while it is measured."""
        kinds = self._mixed(len(workloads.DECK), _WARM_UP)
        for number, side in enumerate(self._sides.values(), 1):
            begin = time.monotonic()
            turn = _WARM_UP + number
            alike = self._homogeneous(self._plan.batch, turn)
            few = workloads.few(self._machine.info, self._plan.few_users, turn)
            for requests in (alike, kinds, few):
                checks.discard(side.serve(self._at_once(_shortened(requests), 0)))
            made_s = self._results.warm_up_s.get(side.key, 0.0)
            self._results.warm_up_s[side.key] = round(made_s + time.monotonic() - begin, 2)
            self._say(f"warm: {side.words}")

    # -------------------------------------------------------------- parts

    def _lone(self) -> None:
        words = "one request at a time, the model's defaults"
        self._part("lone", words, self._plan.lone, partial(self._homogeneous, 1), self._at_once)

    def _batch(self, name: str) -> None:
        count = self._plan.burst if name == "burst" else self._plan.batch
        kind = self._homogeneous if name == "homogeneous" else self._mixed
        words = {
            "homogeneous": f"{count} requests at once, all with the model's defaults",
            "mixed": f"{count} requests at once, of mixed steps, guidance and samplers",
            "burst": f"{count} mixed requests at once",
        }
        self._part(name, words[name], self._plan.rounds, partial(kind, count), self._at_once)

    def _few(self) -> None:
        users = self._plan.few_users
        count = self._plan.asks_of(users)
        words = f"{users} users, {count} requests of {workloads.FEW_STEPS} steps without guidance"

        def arrivals(requests: list[GenerationRequest], turn: int) -> Arrivals:
            del turn
            return Users(users, requests)

        self._part(
            "few", words, self._plan.rounds, partial(workloads.few, self._machine.info, count), arrivals
        )

    def _images(self) -> None:
        if not self._machine.info.takes_images:
            self._results.notes.append("images: left out, this model starts from no images.")
            return
        count = self._plan.batch
        words = f"{count} mixed requests at once, every second one from an image at strength 0.3 to 1"

        def requests(turn: int) -> list[GenerationRequest]:
            return workloads.with_images(
                self._machine.info, count, turn, self._machine.images, self._plan.pace
            )

        self._part("images", words, self._plan.rounds, requests, self._at_once)

    def _poisson(self) -> None:
        mixed = self._results.part("mixed")
        if mixed is None:
            self._results.notes.append("poisson: left out, because the mixed part that it builds on was.")
            return
        capacity = mixed.of(BASE).images_per_s
        for load in self._plan.loads:
            rate = load * capacity

            def arrivals(requests: list[GenerationRequest], turn: int, rate: float = rate) -> Arrivals:
                return Schedule(workloads.scheduled(requests, workloads.poisson(rate, len(requests), turn)))

            words = (
                f"{self._plan.arrivals} mixed requests, {rate:.3g} a second: {load:g} of what pipe() can draw"
            )
            self._part(
                f"poisson {load:g}",
                words,
                self._plan.rounds,
                partial(self._mixed, self._plan.arrivals),
                arrivals,
            )

    def _closed(self) -> None:
        for users in self._plan.users:
            count = self._plan.asks_of(users)

            def arrivals(requests: list[GenerationRequest], turn: int, users: int = users) -> Arrivals:
                del turn
                return Users(users, requests)

            words = f"{users} user{'s' if users > 1 else ''}, {count} mixed requests in all, to the last one's end"
            self._part(f"closed {users}", words, self._plan.rounds, partial(self._mixed, count), arrivals)

    def _pixels(self) -> None:
        if self._budget.is_spent:
            self._results.notes.append("pixels: left out, the time was up.")
            return
        requests = self._mixed(self._plan.batch, 2 * _WARM_UP)
        mixed = self._results.part("mixed")
        spacing = 0.5 / mixed.of(BASE).images_per_s if mixed else 0.1
        compared = [side for side in self._sides.values() if side.key != BASE]
        self._results.pixels += checks.compare_all(self._sides[BASE], compared, requests, spacing)
        self._say("pixels compared")

    def _memory(self) -> None:
        """Of the homogeneous workload, at which static batches are full."""
        for side in self._sides.values():
            if self._budget.is_spent:
                self._results.notes.append("memory: not of every side, the time was up.")
                return
            requests = self._homogeneous(self._plan.batch, 3 * _WARM_UP)
            act = partial(self._pass, side, requests, self._at_once(requests, 0))
            self._results.memory[side.key] = machine.peak_bytes(self._machine, act)

    # -------------------------------------------------------------- what needs no rounds

    def _turns(self) -> None:
        """In each mode once: wide and fast differ only in how many have room."""
        rows: dict[Mode, int] = {"exact": 2, "wide": 4, "fast": 4}
        modes: list[Mode] = [side.mode for side in self._sides.values() if isinstance(side, Easel)]
        for mode in dict.fromkeys(modes):
            self._results.turns.append(checks.turns(self._machine, self._folder, mode, rows[mode]))

    def _samplers(self) -> None:
        requests = self._mixed(len(workloads.DECK), _WARM_UP)
        knee = self._results.costs.knee if self._results.costs else 2
        for pictures in sorted({1, max(1, knee // 2)}):
            self._results.samplers.append(
                checks.sampler_share(self._machine, requests, pictures, SHARE_STEPS)
            )


def measure_machine(subject: Machine, plan: Plan, results: Results) -> None:
    """What forwards cost, and what of the machine's matrix products that is."""
    results.costs = machine.costs(subject, plan.probe_s)
    try:
        results.roof = Roof(
            flops_of_row=machine.flops_of_row(subject), matmul_flops=machine.matmul_flops(subject)
        )
    except (RuntimeError, NotImplementedError) as error:  # the counter does not know every device's kernels
        results.notes.append(f"The share of the matrix products' peak could not be measured ({error}).")


def _shortened(requests: Sequence[GenerationRequest]) -> list[GenerationRequest]:
    """With two steps each, for the samplers' and the shapes' sake."""
    return [replace(request, steps=min(2, request.steps)) for request in requests]


def _progress(part: Part, turn: int, rounds: int) -> str:
    speeds = ", ".join(f"{side} {figures[-1].images_per_s:.2f}" for side, figures in part.rounds.items())
    return f"{part.name}, round {turn + 1} of {rounds}: images/s {speeds}"

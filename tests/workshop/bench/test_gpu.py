"""Everything that is measured on a card in one run: its plan, and its parts as far as a processor can try them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from engine.contract import EngineSettings, FakeSettings
from engine.errors import BrokenModel
from workshop.bench import __main__ as program
from workshop.bench import apart, card, forwards, gpu, machine, recovery
from workshop.bench.apart import NoResult
from workshop.bench.figures import Figures, Part
from workshop.bench.goals import goals
from workshop.bench.gpu import LEFT_OUT, MEASURED, PARTS
from workshop.bench.machine import Machine
from workshop.bench.plan import Budget
from workshop.bench.results import BASE, Results

pytestmark = pytest.mark.xdist_group("bench")
NAMES = [part.name for part in PARTS]


class Ran:
    """Stands for the parts' processes: remembers what they were told, and what the file held then."""

    def __init__(self, file: Path, ended: Callable[[str], Any] = lambda _: {}) -> None:
        self.file, self.ended = file, ended
        self.commands: list[Sequence[str]] = []
        self.kept: list[list[str]] = []

    def __call__(self, words: Sequence[str], limit_s: float) -> Any:
        assert limit_s > 0
        self.commands.append(words)
        self.kept.append(list(json.loads(self.file.read_text())["parts"]) if self.file.exists() else [])
        return self.ended(words[0])

    def main(self, *words: str, is_card: bool = True) -> int:
        return gpu.main(
            ["--json", str(self.file), "--width", "200", *words], run=self, has_cuda=lambda: is_card
        )

    @property
    def states(self) -> dict[str, str]:
        return {name: told["state"] for name, told in json.loads(self.file.read_text())["parts"].items()}


# ------------------------------------------------------------------ the plan


@pytest.mark.parametrize("part", PARTS, ids=NAMES)
@pytest.mark.parametrize("is_tiny", [False, True])
def test_each_program_takes_its_words(part: gpu.Part, is_tiny: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day with a card is no day for typing errors: no command line is refused, at its real size or tiny."""

    def no_model(*_: Any) -> Machine:
        raise BrokenModel("no model")

    async def no_bot(*_: Any) -> recovery.Recovery:
        return recovery.Recovery(fault="", before_s=1, through_s=1, attempts=1, is_equal=True)

    monkeypatch.setattr(machine, "load", no_model)
    monkeypatch.setattr(recovery, "recovered", no_bot)
    module, *words = gpu.command(part, "cpu", 60.0, is_tiny=is_tiny)
    mains = {
        gpu.BENCH: program.main,
        gpu.FORWARDS: forwards.main,
        "workshop.bench.card": card.main,
        "workshop.bench.recovery": recovery.main,
    }
    assert mains[module](words) == 1
    assert ("tiny" in " ".join(words)) == (is_tiny and bool(part.model))


def test_the_file_is_written_after_each_part_and_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was measured is not measured again; what failed is."""
    broken = {"workshop.bench.recovery"}

    def ended(module: str) -> Any:
        if module in broken:
            raise NoResult("it fell over")
        return {}

    ran = Ran(tmp_path / "gpu.json", ended)
    assert ran.main() == 1
    assert ran.kept == [NAMES[:number] for number in range(len(NAMES))]
    assert [name for name, state in ran.states.items() if state != MEASURED] == ["fault"]
    assert "it fell over" in capsys.readouterr().out

    broken.clear()
    again = Ran(ran.file)
    assert again.main() == 0
    assert [words[0] for words in again.commands] == ["workshop.bench.recovery"]
    assert set(again.states.values()) == {MEASURED}


def test_what_needs_cuda_is_left_out_without(tmp_path: Path) -> None:
    """Each with its reason; and a processor is told that only --tiny makes sense."""
    ran = Ran(tmp_path / "gpu.json")
    assert ran.main(is_card=False) == 2
    assert not ran.commands
    assert ran.main("--tiny", is_card=False) == 0
    told = json.loads(ran.file.read_text())["parts"]
    left_out = {name: part["why"] for name, part in told.items() if part["state"] == LEFT_OUT}
    assert list(left_out) == ["compiled", "low", "balanced"]
    assert left_out["low"] == "without CUDA: a processor's memory can't be limited so"


def test_a_run_ends_in_time(tmp_path: Path) -> None:
    """When the minutes are over nothing more is begun, and the next run begins with that."""

    def slowly(_: str) -> Any:
        time.sleep(0.07)
        return {}

    ran = Ran(tmp_path / "gpu.json", slowly)
    assert ran.main("--minutes", "0.001") == 0
    assert list(ran.states.values()) == [MEASURED] + [LEFT_OUT] * (len(NAMES) - 1)
    again = Ran(ran.file)
    assert again.main() == 0
    assert len(again.commands) == len(NAMES) - 1


def test_files_of_other_runs_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parts of different devices, or with models of no size, never meet in one file; nor is any other file overwritten."""
    ran = Ran(tmp_path / "gpu.json")
    ran.main("--tiny", "--parts", "fault")
    assert ran.main("--parts", "fault") == 2
    assert "name another file" in capsys.readouterr().err
    ran.file.write_text("hello")
    assert ran.main("--parts", "fault") == 2
    assert ran.file.read_text() == "hello"


def test_a_part_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that dies says its last line; what one writes is its result, whatever its exit code."""

    def hangs(words: Sequence[str], *, timeout: float, **_: Any) -> Any:
        raise subprocess.TimeoutExpired(words, timeout)

    def dies(words: Sequence[str], **_: Any) -> Any:
        return subprocess.CompletedProcess(words, 1, stderr="Traceback\nRuntimeError: no memory\n")

    def writes(words: Sequence[str], **_: Any) -> Any:
        assert words[2:-1] == ["module", "--json"]
        Path(words[-1]).write_text('{"said": "too much"}')
        return subprocess.CompletedProcess(words, 1, stderr="")

    monkeypatch.setattr(apart.subprocess, "run", hangs)
    with pytest.raises(NoResult, match="it was ended after 7 s"):
        gpu.in_process(["module"], 7.0)
    monkeypatch.setattr(apart.subprocess, "run", dies)
    with pytest.raises(NoResult, match=r"^RuntimeError: no memory$"):
        gpu.in_process(["module"], 7.0)
    monkeypatch.setattr(apart.subprocess, "run", writes)
    assert gpu.in_process(["module"], 7.0) == {"said": "too much"}


def test_what_was_found_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goals that were measured, once where several parts found the same, forwards by rows, what a profile and an engine did."""
    width = {"rows": 2, "eager_s": 0.02, "graph_s": 0.015, "compiled_s": None, "share_of_matmul": 0.4}
    goal = {"name": "fast", "unit": "x", "bound": 4.0, "is_limit": False}
    results = {
        gpu.BENCH: {
            "goals": [
                {**goal, "measured": 4.2, "is_met": True},
                {**goal, "name": "other", "measured": None, "is_met": None},
            ],
            "memory": {"fast": 5_000_000_000},
        },
        gpu.FORWARDS: {"widths": [width], "equal_widths": {"8": [2, 4, 8], "16": []}},
        "workshop.bench.card": {"said": "drawn within 2.6 GB"},
        "workshop.bench.recovery": {
            "fault": "an assertion",
            "holds": True,
            "before_s": 1.0,
            "through_s": 9.0,
        },
    }
    ran = Ran(tmp_path / "gpu.json", lambda module: results[module])
    assert ran.main() == 0
    told = capsys.readouterr().out
    for words in (
        "mixed: fast: 4.20x, ≥ 4 met",
        "mixed: peak memory of eight pictures, fast: 5.00 GB",
        "forwards: 2 rows: 20.0 ms, as a graph 15.0 ms; 40 % of the matrix products",
        "forwards: wide with 8 rows, equal bits at: 2, 4, 8",
        "forwards: wide with 16 rows, equal bits at: none",
        "low: drawn within 2.6 GB",
        "fault: an assertion: drawn again, equal, 9.0 s for 1.0 s",
    ):
        assert words in told
    assert "other" not in told
    assert told.count("4.20x") == 1


def test_eight_users_are_held_against_one() -> None:
    """On a card alone: by the same side's images a second, alone and with seven others."""

    def part(name: str, images_per_s: float) -> Part:
        rest = dict.fromkeys(("rows_per_s", "p50", "p95", "blind_p50", "blind_p95"), 1.0)
        made = Part(name=name, words="")
        made.add({side: ([], Figures(images_per_s=images_per_s, **rest)) for side in (BASE, "fast")})
        return made

    def gains(device: str, *parts: Part) -> list[Any]:
        found = goals(Results(about={"device": device}, sides={}, parts=list(parts)))
        return [(goal.measured, goal.is_met) for goal in found if "users beside one" in goal.name]

    assert gains("NVIDIA H200", part("closed 1", 2.0), part("closed 8", 6.0)) == [(3.0, True)]
    assert gains("NVIDIA H200", part("closed 1", 2.0)) == [(None, None)]
    assert gains("cpu", part("closed 1", 2.0), part("closed 8", 6.0)) == []


# ------------------------------------------------------------------ forwards


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    settings = EngineSettings(
        model=machine.SD15_TINY, spool=str(tmp_path_factory.mktemp("spool")), device="cpu", dtype="float32"
    )
    with mock.patch.dict(os.environ):
        yield machine.load(settings, lambda *_: None)


def test_forwards_by_their_rows(subject: Machine) -> None:
    """Seconds of each width, a graph's too, whose bits are compared; where there is no CUDA the file says so."""
    made: list[int] = []

    def capture(forward: forwards.Forward) -> forwards.Forward:
        """The second one lies."""
        made.append(len(made))
        return forward if len(made) == 1 else lambda: forward() + 1e-6

    with mock.patch.multiple(machine, _SQUARE_ELSEWHERE=64), mock.patch.multiple(forwards, WIDE_ROWS=(2, 4)):
        graphs = forwards.found(subject, (1, 2), (2,), Budget(None), capture=capture)
        plain = forwards.found(subject, (1, 2), (2,), Budget(-1.0))

    assert [width["rows"] for width in graphs["widths"]] == [1, 2]
    assert all(width["eager_s"] > 0 and width["graph_s"] > 0 for width in graphs["widths"])
    assert all(width["share_of_matmul"] > 0 for width in graphs["widths"])
    assert [width["is_graph_equal"] for width in graphs["widths"]] == [True, False]
    assert list(graphs["equal_widths"]) == ["2", "4"]
    assert [(width["rows"], width["graph_s"]) for width in plain["widths"]] == [(1, None)]
    assert plain["notes"] == [
        "graphs: left out, they are CUDA's.",
        "compiled: left out, on a processor OpenVINO is what is compiled.",
        "2 rows and more: left out, the time was up.",
    ]


# ------------------------------------------------------------------ a device that fails


async def test_an_engine_whose_device_fails_is_replaced_and_draws_again(tmp_path: Path) -> None:
    """In the middle of a picture: the same pixels come from another process, and the job was tried twice."""
    fake = FakeSettings(step_s=0.01, slots=1)
    engine = EngineSettings(model="fake", spool=str(tmp_path / "spool"), fake=fake, device="cpu")
    found = await recovery.recovered(tmp_path, "fake", "cpu", engine=engine)

    assert found.fault.startswith("an error like CUDA's, raised in process ")
    assert (found.attempts, found.is_equal, found.holds) == (2, True, True)

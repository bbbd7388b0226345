"""The benchmark: its arithmetic, and one small run of the whole program; no test looks at how fast anything was."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import Image
from typer.testing import CliRunner

from engine.contract import SAMPLERS, EngineSettings, ModelInfo
from engine.errors import BrokenModel
from tests.kit.tiny_any import BUILDERS
from workshop.bench import __main__ as program
from workshop.bench import bare, card, checks, figures, goals, machine, plan, plot, workloads
from workshop.bench.figures import Part
from workshop.bench.load import Arrivals, Ask, Record, Schedule, Users
from workshop.bench.machine import Machine
from workshop.bench.results import BASE, Results
from workshop.bench.sides import CouldNotDraw, Easel, Plain, compiled

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("bench"),
]  # what they share takes long to make
INFO = ModelInfo(id="model", title="Model")
SMALL = plan.Plan(
    rounds=1,
    lone=2,
    batch=2,
    burst=3,
    loads=(0.8,),
    arrivals=2,
    users=(1, 2),
    asks=2,
    few_users=1,
    pace=0.1,
    probe_s=0.5,
    rough=True,
)


def record(number: int, at: float, done: float, seen: float | None = None) -> Record:
    return Record(number=number, at=at, done=done, seen=done if seen is None else seen)


# ------------------------------------------------------------------ arithmetic


def test_percentiles_lie_between_their_neighbours() -> None:
    """The median of an even number is halfway; 95 % of five values is near the last; one value is every percentile."""
    assert figures.percentile([4, 1, 3, 2], 0.5) == 2.5
    assert figures.percentile([1, 2, 3, 4, 5], 0.95) == pytest.approx(4.8)
    assert figures.percentile([7], 0.95) == 7


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that was slow for a round does not count: each side is compared with the base of the same round."""
    part = Part(name="mixed", words="")
    for speed in (1.0, 10.0, 100.0):
        part.add(
            {
                BASE: ([], _figures(images_per_s=speed)),
                "fast": ([], _figures(images_per_s=2 * speed)),
            }
        )
    assert part.ratio("fast", BASE, lambda one: one.images_per_s) == 2.0
    assert figures.ratio_of([2, 20, 30], [1, 10, 100]) == 2.0
    assert part.ratio("wide4", BASE, lambda one: one.images_per_s) is None
    assert part.of("fast").images_per_s == 20.0


def test_waiting_counts_from_when_a_request_was_due() -> None:
    """A server that looks late can't hide the line before it, nor the time until there is something to look at."""
    found = figures.figures_of([record(0, 0.0, 2.0), record(1, 1.0, 4.0, seen=2.0)], rows=60)

    assert (found.images_per_s, found.rows_per_s) == (0.5, 15.0)
    assert found.p50 == 2.5
    assert found.blind_p50 == 1.5


def _figures(**values: float) -> figures.Figures:
    rest = dict.fromkeys(("images_per_s", "rows_per_s", "p50", "p95", "blind_p50", "blind_p95"), 1.0)
    return figures.Figures(**{**rest, **values})


# ------------------------------------------------------------------ workloads


def test_mixed_rounds_are_the_same_work_in_another_order() -> None:
    """Every eight requests have the same settings: 4 to 50 steps, guidance 1 to 12, six samplers."""

    def settings(turn: int) -> list[tuple[int, float, str]]:
        asked = workloads.mixed(INFO, 8, turn)
        return [(one.steps, one.guidance_scale, one.sampler) for one in asked]

    first, second = settings(0), settings(1)
    assert first != second
    assert sorted(first) == sorted(second)
    assert {min(first)[0], max(first)[0]} == {4, 50}
    assert {1.0, 12.0} <= {guidance for _, guidance, _ in first}
    assert len({sampler for *_, sampler in first}) == 6
    assert {SAMPLERS[sampler].kind for *_, sampler in first} == {"single", "pndm", "second_order"}


def test_no_prompt_comes_twice() -> None:
    """No side gains from a text that it encoded in an earlier round."""
    prompts = [
        one.prompt
        for turn in range(5)
        for one in [*workloads.mixed(INFO, 32, turn), *workloads.homogeneous(INFO, 8, turn + 100)]
    ]
    assert len(set(prompts)) == len(prompts)


def test_a_model_with_few_samplers_is_asked_for_those() -> None:
    """The mixed workload stays within what the model offers."""
    info = ModelInfo(id="m", title="M", samplers=("Euler", "LCM"), sampler="Euler", steps_max=20)
    asked = workloads.mixed(info, 8, 0)

    assert {one.sampler for one in asked} == {"Euler", "LCM"}
    assert max(one.steps for one in asked) == 20


def test_people_come_at_random() -> None:
    """Arrivals have the wanted rate, gaps as spread as their mean, and are the same for every side of a round."""
    times = workloads.poisson(2.0, 4000, turn=1)
    gaps = [after - before for before, after in itertools.pairwise(times)]

    assert times == sorted(times) == workloads.poisson(2.0, 4000, turn=1)
    assert times != workloads.poisson(2.0, 4000, turn=2)
    assert statistics.mean(gaps) == pytest.approx(0.5, rel=0.1)
    assert statistics.stdev(gaps) == pytest.approx(0.5, rel=0.1)


def test_a_static_batch_takes_what_agrees() -> None:
    """The one that waits longest and others of its sampler, steps and guidance; the rest keeps its order."""
    asked = [
        INFO.request(prompt="x", seed=seed, steps=steps, guidance_scale=guidance, sampler=sampler)
        for seed, (steps, guidance, sampler) in enumerate(
            [(20, 7, "Euler"), (30, 7, "Euler"), (20, 7, "Euler"), (20, 7, "DDIM"), (20, 5, "Euler")]
            + [(20, 7, "Euler")] * 3
        )
    ]
    waiting = deque(workloads.at_once(asked))

    assert [ask.number for ask in workloads.take_batch(waiting, 3)] == [0, 2, 5]
    assert [ask.number for ask in waiting] == [1, 3, 4, 6, 7]
    assert [ask.number for ask in workloads.take_batch(waiting, 3)] == [1]


def test_a_crowd_has_people_who_join_later() -> None:
    """Half of the requests come at once, in reverse, the others one by one; each of them once."""
    asks = workloads.joining(workloads.mixed(INFO, 8, 0), 0.5)

    assert [ask.number for ask in asks] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert [ask.at for ask in asks] == [0, 0, 0, 0, 0.5, 1.0, 1.5, 2.0]


# ------------------------------------------------------------------ arrivals


def test_the_open_loop_does_not_wait() -> None:
    """Requests are due when they are due, however many are still being drawn."""
    schedule = Schedule([Ask(number=n, request=INFO.request(prompt="x", seed=n), at=n) for n in range(3)])

    assert [ask.number for ask in schedule.due(1.5)] == [0, 1]
    assert schedule.next_at() == 2
    assert [ask.at for ask in schedule.due(9.0)] == [2]
    for number in range(3):
        assert not schedule.is_over
        schedule.finished(number, 9.0)
    assert schedule.is_over


def test_the_closed_loop_waits_for_its_pictures() -> None:
    """Never are more requests open than there are users; the next one is due when a picture is there."""
    users = Users(2, workloads.homogeneous(INFO, 3, 0))

    assert [ask.number for ask in users.due(0.0)] == [0, 1]
    assert users.due(5.0) == []
    users.finished(1, 6.0)
    assert [(ask.number, ask.at) for ask in users.due(6.5)] == [(2, 6.0)]
    users.finished(0, 7.0)
    assert users.due(7.0) == []
    users.finished(2, 8.0)
    assert users.is_over


# ------------------------------------------------------------------ goals


@pytest.mark.parametrize("device", ["cpu", "NVIDIA H200"])
def test_goals_are_met_missed_or_not_measured(device: str) -> None:
    """Each goal says which; what a run left out is neither. Processors and cards have goals of their own."""
    results = Results(about={"device": device}, sides={})
    part = Part(name="mixed", words="")
    part.add(
        {
            BASE: ([], _figures()),
            "fast": ([], _figures(images_per_s=4.5)),
            "static": ([], _figures(images_per_s=4.0)),
            "wide-openvino": ([], _figures(images_per_s=2.9)),
            "exact": ([], _figures(images_per_s=0.97, p95=0.8)),
        }
    )
    results.parts.append(part)
    results.turns.append(checks.Turns(mode="fast", join=2, cancel=1, decodes=0))
    found = {goal.name: goal.is_met for goal in goals.goals(results)}

    told = {name.partition("images/s: ")[2]: is_met for name, is_met in found.items() if "images/s" in name}
    few = {"fast": None}  # of a few steps: its name ends alike
    assert (
        told
        == {
            "cpu": {"wide on OpenVINO": False, "wide on OpenVINO beside fast": None, "exact": True},
            "NVIDIA H200": {
                "fast beside pipe() compiled": None,
                "fast beside static batches": False,
                "exact": True,
                **few,
            },
        }[device]
    )
    assert found["mixed requests at once, p95: exact"] is True
    assert found["a request joins after"] is False
    assert found["a cancel ends after"] is True
    assert found["bit-equal where promised"] is None


def test_a_run_ends_when_its_time_is_up() -> None:
    """A limit is a limit; without one there is always time."""
    assert plan.Budget(-1.0).is_spent
    assert not plan.Budget(None).is_spent
    assert not plan.Budget(1000.0).is_spent


# ------------------------------------------------------------------ the architecture with random weights


def test_the_random_model_has_the_real_ones_size() -> None:
    """UNet, VAE and text encoder have as many parameters as Stable Diffusion 1.5's published files."""
    import torch

    from workshop.bench import sd15

    tokenizer = sd15.clip_tokenizer([], sd15.TOKENS)
    with torch.device("meta"):
        parts = [sd15.unet(), sd15.vae(), sd15.text_encoder(tokenizer)]

    assert [sum(weight.numel() for weight in part.parameters()) for part in parts] == [
        859_520_964,
        83_653_863,
        123_060_480,
    ]
    assert sd15.describe().size_for("1:1") == (512, 512)
    assert sd15.describe().sampler == "PNDM"


# ------------------------------------------------------------------ the program


@pytest.fixture(scope="module")
def small(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with pictures of 64x64."""
    folder = Path(shutil.copytree(tiny, tmp_path_factory.mktemp("bench") / "small"))
    values = json.loads((folder / "easel.json").read_text())
    (folder / "easel.json").write_text(json.dumps({**values, "width": 64, "height": 64, "steps": 3}))
    return folder


@pytest.fixture(scope="module")
def environ() -> Iterator[None]:
    """What the program sets for its own process ends with these tests."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="module")
def subject(small: Path, environ: None, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    spool = str(tmp_path_factory.mktemp("spool"))
    return machine.load(EngineSettings(model=str(small), spool=spool, device="cpu"), lambda *_: None)


@pytest.fixture(scope="module")
def run(small: Path, environ: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path]:
    """(what was printed, the JSON, the plot) of a run of everything but `pipe()` compiled."""
    folder = tmp_path_factory.mktemp("run")
    files = ["--json", str(folder / "out.json"), "--plot", str(folder / "out.png")]
    printed = io.StringIO()
    with mock.patch.object(plan, "QUICK", SMALL), contextlib.redirect_stdout(printed):
        code = program.main(["--model", str(small), "--device", "cpu", "--quick", "--width", "200", *files])
    assert code == 0
    return printed.getvalue(), json.loads((folder / "out.json").read_text("utf-8")), folder / "out.png"


def test_the_json_has_everything(run: tuple[str, Any, Path]) -> None:
    """Every part, every side and every request's raw seconds are there."""
    values = run[1]
    sides = [BASE, "static", "exact", "wide4", "wide8", "fast", "wide-openvino", "fast-openvino"]
    names = ["lone", "mixed", "few", "images", "poisson 0.8", "homogeneous", "closed 1", "closed 2", "burst"]

    assert list(values["sides"]) == sides
    assert list(values["parts"]) == names
    for name, part in values["parts"].items():
        assert list(part["sides"]) == sides, name
        for side in part["sides"].values():
            assert len(side["rounds"]) == len(side["passes"]) == (2 if name == "lone" else 1)
            assert all(at <= seen <= done for records in side["passes"] for at, seen, done in records)
    assert [len(records) for records in values["parts"]["burst"]["sides"]["fast"]["passes"]] == [3]
    assert {"1", "2"} <= set(values["costs"]["seconds"])
    assert values["costs"]["share_of_matmul"]["2"] > 0
    assert list(values["memory"]) == sides
    assert next(share["pictures"] for share in values["samplers"]) == 1
    assert all(0 < share["share"] < 1 for share in values["samplers"])
    assert len(values["goals"]) == 11
    assert values["about"]["rough"] is True


def test_pixels_are_as_promised(run: tuple[str, Any, Path]) -> None:
    """exact equals itself and pipe(), wide equals itself, all to the bit; fast differs too little to be seen."""
    found = {(one["side"], one["ways"]): one for one in run[1]["pixels"]}

    for side in ("exact", "wide4", "wide8", "wide-openvino"):
        one = found[side, "alone, in a crowd"]
        assert (one["promised"], one["pictures"], one["equal"], one["largest"]) == (True, 2, 2, 0)
    assert found["exact", "alone, pipe()"]["equal"] == 2
    assert found["exact", "alone, pipe()"]["promised"] is True
    assert found["fast", "alone, in a crowd"]["promised"] is False
    assert found["fast", "alone, in a crowd"]["largest"] <= 8
    assert found["static", "static batches, one by one"]["promised"] is False


def test_people_join_and_leave_at_the_next_step(run: tuple[str, Any, Path]) -> None:
    """In every mode, and nothing is decoded for somebody who has left."""
    assert [tuple(turns.values()) for turns in run[1]["turns"]] == [
        ("exact", 1, 1, 0),
        ("wide", 1, 1, 0),
        ("fast", 1, 1, 0),
    ]


def test_the_tables_say_it_in_words(run: tuple[str, Any, Path]) -> None:
    """Each side and each goal has its row, and a quick run says that it is rough."""
    printed = run[0]

    assert "Quick numbers are rough" in printed
    for words in (
        "pipe(prompt)",
        "static batches",
        "wide: up to 8 rows",
        "up to",
        "samplers' share of a tick",
    ):
        assert words in printed
    assert "BROKEN" not in printed
    assert any(mark in printed for mark in ("✔ met", "✘ missed"))


def test_the_plot_is_a_picture(run: tuple[str, Any, Path]) -> None:
    """A PNG that can be opened."""
    with Image.open(run[2]) as image:
        assert image.format == "PNG"
        assert min(image.size) > 500


def test_without_matplotlib_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends before anything is measured."""
    monkeypatch.setattr(plot, "can_plot", lambda: False)

    assert program.main(["--plot", "x.png"]) == 2
    assert "pip install 'easel-imagine[bench]'" in capsys.readouterr().err.replace("\n", " ")


def test_a_missing_model_is_one_sentence(
    environ: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, exit code 1."""
    assert program.main(["--model", str(tmp_path / "nothing"), "--device", "cpu"]) == 1
    assert "nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--sides", "faster"], ["--parts", "x"], ["--rounds", "0"], ["--users", "0"]]
)
def test_a_wrong_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown sides and parts, and numbers that make no sense, exit 2."""
    with pytest.raises(SystemExit) as end:
        program.main(words)
    assert end.value.code == 2
    assert words[0] in capsys.readouterr().err


# ------------------------------------------------------------------ the checks check


class Swaying(Easel):
    """Draws one pixel otherwise as soon as somebody else draws too."""

    def serve(self, arrivals: Arrivals) -> list[Record]:
        records = super().serve(arrivals)
        if len(records) > 1:
            with Image.open(str(records[0].path)) as image:
                red, green, blue = image.crop((5, 5, 6, 6)).tobytes()
                image.putpixel((5, 5), (red ^ 1, green, blue))
                image.save(str(records[0].path))
        return records


def easel(kind: type[Easel], subject: Machine, folder: Path) -> Easel:
    return kind(
        key="exact",
        words="exact",
        family=subject.family(),
        model=subject.info,
        folder=folder,
        mode="exact",
        rows=2,
        slots=4,
    )


def test_one_pixel_in_a_crowd_is_caught(subject: Machine, tmp_path: Path) -> None:
    """A side that differs by one bit of one pixel breaks its promise, and the goal is missed."""
    plain = Plain(key=BASE, words="", machine=subject, folder=tmp_path)
    side = easel(Swaying, subject, tmp_path)
    crowd, by_pipe = checks.compare_all(plain, [side], workloads.mixed(subject.info, 3, 0, 0.1), 0.01)
    side.close()
    results = Results(about={}, sides={}, pixels=[crowd, by_pipe])

    assert (crowd.equal, crowd.pictures, crowd.largest, crowd.holds) == (2, 3, 1, False)
    assert by_pipe.holds
    assert goals.goals(results)[-1].is_met is False
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_fails_ends_the_run(subject: Machine, tmp_path: Path) -> None:
    """Nothing can be compared with a side that does not draw."""
    side = easel(Easel, subject, tmp_path)
    too_large = INFO.request(prompt="x", seed=1, size=(64, 64))
    with pytest.raises(CouldNotDraw, match="There is no model"):
        side.serve(Schedule(workloads.at_once([too_large])))
    side.close()


def test_a_compiled_pipeline_is_another_one(subject: Machine, tmp_path: Path) -> None:
    """Compiling leaves the other sides' UNet alone; with a backend that changes nothing the pixels are equal."""
    plain = subject.pipeline.unet
    other = Plain(
        key="c", words="", machine=subject, folder=tmp_path, pipeline=compiled(subject, backend="eager")
    )
    requests = workloads.homogeneous(subject.info, 1, 0)
    base = Plain(key=BASE, words="", machine=subject, folder=tmp_path)
    found = checks.compare(
        "c", "", checks.alone(other, requests), checks.alone(base, requests), promised=True
    )
    assert subject.pipeline.unet is plain
    assert (found.equal, found.pictures) == (1, 1)


def test_samplers_are_measured_however_short_pictures_are(subject: Machine) -> None:
    """With pictures of a single step there are still as many steps as rounds."""
    short = [subject.info.request(prompt="x", seed=seed, steps=1) for seed in range(2)]
    found = checks.sampler_share(subject, short, 2, rounds=2)
    assert 0 < found.share < 1
    assert found.tick_ms > found.sampler_ms > 0


def test_rows_are_counted_as_the_unet_sees_them(subject: Machine) -> None:
    """PNDM makes a call more than steps, Heun nearly twice as many; guidance doubles the rows."""

    def rows(sampler: str, guidance: float) -> int:
        return subject.rows_of(
            INFO.request(prompt="x", seed=1, steps=10, sampler=sampler, guidance_scale=guidance)
        )

    assert [rows("Euler", 1), rows("PNDM", 1), rows("Heun", 1), rows("Heun", 7)] == [10, 11, 19, 38]


def test_the_bare_call_prints_json(
    environ: None, small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`workshop.bench.wire` reads seconds of a plain pipe() call from it."""
    monkeypatch.setattr(sys, "argv", ["bare", str(small), "--runs", "2"])
    bare.main()
    values = json.loads(capsys.readouterr().out)

    assert len(values["runs"]) == 2
    assert values["pipe_s"] > 0
    assert values["request"]["width"] == 64


# ------------------------------------------------------------------ easel bench


def test_easel_bench_hands_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`easel bench --engine-only` runs the engine's program with the settings, without the token, and keeps its JSON."""
    from bot.shell.cli import app

    seen: list[tuple[list[str], dict[str, str]]] = []

    def child(command: Sequence[str], *, check: bool, env: dict[str, str]) -> Any:
        seen.append((list(command), env))
        Path(command[command.index("--json") + 1]).write_text('{"goals": []}')
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("workshop.bench.bot_figures.subprocess.run", child)
    monkeypatch.setenv("DISCORD_TOKEN", "secret")
    words = ["--engine-only", "--quick", "--model", "sd15-random", "--json", str(tmp_path / "out.json")]
    done = CliRunner().invoke(app, ["bench", *words, "--plot", "plot.png"])

    assert done.exit_code == 0, done.output
    (command, environ), *more = seen
    assert not more
    assert command[:3] == [sys.executable, "-m", "workshop.bench"]
    assert command[command.index("--model") + 1] == "sd15-random"
    assert command[command.index("--plot") + 1] == "plot.png"
    assert "--quick" in command
    assert "--compile" not in command
    assert "DISCORD_TOKEN" not in environ
    assert json.loads((tmp_path / "out.json").read_text()) == {"bot": [], "engine": {"goals": []}}


def test_easel_bench_measures_a_fleet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A row for each number of engines, which are real processes, and what the bot's own holds; a wrong list is told."""
    from bot.shell.cli import app
    from workshop.bench import scaling

    monkeypatch.setattr(scaling, "STEP_S", 0.001)
    monkeypatch.setattr(scaling, "EACH", 2)
    found = tmp_path / "out.json"
    done = CliRunner().invoke(app, ["bench", "--fleet", "local", "--engines", "1,2", "--json", str(found)])
    assert done.exit_code == 0, done.output
    rows = json.loads(found.read_text())
    assert [(row["engines"], row["times"] > 0, 20 < row["bot_mib"] < 1000) for row in rows] == [
        (1, True, True),
        (2, True, True),
    ]
    assert f"{rows[1]['images_s']:.2f}" in done.output
    wrong = CliRunner().invoke(app, ["bench", "--fleet", "local", "--engines", "two"])
    assert wrong.exit_code == 2
    assert "“two” is no list of numbers" in wrong.stderr


def test_other_families_are_refused(tmp_path: Path) -> None:
    """What the benchmark can't compare is told before anything is loaded."""
    settings = EngineSettings(model=str(BUILDERS["sd3"](tmp_path / "sd3")), spool="/nowhere", device="cpu")
    with pytest.raises(BrokenModel, match="The benchmark draws with Stable Diffusion and SDXL only"):
        machine.load(settings, lambda _stage, _share: pytest.fail("it was loaded"))


def test_sdxl_itself_is_for_a_gpu() -> None:
    """Its real architecture is not even made on a processor."""
    settings = EngineSettings(model=machine.SDXL_RANDOM, spool="/nowhere", device="cpu")
    with pytest.raises(BrokenModel, match="sdxl-random is drawn with a GPU only"):
        machine.load(settings, lambda _stage, _share: pytest.fail("it was loaded"))


def test_a_tiny_sdxl_goes_all_the_way(environ: None, tiny_xl: Path, tmp_path: Path) -> None:
    """Every part runs with SDXL, beside diffusers' own pipeline of it; what is promised holds to the bit."""
    folder = Path(shutil.copytree(tiny_xl, tmp_path / "small"))
    values = json.loads((folder / "easel.json").read_text())
    (folder / "easel.json").write_text(json.dumps({**values, "width": 64, "height": 64, "steps": 3}))
    words = ["--model", str(folder), "--device", "cpu", "--quick", "--sides", "exact"]
    words += ["--parts", "pixels,few", "--rounds", "1", "--json", str(tmp_path / "out.json")]
    least = replace(SMALL, batch=2, few_users=1, probe_s=0.1)
    with mock.patch.object(plan, "QUICK", least), contextlib.redirect_stdout(io.StringIO()):
        assert program.main(words) == 0
    told = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert list(told["parts"]) == ["few"]
    promised = [one for one in told["pixels"] if one["promised"]]
    assert len(promised) == 2
    assert all(one["equal"] == one["pictures"] == 2 for one in promised)


# ------------------------------------------------------------------ workloads


def test_few_steps_are_what_turbo_models_are_asked_for() -> None:
    """Four steps, one row each, with LCM's sampler where the model offers it."""
    requests = workloads.few(INFO, 3, 0)
    assert {(one.steps, one.guidance_scale, one.sampler, one.evaluations) for one in requests} == {
        (4, 1.0, "LCM", 4)
    }
    (own,) = workloads.few(replace(INFO, samplers=("Euler",), sampler="Euler"), 1, 0)
    assert own.sampler == "Euler"
    assert len({one.prompt for one in requests + workloads.few(INFO, 3, 1)}) == 6


def test_images_among_texts() -> None:
    """Every second request of the mixed workload starts from an image, at all strengths, with a step left at each."""
    info = replace(INFO, takes_images=True)
    requests = workloads.with_images(info, 16, 0, ["a" * 64, "b" * 64], pace=0.1)
    assert [one.image is None for one in requests] == [True, False] * 8
    assert {one.strength for one in requests} == {None, *workloads.STRENGTHS}
    assert all(one.steps_taken >= 1 for one in requests)
    assert len({one.image for one in requests}) == 3


def test_a_static_batch_does_not_mix_images_and_texts() -> None:
    """One call of a pipeline either starts from images, all of one strength, or does not."""
    info = replace(INFO, takes_images=True)
    alike = [info.request(prompt=str(number), seed=number) for number in range(4)]
    mixed = [
        alike[0],
        *(
            replace(one, image="a" * 64, strength=s)
            for one, s in zip(alike[1:], (0.5, 0.5, 0.6), strict=True)
        ),
    ]
    waiting = deque(workloads.at_once(mixed))
    sizes = []
    while waiting:
        sizes.append([ask.number for ask in workloads.take_batch(waiting, 8)])
    assert sizes == [[0], [1, 2], [3]]


def test_images_are_drawn_as_diffusers_draws_them(subject: Machine) -> None:
    """The plain side calls diffusers' pipeline for images: what the engine draws in exact is equal to the bit."""
    requests = workloads.with_images(subject.info, 6, 0, subject.images, 0.1)
    folder = subject.inputs.parent
    plain, side = Plain(key=BASE, words="", machine=subject, folder=folder), easel(Easel, subject, folder)
    found = checks.compare("", "", checks.alone(plain, requests), checks.alone(side, requests), promised=True)
    side.close()
    assert (found.equal, found.pictures) == (6, 6)


def test_few_step_goals_are_a_gpus() -> None:
    """On a GPU sixteen users' few-step pictures are to come four times as fast; on a processor nothing is asked."""
    fast, slow = ([record(number, 0, done) for number in range(2)] for done in (1.0, 5.0))
    part = Part(name="few", words="")
    part.add({BASE: (slow, figures.figures_of(slow, 1)), "fast": (fast, figures.figures_of(fast, 1))})

    def told(device: str) -> list[Any]:
        found = goals.goals(Results(about={"device": device}, sides={}, parts=[part]))
        return [goal for goal in found if goal.name.startswith("few")]

    assert told("cpu") == []
    (goal,) = told("NVIDIA H200")
    assert (goal.measured, goal.bound, goal.is_met) == (5.0, 4.0, True)


def test_a_profile_is_tried_within_a_limit(
    small: Path, capsys: pytest.CaptureFixture[str], environ: None
) -> None:
    """`python -m workshop.bench.card` draws with the profile that it is told, and does not claim what it could not limit."""
    assert card.main(["--model", str(small), "--device", "cpu", "--profile", "low"]) == 0
    told = capsys.readouterr().out
    assert "64x64, profile low: drawn" in told
    assert "says nothing about cards" in told
    assert card.main(["--model", str(small / "nothing"), "--device", "cpu"]) == 1
    assert "It could not be drawn" in capsys.readouterr().err

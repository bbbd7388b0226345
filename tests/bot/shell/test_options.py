"""What is wrong on the command line is blamed on its option, with the whole path, before anything slow begins."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import bot
from bot.config import Settings, engine
from bot.core.asking.wish import Wish
from bot.shell import carried_settings, one_picture
from bot.shell.cli import app
from engine import process
from engine.contract import EngineSettings, FakeSettings, HubTries, ModelInfo, limits
from engine.pictures.metadata import encode_png
from tests.bot.shell.test_cli import REQUEST
from workshop.bench import bot_figures


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our own to run in, with a picture and no settings."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (80, 80)).save("in.png")
    Path("notes.txt").write_text("no picture")


def started(*_: object) -> Any:
    pytest.fail("an engine was started")


@pytest.mark.parametrize(
    ("words", "option", "names"),
    [
        (["--model", "nope"], "--model", "nope"),
        (["--model", "./nope"], "--model", "nope"),
        (["--model", "deep/er/nope"], "--model", "deep/er/nope"),
        (["--model", "nope.safetensors"], "--model", "nope.safetensors"),
        (["--device", "tpu"], "--device", '"tpu"'),
        (["--device", ""], "--device", '""'),
        (["--config", "nope.toml"], "--config", "nope.toml"),
        (["--config", "."], "--config", ""),
        (["--image", "nope.png"], "--image", "nope.png"),
        (["--image", "in.png", "--mask", "nope.png"], "--mask", "nope.png"),
        (["--image", "notes.txt", "--upscale", "2"], "--image", "notes.txt"),
        (["--out", "nope/x.png"], "--out", "nope"),
        (["--out", "/proc/x.png"], "--out", "/proc"),
        (["--out", "x.jpg"], "--out", "x.jpg"),
        (["--steps", "0"], "--steps", "1 to 150 steps"),
        (["--steps", "151"], "--steps", "1 to 150 steps"),
        (["--steps", "many"], "--steps", ""),
        (["--steps", "60", "--sampler", "LCM"], "", "LCM takes 1 to 50 steps, not 60"),
        (["--guidance", "31"], "--guidance", "1 to 30"),
        (["--seed", "4294967296"], "--seed", "0 to 4294967295"),
        (["--size", "63x64"], "--size", "64 to 2048"),
        (["--size", "huge"], "--size", ""),
        (["--aspect", "9:1"], "--aspect", ""),
        (["--sampler", "Magic"], "--sampler", "Magic"),
        (["--schedule", "polar"], "--schedule", "AYS, SGM Uniform"),
        (["--schedule", "AYS", "--steps", "9"], "", "AYS has 10 steps, not 9"),
        (["--guidance-until", "2"], "--guidance-until", "0 to 1"),
        (["--images", "11"], "--images", "1 to 10"),
        (["--lora", "a:9"], "--lora", "-2 to 2"),
        (["--image", "in.png", "--strength", "2"], "--strength", "above 0 to 1"),
        (["--image", "in.png", "--upscale", "9"], "--upscale", "8"),
        (["--negative", "x" * 4001], "--negative", ""),
    ],
)
def test_a_mistake_is_blamed_on_its_option(
    words: list[str], option: str, names: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit 2, the option first, a path in full, and nobody named whom nobody chose."""
    monkeypatch.setattr(one_picture, "start", started)
    done = CliRunner().invoke(app, ["imagine", "x", *words])

    assert (done.exit_code, done.stdout) == (2, "")
    (sentence,) = [line for line in done.stderr.splitlines() if option in line and "Usage" not in line]
    path = str(tmp_path / names) if re.fullmatch(r"[a-z./]*nope[a-z.]*|[a-z]+\.(jpg|txt)", names) else names
    assert path in sentence
    assert sentence.partition("Error: Invalid value for ")[2].startswith(f"'{option}") or sentence.startswith(
        option
    )
    assert "PNDM takes" not in sentence
    assert "easel.toml" not in sentence


def test_a_folder_that_takes_no_file_is_told_before_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --out too, where we stand is looked at first."""
    monkeypatch.setattr(one_picture, "start", started)
    monkeypatch.chdir("/proc")
    done = CliRunner().invoke(app, ["imagine", "x"])

    assert done.exit_code == 2
    assert "--out: /proc can't be written to" in done.stderr


def test_settings_keep_their_own_blame(tmp_path: Path) -> None:
    """What stands in the file or the environment is no mistake of the command line: 78, by its key."""
    (tmp_path / "easel.toml").write_text('[engine]\ndevice = "tpu"\n')
    done = CliRunner().invoke(app, ["imagine", "x", "--model", "starter"])

    assert done.exit_code == 78
    assert "engine.device: found" in done.stderr


@pytest.mark.parametrize("option", ["--json", "--plot"])
@pytest.mark.parametrize("place", ["nope/x", "/proc/x", "."])
def test_bench_looks_where_it_is_to_write_first(
    option: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes of measuring never end in a file that can't be written."""
    monkeypatch.setattr(bot_figures, "main", started)
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != "/proc" and Path(path).is_dir())
    done = CliRunner().invoke(app, ["bench", option, place])

    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.stderr


def test_bench_without_its_model_is_a_sentence(tmp_path: Path) -> None:
    """An engine that can't start is told by its own words."""
    with pytest.raises(bot_figures.CannotMeasure, match="model folder"):
        bot_figures.measure_engine_start(str(tmp_path / "gone"), tmp_path, runs=1, hub=HubTries(limit_s=0.0))


def numbers() -> list[Any]:
    """Each option of the shell that takes a number, with the command it belongs to."""
    group: Any = typer.main.get_command(app)
    return [
        pytest.param(parameter, id=f"{name} {parameter.opts[0]}")
        for name, command in group.commands.items()
        for parameter in command.params
        if parameter.type_descriptor.annotation in (int, float)
    ]


@pytest.mark.parametrize("parameter", numbers())
def test_help_tells_the_range_of_every_number(parameter: Any) -> None:
    """By the option's own bounds or in words; a seed has no end but the seeds' own."""
    bounded = parameter.min is not None
    assert bounded or re.search(r"-?\d+ .*to (\d+|as many as)|first storm", parameter.help)


def test_help_tells_the_ranges_that_hold() -> None:
    """The words agree with the contract's bounds."""
    text = " ".join(CliRunner().invoke(app, ["imagine", "--help"]).stdout.split())

    assert f"1 to {ModelInfo(id='x', title='x').steps_max}." in text
    assert f"1 (not at all) to {limits.GUIDANCE_MAX:g}" in text
    assert f"each {limits.SIDE_MIN} to {limits.SIDE_MAX}," in text
    assert f"1 to {limits.IMAGES_MAX}." in text


# ------------------------------------------------------------------ no waiting


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[one_picture.EngineProcess]:
    """`easel imagine` on the engine without torch; the processes that were started."""
    processes: list[one_picture.EngineProcess] = []

    def start(settings: EngineSettings) -> one_picture.EngineProcess:
        processes.append(process.start(replace(settings, fake=FakeSettings())))
        return processes[-1]

    monkeypatch.setattr(one_picture, "start", start)
    return processes


def test_the_name_is_printed_while_the_engine_still_runs(
    fake: list[one_picture.EngineProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the file is there its name is; nobody waits for an orderly end."""
    alive: list[bool] = []
    monkeypatch.setattr(one_picture, "_move", lambda *_: alive.append(fake[0].is_alive()))
    monkeypatch.setattr(one_picture.EngineProcess, "stop", started)
    done = CliRunner().invoke(app, ["imagine", "x", "--seed", "3", "-o", "x.png"])

    assert (done.exit_code, done.stdout.split("  ")[0]) == (0, "x.png")
    assert alive == [True]
    assert not fake[0].is_alive()


@pytest.mark.parametrize(
    ("moment", "number"),
    [  # one handler hears both, at whatever moment
        ("starting the engine", signal.SIGTERM),
        ("starting the engine", signal.SIGINT),
        ("starting torch", signal.SIGTERM),
        ("drawing", signal.SIGINT),
    ],
)
def test_told_to_end_it_leaves_nothing_behind(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    """At whatever it is: 130, one word, no traceback, no temporary folder and no engine."""
    (tmp_path / "tmp").mkdir()
    environ = {"PYTHONPATH": str(Path(bot.__file__).parents[1]), "TMPDIR": str(tmp_path / "tmp")}
    drawing = subprocess.Popen(
        [sys.executable, "-m", "bot", "imagine", "x", "--steps", "150", "-n", "10"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )
    assert drawing.stderr is not None
    while not drawing.stderr.readline().startswith(moment):
        assert drawing.poll() is None
    drawing.send_signal(number)
    out, err = drawing.communicate(timeout=60)
    assert (drawing.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Cancelled."
    assert not {word for word in ("Traceback", "leaked", "Exception") if word in err}
    assert list((tmp_path / "tmp").glob("easel-*")) == []  # torch's own cache stays


def test_the_starters_note_is_one_line() -> None:
    """Of a terminal of 80 columns."""
    assert len(engine.STARTER_NOTE) < 80
    assert "--model" in engine.STARTER_NOTE


def test_a_hub_that_is_out_of_reach_ends_after_a_stated_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`easel imagine` says how long it will try, and ends with 1 and the sentence; a bot tries for ever."""
    for name, value in (("HF_ENDPOINT", "http://127.0.0.1:9"), ("HF_HUB_CACHE", str(tmp_path))):
        monkeypatch.setenv(name, value)
    settings = Settings.model_validate({"engine": {"model": "owner/name"}})
    line = one_picture.CommandLine(wish=Wish(prompt="x"))
    begin = time.monotonic()

    assert one_picture.imagine(settings, line, hub=HubTries(pauses_s=(1.0, 60.0), limit_s=30.0)) == 1
    assert time.monotonic() - begin < 30
    said = capsys.readouterr().err
    assert "trying again in 1 s, for 30 s in all" in said
    assert "owner/name is not on this machine and the hub can't be reached" in said
    assert "It was tried for" in said.splitlines()[-1]
    assert one_picture.HUB.limit_s == 30
    assert engine.engine_settings(Settings()).hub.limit_s is None


def test_info_compares_machines_only_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings are there at once: torch is asked, in a child, with --check alone."""
    Path("a.png").write_bytes(
        encode_png(Image.new("RGB", (8, 8)), request=REQUEST, fingerprint={"device": "cpu"})
    )
    asked: list[Any] = []
    monkeypatch.setattr(
        carried_settings, "ask_engine", lambda *words, **_: asked.append(words) or (None, "why")
    )
    plain = CliRunner().invoke(app, ["info", "a.png"])
    assert (plain.exit_code, asked) == (0, [])
    assert "device: cpu" in plain.stdout
    checked = CliRunner().invoke(app, ["info", "a.png", "--check"])
    assert len(asked) == 1
    assert checked.stdout == f"{plain.stdout}Whether this machine would draw it again can't be told: why\n"


def test_a_file_that_info_cannot_read_is_named_in_full(tmp_path: Path) -> None:
    """By its whole path."""
    assert f"{tmp_path / 'nope.png'} can't be read" in CliRunner().invoke(app, ["info", "nope.png"]).stderr


def test_nobody_is_warned_of_packages_that_a_bot_has_no_use_for() -> None:
    """discord.py's client warns of PyNaCl and davey, which voice would take."""
    code = (
        "import logging; logging.basicConfig()\n"
        "from bot.chat.client import EaselClient\n"
        "EaselClient(on_setup=None, on_close=None, on_drain=None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(bot.__file__).parents[1])},
    )
    assert (done.stdout, done.stderr) == ("", "")

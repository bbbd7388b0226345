"""The command line: exit codes, sentences, and that a light entry stays light."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin
from rich.console import Console
from typer.testing import CliRunner

import bot
from bot.config import EngineSection, Settings, load
from bot.config.engine import engine_settings
from bot.core.asking.wish import Wish
from bot.shell import carried_settings, demo, one_picture, own_models
from bot.shell.child import ask_engine
from bot.shell.cli import app
from bot.shell.scripts import WELCOME, Script
from engine.contract import EngineSettings, FakeSettings, GenerationRequest, ModelInfo, Stage
from engine.pictures import metadata
from engine.pictures.metadata import PictureInfo, encode_png
from tests.kit import forked, tiny

ASKED_HERE: dict[str, Any] = {
    "settings": {"model": "starter", "device": "cpu", "dtype": "auto", "models": "", "data": "/nowhere"},
    "wanted": "starter",
    "made": {},
}
"""What `engine.report here` is told."""
REQUEST = GenerationRequest(
    prompt="-a red circle, $HOME 'quoted'\nsecond line",
    negative_prompt="--blurry",
    width=128,
    height=64,
    steps=3,
    guidance_scale=7.25,
    sampler="Euler a",
    schedule="SGM Uniform",
    guidance_until=0.6,
    seed=42,
    model="fake",
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our own to run in, and to write to."""
    monkeypatch.chdir(tmp_path)


def easel(*words: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A real `easel …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(bot.__file__).parents[1]), **(environ or {})},
    )


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after `statement`."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(bot.__file__).parents[1])},
    )
    return set(done.stdout.split())


# ------------------------------------------------------------------ entry


def test_the_version_is_printed() -> None:
    """`easel --version` prints name and version."""
    done = easel("--version")

    assert (done.returncode, done.stdout) == (0, f"easel {bot.__version__}\n")


def test_the_entry_is_light() -> None:
    """What the console script and `python -m bot` load holds no Discord, no database, no torch and no settings."""
    heavy = {"discord", "aiosqlite", "sqlite3", "torch", "diffusers", "pydantic", "simcord"}

    assert loaded_by("import bot.shell.cli, bot.__main__") & heavy == set()


def test_a_command_without_the_bot_loads_no_database() -> None:
    """Looking at a picture's settings takes a fraction of a second: neither store, settings nor Discord is loaded for it."""
    asked = "CliRunner().invoke(app, ['info', 'gone.png'])"
    asked += "; import sys; assert 'bot.config' not in sys.modules"
    found = loaded_by(f"from typer.testing import CliRunner; from bot.shell.cli import app; {asked}")

    assert "PIL" in found, "the command has run"
    assert found & {"aiosqlite", "filelock", "discord", "torch", "simcord"} == set()


def test_the_folder_of_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file is added, listed and verified; what is broken is told with exit code 1, and nothing is a traceback."""
    names = ("model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.x")
    shapes = {names[0]: [1, 4, 1, 1], names[1]: [0], "cond_stage_model.transformer.text_model.x": [0]}
    spans = {name: [0, 16] if name == names[0] else [16, 16] for name in shapes}
    header = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": spans[name]} for name, shape in shapes.items()
    }
    text = json.dumps(header).encode()
    file = tmp_path / "[red] dream.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    settings = {"EASEL_DATA_DIR": "data", "EASEL_ENGINE_OFFLINE": "true"}

    added = easel("models", "add", file.name, environ=settings)
    assert added.returncode == 0, added.stderr
    assert "choose it with “/imagine model: [red] dream”" in added.stdout
    assert "! A Stable Diffusion 1.x model in one file needs a few small files" in added.stdout

    def told(action: str, name: str | None = None) -> tuple[int, str, str]:
        code = own_models.tend(load(None, settings), action, name)
        told = capfd.readouterr()
        return code, told.out, told.err

    code, listed, _ = told("list")
    assert code == 0
    assert re.search(r"\[red\] dream +checkpoint +sd +512x512 +\d", listed), listed
    place = tmp_path / "data" / "models" / "checkpoints" / file.name
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    code, verified, _ = told("verify", "[red] dream")
    assert code == 1
    assert verified.startswith("✘ [red] dream.safetensors: Its SHA-256 is ")
    assert told("verify", "blue") == (
        1,
        "",
        "There is nothing called “blue”: easel models list shows the names.\n",
    )


def test_the_bot_never_loads_torch() -> None:
    """The bot's process stays small: torch and its friends live in the engine's child alone."""
    modules = (
        *(
            "bot.app",
            "bot.shell.demo",
            "bot.shell.one_picture",
            "bot.shell.doctor.report",
            "bot.shell.init.wizard",
            "bot.shell.carried_settings",
        ),
        *("bot.shell.own_models", "bot.shell.training", "engine.process", "workshop.rehearsal.chaos.storms"),
    )
    heavy = {"torch", "diffusers", "transformers", "huggingface_hub"}

    assert loaded_by(f"import {', '.join(modules)}") & heavy == set()


def test_every_command_explains_itself() -> None:
    """`--help` works for each of the thirteen commands, and for the three that look after models."""
    runner = CliRunner()
    told = runner.invoke(app, ["--help"]).output.partition("Commands:")[2].partition("Exit codes")[0]
    names = set(re.findall(r"(?m)^  (\w+)  ", told)) - {"models"}

    ours = {
        "init",
        "run",
        "demo",
        "imagine",
        "train",
        "info",
        "doctor",
        "health",
        "sync",
        "backup",
        "restore",
    }
    assert names == ours | {"bench", "chaos"}  # the latter two are the workshop's
    for words in (*([name] for name in names), *(["models", name] for name in ("list", "add", "verify"))):
        assert runner.invoke(app, [*words, "--help"]).exit_code == 0


def test_help_tells_the_exit_codes() -> None:
    """`easel --help` says what each exit code means, so that a supervisor can be set up by it."""
    text = CliRunner().invoke(app, ["--help"]).output
    assert re.findall(r"\b(0|1|2|75|78) [a-z]", text.partition("Exit codes")[2]) == [
        "0",
        "1",
        "2",
        "75",
        "78",
    ]


# ------------------------------------------------------------------ exit codes


@pytest.mark.parametrize(
    "words",
    [["--nope"], ["nope"], ["imagine"], ["demo", "--port", "70000"], ["info"], ["imagine", "a", "-n", "x"]],
)
def test_a_wrong_command_line_exits_2(words: list[str]) -> None:
    """Usage errors exit 2."""
    assert CliRunner().invoke(app, words).exit_code == 2


def a_wrong_file(folder: Path) -> None:
    (folder / "easel.toml").write_text("[engine]\nslots = 0\nmodell = 1\n")


def assert_told(code: int, out: str, err: str) -> None:
    assert (code, out) == (78, "")
    assert "engine.slots: found 0" in err
    assert "did you mean engine.model?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["imagine", "a"],
        ["doctor"],
        ["sync"],
        ["health"],
        ["backup"],
        ["restore"],
        ["models", "list"],
    ],
)
def test_a_wrong_configuration_exits_78(tmp_path: Path, command: list[str]) -> None:
    """Every command that reads settings tells what is wrong with them, without a traceback, and exits 78."""
    a_wrong_file(tmp_path)
    done = CliRunner().invoke(app, command)

    assert_told(done.exit_code, done.stdout, done.stderr)
    assert isinstance(done.exception, SystemExit)


def test_a_bot_with_a_wrong_configuration_exits_78(tmp_path: Path) -> None:
    """So does the process of the bot itself, which listens to signals before it reads any settings."""
    a_wrong_file(tmp_path)
    done = easel("run")

    assert_told(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("command", ["run", "sync"])
def test_no_token_exits_78(tmp_path: Path, command: str) -> None:
    """Starting without a token ends at once, with the sentence that says what to set."""
    done = forked.run(command, environ={**os.environ, "EASEL_DATA_DIR": str(tmp_path / "data")})

    assert done.returncode == 78
    assert "set DISCORD_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_options_win_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--model and --device beat easel.toml, and a wrong one is told like any setting."""
    (tmp_path / "easel.toml").write_text('[engine]\nmodel = "a/b"\ndevice = "cuda"\n')
    seen: list[Settings] = []
    monkeypatch.setattr(one_picture, "imagine", lambda settings, _wish: seen.append(settings) or 0)

    assert CliRunner().invoke(app, ["imagine", "x", "--model", "c/d", "--device", "cpu"]).exit_code == 0
    assert CliRunner().invoke(app, ["imagine", "x"]).exit_code == 0
    assert [(each.engine.model, each.engine.device) for each in seen] == [("c/d", "cpu"), ("a/b", "cuda")]
    wrong = CliRunner().invoke(app, ["imagine", "x", "--device", "tpu"])
    assert wrong.exit_code == 2  # the command line is at fault, not the settings
    assert 'Invalid value for \'--device\': found "tpu"; allowed: "auto"' in wrong.stderr


# ------------------------------------------------------------------ easel imagine


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSettings:
    """`easel imagine` on the engine without torch, in a real process."""
    settings = FakeSettings()

    def chosen(_settings: Settings, *, spool: Path) -> EngineSettings:
        return EngineSettings(model="fake", spool=str(spool), fake=settings)

    monkeypatch.setattr(one_picture, "engine_settings", chosen)
    return settings


def draw(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["imagine", *words])
    return result.exit_code, result.stdout, result.stderr


def test_a_picture_is_drawn_and_told(fake: FakeSettings, tmp_path: Path) -> None:
    """One command draws a picture, writes it where wished and prints path, seed and seconds on stdout."""
    code, out, _ = draw("a red circle", "--seed", "42", "--size", "128x64", "-o", "out.png")

    assert code == 0
    path, seed, _seconds = out.split("  ")
    assert (path, seed) == ("out.png", "seed 42")
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (128, 64)


def test_the_same_seed_gives_the_same_pixels(fake: FakeSettings, tmp_path: Path) -> None:
    """Two runs with one seed agree to the last pixel, and another seed does not."""
    for name, seed in (("a.png", "42"), ("b.png", "42"), ("c.png", "43")):
        assert draw("a red circle", "--seed", seed, "-o", name)[0] == 0
    pixels = [Image.open(tmp_path / name).tobytes() for name in ("a.png", "b.png", "c.png")]

    assert pixels[0] == pixels[1] != pixels[2]


def test_several_pictures_are_numbered(fake: FakeSettings, tmp_path: Path) -> None:
    """-n 3 -o out.png writes out-1.png to out-3.png, each with its own seed."""
    code, out, _ = draw("x", "--seed", "4294967295", "-n", "3", "-o", "out.png")

    assert code == 0
    assert [line.split("  ")[:2] for line in out.splitlines()] == [
        ["out-1.png", "seed 4294967295"],
        ["out-2.png", "seed 0"],
        ["out-3.png", "seed 1"],
    ]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["out-1.png", "out-2.png", "out-3.png"]


def test_a_name_of_ours_never_overwrites(fake: FakeSettings, tmp_path: Path) -> None:
    """Without -o a second picture of the same seed gets a name of its own; with -o the file is replaced."""
    for _ in range(2):
        assert draw("x", "--seed", "7")[0] == 0
        assert draw("x", "--seed", "7", "-o", "out")[0] == 0

    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["easel-7-2.png", "easel-7.png", "out.png"]


def test_a_random_seed_is_told(fake: FakeSettings) -> None:
    """Without --seed one is drawn, differs from run to run and is printed."""
    first, second = (draw("x")[1].split("  ")[1] for _ in range(2))

    assert first.startswith("seed ")
    assert first != second


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([""], "The prompt is empty"),
        (["x" * 4001], "shorten it"),
        (["x", "--size", "100x100"], "multiple of 8"),
        (["x", "--size", "huge"], "A size looks like"),
        (["x", "--size", "64x64", "--aspect", "1:1"], "not both"),
        (["x", "--aspect", "7:0"], "There is no aspect"),
        (["x", "--sampler", "Magic"], "There is no sampler"),
        (["x", "--steps", "0"], "steps"),
        (["x", "--guidance", "nan"], "Guidance"),
        (["x", "--seed", "-2"], "seed"),
        (["x", "-n", "11"], "1 to 10 images"),
        (["x", "--lora", "detail:9"], "The weight of a LoRA goes from -2 to 2, not 9."),
        (["x <lora:detail>", "--lora", "detail"], "named twice"),
        (["x", "-o", "picture.jpg"], "PNG"),
        (["x", "-o", "no/such/folder/x.png"], "There is no folder"),
    ],
)
def test_an_impossible_wish_exits_2_at_once(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no model could draw is refused in one sentence before any engine starts."""
    monkeypatch.setattr(one_picture, "start", lambda _: pytest.fail("an engine was started"))
    code, out, err = draw(*words)

    assert (code, out) == (2, "")
    assert sentence in err


def test_loras_are_named_on_the_command_line(fake: FakeSettings, tmp_path: Path) -> None:
    """Several by --lora or as tags reach the engine; the PNG says so, and `easel info` prints the command for it."""
    code, _, err = draw("a fox <lora:pixel>", "--lora", "Detail:0.8", "--seed", "1", "-o", "out.png")

    assert code == 0, err
    made = metadata.read(tmp_path / "out.png")
    assert made is not None
    assert made.request is not None
    assert made.request.prompt == "a fox"
    assert tuple(map(str, made.request.loras)) == ("detail:0.8", "pixel:1")
    with Image.open(tmp_path / "out.png") as image:
        assert image.info["parameters"].startswith("a fox <lora:detail:0.8> <lora:pixel:1>\n")
    told = "\n".join(carried_settings.lines(made))
    assert "LoRA: detail:0.8, pixel:1" in told
    assert "--lora=detail:0.8 --lora=pixel:1 -- 'a fox'" in told
    code, _, err = draw("a fox", "--lora", "detial")
    assert (code, "There is no LoRA “detial” for Fake model here: use detail." in err) == (2, True)


def a_file(name: str, colour: str, size: tuple[int, int] = (80, 80)) -> Path:
    Image.new("RGB", size, colour).save(name)
    return Path(name)


def test_a_picture_starts_from_a_file(fake: FakeSettings, tmp_path: Path) -> None:
    """--image, --mask and --strength reach the engine: what the mask keeps is the image's, and the PNG says so."""
    image, mask = a_file("in.png", "red"), a_file("mask.png", "black")
    with Image.open(mask) as stencil:
        stencil.paste("white", (40, 0, 80, 80))
        stencil.save(mask)
    words = ("x", "--seed", "1", "--size", "64x64", "-o", "out.png", "--image", str(image))
    code, _, err = draw(*words, "--mask", str(mask), "--strength", "0.6")

    assert code == 0, err
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.getpixel((2, 32)) == (255, 0, 0)
        assert picture.crop((34, 0, 64, 64)).getcolors(1) != [(30 * 64, (255, 0, 0))]
    made = metadata.read(tmp_path / "out.png")
    assert made is not None
    assert made.request is not None
    assert (made.request.image, made.request.strength) == (
        hashlib.sha256(image.read_bytes()).hexdigest(),
        0.6,
    )
    assert image.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--mask", "in.png"], "need an image"),
        (["--strength", "0.5"], "need an image"),
        (["--image", "gone.png"], "gone.png can't be read: No such file"),
        (["--image", "."], "can't be read"),
        (["--image", "in.png", "--mask", "gone.png"], "gone.png can't be read"),
        (["--image", "in.png", "--strength", "0"], "Strength goes from above 0 to 1"),
        (["--image", "in.png", "--strength", "1.5"], "Strength goes from above 0 to 1"),
        (["--image", "in.png", "--strength", "0.01", "--steps", "8"], "none is left"),
    ],
)
def test_a_file_that_cannot_be_used_exits_2_at_once(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file or a strength out of range is refused in one sentence before any engine starts."""
    a_file("in.png", "red")
    monkeypatch.setattr(one_picture, "start", lambda _: pytest.fail("an engine was started"))
    code, out, err = draw("x", *words)

    assert (code, out) == (2, "")
    assert sentence in err


def test_a_file_is_enlarged(fake: FakeSettings, tmp_path: Path) -> None:
    """--upscale makes it so many times as large, by a model that draws where there is no upscaler; no words are needed."""
    a_file("in.jpg", "red", (80, 64))
    code, _, err = draw("", "--image", "in.jpg", "--upscale", "3", "-o", "out.png", "--seed", "1")

    assert code == 0, err
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (240, 192)
    made = metadata.read(tmp_path / "out.png")
    assert made is not None
    assert made.request is not None
    assert (made.request.upscale, made.request.strength) == (3, 0.2)
    again = carried_settings.command(made.request)
    assert again.startswith("easel imagine --upscale=3 --seed=1 ")
    assert "--image=IMAGE --strength=0.2" in again
    assert "--size" not in again


def test_a_photo_is_enlarged_without_words(fake: FakeSettings, tmp_path: Path) -> None:
    """What the model can't draw that large Lanczos makes; the person is told, and the printed command does it again."""
    a_file("photo.jpg", "red", (1024, 768))
    code, _, err = draw("--image", "photo.jpg", "--upscale", "2", "-o", "out.png")

    assert code == 0, err
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (2048, 1536)
    assert "Fake model can't draw 2048x1536, so the image was enlarged with Lanczos alone: an upscaler" in err
    made = metadata.read(tmp_path / "out.png")
    assert made is not None
    assert made.request is not None
    assert "Upscaled 2 times from an image, with Lanczos alone" in list(carried_settings.lines(made))
    again = carried_settings.command(made.request)
    assert again == "easel imagine --upscale=2 --image=IMAGE --sampler=Lanczos --model=MODEL -- ''"


def test_a_seamless_tile_is_drawn(fake: FakeSettings, tmp_path: Path) -> None:
    """--tile draws another picture, whose file says that its edges meet; the printed command asks for it again."""
    for name, options in (("tile.png", ["--tile"]), ("plain.png", [])):
        assert draw("moss", "--seed", "1", "-o", name, *options)[0] == 0
    made = metadata.read(tmp_path / "tile.png")
    assert made is not None
    assert made.request is not None
    assert "Seamless: its edges meet" in list(carried_settings.lines(made))
    assert " --tile " in carried_settings.command(made.request)
    assert Image.open(tmp_path / "tile.png").tobytes() != Image.open(tmp_path / "plain.png").tobytes()


def test_images_are_edited(monkeypatch: pytest.MonkeyPatch, fake: FakeSettings, tmp_path: Path) -> None:
    """--reference names what the prompt is an instruction about; the first gives the shape. Who can't edit says so."""
    a_file("one.png", "red", (128, 64))
    a_file("two.png", "blue", (64, 64))
    words = (
        "put both side by side",
        "--seed",
        "1",
        "--reference",
        "one.png",
        "--reference",
        "two.png",
        "-o",
        "out.png",
    )
    code, _, err = draw(*words)
    assert code == 2
    assert err.endswith("--reference: Fake model can't edit images by words: choose a model that does.\n")

    editing = replace(fake, editing=("editor",))
    monkeypatch.setattr(
        one_picture,
        "engine_settings",
        lambda _, *, spool: EngineSettings(model="fake", spool=str(spool), fake=editing, set_aside=("fake",)),
    )
    code, _, err = draw(*words)
    assert code == 0, err
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (184, 88)
    made = metadata.read(tmp_path / "out.png")
    assert made is not None
    assert made.request is not None
    assert "Edited by these words from 2 images" in list(carried_settings.lines(made))
    again = carried_settings.command(made.request)
    assert "--reference=REFERENCE1 --reference=REFERENCE2" in again


def test_only_upscaling_needs_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a prompt nothing else is drawn, and no engine is started for it."""
    monkeypatch.setattr(one_picture, "start", lambda _: pytest.fail("an engine was started"))
    assert draw("--steps", "3")[::2] == (2, "The prompt is empty: describe the picture you want.\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--upscale", "2"], "need an image"),
        (["--image", "in.png", "--upscale", "9"], "less than or equal to 8"),
        (["--image", "in.png", "--upscaler", "4x"], "say it with --upscale"),
        (["--image", "in.png", "--upscale", "2", "--size", "99x99"], "leave out --size and --aspect"),
        (["--image", "in.png", "--upscale", "2", "--mask", "in.png"], "leave out the mask"),
        (["--image", "notes.png", "--upscale", "2"], "notes.png can't be read as PNG, JPEG or WebP"),
        (
            ["--image", "wide.png", "--upscale", "4"],
            "1200x64 can't be made 4 times as large here: ask for 3 times",
        ),
        (["--image", "in.png", "--upscale", "2", "--strength", "0"], "Strength goes from above 0 to 1"),
    ],
)
def test_what_cannot_be_enlarged_exits_2_at_once(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused in one sentence before any engine starts; beyond the limit it names the largest scale that fits."""
    a_file("in.png", "red")
    a_file("wide.png", "red", (1200, 64))
    Path("notes.png").write_text("no picture")
    monkeypatch.setattr(one_picture, "start", lambda _: pytest.fail("an engine was started"))
    code, out, err = draw("x", *words)

    assert (code, out) == (2, "")
    assert sentence in err


def test_an_upscaler_that_is_not_there_exits_2(fake: FakeSettings) -> None:
    """Known as soon as the engine has said which models there are."""
    a_file("in.png", "red")
    code, _, err = draw("x", "--image", "in.png", "--upscale", "2", "--upscaler", "4x-foo")

    assert code == 2
    assert "There is no upscaler “4x-foo” here: there is none at all." in err


def test_which_model_enlarges() -> None:
    """The named upscaler; else the named model; else the first upscaler that can; else the first model that takes images."""
    words = ModelInfo(id="words", title="Words")
    draws = replace(words, id="draws", takes_images=True)
    twice, four = (replace(draws, id=f"{scale}x", scale=scale) for scale in (2, 4))
    models = [words, draws, twice, four]

    def chosen(upscale: int, **options: Any) -> str:
        wish = Wish(prompt="", upscale=upscale)
        return one_picture.CommandLine(wish=wish, **options).model_among(models).id

    assert [chosen(upscale) for upscale in (2, 3, 4, 8)] == ["2x", "4x", "4x", "draws"]
    assert chosen(2, is_model_named=True) == "words"
    assert chosen(2, is_model_named=True, upscaler="4x") == "4x"


def test_another_model_than_the_first_is_loaded_and_draws(
    monkeypatch: pytest.MonkeyPatch, fake: FakeSettings, tmp_path: Path
) -> None:
    """Such as an upscaler: that the engine tells of its loading disturbs nobody."""
    several = replace(fake, others=("second",))
    monkeypatch.setattr(
        one_picture,
        "engine_settings",
        lambda _, *, spool: EngineSettings(model="fake", spool=str(spool), fake=several),
    )
    monkeypatch.setattr(one_picture.CommandLine, "model_among", lambda _, models: models[1])
    code, _, err = draw("a red circle", "-o", "out.png")
    assert code == 0, err
    made = metadata.read(tmp_path / "out.png")
    assert made is not None
    assert made.request is not None
    assert made.request.model == "second"


def test_a_file_that_is_no_image_exits_1(fake: FakeSettings, tmp_path: Path) -> None:
    """What the engine finds out about a file is told in its sentence."""
    (tmp_path / "notes.png").write_text("no picture")
    code, out, err = draw("x", "--image", "notes.png")

    assert (code, out) == (1, "")
    assert "The image can't be read as PNG, JPEG or WebP" in err


def test_what_this_model_cannot_draw_exits_2(fake: FakeSettings, tmp_path: Path) -> None:
    """A size only this model refuses is told in its own words, and nothing is written."""
    code, _, err = draw("x", "--size", "2048x64")

    assert code == 2
    assert "Fake model" in err
    assert list(tmp_path.glob("*.png")) == []


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("FAIL", "asked to fail"),
        ("CRASH", "ended unexpectedly"),
        ("NSFW", "withheld by a safety checker"),
    ],
)
def test_no_picture_exits_1(fake: FakeSettings, tmp_path: Path, prompt: str, sentence: str) -> None:
    """A failed, crashed or withheld picture ends in its sentence, exit 1 and no file."""
    code, out, err = draw(prompt)

    assert (code, out) == (1, "")
    assert sentence in err
    assert list(tmp_path.glob("*.png")) == []


def test_a_broken_engine_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of an engine that can't work reaches the person."""
    broken = EngineSettings(
        model="x", spool="/x", fake=FakeSettings(broken="There is no such folder: name another.")
    )
    monkeypatch.setattr(
        one_picture, "engine_settings", lambda _settings, *, spool: replace(broken, spool=str(spool))
    )
    code, _, err = draw("x")

    assert code == 1
    assert "There is no such folder: name another." in err


def test_ctrl_c_ends_cleanly(fake: FakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt while drawing exits 130 without a traceback, without a file, and leaves no engine behind."""
    started = one_picture.start
    processes: list[one_picture.EngineProcess] = []

    def start(settings: EngineSettings) -> one_picture.EngineProcess:
        processes.append(started(settings))
        return processes[0]

    events = one_picture._next_event

    def interrupted(process: one_picture.EngineProcess) -> object:
        event = events(process)
        if isinstance(event, one_picture.Stepped):
            raise KeyboardInterrupt
        return event

    monkeypatch.setattr(one_picture, "start", start)
    monkeypatch.setattr(one_picture, "_next_event", interrupted)
    code, out, err = draw("HANG")

    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "Cancelled."
    assert not processes[0].is_alive()
    assert list(tmp_path.glob("*.png")) == []


def test_a_stage_on_a_pipe_loses_its_count_alone() -> None:
    """Into a pipe a stage is told once, without a trailing count but with the digits of its name."""
    out = io.StringIO()
    with one_picture.Display(Console(file=out, width=100)) as display:
        for stage in ("downloading stable-diffusion-v1-5", "denoising 1/20", "denoising 2/20"):
            display.stage(stage, 0.5)

    assert out.getvalue() == "downloading stable-diffusion-v1-5 …\ndenoising …\n"


def test_a_wish_leaves_defaults_to_the_model() -> None:
    """Options left out stay out, so that each model's own defaults hold."""
    wish = Wish(prompt="x")

    assert (wish.steps, wish.guidance, wish.size, wish.sampler) == (None, None, None, None)


# ------------------------------------------------------------------ which model


def test_a_configured_model_is_passed_on(tmp_path: Path) -> None:
    """What [engine] and [preview] say reaches the engine, with absolute folders for spool, measurements, models and decoder."""
    same: dict[str, Any] = {
        "model": "a/b",
        "device": "cpu",
        "slots": 2,
        "mode": "fast",
        "rows": 8,
        "dtype": "bfloat16",
        "channels_last": "on",
        "fused_qkv": "off",
        "runtime": "openvino",
        "profile": "low",
    }
    values = {
        "engine": {**same, "offline": True},
        "data": {"dir": "data"},
        "models": {"memory_gb": 3},
        "preview": {"every": 3, "model": "taesd"},
    }

    assert engine_settings(Settings.model_validate(values)) == EngineSettings(
        **same,
        spool=str(tmp_path / "data" / "spool"),
        hub_offline=True,
        data=str(tmp_path / "data"),
        models=str(tmp_path / "data" / "models"),
        models_bytes=3 * 2**30,
        preview_every=3,
        preview_model=str(tmp_path / "taesd"),
    )


def test_previews_are_on_and_their_decoder_is_not() -> None:
    """Out of the box there are previews, drawn without another model."""
    told = engine_settings(Settings())

    assert (told.preview_every, told.preview_model) == (5, None)


def test_one_picture_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`easel imagine` keeps no measurements of the machine and makes no previews, but draws in the configured mode."""
    told: list[EngineSettings] = []

    def start(settings: EngineSettings) -> None:
        told.append(settings)
        raise one_picture.NoPicture("That is all.")

    monkeypatch.setattr(one_picture, "start", start)
    monkeypatch.setenv("EASEL_ENGINE_MODE", "wide")

    assert draw("x")[0] == 1
    assert [(each.mode, each.data, each.preview_every) for each in told] == [("wide", None, 0)]


def test_the_demo_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the demo would measure it would forget with its folder: it starts sooner without, and has previews if wanted."""
    told: list[EngineSettings] = []

    async def serve(_settings: Settings, engine: EngineSettings, _port: int, _script: Script) -> int:
        told.append(engine)
        return 0

    monkeypatch.setattr(demo, "_serve", serve)
    monkeypatch.setattr(demo.logs, "configure", lambda *_: None)

    assert demo.run(Settings(), 0, WELCOME) == 0
    assert demo.run(Settings.model_validate({"preview": {"every": 0}}), 0, WELCOME) == 0
    assert [(each.data, each.preview_every) for each in told] == [(None, demo.PREVIEW_EVERY), (None, 0)]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("waiting", "waiting for its turn …\n"),
        ("encoding", "reading the prompt …\n"),
        ("denoising", "denoising …\n"),
        ("decoding", "decoding …\n"),
    ],
)
def test_every_stage_is_told(stage: Stage, expected: str) -> None:
    """Into a pipe each stage is one line of words, however many steps it has."""
    out = io.StringIO()
    with one_picture.Display(Console(file=out, width=100)) as display:
        for step in (1, 2):
            event = one_picture.Stepped(job_id=1, attempt=1, stage=stage, step=step, steps=20)
            display.stage(one_picture._stage(event), event.fraction)

    assert out.getvalue() == expected


# ------------------------------------------------------------------ easel info


def test_info_prints_what_a_picture_carries(tmp_path: Path) -> None:
    """`easel info` prints prompt, settings and a command whose shell words draw the same request again."""
    file = tmp_path / "a.png"
    file.write_bytes(encode_png(Image.new("RGB", (8, 8)), request=REQUEST))
    result = CliRunner().invoke(app, ["info", str(file)])

    assert result.exit_code == 0
    assert "Seed: 42" in result.stdout
    assert "sampler Euler a SGM Uniform, guidance 7.25 in the first 60% of the steps" in result.stdout
    assert "Negative prompt: --blurry" in result.stdout


def test_the_printed_command_draws_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell splits the printed command into words that our own parser reads as the same request."""
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    script = f"{sys.executable} -c '{show}' {carried_settings.command(REQUEST)}"
    done = subprocess.run(["/bin/sh", "-c", script], check=True, capture_output=True, text=True)
    words = json.loads(done.stdout)
    seen: list[one_picture.CommandLine] = []
    monkeypatch.setattr(one_picture, "imagine", lambda _settings, line: seen.append(line) or 0)

    assert words[0] == "easel"
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    wish = seen[0].wish
    assert (wish.prompt, wish.negative_prompt, wish.seed) == (REQUEST.prompt, "--blurry", 42)
    assert (wish.size, wish.steps, wish.guidance, wish.sampler) == ("128x64", 3, 7.25, "Euler a")
    assert (wish.schedule, wish.guidance_until) == ("SGM Uniform", 0.6)


def test_the_printed_command_names_a_hub_model_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub id is part of the command; a folder's name leads nowhere, so that a remark stands in for it."""
    hub, folder = replace(REQUEST, model="org/name"), replace(REQUEST, model="tiny-random")
    of_hub, of_folder = (
        list(carried_settings.lines(PictureInfo(prompt="x", request=request))) for request in (hub, folder)
    )

    assert "--model=org/name" in carried_settings.command(hub)
    assert "--model" not in carried_settings.command(folder)
    again = next(number for number, line in enumerate(of_folder) if line.startswith("Again: "))
    assert "--model" in of_folder[again - 1]
    assert not any("folder" in line for line in of_hub)
    assert "\n".join(of_folder).endswith(f"Again: {carried_settings.command(folder)}")


def test_info_tells_what_a_picture_started_from(tmp_path: Path) -> None:
    """Image, mask and strength are named, and the command has places for the files that only their owner has."""
    request = replace(REQUEST, steps=10, image="a" * 64, mask="b" * 64, strength=0.6)
    file = tmp_path / "a.png"
    file.write_bytes(encode_png(Image.new("RGB", (8, 8)), request=request))
    result = CliRunner().invoke(app, ["info", str(file)])

    assert result.exit_code == 0
    assert "Started from an image within a mask, strength 0.6" in result.stdout
    assert f"(IMAGE stands for the file with the SHA-256 {'a' * 64}.)" in result.stdout
    assert f"(MASK stands for the file with the SHA-256 {'b' * 64}.)" in result.stdout
    assert "--image=IMAGE --strength=0.6 --mask=MASK" in carried_settings.command(request)
    assert "IMAGE" not in "\n".join(carried_settings.lines(PictureInfo(prompt="x", request=REQUEST)))


def test_info_tells_what_enlarged_a_picture(tmp_path: Path) -> None:
    """By an upscaler there is no seed and nothing to judge: the command names the upscaler and how many times."""
    request = replace(
        REQUEST,
        steps=1,
        schedule="",
        image="a" * 64,
        strength=1.0,
        upscale=2,
        sampler="Model's own",
        model="4x-foo",
    )
    file = tmp_path / "a.png"
    file.write_bytes(encode_png(Image.new("RGB", (8, 8)), request=request, fingerprint={"device": "cpu"}))
    result = CliRunner().invoke(app, ["info", str(file)])

    assert result.exit_code == 0
    assert "Upscaled 2 times from an image, by the model's network" in result.stdout
    assert "easel imagine --upscale=2 --image=IMAGE --upscaler=4x-foo -- " in result.stdout
    assert "This machine" not in result.stdout


def test_a_prompt_of_two_lines_is_printed_as_two(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The printed command keeps the prompt's line breaks, so that it can be pasted."""
    file = tmp_path / "a.png"
    file.write_bytes(encode_png(Image.new("RGB", (8, 8)), request=REQUEST))

    assert carried_settings.show_info(file, Settings()) == 0
    assert capsys.readouterr().out.endswith(f"Again: {carried_settings.command(REQUEST)}\n")


def test_info_asks_for_the_engine_that_is_nearest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several engines the one on such a card as drew the picture is judged, and named."""
    asked: list[tuple[str, str]] = []

    def answer(question: str, **told: Any) -> tuple[dict[str, Any] | None, str]:
        asked.append((question, told.get("settings", {}).get("device", "")))
        return ({"cuda": ["GTX 1080", "RTX 3060"]}, "") if question == "torch" else (None, "nobody knows")

    monkeypatch.setattr(carried_settings, "ask_engine", answer)
    file = tmp_path / "a.png"
    made = encode_png(Image.new("RGB", (8, 8)), request=REQUEST, fingerprint={"device": "RTX 3060"})
    file.write_bytes(made)

    assert carried_settings.show_info(file, Settings(), ["cuda:0", "cuda:1"]) == 0
    assert "Engine 2 of 2 (cuda:1), the nearest to it: Whether this" in capsys.readouterr().out
    assert asked == [("torch", ""), ("here", "cuda:1")]


def test_info_never_drives_the_terminal(tmp_path: Path) -> None:
    """Control characters in a stranger's file are not sent to the terminal."""
    file = tmp_path / "a.png"
    file.write_bytes(
        encode_png(Image.new("RGB", (8, 8)), request=replace(REQUEST, prompt="a\x1b]0;owned\x07b"))
    )
    result = CliRunner().invoke(app, ["info", str(file)])

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout


HERE = {
    "device": "cpu",
    "threads": "2",
    "torch": "2.13.0",
    "dtype": "float32",
    "weights": "1a",
    "model": "starter",
}
WIDE = {"mode": "wide", "rows": 4, "channels_last": "off", "fused_qkv": "off", "runtime": "torch"}


@pytest.mark.parametrize(
    ("changes", "engine", "expected"),
    [
        ({"mode": "exact", "width": "1 image"}, {}, "This machine draws it again to the bit."),
        (
            {"mode": "wide", "width": "8 rows", "channels_last": "on"},
            WIDE,
            'This machine draws it again to the bit with rows = 8, channels_last = "on" under [engine].',
        ),
        (
            {"mode": "exact", "width": "1 image"},
            {"mode": "wide", "fused_qkv": "on"},
            'This machine draws it again to the bit with mode = "exact", fused_qkv = "off" under [engine].',
        ),
        (
            {"mode": "exact", "torch": "2.12.0", "weights": "2b", "cuda": "13.0"},
            {},
            (
                "This machine draws it with other bits: cuda 13.0 there, none here; torch 2.12.0 there, 2.13.0 here; "
                "weights 2b there, 1a here."
            ),
        ),
        (
            {"mode": "exact", "decoder": "tiny 3c"},
            {},
            "This machine draws it with other bits: decoder tiny 3c there, none here.",
        ),
        (
            {"mode": "fast"},
            {},
            "It was drawn in the fast mode: this machine draws one that is equal to the eye, not to the bit.",
        ),
        (
            {"mode": "exact", "decode": "tiles of 512 pixels", "profile": "low"},
            {},
            'This machine draws it again to the bit with profile = "low" under [engine].',
        ),
        (
            {"mode": "exact"},
            {"profile": "low"},
            'This machine draws it again to the bit with profile = "full" under [engine].',
        ),
        (
            {"mode": "exact", "profile": "balanced"},
            {"profile": "balanced"},
            "This machine draws it again to the bit.",
        ),
        (
            {"mode": "exact", "decode": "tiles"},
            {},
            "Memory was short when it was drawn, which changed its last bits: it can't be drawn again to the bit.",
        ),
    ],
)
def test_info_judges_whether_it_would_be_drawn_again(
    changes: dict[str, str], engine: dict[str, Any], expected: str
) -> None:
    """What differs between the picture's machine and this one is named; settings that would do it, too."""
    made = {key: value for key, value in HERE.items() if key != "model"}
    section = EngineSection.model_validate(engine)
    assert carried_settings.verdict({**made, **changes}, HERE, model="starter", settings=section) == expected


def test_info_names_another_model() -> None:
    """A picture of another model can be drawn again once that model is configured; its weights can't be compared, nor its decoder's."""
    told = carried_settings.verdict(
        {**HERE, "weights": "9", "decoder": "tiny 3c", "mode": "exact"},
        HERE,
        model="org/x",
        settings=EngineSection(),
    )
    assert told == 'This machine draws it again to the bit with model = "org/x" under [engine].'


def test_info_asks_this_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A picture with this machine's own fingerprint is said to be drawn again; one from elsewhere is not."""
    settings = Settings.model_validate({"engine": {"device": "cpu"}, "models": {"dir": str(tmp_path)}})
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "detail.safetensors").write_bytes(b"here")
    mine, _ = ask_engine(
        "here",
        **{
            **ASKED_HERE,
            "settings": {**ASKED_HERE["settings"], "models": str(tmp_path), "data": str(tmp_path)},
            "made": {"lora detail": "", "lora gone": "", "runtime": "OpenVINO 1, 1 thread, 8 rows"},
        },
    )
    assert mine is not None
    assert (mine.pop("size"), mine.pop("quick")) == ("128x128", "four-steps:1")
    assert "lora gone" not in mine
    file = tmp_path / "a.png"
    file.write_bytes(
        encode_png(
            Image.new("RGB", (8, 8)),
            request=replace(REQUEST, model="starter"),
            fingerprint={**mine, "mode": "exact"},
        )
    )
    assert carried_settings.show_info(file, settings) == 0
    assert "again to the bit" in capsys.readouterr().out
    for there, words in (
        ({**mine, "threads": "77"}, "threads 77 there"),
        ({**mine, "lora detail": "0123"}, "other bits: lora detail 0123 there, "),
        ({**mine, "embedding x": "0123"}, "other bits: embedding x 0123 there, none here"),
        (
            {**mine, "runtime": "OpenVINO 1, 1 thread"},
            "other bits: runtime OpenVINO 1, 1 thread there, OpenVINO 20",
        ),
    ):
        made = {**there, "mode": "exact"}
        assert words in carried_settings.verdict(made, mine, model="starter", settings=settings.engine)
    plain = {key: value for key, value in mine.items() if key != "runtime"}
    for whole, runtime, ending in (
        (True, "auto", 'to the bit with runtime = "torch" under [engine].'),
        (False, "auto", "to the bit."),
        (True, "torch", "to the bit."),
    ):
        section = EngineSection.model_validate({**WIDE, "runtime": runtime})
        made = {**plain, "mode": "wide", "width": "4 rows"}
        assert carried_settings.verdict(made, plain, model="starter", settings=section, whole=whole).endswith(
            ending
        )
    told = carried_settings.verdict(
        {**mine, "mode": "wide", "width": "4 rows"},
        mine,
        model="starter",
        settings=EngineSection.model_validate(WIDE),
    )
    assert told.endswith('to the bit with runtime = "openvino" under [engine].')
    told = carried_settings.verdict(
        {**mine, "mode": "exact"}, mine, model="dream", settings=EngineSection(mode="exact")
    )
    assert told.endswith("to the bit, once the model “dream” lies in checkpoints in the folder for models.")
    told = carried_settings.verdict(
        {**mine, "mode": "exact"}, mine, model="a/b", settings=EngineSection(mode="exact")
    )
    assert told.endswith('to the bit with model = "a/b" under [engine].')
    told = carried_settings.verdict(
        {**mine, "mode": "exact"}, mine, model="starter", settings=EngineSection()
    )
    assert mine["auto"] == "wide"
    assert told.endswith('to the bit with mode = "exact" under [engine].')


def test_info_looks_at_the_pictures_own_model(tmp_path: Path) -> None:
    """What lies among the further models is found there, with its own threads and weights, not the configured one's."""
    tiny.build(tmp_path / "checkpoints" / "large", describe=False)
    (tmp_path / "checkpoints" / "large" / "easel.json").write_text(
        '{"width": 512, "height": 512, "side_max": 1024, "pixels_max": 1048576}'
    )
    here, complaint = ask_engine(
        "here",
        **{**ASKED_HERE, "settings": {**ASKED_HERE["settings"], "models": str(tmp_path)}, "wanted": "large"},
    )
    assert here is not None, complaint
    assert here["model"] == "large"


def test_an_upscale_by_a_model_is_asked_of_it_again() -> None:
    """Without a model an upscaler would do it: the printed command says where the model's name belongs."""
    request = replace(REQUEST, model="dream", steps=20, image="0" * 64, strength=0.2, upscale=2)
    assert "--model=MODEL" in carried_settings.command(request)
    picture = PictureInfo(prompt="x", request=request)
    assert any(line.startswith("(MODEL stands for") for line in carried_settings.lines(picture))


def test_a_photo_on_its_side_keeps_its_shape(tmp_path: Path) -> None:
    """Its header says how the camera was held; the size that is asked for is the upright one's."""
    photo, exif = Image.new("RGB", (600, 400)), Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "photo.jpg", exif=exif)
    assert one_picture._shape(tmp_path / "photo.jpg") == (400, 600)
    photo.save(tmp_path / "upright.jpg")
    assert one_picture._shape(tmp_path / "upright.jpg") == (600, 400)


def test_info_reads_other_programs() -> None:
    """A picture of AUTOMATIC1111 shows prompt and settings, without a command of ours."""
    found = PictureInfo(prompt="a cat", fields={"Steps": "20", "Sampler": "Euler"})

    assert list(carried_settings.lines(found)) == ["Prompt: a cat", "Steps: 20", "Sampler: Euler"]


@pytest.mark.parametrize("content", [None, b"no picture", b""])
def test_info_of_no_picture_exits_1(tmp_path: Path, content: bytes | None) -> None:
    """A missing file and one that is no picture end in a sentence."""
    file = tmp_path / "a.png"
    if content is not None:
        file.write_bytes(content)
    result = CliRunner().invoke(app, ["info", str(file)])

    assert result.exit_code == 1
    assert "can't be read" in result.stderr


def test_info_of_a_bare_picture_exits_1(tmp_path: Path) -> None:
    """A picture without settings is told."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    result = CliRunner().invoke(app, ["info", str(tmp_path / "a.png")])

    assert result.exit_code == 1
    assert "carries no settings" in result.stderr


def test_info_reads_a_jpeg_of_another_program(tmp_path: Path) -> None:
    """What AUTOMATIC1111 keeps in EXIF data is printed, made safe for the terminal."""
    exif = Image.Exif()
    exif[0x0131] = "x"
    text = "a cat \x1b[2J\nSteps: 20, Sampler: Euler, Seed: 5"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    result = CliRunner().invoke(app, ["info", str(tmp_path / "a.jpg")])

    assert result.exit_code == 0
    assert result.stdout == "Prompt: a cat  [2J\nSteps: 20\nSampler: Euler\nSeed: 5\n"


def test_info_says_who_made_a_picture_without_settings(tmp_path: Path) -> None:
    """Where a file says that and no more."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("workflow", '{"nodes": []}')
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=chunks)
    result = CliRunner().invoke(app, ["info", str(tmp_path / "a.png")])

    assert (result.exit_code, result.stdout) == (0, "Made by: ComfyUI\n")


def test_info_tells_texts_that_it_does_not_know(tmp_path: Path) -> None:
    """A picture with texts never carries “no settings”: they are printed as they stand, cut and made safe."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", "Some\x1bProgram")
    chunks.add_text("Recipe", "y" * 1000)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=chunks)
    result = CliRunner().invoke(app, ["info", str(tmp_path / "a.png")])

    assert result.exit_code == 1
    assert "carries no settings that Easel can read. What its texts say:" in result.stderr
    assert result.stdout == f"Software: Some Program\nRecipe: {'y' * 292}…\n"


def test_info_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    """What is no file is told at once."""
    os.mkfifo(tmp_path / "pipe.png")
    result = CliRunner().invoke(app, ["info", str(tmp_path / "pipe.png")])

    assert result.exit_code == 1
    assert "can't be read" in result.stderr


def test_health_of_a_bot_that_never_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that says what to do, and exit code 1."""
    monkeypatch.setenv("EASEL_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["health"])
    assert result.exit_code == 1
    assert "start it with easel run" in result.output

"""`easel train` on a terminal: what it is told, Ctrl-C, and going on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from bot.shell.cli import app
from tests.kit.tiny import build


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (64, 64), colour).save(folder / f"{colour}.png")
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "EASEL_DATA_DIR": str(tmp_path / "data"), "EASEL_ENGINE_OFFLINE": "true"}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "easel", "train", *words]


def test_interrupted_it_goes_on_with_resume(pictures: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """Ctrl-C keeps the step that it was at, and says how to go on; going on ends with a LoRA that can be drawn with."""
    model = str(build(tmp_path / "tiny"))
    told = command(
        str(pictures), "--name", "blob", "--trigger", "blob toy", "--model", model, "--device", "cpu",
        "--steps", "40", "--rank", "2", "--resolution", "64", "--batch", "1", "--save-every", "1",
        "--sample-every", "0",
    )  # fmt: skip
    with subprocess.Popen(
        told, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        said = next(line for line in lines if "kept" in line)
        os.killpg(process.pid, signal.SIGINT)
        rest = [*lines]
    assert "step 1, loss" in said
    assert process.returncode == 130
    assert "which is kept: the same command with --resume goes on." in rest[-1]
    again = command(str(pictures), "--name", "blob", "--resume", "--model", model, "--device", "cpu")
    done = subprocess.run(again, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    assert "step 1," not in done.stdout
    file = tmp_path / "data" / "models" / "loras" / "blob.safetensors"
    assert done.stdout.splitlines()[-1].startswith(f"The LoRA is {file}: draw with it by --lora blob")
    assert file.is_file()


def test_without_a_trigger_nothing_is_begun(pictures: Path) -> None:
    """Who says no trigger is asked for one, before anything is read."""
    refused = CliRunner().invoke(app, ["train", str(pictures), "--name", "blob"])
    assert refused.exit_code == 2
    assert "say which words stand for what is taught" in refused.output

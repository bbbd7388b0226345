"""Models that are not Stable Diffusion's, from the command to the picture: `easel imagine`, and `/imagine` with the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from bot.cli import app
from bot.jobs import JobState
from tests.tiny import build_xl
from tests.tiny_any import build_flux
from tests.ui.world import World, text_of

BUILDERS = {"sdxl": build_xl, "flux": build_flux}


@pytest.fixture(scope="module", params=BUILDERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model of each family."""
    return BUILDERS[request.param](tmp_path_factory.mktemp("models") / request.param)


def test_easel_imagine(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`easel imagine --model FOLDER` draws the same picture each time it is given the same seed."""
    monkeypatch.chdir(tmp_path)
    words = ["imagine", "a fox", "--model", str(folder), "--device", "cpu", "--seed", "7"]
    pictures: list[bytes] = []
    for name in ("one.png", "two.png"):
        result = CliRunner().invoke(app, [*words, "--size", "80x64", "--steps", "3", "-o", name])
        assert result.exit_code == 0, result.stderr
        with Image.open(tmp_path / name) as image:
            assert image.size == (80, 64)
            pictures.append(image.tobytes())
    assert pictures[0] == pictures[1]


async def test_slash_imagine(folder: Path, tmp_path: Path) -> None:
    """With `model = FOLDER` in the configuration, /imagine posts a picture by the model's own defaults."""
    engine: dict[str, Any] = {"model": str(folder), "device": "cpu"}
    world = await World.start(tmp_path, fake=None, engine=engine)
    try:
        await world.imagine(prompt="a fox", seed=7)
        await world.reaches(1, JobState.DELIVERED, timeout_s=120)
        message = world.message(1)
        assert [attachment.filename for attachment in message.attachments] == ["easel-1-7.png"]
        assert f"128×128 · {8 if folder.name == 'sdxl' else 4} steps" in text_of(message)
        assert (await world.job(1)).request.model == folder.name
    finally:
        await world.stop()

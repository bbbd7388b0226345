"""Models that are not Stable Diffusion's, from the command to the picture: `easel imagine`, and `/imagine` with the real engine."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from bot.job import JobState
from bot.shell.cli import app
from tests.kit.tiny import build_xl
from tests.kit.tiny_any import build_flux
from tests.kit.world import World

BUILDERS = {"sdxl": build_xl, "flux": build_flux}
STEPS = {"sdxl": 8, "flux": 4}
"""That each takes by itself."""


async def test_from_the_command_to_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/imagine posts a picture by each model's own defaults; `easel imagine` draws what /imagine drew with that seed.

    One of the models is named in the configuration, the other lies beside it; the shell's engine is told its own alone.
    """
    checkpoints = tmp_path / "models" / "checkpoints"
    folders = {name: build(checkpoints / name) for name, build in BUILDERS.items()}
    engine: dict[str, Any] = {"model": str(folders["sdxl"]), "device": "cpu"}
    world = await World.start(tmp_path, fake=None, engine=engine)
    posted: dict[str, tuple[tuple[int, int], bytes]] = {}
    try:
        for number, name in enumerate(BUILDERS):
            by_itself, small = 2 * number + 1, 2 * number + 2
            await world.imagine(prompt="a fox", seed=7, model=name)
            await world.imagine(prompt="a fox", seed=7, model=name, size="80x64", steps=3)
            await world.reaches(by_itself, JobState.DELIVERED, timeout_s=120)
            await world.reaches(small, JobState.DELIVERED, timeout_s=120)
            message = world.message(by_itself)
            assert [attachment.filename for attachment in message.attachments] == [f"easel-{by_itself}-7.png"]
            assert f"128×128 · {STEPS[name]} steps" in message.text
            assert (await world.job(by_itself)).request.model == name
            posted[name] = size_and_pixels(world.message(small).attachments[0].bytes)
    finally:
        await world.stop()
    monkeypatch.chdir(tmp_path)
    for name, folder in folders.items():
        words = ["imagine", "a fox", "--model", str(folder), "--device", "cpu", "--seed", "7"]
        result = CliRunner().invoke(app, [*words, "--size", "80x64", "--steps", "3", "-o", f"{name}.png"])
        assert result.exit_code == 0, result.stderr
        assert size_and_pixels((tmp_path / f"{name}.png").read_bytes()) == posted[name]
        assert posted[name][0] == (80, 64)


def size_and_pixels(png: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(png)) as image:
        return image.size, image.tobytes()

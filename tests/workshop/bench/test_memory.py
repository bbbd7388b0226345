"""What an engine holds while OpenVINO is made ready: every moment is told, and that OpenVINO is not used at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract import EngineSettings, FakeSettings
from engine.loading.offloads import OF_DECODER
from engine.openvino import files
from workshop.bench import crowd, memory


@pytest.mark.parametrize("is_used", [True, False])
def test_every_moment_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_used: bool) -> None:
    """Of a real process, up to where torch's are gone again; where OpenVINO draws nothing it ends with why."""
    monkeypatch.setattr(memory.time, "sleep", lambda _s: None)
    folder = tmp_path / files.FOLDER / f"x-{0:016}"
    folder.mkdir(parents=True)
    files.give_up(folder, "no room")
    draw = crowd.Desk.draw

    def drawn(desk: Any, requests: Sequence[Any]) -> Any:
        return [replace(each, made_by="OpenVINO") if is_used else each for each in draw(desk, requests)]

    monkeypatch.setattr(crowd.Desk, "draw", drawn)
    settings = EngineSettings(
        spool=str(tmp_path / "spool"), data=str(tmp_path), model="fake", fake=FakeSettings(step_s=0.0)
    )
    moments = memory.measured(settings)
    told = [next(moments) for _ in range(3)]
    if is_used:
        told += moments
    else:
        with pytest.raises(RuntimeError, match="OpenVINO is not used: no room"):
            next(moments)
    assert len(told) == (7 if is_used else 3)
    assert all(0 < each.private <= each.engine for each in told)
    assert told[2].with_converter >= 0.9 * told[0].engine


def test_what_is_computed_is_of_the_real_architectures(capsys: pytest.CaptureFixture[str]) -> None:
    """The decoder's numbers are those that leave the memory."""
    import torch

    from workshop.bench import sd15

    with torch.device("meta"):
        weights = sd15.vae().state_dict()
    assert sum(weights[name].numel() for name in weights if name.startswith(OF_DECODER)) == memory.DECODER
    assert memory.main(["--computed"]) == 0
    assert "| Stable Diffusion XL | 13.9 | 10.5 | 24.3 | 13.9 |" in capsys.readouterr().out

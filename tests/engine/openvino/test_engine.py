"""A real engine on a processor, as a bot starts it: the first pictures are torch's, later ones and later starts OpenVINO's."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine import process
from engine.contract import EngineSettings, Ready, Submit
from engine.loading import speed
from engine.process import EngineProcess
from tests.engine.openvino.test_runtime import made_with
from tests.kit.engines import Loading, recv_endings, recv_until

pytestmark = [pytest.mark.xdist_group("openvino"), pytest.mark.timeout(300)]


def started(model: Path, folder: Path) -> tuple[EngineProcess, Ready]:
    """With the settings that a bot has by default."""
    settings = EngineSettings(model=str(model), spool=str(folder / "spool"), data=str(folder), device="cpu")
    engine = process.start(settings)
    ready = recv_until(engine, lambda event: not isinstance(event, Loading))[-1]
    assert isinstance(ready, Ready), ready
    return engine, ready


def drawn(engine: EngineProcess, ready: Ready, job_id: int) -> dict[str, str]:
    """What the file of one more picture says of how it was drawn."""
    request = ready.models[0].request(prompt="x", seed=1, steps=2, size=(64, 64))
    engine.send(Submit(job_id=job_id, attempt=1, request=request))
    ending = recv_endings(engine, job_id)[0][job_id]
    return made_with(ending)  # type: ignore[arg-type]


def test_behind_the_first_pictures_and_kept(tiny: Path, tmp_path: Path) -> None:
    """Nobody waits for it; what is converted serves the next start, and a kill leaves no half of it."""
    engine, ready = started(tiny, tmp_path)
    assert speed.CONVERTING in ready.notes
    assert ready.fingerprint["mode"] == "wide"
    assert "runtime" not in drawn(engine, ready, 1)
    engine.kill()
    assert not [each for each in (tmp_path / "openvino").glob("tiny-*") if each.is_dir()]

    engine, ready = started(tiny, tmp_path)
    made = hastened(engine, ready, tmp_path)
    engine.kill()
    engine, ready = started(tiny, tmp_path)
    assert speed.CONVERTING not in ready.notes
    assert hastened(engine, ready, tmp_path)["runtime"] == made["runtime"]
    engine.kill()


def hastened(engine: EngineProcess, ready: Ready, folder: Path) -> dict[str, str]:
    """What the first picture's file says that OpenVINO drew: it is asked for when the converter has gone, which needs a core."""
    while not [*(folder / "openvino").glob("tiny-*.json")]:
        time.sleep(0.05)
    number = 1
    while "runtime" not in (made := drawn(engine, ready, number)):
        number += 1
    return made

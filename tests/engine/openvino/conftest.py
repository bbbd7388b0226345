"""What is converted is converted once: all these tests are one group's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.families.sd import SdFamily
from engine.openvino.files import Wanted
from engine.openvino.runtime import OpenVino


@pytest.fixture(scope="session")
def converted(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process of its own really makes of the tiny model."""
    folder = tmp_path_factory.mktemp("openvino") / f"tiny-{0:016}"
    wanted = Wanted(folder=folder, rows_max=8, threads_max=2, worth=None)
    runtime = OpenVino(pipe.unet, pipe.vae, SdFamily(pipe).forwards.blank(2, (64, 64)), wanted)
    runtime.begin()
    runtime.wait()
    assert runtime.is_in_use
    return folder

"""What is converted is converted once, and in this process: all these tests are one group's.

A process of its own, which imports all that anew and stands behind all others, is what a real engine has in test_engine.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.families.sd import SdFamily
from engine.openvino import convert
from engine.openvino.files import Wanted
from engine.openvino.runtime import OpenVino


@pytest.fixture(scope="session")
def converted(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What converting really makes of the tiny model."""
    folder = tmp_path_factory.mktemp("openvino") / f"tiny-{0:016}"
    wanted = Wanted(folder=folder, rows_max=8, threads_max=2, worth=None)
    runtime = OpenVino(pipe.unet, pipe.vae, SdFamily(pipe).forwards.blank(2, (64, 64)), wanted)
    order = runtime.order()
    assert order is not None
    convert._convert(order)
    runtime.finish()
    assert runtime.is_in_use
    return folder

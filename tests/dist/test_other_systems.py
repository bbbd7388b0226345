"""Where there is neither Windows nor macOS to try: what only POSIX has is never on the main path without another way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_easel_needs_nothing_that_windows_lacks(tmp_path: Path) -> None:
    """All modules load without fcntl, pwd, resource and their like; doctor, lock, signals and a picture work there."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kit.as_windows", "tests.kit.on_windows", "everything", tmp_path / "data"],
        check=False, capture_output=True, text=True, timeout=290, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])

    assert told["platform"] == ["win32", "nt"]
    assert told["doctor"] == 0, done.stdout
    assert told["locked"] is True
    assert told["signal"] is True
    assert told["service"].startswith("easel.service is for systemd, which Windows does not have")
    with Image.open(told["picture"]) as picture:
        assert picture.size == (128, 128)

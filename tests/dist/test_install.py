"""What `make` says while it installs, by a pip that only pretends: the real one needs a network."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PIP = """\
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
if "--version" not in words:
    with Path(os.environ["ASKED"]).open("a") as asked:
        asked.write(json.dumps(words[words.index("install") + 1:]) + "\\n")
    print(os.environ["SAYS"])
    sys.exit(int(os.environ["ENDS"]))
"""
GOES_WELL = """\
Collecting torch==2.13.0 (from -r x)
  Downloading torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl (190.4 MB)
Progress 1048576 of 190400000
  Downloading zipp-4.1.2-py3-none-any.whl (10 kB)
  Using cached openvino-2026.4.1-cp313-none-any.whl (59.2 MB)
Installing collected packages: torch, zipp, openvino
Successfully installed openvino-2026.4.1 torch-2.13.0 zipp-4.1.2"""
NO_NETWORK = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NameResolutionError("Failed to resolve 'pypi.org'")'
ERROR: Could not find a version that satisfies the requirement pip==26.3 (from versions: none)"""
BROKEN_OFF = """\
  Downloading torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl (190.4 MB)
pip._vendor.urllib3.exceptions.ProtocolError: ('Connection broken: IncompleteRead', IncompleteRead())"""
NO_ROOM = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment with a pip that does as it is told."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    (site,) = folder.glob("lib/python*/site-packages")
    for name, text in {
        "pip/__init__.py": "",
        "pip/__main__.py": PIP,
        "pip-22.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: pip\nVersion: 22.0\n",
    }.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text, encoding="utf-8")
    return folder


def make(venv: Path, *words: str, says: str = "", ends: int = 0) -> subprocess.CompletedProcess[str]:
    told = {"SAYS": says, "ENDS": str(ends), "ASKED": str(venv / "asked"), "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(
        ["make", "--no-print-directory", f"VENV={venv}", "TORCH_INDEX=http://127.0.0.1:9/cpu", *words],
        check=False, capture_output=True, text=True, timeout=60, cwd=ROOT, env={**os.environ, **told},
    )  # fmt: skip


def asked(venv: Path) -> list[list[str]]:
    """What pip was asked to install, in order."""
    lines = [json.loads(line) for line in (venv / "asked").read_text("utf-8").splitlines()]
    return [
        [word for word in line if word not in ("--no-compile", "--progress-bar", "raw")] for line in lines
    ]


def test_the_demo_asks_for_no_tools(venv: Path) -> None:
    """A newer pip first, torch from the index that was named, then the extra `demo` alone; torchvision never."""
    assert make(venv, f"{venv}/.easel-demo").returncode == 0

    newer, torch, easel, spandrel = asked(venv)
    assert newer == ["--quiet", "pip==26.3"]
    assert torch == ["--no-deps", "--index-url", "http://127.0.0.1:9/cpu", "torch==2.13.0"]
    assert easel == ["-c", "constraints.txt", "-e", ".[demo]"]
    assert spandrel == ["--no-deps", "-c", "constraints.txt", "spandrel"]


def test_what_is_installed_stays(venv: Path) -> None:
    """After the tests' packages the demo needs no more; after the demo's, the tests' do."""
    assert make(venv, f"{venv}/.easel-demo").returncode == 0
    assert make(venv, "-q", f"{venv}/.easel-demo").returncode == 0
    assert make(venv, "-q", f"{venv}/.easel-installed").returncode == 1

    assert make(venv, "venv").returncode == 0
    assert asked(venv)[-2][-1] == ".[dev,demo]"
    assert make(venv, "-q", f"{venv}/.easel-demo", f"{venv}/.easel-installed").returncode == 0


def test_it_tells_what_it_downloads(venv: Path) -> None:
    """Large files by name, version and size, what was there already, and at the end how much it was and how long it took."""
    told = make(venv, f"{venv}/.easel-demo", says=GOES_WELL).stdout.splitlines()

    assert told[0] == f"Installing Easel's packages into {venv}: some minutes the first time …"
    assert told[1:4] == [
        "  torch 2.13.0, 190 MB …",
        "  openvino 2026.4.1, 59 MB, downloaded before …",
        "  unpacking 3 packages …",
    ]
    assert told[-1].startswith("Installed: ")
    assert f"MB in {venv}, of 762 MB downloaded, in " in told[-1]  # four times the same


@pytest.mark.parametrize("says", [NO_NETWORK, BROKEN_OFF])
def test_without_a_network_it_says_what_to_do(venv: Path, says: str) -> None:
    """One sentence instead of pip's, and nothing counts as installed."""
    done = make(venv, f"{venv}/.easel-demo", says=says, ends=1)

    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith(
        "Easel could not reach the package index: connect this machine"
    )
    assert "urllib3" not in done.stdout + done.stderr
    assert not (venv / ".easel-demo").exists()


def test_other_trouble_is_told_in_pips_words(venv: Path) -> None:
    """They stand above the sentence that says what to do next."""
    done = make(venv, f"{venv}/.easel-demo", says=NO_ROOM, ends=1)

    assert done.stderr.splitlines()[:2] == [
        NO_ROOM,
        "Easel could not install its packages: see pip's lines above, then run make again.",
    ]


@pytest.mark.parametrize(
    ("has_card", "answers", "is_there", "expected"),
    [(False, True, False, True), (True, True, False, False), (False, False, False, False), (False, True, True, False)],
)  # fmt: skip
def test_a_machine_without_a_card_gets_the_small_torch(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    has_card: bool,
    answers: bool,
    is_there: bool,
    expected: bool,
) -> None:
    """From PyTorch's own index, where that answers and no torch is there yet; else torch comes with all the rest."""
    spec = importlib.util.spec_from_file_location("install", ROOT / ".ci" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    monkeypatch.setattr(script, "CARDS", (str(tmp_path if has_card else tmp_path / "none"),))
    monkeypatch.setattr(script, "_answers", lambda _: answers)
    monkeypatch.setattr(script, "_installed", lambda _: script.PINS["torch"] if is_there else None)
    monkeypatch.setattr(script.sys, "platform", "linux")
    monkeypatch.setattr(script.platform, "machine", lambda: "x86_64")

    assert (script.CPU_INDEX in list(script.torch_words())) is expected

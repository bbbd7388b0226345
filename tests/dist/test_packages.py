"""Easel as a wheel, in an environment of its own and far from any checkout: it draws, shows its demo and refuses as here."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

import bot

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.xdist_group("packages"), pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The wheel in an empty environment, which borrows this one's other packages."""

    wheel: Path
    sdist: Path
    folder: Path
    """Where it is used; the environment and the data lie beneath."""

    @property
    def program(self) -> Path:
        return self.folder / "venv" / "bin" / "easel"

    def environ(self) -> dict[str, str]:
        ours = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
        }
        own = {
            "EASEL_DATA_DIR": str(self.folder / "data"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "",
        }
        return {**ours, **own}

    def run(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=110, cwd=self.folder,
            env={**self.environ(), **variables},
        )  # fmt: skip

    def easel(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.program, *words, **variables)


def build(folder: Path) -> tuple[Path, Path]:
    """`make dist`: (wheel, sdist)."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "dist.py", folder], check=False, capture_output=True, text=True, timeout=110,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1796000000"},  # the last commit's, which may come while tests run
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_they_hold_the_same_where_git_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an unpacked sdist: then all that lies there, but for what Python made of it."""
    program = runpy.run_path(str(ROOT / ".ci" / "dist.py"))
    names, known = program["_names"], {*program["_names"]()}
    monkeypatch.setitem(names.__globals__, "_git", lambda *_: "")
    lying = {name for name in names() if (ROOT / name).is_file()}

    assert known <= lying
    assert not [name for name in lying if name.endswith(".pyc")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Once for all tests of this file, by pip and without a network."""
    folder = tmp_path_factory.mktemp("elsewhere")
    wheel, sdist = build(folder / "dist")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=60)
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install, wheel], check=True, timeout=60)
    # What a .pth file names is searched, but its own .pth files, by which the checkout is found, are not read.
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Installed(wheel=wheel, sdist=sdist, folder=folder)


def test_the_same_commit_makes_the_same_packages(installed: Installed, tmp_path: Path) -> None:
    """Byte for byte, whenever and whoever builds: what is attested can be built again and compared."""
    wheel, sdist = build(tmp_path)

    assert (wheel.name, sdist.name) == (installed.wheel.name, installed.sdist.name)
    for made, before in ((wheel, installed.wheel), (sdist, installed.sdist)):
        assert sha256(made.read_bytes()).digest() == sha256(before.read_bytes()).digest()


def test_the_packages_hold_the_program_alone(installed: Installed) -> None:
    """Catalogues, migrations, the starter, the page and the example, no tests; all of it is in the sdist, too."""
    with zipfile.ZipFile(installed.wheel) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    with tarfile.open(installed.sdist) as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}

    assert {name.partition("/")[0] for name in held} == {"bot", "engine", "workshop", "easel.py"}
    assert held <= packed
    assert not [name for name in packed if name.startswith(("tests", "docs", "shared", "."))]
    assert {
        "bot/config/example.toml",
        "bot/shell/init/easel.service",
        "bot/shell/static/live_page.js",
        "bot/store/migrations/0004_first.sql",
        "bot/texts/locales/de/LC_MESSAGES/easel.po",
        "engine/starter/weights/unet/diffusion_pytorch_model.safetensors",
    } <= held


def test_it_is_the_wheel_that_runs(installed: Installed) -> None:
    """By its own name and by Python's `-m`; its modules lie in the new environment, nothing of the checkout is found."""
    python = installed.program.with_name("python")
    where = installed.run(
        python, "-c", "import bot, engine, workshop, easel; print(bot.__file__, easel.__file__)"
    )
    by_module = installed.run(python, "-m", "easel", "--help")

    assert [Path(place).is_relative_to(installed.folder) for place in where.stdout.split()] == [True, True]
    assert installed.easel("--version").stdout == f"easel {bot.__version__}\n"
    assert by_module.returncode == 0
    assert {"imagine", "demo", "bench", "chaos"} <= set(by_module.stdout.split())


def test_it_draws(installed: Installed) -> None:
    """The first picture, by the starter that comes with it; the file says which Easel made it."""
    done = installed.easel(
        "imagine", "a red circle on a blue background", "--seed", "7", "--steps", "4", "--out", "a.png"
    )

    assert done.returncode == 0, done.stderr
    with Image.open(installed.folder / "a.png") as picture:
        picture.load()
        assert json.loads(picture.info["easel"])["version"] == bot.__version__
    assert "a red circle" in installed.easel("info", "a.png").stdout


def test_it_shows_its_demo(installed: Installed) -> None:
    """The chat page answers on the port that is told, and SIGTERM ends it all."""
    with subprocess.Popen(
        [installed.program, "demo", "--port", "0"], cwd=installed.folder, env=installed.environ(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as demo:  # fmt: skip
        try:
            assert demo.stdout is not None
            printed = ""
            while not (found := re.search(r"http://127\.0\.0\.1:\d+/\S*", printed)):
                line = demo.stdout.readline()
                assert line, printed
                printed += line
            with urllib.request.urlopen(found[0], timeout=30) as page:
                assert b"Easel" in page.read()
            demo.send_signal(signal.SIGTERM)
            assert demo.wait(60) == 0
        finally:
            demo.kill()


def test_it_refuses_a_wrong_token(installed: Installed) -> None:
    """One sentence on where to get the right one, the code that tells supervisors not to try again, and no token."""
    done = installed.easel("run", DISCORD_TOKEN="not-a-token")

    assert done.returncode == 78
    assert (
        "has three parts with dots between: copy it anew from https://discord.com/developers" in done.stderr
    )
    assert "not-a-token" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_it_checks_itself(installed: Installed) -> None:
    """The doctor finds its packages without constraints.txt, and the starter in its own folder."""
    done = installed.easel("doctor", "--json", DISCORD_TOKEN="a.b.c")
    found = json.loads(done.stdout)

    assert done.returncode == 0, done.stdout
    text = json.dumps(found)
    assert "there is no constraints.txt here" in text
    assert str(ROOT) not in text

"""What GitHub is to do: no known way in for strangers, and a release that needs no secret. Runs none of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import bot

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"


def test_zizmor_finds_nothing() -> None:
    """Each is a workflow by GitHub's schema, gives no more rights than needed, and runs nothing that strangers could write."""
    tool = Path(sys.executable).with_name("zizmor")
    done = subprocess.run(
        [tool, "--offline", "--strict-collection", "--no-progress", WORKFLOWS],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_release_is_published_without_a_secret() -> None:
    """By PyPI's trusted publishing from an environment of its own, of the two files alone that `make dist` makes."""
    release: Any = yaml.safe_load((WORKFLOWS / "release.yml").read_text("utf-8"))
    publish = release["jobs"]["publish"]

    assert "secrets." not in (WORKFLOWS / "release.yml").read_text("utf-8")
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == {"name": "pypi", "url": f"https://pypi.org/project/{bot.DISTRIBUTION}/"}
    fetched, published = publish["steps"]
    assert fetched["with"] == {"name": "dist", "path": "dist"}
    assert published["uses"].startswith("pypa/gh-action-pypi-publish@")
    commands = " ".join(step.get("run", "") for step in release["jobs"]["build"]["steps"])
    assert "python .ci/dist.py dist" in commands
    assert f"## [{bot.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")

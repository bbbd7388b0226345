"""Questions to the engine's packages that are answered fast."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

import pytest

from bot.shell import child
from tests.kit import forked

Launch = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def usual_launch(monkeypatch: pytest.MonkeyPatch) -> Launch:
    """How an interpreter of its own answers, which test_doctor.py looks at; elsewhere one answers that has torch already."""
    usual, report = child.launch, child.REPORT

    def launch(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return (forked.ask if tuple(command[: len(report)]) == report else usual)(command)

    monkeypatch.setattr(child, "launch", launch)
    return usual

"""Bots that start fast."""

from __future__ import annotations

import pytest

from tests.kit import forked
from workshop.rehearsal import bot


@pytest.fixture(autouse=True)
def forked_bots(monkeypatch: pytest.MonkeyPatch) -> None:
    """How a fresh interpreter comes and goes is told by test_told_to_stop.py."""
    monkeypatch.setattr(bot, "launch", forked.launch)

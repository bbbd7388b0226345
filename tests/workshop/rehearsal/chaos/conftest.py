"""Bots that start fast: chaos starts them again and again."""

from __future__ import annotations

import pytest

from tests.kit import forked
from workshop.rehearsal import bot


@pytest.fixture(autouse=True)
def forked_bots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a fresh interpreter does as well is told by `easel chaos`, in test_command.py."""
    monkeypatch.setattr(bot, "launch", forked.launch)

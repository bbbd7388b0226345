"""How far what is told to those who wait is from what it takes, as `easel bench` reports it."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from engine.contract import EngineSettings, FakeSettings
from workshop.bench import told


async def test_what_is_told_is_compared_with_what_it_took(tmp_path: Path) -> None:
    """Those who waited count, each by its share; an engine of one steady pace is foretold better than by half."""
    fake = FakeSettings(step_s=0.02, slots=1)
    engine = EngineSettings(model="fake", spool=str(tmp_path / "spool"), fake=fake)
    errors = await told.errors_of(tmp_path, "fake", engine=engine)

    assert told.ASKED - 3 <= len(errors) <= told.ASKED
    assert all(error >= 0 for error in errors)
    assert statistics.median(errors) < 0.5


async def test_a_pace_that_was_learned_wrong_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything is told four times as long as it takes, the error is about three times the real time."""
    from bot.core.line.estimates import Pace

    right = Pace.seconds_for
    monkeypatch.setattr(Pace, "seconds_for", lambda self, work: 4 * (right(self, work) or 0.0))
    fake = FakeSettings(step_s=0.02, slots=1)
    engine = EngineSettings(model="fake", spool=str(tmp_path / "spool"), fake=fake)
    errors = await told.errors_of(tmp_path, "fake", engine=engine)

    assert statistics.median(errors) > 1.5

"""What forwards cost: measured within a budget, kept, and told in sentences that follow from the numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from engine.contract import ModelInfo
from engine.device import memory
from engine.device.memory import Needs
from engine.errors import BrokenModel
from engine.unet import costs
from engine.unet.costs import Costs

LAW = Costs(seconds={1: 0.015, 2: 0.02, 4: 0.03, 8: 0.05, 16: 0.1})


def test_costs_between_and_beyond_what_was_measured() -> None:
    """Unmeasured rows lie on the line between their neighbours, and beyond on the last one."""
    assert LAW.of(2) == 0.02
    assert LAW.of(6) == pytest.approx(0.04)
    assert LAW.of(32) == pytest.approx(0.2)


def test_the_knee_is_where_more_rows_stop_paying() -> None:
    """Eight rows at 6.25 ms each are as cheap as sixteen; four at 7.5 are not."""
    assert LAW.knee == 8
    assert Costs(seconds={1: 1.0, 2: 2.0, 4: 4.0}).knee == 2
    assert Costs(seconds={1: 1.0, 2: 1.0}).knee == 2


def test_the_gain_of_sharing() -> None:
    """Four pictures in 50 ms instead of 20 ms each are 1.6 times as many."""
    assert LAW.gain(8) == pytest.approx(1.6)
    assert LAW.gain(2) == 1.0


def test_measuring_keeps_to_its_budget() -> None:
    """A slow machine is asked for fewer rows, once each, at least for one and two."""
    asked: list[int] = []

    def forward(rows: int) -> None:
        asked.append(rows)
        time.sleep(0.002 * rows)

    slow = costs.measure(forward, budget_s=0.0)
    assert set(slow.seconds) == {1, 2}
    assert slow.is_noisy
    assert asked == [1, 2]
    asked.clear()
    assert set(costs.measure(forward, budget_s=60.0).seconds) == set(costs.ROWS)
    assert 1 + costs.RUNS_MIN <= asked.count(32) <= 1 + costs.RUNS_MAX


def test_a_busy_moment_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows take turns, and go on until each was met twice without it; what stays uncertain is asked again in a day."""
    law = {1: 1.0, 2: 1.1, 4: 1.3, 8: 1.7, 16: 2.5, 32: 6.0}
    turns: list[int] = []

    def timed(act: Any) -> float:
        (rows,) = act.args
        turns.append(rows)
        busy = len(turns) if is_always_busy else 3 * (len(turns) in range(20, 40))
        return law[rows] * (1 + busy)

    monkeypatch.setattr(costs, "timed", timed)
    is_always_busy = False
    found = costs.measure(lambda _rows: None, budget_s=60.0)
    assert found == Costs(seconds=law)
    assert turns[:12] == [*law] * 2
    is_always_busy = True
    turns.clear()
    assert costs.measure(lambda _rows: None, budget_s=60.0).is_noisy


def test_what_is_uncertain_holds_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is certain for a week; a file that says something else holds not at all."""
    costs.keep(tmp_path, "sure", LAW, {})
    costs.keep(tmp_path, "busy", Costs(seconds=LAW.seconds, is_noisy=True), {})
    assert [costs.holds(tmp_path, key) for key in ("sure", "busy", "none")] == [True, True, False]
    now = time.time()
    monkeypatch.setattr(costs.time, "time", lambda: now + 2 * 24 * 3600)
    assert [costs.holds(tmp_path, key) for key in ("sure", "busy")] == [True, False]
    monkeypatch.setattr(costs.time, "time", lambda: now + 8 * 24 * 3600)
    assert not costs.holds(tmp_path, "sure")


def test_no_memory_ends_the_measuring() -> None:
    """Where many rows don't fit, what fits is what is known; where two don't, the error is told."""

    def forward(rows: int) -> None:
        if rows > limit:
            raise MemoryError

    limit = 4
    assert set(costs.measure(forward).seconds) == {1, 2, 4}
    limit = 1
    with pytest.raises(MemoryError):
        costs.measure(forward)


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    """Kept under its facts, beside others; a damaged file counts as empty."""
    facts = {"torch": "2", "model": "x"}
    key, other = costs.key_of(facts), costs.key_of({**facts, "model": "y"})
    costs.keep(tmp_path / "new", key, LAW, facts)
    costs.keep(tmp_path / "new", other, Costs(seconds={1: 1.0, 2: 1.5}), facts)
    assert costs.read(tmp_path / "new", key) == LAW
    assert costs.read(tmp_path / "new", other) != LAW
    (tmp_path / "new" / costs.FILE).write_text("{")
    assert costs.read(tmp_path / "new", key) is None
    costs.keep(tmp_path / "new", key, LAW, facts)
    assert costs.read(tmp_path / "new", key) == LAW


def test_sentences_mark_the_mode() -> None:
    """Every mode is told with its cost and gain, the configured one marked."""
    exact, wide, fast = costs.sentences(LAW, "wide", 4, 4)
    assert "20 ms" in exact
    assert wide.startswith("▶ wide with 4 rows: 1.33x")
    assert "1.50x as long" in wide
    assert "up to 8 rows: 1.60x" in fast
    _, wide, fast = costs.sentences(LAW, "wide", 8, 2)
    assert "wide with 8 rows: 0.80x" in wide, "two slots fill four of eight rows"
    assert "up to 4 rows: 1.33x" in fast


def test_a_folder_that_cannot_be_written_to_is_no_reason_to_fail(tmp_path: Path) -> None:
    """Where nothing can be kept nothing is, and what is there but damaged counts as nothing."""
    (tmp_path / "file").write_text("")
    costs.keep(tmp_path / "file" / "below", "key", LAW, {})
    assert costs.read(tmp_path / "file" / "below", "key") is None
    (tmp_path / costs.FILE).write_text('{"key": {"seconds": "x"}, "other": 5}')
    assert costs.read(tmp_path, "key") is None
    assert costs.newest(tmp_path, "model") is None


def test_switches_are_kept_beside_the_costs(tmp_path: Path) -> None:
    """What was on when it was measured is on again tomorrow."""
    costs.keep(tmp_path, "key", LAW, {"model": "m"}, {"channels_last": "on"})
    assert costs.read_switches(tmp_path, "key") == {"channels_last": "on"}
    assert costs.read_switches(tmp_path, "none") == {}
    assert costs.newest(tmp_path, "m") == LAW


# ------------------------------------------------------------------ memory

SD15 = {"block_out_channels": [320, 640, 1280, 1280]}, {"block_out_channels": [128, 256, 512, 512]}


def test_the_estimate_is_that_of_sd15() -> None:
    """In fp16, 512x512: 65 MiB a row, 384 MiB for a whole decode, of which tiles take less than half."""
    needs = Needs.of(*SD15, itemsize=2, tiles=True)
    assert needs.row * 512 * 512 == pytest.approx(65 * 2**20, rel=0.01)
    assert needs.decode / memory.TILED * 512 * 512 == pytest.approx(384 * 2**20, rel=0.01)
    whole = Needs.of(*SD15, itemsize=2, tiles=False)
    assert whole.decode * 512 * 512 == pytest.approx(384 * 2**20, rel=0.01)
    assert needs.bytes_for(512 * 512, 16) == pytest.approx(16 * 65 * 2**20, rel=0.01)
    assert needs.largest(needs.bytes_for(512 * 512, 2), 2) == pytest.approx(0.9 * 512 * 512, rel=0.01)


def test_sizes_are_fitted_to_the_memory() -> None:
    """With room for a quarter, the bound is that and the default size half a side; with none, the model is broken."""
    info = ModelInfo(id="x", title="X", side_min=128)
    assert memory.fitted(info, 10**9) == info
    small = memory.fitted(info, 256 * 256)
    assert (small.width, small.height, small.pixels_max) == (256, 256, 256 * 256)
    assert small.request(prompt="x", seed=1).size == "256x256"
    with pytest.raises(BrokenModel, match="not even 128x128"):
        memory.fitted(info, 100 * 100)

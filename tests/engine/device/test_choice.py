"""What an engine computes on is chosen once, at its start, whoever asks later."""

from __future__ import annotations

import itertools
import queue
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import boot, contract
from engine.contract import EngineSettings, Event, Mode, Ready
from engine.device import choice
from engine.loading import load
from engine.loading.opening import Opener
from engine.loop.worker import Worker
from engine.unet import switches
from tests.kit.engines import offered
from tests.kit.tiny import build


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the stopwatch said: it changes its mind each time."""
    given: list[bool] = []
    mind = itertools.cycle((True, False))
    monkeypatch.setattr(switches, "bfloat16_pays", lambda: (given.append(next(mind)), given[-1])[1])
    return given


@pytest.mark.parametrize("mode", ["exact", "wide", "fast"])
def test_opening_and_looking_for_room_measure_nothing(
    tiny: Path, tmp_path: Path, answers: list[bool], mode: Mode
) -> None:
    """Whoever opens models chooses once: neither a model nor a look at the free memory asks again."""
    other = build(tmp_path / "other", seed=7)
    settings = EngineSettings(model=str(tiny), spool=str(tmp_path), device="cpu", mode=mode, rows=4)
    opener = Opener(settings, offered(tiny=settings, other=replace(settings, model=str(other))))
    for name in ("tiny", "other", "tiny"):
        assert opener.reclaim()
        assert opener.size_of(name)
        loaded = load.wholly(opener.open(name))
        assert loaded.fingerprint["dtype"] == ("float32" if mode == "exact" else "bfloat16")
    assert answers == ([] if mode == "exact" else [True])


def test_an_engine_chooses_once(
    tiny: Path, tmp_path: Path, answers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its start on, all of its models have the first one's dtype."""
    build(tmp_path / "checkpoints" / "other", seed=7)
    dtypes: list[str] = []

    class Opening(Worker):
        def run(self) -> None:
            self._shelf._loaded.clear()  # as if they had made room
            for name in ("other", "tiny"):
                while (model := self._shelf.fetch(name, in_use=set())) is None:
                    pass
                dtypes.append(model.fingerprint["dtype"])

    monkeypatch.setattr(boot, "Worker", Opening)
    settings = EngineSettings(
        model=str(tiny), models=str(tmp_path), spool=str(tmp_path), device="cpu", mode="wide", rows=4
    )
    events: list[Event] = []
    assert boot.run(settings, queue.Queue(), events.append) == contract.EXIT_OK
    (ready,) = (event for event in events if isinstance(event, Ready))
    assert (ready.dtype, dtypes, answers) == ("bfloat16", ["bfloat16"] * 2, [True])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_told_is_not_measured(tiny: Path, answers: list[bool], dtype: Any) -> None:
    """A dtype that is configured needs no stopwatch."""
    settings = EngineSettings(model=str(tiny), spool="", device="cpu", mode="wide", dtype=dtype)
    assert choice.choose_place(settings).dtype is getattr(torch, dtype)
    assert answers == []

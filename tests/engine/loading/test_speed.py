"""How a model is to be drawn quickly is decided from facts alone, and what takes long to find out is kept for later starts."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.contract import EngineSettings, ModelInfo
from engine.device import choice
from engine.loading import speed
from engine.loading.speed import Hastened, Speed, Subject
from engine.openvino import files, networks
from engine.openvino.files import Findings
from engine.unet import costs
from engine.unet.costs import Costs

COSTS = Costs(seconds={1: 0.1, 2: 0.12, 4: 0.2, 8: 0.5})


@pytest.fixture
def subject_of(tiny: Path, model: ModelInfo, tmp_path: Path) -> Callable[..., Subject]:
    """The tiny model with such settings, on a device that need not be there."""

    def subject_of(device: str = "cpu", **changes: Any) -> Subject:
        told: dict[str, Any] = {
            "mode": "fast",
            "rows": 8,
            "data": str(tmp_path),
            "dtype": "float32",
            **changes,
        }
        settings = EngineSettings(model=str(tiny), spool="/nowhere", device="cpu", **told)
        place = replace(choice.choose_place(settings), device=torch.device(device))
        return Subject(settings=settings, info=model, place=place, profile="full", weights="0")

    return subject_of


# ------------------------------------------------------------------ switches and costs


def test_what_is_not_known_is_measured(subject_of: Callable[..., Subject]) -> None:
    """Where it may be, and where there is a place to keep it; otherwise what somebody said holds, and nothing is known."""
    told = Speed(switches={"fused_qkv": "on"})
    assert Speed.decide(subject_of(fused_qkv="on"), measures=True) is None
    assert Speed.decide(subject_of(fused_qkv="on"), measures=False) == told
    assert Speed.decide(subject_of(fused_qkv="on", data=None), measures=True) == told
    assert Speed.decide(subject_of(data=None), measures=False) == Speed()


@pytest.mark.parametrize("measures", [True, False])
def test_what_an_earlier_start_measured_holds(
    subject_of: Callable[..., Subject], tmp_path: Path, measures: bool
) -> None:
    """As long as all facts are the same: with other rows, or in another profile, it is found out anew."""
    subject = subject_of()
    on = {"channels_last": "on"}
    costs.keep(tmp_path, costs.key_of(subject.facts), COSTS, subject.facts, on)
    assert Speed.decide(subject, measures=measures) == Speed(switches=on, costs=COSTS)
    for other in (subject_of(rows=4), replace(subject, profile="low"), subject_of(mode="wide")):
        assert Speed.decide(other, measures=measures) == (None if measures else Speed())


@pytest.mark.parametrize(("mode", "slots", "rows"), [("fast", 8, 4), ("fast", 1, 2), ("wide", 8, 8)])
def test_fast_is_as_wide_as_it_pays(
    subject_of: Callable[..., Subject], mode: str, slots: int, rows: int
) -> None:
    """Up to the knee, and no more rows than the slots can fill; wide has what it was told."""
    widths = speed.widths_of(subject_of(mode=mode, slots=slots), COSTS)
    assert (widths.mode, widths.rows) == (mode, rows)
    assert speed.widths_of(subject_of(mode=mode, slots=slots), None).rows == 8


# ------------------------------------------------------------------ what OpenVINO computes

FOUND = Findings(share=0.5, threads=1, rows=4, costs=COSTS, at=time.time())


@pytest.fixture
def hastened(subject_of: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hastened]:
    """What the engine has computed by OpenVINO with such settings, on a machine with memory enough."""
    monkeypatch.setattr(speed.memory, "reclaim", lambda _device: 10**12)

    def hastened(core_bytes: int = 10**9, **changes: Any) -> Hastened:
        return speed.hastening(subject_of(**changes), core_bytes)

    return hastened


@pytest.mark.parametrize(
    ("changes", "rows", "worth"),
    [
        ({}, 8, 1.0),
        ({"rows": "auto"}, 8, 1.0),  # as many as four slots can fill
        ({"rows": "auto", "slots": 16}, 16, 1.0),
        ({"mode": "wide", "rows": 4}, 4, 1.0),
        ({"mode": "auto"}, 8, 1.0),
        ({"runtime": "openvino"}, 8, None),
    ],
)
def test_what_openvino_computes(
    hastened: Any, changes: dict[str, Any], rows: int, worth: float | None
) -> None:
    """By itself on processors, in the modes that promise nothing against it; its owner is told."""
    found = hastened(**changes)
    assert (found.wanted.rows_max, found.wanted.worth) == (rows, worth)
    assert found.notes == (speed.CONVERTING,)


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({"runtime": "torch"}, ()),
        ({"mode": "exact"}, ()),
        ({"data": None}, ()),
        ({"device": "cuda"}, ()),
        ({"device": "cuda", "runtime": "openvino"}, (speed.NO_PROCESSOR,)),
    ],
)
def test_what_torch_computes(hastened: Any, changes: dict[str, Any], notes: tuple[str, ...]) -> None:
    """Nothing is begun; who told it to be so and can't have it is answered."""
    found = hastened(**changes)
    assert found == Hastened(notes=notes)


def test_what_an_earlier_start_found_out_counts(hastened: Any, tmp_path: Path) -> None:
    """What was slower is not converted again for a while unless somebody says so; what lies there is used by everybody."""
    folder = hastened().wanted.folder
    folder.mkdir(parents=True)
    for found, wanted in (
        (FOUND, True),
        (replace(FOUND, share=1.2), False),
        (replace(FOUND, share=1.2, at=1.0), True),  # long ago: it may have been a bad hour
    ):
        files.keep(folder, found)
        assert (hastened().wanted is not None) == wanted
        assert hastened(runtime="openvino").wanted.folder == folder
    assert hastened(dtype="bfloat16").wanted.folder != hastened(dtype="float32").wanted.folder
    files.give_up(folder, "no room")
    assert "when it was tried last: no room." in hastened().notes[0]
    assert hastened().wanted is None
    assert hastened(runtime="openvino").wanted is not None
    files.keep(folder, FOUND)
    assert hastened().notes == ()
    assert files.newest(tmp_path, folder.name.rpartition("-")[0]) == FOUND


def test_it_is_left_out_where_it_cant_be(hastened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says why, and "auto" draws as exact does."""
    with monkeypatch.context() as patch:
        patch.setattr(speed.memory, "reclaim", lambda _device: 3 * 10**9)
        told = hastened()
        assert told.wanted is None
        assert "it takes 4.0 GB of memory, of which 3.0 GB are free" in told.notes[0]
    for name, words in (
        ("version", "is not installed"),
        ("get_cpu_capability", "needs a processor with AVX2"),
    ):
        with monkeypatch.context() as patch:
            if name == "version":
                patch.setattr(networks.importlib.metadata, "version", _missing)
            else:
                patch.setattr(torch.backends.cpu, name, lambda: "DEFAULT")
            told = hastened(mode="wide")
            assert told.wanted is None
            assert words in told.notes[0]
            assert hastened(mode="auto") == told
            settings = EngineSettings(model="x", spool="", device="cpu", data="/nowhere")
            assert choice.choose_place(settings).mode == "exact"
    assert choice.choose_place(settings).mode == "wide"
    assert choice.choose_place(replace(settings, data=None)).mode == "exact"


def _missing(_name: str) -> str:
    raise importlib.metadata.PackageNotFoundError

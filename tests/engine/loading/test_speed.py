"""How a model is to be drawn quickly is decided from facts alone, and what takes long to find out is kept for later starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.contract import EngineSettings, ModelInfo
from engine.device import choice
from engine.loading import speed
from engine.loading.speed import Compiling, Speed, Subject
from engine.loop.widths import Widths
from engine.unet import compiled_files, costs
from engine.unet.costs import Costs

COSTS = Costs(seconds={1: 0.1, 2: 0.12, 4: 0.2, 8: 0.5})


@pytest.fixture
def subject_of(tiny: Path, model: ModelInfo, tmp_path: Path) -> Callable[..., Subject]:
    """The tiny model with such settings, on a device that need not be there."""

    def subject_of(device: str = "cpu", **changes: Any) -> Subject:
        told: dict[str, Any] = {"mode": "fast", "rows": 8, "data": str(tmp_path), **changes}
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
    widths = speed.widths_of(subject_of(mode=mode, slots=slots).settings, COSTS)
    assert (widths.mode, widths.rows) == (mode, rows)
    assert speed.widths_of(subject_of(mode=mode, slots=slots).settings, None).rows == 8


# ------------------------------------------------------------------ what is compiled


class Asked:
    """Stands where forwards do, and remembers what it was told to compile."""

    def __init__(self) -> None:
        self.told: list[Path] = []

    @property
    def is_compiled(self) -> bool:
        return self.told[-1].exists()

    def compile_behind(self, _counts: Any, _size: Any, *, file: Path, switches: Any, worth: Any) -> None:
        del switches, worth
        self.told.append(file)


@pytest.fixture
def wanted(subject_of: Callable[..., Subject]) -> Callable[..., Compiling | str | None]:
    """What the engine has compiled at its start with such settings."""

    def wanted(**changes: Any) -> Compiling | str | None:
        subject = subject_of(**changes)
        widths = Widths[Any](subject.settings.mode, subject.settings.rows)
        return speed.compiling(subject, Speed(), widths)

    return wanted


def hastened_by(wanted: Compiling | str | None) -> tuple[list[Path], tuple[str, ...]]:
    """The files that were begun, and what the owner is told."""
    asked: Any = Asked()
    notes = speed.hasten(asked, wanted)
    return asked.told, notes


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ((2, 8), 1.0)),
        ({"compile": "on"}, ((2, 8), None)),
        ({"mode": "wide"}, ((3, 8), 1.0)),  # served in exact are up to two
        ({"compile": "off"}, None),
        ({"mode": "exact"}, None),
        ({"mode": "wide", "rows": 2}, None),
        ({"data": None}, None),
        ({"device": "cuda"}, None),
    ],
)
def test_what_is_compiled(wanted: Any, model: ModelInfo, changes: dict[str, Any], told: Any) -> None:
    """By itself on processors, in the modes that promise nothing against it; in wide no rows served in exact."""
    found = wanted(**changes)
    if told is None:
        assert found is None
        assert hastened_by(found) == ([], ())
    else:
        counts, worth = told
        assert (found.counts, found.size, found.worth) == (counts, (model.width, model.height), worth)
        assert hastened_by(found) == ([found.file], (speed.COMPILING,))


def test_what_an_earlier_start_found_out_counts(wanted: Any, model: ModelInfo) -> None:
    """What was slower is not compiled again unless somebody says so; what lies there is told with its gain."""
    file = wanted().file
    file.parent.mkdir()
    compiled_files._note_of(file).write_text('{"share": 1.2}')
    assert wanted() is None
    assert wanted(compile="on").file == file
    file.touch()
    compiled_files._note_of(file).write_text('{"share": 0.58}')
    begun, notes = hastened_by(wanted())
    assert begun == [file]
    assert notes == (
        "The model is compiled for this machine: such a forward takes 0.58 of a plain one's time.",
    )
    assert compiled_files.sentences(file.parent.parent, model.id) == notes
    assert compiled_files.sentences(file.parent.parent, "another") == ()
    assert wanted(rows=4).file != file


def test_without_a_compiler_its_owner_is_told_what_to_install(
    wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is begun that could only fail."""
    monkeypatch.setenv("CXX", "/no/such/compiler")
    assert hastened_by(wanted()) == ([], (speed.NO_COMPILER,))

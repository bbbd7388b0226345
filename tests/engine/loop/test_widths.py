"""How many rows a forward has: what is found out about a shape once, what is tried again, and what is forgotten."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from engine.contract import FakeSettings, Finished, Lora, Mode, ModelInfo
from engine.fake import MODEL, FakeCanvas, FakeFamily, FakeForwards
from engine.families.sd import SdFamily
from engine.loop import job, widths
from engine.loop.widths import Widths
from engine.pictures import metadata
from tests.kit.engines import Bench

ROWS = 4


@dataclass(eq=False)
class Row:
    """A turn of a shape."""

    shape: Any = "shape"
    began_exact: bool = False
    rows: int = 2
    left: int = 9
    widest: int | None = None
    group: str = ""
    adapters: tuple[str, ...] = ()


@dataclass
class Trials:
    """What trying widths finds out, one after the other, the last one for ever; "short": nothing, for lack of memory."""

    answers: list[Sequence[int] | Literal["short"] | None]
    asked: int = field(default=0)

    def let(self, wide: Widths[Row], item: Row) -> None:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        if answer == "short":
            wide.put_off(item)
        else:
            wide.learn(item, answer)


def served(wide: Widths[Row], item: Row, trials: Trials) -> str:
    """The mode of its next forward, which goes well; where its widths are to be tried before it, they are."""
    if wide.is_untried(item):
        trials.let(wide, item)
        assert not wide.is_untried(item)
    mode = wide.served(item)
    item.began_exact |= mode == "exact"
    wide.relax(item)
    return mode


def test_a_shortage_passes() -> None:
    """Whoever met it draws in exact to the end; the next one is asked about, and draws in wide."""
    wide, trials = Widths[Row]("wide", ROWS), Trials(["short", (ROWS,)])
    first, second = Row(), Row()
    assert [served(wide, first, trials) for _ in range(4)] == ["exact"] * 4
    assert wide.most(first, "exact") == 2
    assert trials.asked == 1
    assert served(wide, second, trials) == "wide"
    assert wide.most(second, "wide") == ROWS
    assert wide.filled(second, 2) == ROWS
    assert trials.asked == 2


def test_a_shortage_that_lasts_costs_little() -> None:
    """Each time it is tried again after twice as many forwards, at last after RELAX_AFTER: few trials in all."""
    wide, trials = Widths[Row]("wide", ROWS), Trials(["short"])
    assert {served(wide, Row(), trials) for _ in range(1000)} == {"exact"}
    assert 8 <= trials.asked <= 12
    trials.answers = [(ROWS,)]
    assert "wide" in {served(wide, Row(), trials) for _ in range(widths.RELAX_AFTER + 1)}


def test_what_nobody_can_tell_yet_is_tried_after_each_forward() -> None:
    """While a forward is being compiled newcomers draw in exact, one after the other, and none waits longer than it takes."""
    wide, trials = Widths[Row]("wide", ROWS), Trials([None, None, None, (ROWS,)])
    newcomers = [Row() for _ in range(5)]
    assert [served(wide, item, trials) for item in newcomers] == ["exact"] * 3 + ["wide"] * 2
    assert trials.asked == 4
    assert not wide.is_untried(newcomers[0])


def test_looking_up_tries_nothing() -> None:
    """Asked before anything was tried, a shape is served in exact and remains to be tried."""
    wide, item = Widths[Row]("wide", ROWS), Row()
    assert [wide.served(item), wide.most(item, "exact"), wide.is_untried(item)] == ["exact", 2, True]
    assert not any(wide.is_untried(one) for one in (Row(rows=ROWS + 1), Row(began_exact=True)))
    assert not any(Widths[Row](mode, ROWS).is_untried(item) for mode in ("exact", "fast"))


def test_slots_that_differ_are_not_tried_again() -> None:
    """That is no shortage: an answer holds, be it that there is no such width."""
    wide, trials = Widths[Row]("wide", ROWS), Trials([()])
    assert {served(wide, Row(), trials) for _ in range(1000)} == {"exact"}
    assert trials.asked == 1


def test_a_forward_without_memory_is_no_end_of_wide() -> None:
    """After a forward of the shape that went well its widths are tried anew; another shape never noticed."""
    wide, trials = Widths[Row]("wide", ROWS), Trials([(ROWS,)])
    other = Row(shape="other")
    assert [served(wide, item, trials) for item in (Row(), other)] == ["wide", "wide"]
    wide.narrow(Row(), ROWS)
    assert [served(wide, item, trials) for item in (other, Row(), Row())] == ["wide", "exact", "wide"]
    assert trials.asked == 3


@pytest.mark.parametrize("mode", ["exact", "wide", "fast"])
def test_shapes_are_forgotten(mode: Mode) -> None:
    """However many sizes people draw, what is remembered does not grow; what is asked for most often stays."""
    wide, trials = Widths[Row](mode, ROWS), Trials([(ROWS,)])
    for number in range(1000):
        for shape in (number, "usual"):
            item = Row(shape=shape)
            served(wide, item, trials)
            if mode == "fast":
                wide.narrow(item, ROWS)
    assert len(wide._shapes) <= widths.SHAPES
    assert trials.asked == (1001 if mode == "wide" else 0)


# ------------------------------------------------------------------ with a worker


class ShortTrials(FakeForwards):
    """Those of these numbers find no memory."""

    def __init__(self, short: Sequence[int]) -> None:
        self._short, self.made = short, 0

    def equal_widths(self, canvas: FakeCanvas, rows: int) -> Sequence[int] | None:
        self.made += 1
        if self.made in self._short:
            raise MemoryError("no room")
        return super().equal_widths(canvas, rows)


class Short(FakeFamily):
    """`trials` and `forwards` in wide of these numbers find no memory; keeps the rows of each forward."""

    def __init__(self, trials: Sequence[int] = (), forwards: Sequence[int] = ()) -> None:
        super().__init__(FakeSettings())
        self.forwards = self.trials = ShortTrials(trials)
        self._short_forwards = forwards
        self.wide = 0
        self.drawn: list[tuple[list[int], int | None]] = []

    def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
        self.wide += padded is not None
        if padded is not None and self.wide in self._short_forwards:
            raise MemoryError("no room")
        self.drawn.append((sorted(canvas.seed for canvas in canvases), padded))
        return super().predict(canvases, padded=padded)


def finished(bench: Bench, *numbers: int, **wish: Any) -> list[tuple[Finished, str | None]]:
    """What each of these jobs ended as, drawn together, and which mode its file names."""
    for number in numbers:
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=3, **wish))
    bench.finish(*numbers)
    endings = [bench.finished(number) for number in numbers]
    files = [metadata.read(str(ending.images[0].path)) for ending in endings]
    return [
        (ending, file.fingerprint.get("mode") if file else "lost")
        for ending, file in zip(endings, files, strict=True)
    ]


def test_a_shortage_is_said_and_passes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No memory to try widths: the log and whoever asked are told, the next picture is drawn in wide as if nothing had been."""
    bench = Bench(family := Short(trials=[1]), MODEL, tmp_path, mode="wide", rows=ROWS)
    with caplog.at_level(logging.WARNING, "easel.engine"):
        ((first, mode),) = finished(bench, 1)
    assert (mode, first.notes) == ("exact", (job.SHORT,))
    assert [record.getMessage() for record in caplog.records] == [
        "widths could not be tried for fake, and will be again: no room"
    ]
    ((second, mode),) = finished(bench, 2)
    assert (mode, second.notes) == (None, ())
    assert family.drawn == [([1], None)] * 3 + [([2], ROWS)] * 3


def test_who_began_in_wide_goes_on_in_exact(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A forward that had no memory may have had other bits than later ones: all under way leave wide, and it is said."""
    bench = Bench(family := Short(forwards=[2]), MODEL, tmp_path, mode="wide", rows=ROWS)
    with caplog.at_level(logging.WARNING, "easel.engine"):
        drawn = finished(bench, 1, 2)
    assert [mode for _, mode in drawn] == ["exact and wide"] * 2
    assert {ending.notes for ending, _ in drawn} == {(job.SHORT,)}
    assert "memory was too short for 4 rows of fake" in caplog.text
    assert family.drawn[0] == ([1, 2], ROWS)
    assert {padded for _, padded in family.drawn[1:]} == {None}
    assert [mode for _, mode in finished(bench, 3, 4)] == [None, None]


def test_weights_share_what_is_known_and_no_forward(tmp_path: Path) -> None:
    """Of one LoRA with six weights the shape is tried once; a forward has one of them alone."""
    bench = Bench(family := Short(), MODEL, tmp_path, mode="wide", rows=ROWS, slots=8)
    for number in range(1, 7):
        lora = Lora(name="detail", weight=number / 10)
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=2, loras=(lora,)))
    bench.finish(*range(1, 7))
    assert family.trials.made == 1
    assert all(len(seeds) == 1 for seeds, _ in family.drawn)


@pytest.mark.parametrize("weights", [(0.0, 0.3), (-1.0, 1.0), (1e-6, 0.9999)])
def test_the_real_shape_knows_files_alone(
    tiny: Path, adapters: Path, model: ModelInfo, load_pipe: Any, weights: tuple[float, float]
) -> None:
    """Weights do not change how a row is computed, and every trial has the whole of each LoRA in it."""
    family = SdFamily(load_pipe(tiny), models=adapters)
    request = model.request(prompt="x", seed=1, size=(64, 64), steps=1)
    name = "detail"
    canvases = [
        family.prepare(replace(request, loras=(Lora(name=name, weight=weight),)), 1) for weight in weights
    ]
    assert canvases[0].shape == canvases[1].shape != family.prepare(request, 1).shape
    assert family.forwards.equal_widths(canvases[0], 2)
    assert [weight for _, weight in family._loras._seen or ()] == [1.0]

"""Models that give their memory back: when somebody says so, or after a while with nothing to do; and those fetched beforehand."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from engine.contract import (
    EngineSettings,
    Event,
    Finished,
    Load,
    NotLoaded,
    Resident,
    Stepped,
    Unload,
)
from engine.device import fingerprint
from engine.errors import BrokenModel
from engine.loading import load, opening
from engine.loop import worker as worker_module
from tests.engine.loop.test_shelf import FIRST, SECOND, Models, a_bench, ask
from tests.kit.engines import Bench, described, offered, pixels


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "IDLE_S", 0.001)


def residents(bench: Bench) -> list[tuple[str, ...]]:
    return [event.models for event in bench.events if isinstance(event, Resident)]


def until_resident(bench: Bench, *models: str, ticks: int = 10_000) -> None:
    """Ticks until exactly these are told to be loaded."""
    for _ in range(ticks):
        if residents(bench)[-1:] == [models]:
            return
        bench.tick()
    raise AssertionError(f"{models} were never told to be loaded: {bench.events[-5:]}")


def test_all_leave_after_the_pictures_that_are_begun(tmp_path: Path) -> None:
    """Who has begun is finished, who waits is drawn afterwards by a model that is loaded again, and is told that it is."""
    source = Models()
    bench = a_bench(tmp_path, source, slots=1)
    for job in (1, 2):
        bench.submit(job, ask(FIRST, steps=5))
    bench.tick(2)
    bench.controls.put(Unload())
    bench.finish(1, 2)
    told = [_kind(event) for event in bench.events]
    assert (
        told.index("Finished 1")
        < told.index("Resident ()")
        < told.index("loading 2")
        < told.index("Resident ('first',)")
        < told.index("Finished 2")
    )
    assert source.opened == ["first"]
    assert not any(word.startswith("loading 1") for word in told)


def _kind(event: Event) -> str:
    match event:
        case Finished(job_id=job_id):
            return f"Finished {job_id}"
        case Stepped(job_id=job_id, stage=stage):
            return f"{stage} {job_id}"
        case Resident(models=models):
            return f"Resident {models}"
        case _:
            return type(event).__name__


def test_one_leaves_and_the_others_stay(tmp_path: Path) -> None:
    """Others draw on meanwhile; of one that is not loaded, or is not there, nothing happens."""
    bench = a_bench(tmp_path, Models())
    bench.submit(1, ask(SECOND, steps=2))
    bench.finish(1)
    assert residents(bench) == [("first", "second")]
    bench.submit(2, ask(SECOND, steps=6))
    bench.tick(2)
    for model in ("first", "third", "fourth"):
        bench.controls.put(Unload(model=model))
    bench.finish(2)
    until_resident(bench, "second")
    bench.controls.put(Unload(model="second"))
    until_resident(bench)
    assert residents(bench) == [("first", "second"), ("second",), ()]


def test_all_leave_after_a_while_with_nothing_to_do(tmp_path: Path) -> None:
    """Counted from the last picture; each time anew, and never where nobody wants that."""
    for after_s, told in ((0.02, [(), ("first",), ()]), (0.0, [])):
        bench = a_bench(tmp_path, Models(), unload_after_s=after_s)
        if after_s:
            until_resident(bench)
        bench.submit(1, ask(FIRST, steps=2))
        bench.finish(1)
        if after_s:
            until_resident(bench)
        else:
            bench.tick(50)
        assert residents(bench) == told


def test_made_ready_before_anybody_asks(tmp_path: Path) -> None:
    """Nobody waits for it then; what can't be loaded is told, and so is what there is not."""
    source = Models(fails={"third": BrokenModel("It is broken.")})
    bench = a_bench(tmp_path, source)
    bench.controls.put(Load(model="second"))
    until_resident(bench, "first", "second")
    bench.submit(1, ask(SECOND))
    bench.finish(1)
    assert not any(isinstance(event, Stepped) and event.stage == "loading" for event in bench.of(1))
    for model in ("third", "fourth"):
        bench.controls.put(Load(model=model))
        for _ in range(20):
            bench.tick()
    failed = [event for event in bench.events if isinstance(event, NotLoaded)]
    assert [event.model for event in failed] == ["third", "fourth"]
    assert failed[0].reason == "It is broken."
    assert "There is no model “fourth” here" in failed[1].reason
    assert source.opened == ["second"]
    before = len(residents(bench))
    bench.controls.put(Load(model="second"))  # it is there: whoever wanted it is answered all the same
    bench.tick()
    assert residents(bench)[before:] == [("first", "second")]


def test_the_memory_of_a_real_one_comes_back_and_so_do_its_pictures(tiny: Path, tmp_path: Path) -> None:
    """Nothing holds it any more once it has left; loaded again, it draws the same bits."""
    settings = EngineSettings(model=str(tiny), spool=str(tmp_path), device="cpu", hub_offline=True)
    info = described(settings)
    fingerprint.pin(info)
    opener = opening.Opener(settings, offered(**{info.id: settings}))
    found = load.wholly(opener.open(info.id))
    held = weakref.ref(found.family)
    bench = Bench(found.family, found.info, tmp_path, source=opener)
    del found
    request = info.request(prompt="a fox", seed=7, steps=3)
    bench.submit(1, request)
    before = pixels(bench.finished(1).images[0].path)
    assert held() is not None
    bench.controls.put(Unload())
    until_resident(bench)
    gc.collect()
    assert held() is None
    bench.submit(2, request)
    assert pixels(bench.finished(2).images[0].path) == before

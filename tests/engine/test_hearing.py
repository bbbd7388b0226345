"""Shutdown, and the bot's end, are heard whatever the engine is doing: getting ready, loading another model, drawing, waiting."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import boot, child, contract
from engine.checkpoints.source import Source
from engine.contract import (
    Control,
    EngineSettings,
    Event,
    FakeSettings,
    Loading,
    Ready,
    Shutdown,
    Stepped,
    Submit,
)
from engine.fake import MODEL, FakeFamily
from engine.families.sd import SdFamily
from engine.families.upscaler import UpscaleFamily
from engine.loading import upscalers
from engine.loading.opening import ACQUAINTING, Offered, Opener
from engine.loop.job import Loaded
from engine.process import EngineProcess
from tests.kit.engines import Bench, offered, recv, recv_until
from tests.kit.tiny_upscalers import build as build_upscaler

OTHER = replace(MODEL, id="other", title="Other")
Start = Callable[..., EngineProcess]


class Life:
    """An engine in this process that is told to leave, or left alone, as soon as it comes to `when`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
        self.controls: queue.Queue[Control] = queue.Queue()
        self.events: list[Event] = []
        self._patch, self._why = monkeypatch, why
        self.told: int | None = None
        """Events when it was told."""

    def end(self) -> None:
        self.told = len(self.events) if self.told is None else self.told
        if self._why == "shutdown":
            self.controls.put(Shutdown())
        else:
            self._patch.setattr(child, "parent_alive", lambda: False)

    def run(self, settings: EngineSettings, when: Callable[[Event], bool] = lambda _: False) -> list[Event]:
        """What it still tells then."""

        def note(event: Event) -> None:
            self.events.append(event)
            if when(event):
                self.end()

        assert boot.run(settings, self.controls, note) == contract.EXIT_OK
        assert self.told is not None
        return self.events[self.told :]


@pytest.fixture(params=["shutdown", "orphaned"])
def life(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Life:
    return Life(monkeypatch, request.param)


def settings(model: Path, folder: Path, **changes: Any) -> EngineSettings:
    return EngineSettings(model=str(model), spool=str(folder / "spool"), device="cpu", **changes)


@pytest.mark.parametrize(
    "stage", ["starting torch", "loading unet", "loading vae", "loading text encoder", ACQUAINTING]
)
def test_getting_ready_ends_at_the_next_pause(tiny: Path, tmp_path: Path, life: Life, stage: str) -> None:
    """In whatever stage it is told, no further one begins, nothing is measured on, and it never gets ready."""
    told = settings(tiny, tmp_path, data=str(tmp_path / "data"), mode="fast", runtime="torch")
    later = life.run(told, lambda event: isinstance(event, Loading) and event.stage == stage)
    assert later == []


def test_before_anything_is_loaded(tiny: Path, tmp_path: Path, life: Life) -> None:
    """Who is told to leave at once does not even begin with the weights."""
    life.end()
    assert not [event for event in life.run(settings(tiny, tmp_path)) if "loading" in str(event)]


def test_upscalers_are_described_no_further(
    tiny: Path, tmp_path: Path, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them takes a while, and there may be many."""
    described: list[str] = []
    for name in "abc":
        build_upscaler(tmp_path / upscalers.FOLDER / f"{name}.safetensors")
    describe = upscalers.describe

    def once(file: Path) -> Any:
        described.append(file.stem)
        life.end()
        return describe(file)

    monkeypatch.setattr(upscalers, "describe", once)
    life.run(settings(tiny, tmp_path, models=str(tmp_path)))
    assert described == ["a"]


def test_a_later_model_has_pauses(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its parts, its self-test and what else is found out about it, and an upscaler's, controls are drained."""
    done: list[str] = []
    for family in (SdFamily, UpscaleFamily):
        test = family.self_test
        monkeypatch.setattr(
            family, "self_test", lambda *a, test=test: (done.append("self-test"), test(*a))[1]
        )
    file = build_upscaler(tmp_path / upscalers.FOLDER / "4x.safetensors")
    upscaler = Offered(source=Source.upscaler(file), info=upscalers.describe(file))
    opener = Opener(settings(tiny, tmp_path), {**offered(tiny=settings(tiny, tmp_path)), "4x": upscaler})
    for name in ("tiny", "4x"):
        done.clear()
        pauses = [list(done) for _ in opener.open(name)]
        assert [] in pauses
        assert ["self-test"] in pauses
        assert len(pauses) >= 3


# ------------------------------------------------------------------ the worker


class Endless:
    """A source whose models never have room, or are never wholly loaded."""

    def __init__(self, free: int | None) -> None:
        self._free = free

    def open(self, model_id: str) -> Generator[None, None, Loaded]:
        while True:
            yield

    def size_of(self, model_id: str) -> int:
        return 1000

    def least_of(self, model_id: str) -> int:
        return 0

    def reclaim(self) -> int | None:
        return self._free


@pytest.mark.parametrize("what", ["waiting for room", "loading", "drawing", "idle"])
@pytest.mark.parametrize("why", ["shutdown", "orphaned"])
def test_the_worker_leaves(tmp_path: Path, what: str, why: str) -> None:
    """At its next tick, which does nothing else, whatever it was about."""
    bench = Bench(
        FakeFamily(FakeSettings(hang_word="HANG")),
        MODEL,
        tmp_path,
        others=(OTHER,),
        source=Endless(0 if what == "waiting for room" else None),
    )
    model = MODEL if what == "drawing" else OTHER
    if what != "idle":
        bench.submit(1, model.request(prompt="HANG", seed=1))
        bench.tick(3)
        assert bench.of(1)
    before = len(bench.events)
    if why == "shutdown":
        bench.controls.put(Shutdown())
    else:
        bench.worker._keep_on = lambda: False
    assert not bench.worker.tick()
    assert len(bench.events) == before


# ------------------------------------------------------------------ the process


def left(engine: EngineProcess) -> None:
    """It was told to leave, and did, long before anybody would have killed it."""
    begin = time.monotonic()
    engine.stop(timeout_s=60)
    assert engine.exitcode == contract.EXIT_OK
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("fake", [{"load_s": 300.0}, {"load_freezes": True}])
def test_what_takes_long_is_left(start: Start, fake: dict[str, Any]) -> None:
    """One long piece of getting ready that looks at nothing, such as an import or a download."""
    engine = start(model="fake", fake=FakeSettings(**fake))
    recv(engine)
    left(engine)


@pytest.mark.parametrize(("model", "load_s"), [("fake", 0.0), ("other", 5.0)])
def test_what_takes_long_while_drawing_is_left(start: Start, model: str, load_s: float) -> None:
    """A forward, or the loading of a later model, that looks at nothing."""
    engine = start(model="fake", fake=FakeSettings(others=("other",), load_s=load_s))
    recv_until(engine, lambda event: isinstance(event, Ready))
    request = replace(MODEL, id=model).request(prompt="FREEZE", seed=1)
    engine.send(Submit(job_id=1, attempt=1, request=request))
    recv_until(engine, lambda event: isinstance(event, Stepped))
    left(engine)


def test_a_real_engine_leaves_while_it_loads(start: Start, tiny: Path) -> None:
    """Told while torch is being imported, it is gone before it would have been ready."""
    engine = start(model=str(tiny), device="cpu")
    recv_until(engine, lambda event: isinstance(event, Loading) and event.stage == "starting torch")
    left(engine)
    with pytest.raises((EOFError, OSError)):
        recv_until(engine, lambda event: isinstance(event, Ready))

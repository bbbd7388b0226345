"""What is told of a job while it is drawn: how far it is, and how long it will take, whatever happens beside it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract import Cancelled, FakeSettings, Finished, GenerationRequest, Mode, Stepped
from engine.fake import MODEL, FakeCanvas, FakeFamily
from engine.loop.job import Loaded
from engine.pictures.decoding import Inputs
from tests.kit.engines import Bench

SLOW = replace(MODEL, id="slow", title="Slow")


def a_bench(family: FakeFamily, folder: Path, **options: Any) -> Bench:
    """Every step is told."""
    return Bench(family, MODEL, folder, tell_every_s=0.0, **options)


class Anew(FakeFamily):
    """Runs out of memory in the forwards of these numbers, and then begins all that were in it anew."""

    def __init__(self, *fails: int) -> None:
        super().__init__(FakeSettings())
        self._fails, self._forwards = fails, 0

    def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
        self._forwards += 1
        if self._forwards in self._fails:
            for canvas in canvases:
                canvas.left = canvas.request.evaluations
            raise MemoryError
        return super().predict(canvases, padded=padded)


def told(bench: Bench, job_id: int, stage: str | None = "denoising") -> list[Stepped]:
    return [
        event
        for event in bench.of(job_id)
        if isinstance(event, Stepped) and stage in (None, event.stage) and event.preview is None
    ]


@pytest.mark.parametrize("mode", ["exact", "wide", "fast"])
@pytest.mark.parametrize("fails", [(1,), (2,), (6,), (8,)])
@pytest.mark.parametrize("images", [1, 3])
def test_begun_anew_is_counted_anew(tmp_path: Path, mode: Mode, fails: tuple[int, ...], images: int) -> None:
    """Steps of a picture that began anew for lack of memory are taken back, so that no share is above 1."""
    bench = a_bench(Anew(*fails), tmp_path, mode=mode, rows=4)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=8, images=images))
    bench.submit(2, MODEL.request(prompt="x", seed=9, steps=8))
    bench.finish(1, 2)
    for job_id, total in ((1, 8 * images), (2, 8)):
        assert isinstance(bench.ending(job_id), Finished)
        steps = [event.step for event in told(bench, job_id, None)]
        assert {event.steps for event in told(bench, job_id, None)} == {total}
        assert max(steps) == steps[-1] == total
        assert all(later - step <= 1 for step, later in itertools.pairwise(steps))


def test_begun_anew_after_five_steps(tmp_path: Path) -> None:
    """Who watches sees the steps begin again, and a cancel tells the share that was really made."""
    bench = a_bench(Anew(6), tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=8))
    bench.tick(8)
    assert [event.step for event in told(bench, 1)] == [1, 2, 3, 4, 5, 1, 2]
    bench.cancel(1)
    bench.finish(1)
    assert bench.ending(1) == Cancelled(job_id=1, attempt=1, done=0.25)


class Tiled(FakeFamily):
    """Takes three times as many steps as it was asked for, as an upscaler has as many tiles as the image has."""

    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> FakeCanvas:
        canvas = super().prepare(request, seed, inputs)
        canvas.left *= 3
        return canvas


def test_the_number_of_steps_is_told_once(tmp_path: Path) -> None:
    """How many steps an image takes is found out with a job's first image: its share of all never gets smaller again."""
    bench = a_bench(Tiled(FakeSettings()), tmp_path, slots=1)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=2, images=3))
    bench.finish(1)
    assert [(event.step, event.steps) for event in told(bench, 1)] == [(step, 18) for step in range(1, 19)]
    shares = [event.fraction for event in told(bench, 1, None)]
    assert shares == sorted(shares)


# ------------------------------------------------------------------ how long it will take


class Clock:
    """Time that passes only where somebody lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


class Paced(FakeFamily):
    """Its forwards and decodes take as long as `forward_s` and `decode_s` say of a picture's request."""

    def __init__(
        self, clock: Clock, forward_s: Callable[[GenerationRequest], float], decode_s: float = 0.0
    ) -> None:
        super().__init__(FakeSettings())
        self._clock, self._forward_s, self._decode_s = clock, forward_s, decode_s

    def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
        self._clock.now += sum(self._forward_s(canvas.request) for canvas in canvases)
        return super().predict(canvases, padded=padded)

    def decode(self, canvas: FakeCanvas, *, sparing: bool = False) -> Any:
        self._clock.now += self._decode_s
        return super().decode(canvas, sparing=sparing)


class Beside:
    """A source of the model SLOW alone, which is drawn with by `family`."""

    def __init__(self, family: FakeFamily) -> None:
        self._family = family

    def open(self, model_id: str) -> Generator[None, None, Loaded]:
        assert model_id == SLOW.id
        yield
        return Loaded(info=SLOW, family=self._family, fingerprint={})

    def size_of(self, model_id: str) -> int:
        del model_id
        return 0

    least_of = size_of

    def reclaim(self) -> int | None:
        return None


def pair(clock: Clock, folder: Path, fast_s: float = 0.01, slow_s: float = 1.0) -> Bench:
    """Two models, one a hundred times as slow as the other, decodes included."""
    slow = Paced(clock, lambda _: slow_s, decode_s=10 * slow_s)
    fast = Paced(clock, lambda _: fast_s, decode_s=10 * fast_s)
    return a_bench(fast, folder, others=(SLOW,), source=Beside(slow))


def test_each_model_has_a_pace_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a hundred quick forwards of one model a slow one's time is told by its own, decoding included, and back again."""
    bench = pair(Clock(monkeypatch), tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=100))
    bench.submit(2, MODEL.request(prompt="x", seed=1, steps=100))
    bench.finish(1, 2)
    for job_id in (3, 4):
        bench.submit(job_id, SLOW.request(prompt="x", seed=1, steps=4))
        bench.finish(job_id)
    assert [event.seconds_left for event in told(bench, 3)] == pytest.approx([None, 2.0, 1.0, 0.0])
    assert [event.seconds_left for event in told(bench, 4)] == pytest.approx([13.0, 12.0, 11.0, 10.0])
    bench.submit(5, MODEL.request(prompt="x", seed=1, steps=4))
    bench.finish(5)
    assert [event.seconds_left for event in told(bench, 5)] == pytest.approx([0.13, 0.12, 0.11, 0.1])


def test_what_is_not_known_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a model's first forward nobody can say how long it takes, whatever was drawn with others."""
    bench = pair(Clock(monkeypatch), tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=50))
    bench.finish(1)
    bench.submit(2, SLOW.request(prompt="x", seed=1, steps=4))
    bench.finish(2)
    seconds = {event.stage: event.seconds_left for event in reversed(told(bench, 2, None))}
    assert (seconds["loading"], seconds["encoding"]) == (None, None)
    assert told(bench, 2)[-1].seconds_left is not None


def test_others_count_by_their_own_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for pictures of a slow model is told their time, not that of so many quick forwards."""
    bench = pair(Clock(monkeypatch), tmp_path)
    for job_id, info in ((1, MODEL), (2, SLOW)):
        bench.submit(job_id, info.request(prompt="x", seed=1, steps=2))
        bench.finish(job_id)
    bench.submit(3, SLOW.request(prompt="x", seed=1, steps=6))
    bench.submit(4, MODEL.request(prompt="x", seed=1, steps=8))
    bench.finish(3, 4)
    encoding = next(event for event in told(bench, 4, "encoding"))
    assert encoding.seconds_left == pytest.approx(6 * 1.0 + 8 * 0.01 + 0.1)


def test_each_size_has_a_pace_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred small pictures say nothing about a large one's time."""
    clock = Clock(monkeypatch)
    family = Paced(clock, lambda request: request.width * request.height / 64**2 / 100)
    bench = a_bench(family, tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=100, size=(64, 64)))
    bench.finish(1)
    bench.submit(2, MODEL.request(prompt="x", seed=1, steps=4, size=(1024, 1024)))
    bench.finish(2)
    assert [event.seconds_left for event in told(bench, 2)] == pytest.approx([None, 2 * 2.56, 2.56, 0.0])


@pytest.mark.parametrize(("mode", "forwards"), [("exact", 16), ("fast", 8)])
def test_forwards_and_rows_are_told_once(tmp_path: Path, mode: Mode, forwards: int) -> None:
    """With whatever is finished first, of whomever; two pictures with guidance share a forward of four rows, or none."""
    bench = a_bench(FakeFamily(FakeSettings()), tmp_path, mode=mode, rows=4)
    for job_id in (1, 2):
        bench.submit(job_id, MODEL.request(prompt="x", seed=job_id, steps=8))
    bench.finish(1, 2)
    ends = [bench.finished(job_id) for job_id in (1, 2)]
    assert sum(end.forwards for end in ends) == forwards
    assert sum(end.rows for end in ends) == 2 * 8 * 2

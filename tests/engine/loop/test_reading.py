"""What people attached is decoded beside the drawing: nobody's picture waits for it, and nobody overtakes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract import Cancelled, Failed, GenerationRequest, Start, Started, Stepped
from engine.fake import MODEL
from engine.loop import finishing, worker
from engine.pictures import decoding, inputs
from tests.kit.engines import Bench, a_photo, kept


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until it is set no image is decoded."""
    opened, honest = threading.Event(), decoding.begun

    def begun(folder: Path, request: GenerationRequest) -> Any:
        assert opened.wait(30)
        return honest(folder, request)

    monkeypatch.setattr(decoding, "begun", begun)
    yield opened
    opened.set()


@pytest.fixture
def from_image(tmp_path: Path) -> GenerationRequest:
    start = Start(image=kept(tmp_path / inputs.FOLDER, a_photo()))
    return MODEL.request(prompt="x", seed=1, steps=3, start=start)


WORDS = MODEL.request(prompt="x", seed=1, steps=3)


def started(bench: Bench) -> list[int]:
    return [event.job_id for event in bench.events if isinstance(event, Started)]


def test_others_draw_meanwhile(
    fake_bench: Bench, gate: threading.Event, from_image: GenerationRequest
) -> None:
    """Who is being drawn goes on to the end; who came later keeps their place behind the one whose image is read."""
    fake_bench.submit(1, WORDS)
    fake_bench.tick()
    fake_bench.submit(2, from_image)
    fake_bench.submit(3, WORDS)
    fake_bench.finished(1)
    assert started(fake_bench) == [1]
    assert [event.stage for event in fake_bench.of(2) if isinstance(event, Stepped)] == ["waiting"]
    gate.set()
    fake_bench.finish(2, 3)
    assert started(fake_bench) == [1, 2, 3]


def test_an_idle_engine_sleeps_until_it_is_read(
    fake_bench: Bench, gate: threading.Event, from_image: GenerationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing else to do it waits for the image itself, and then takes it."""
    honest: Any = finishing.wait
    waits: list[int] = []

    def wait(futures: Any, **_: Any) -> None:
        waits.append(len(futures))
        gate.set()
        honest(futures, timeout=30)

    monkeypatch.setattr(finishing, "wait", wait)
    fake_bench.submit(1, from_image)
    fake_bench.tick()
    assert waits == [1]
    fake_bench.tick()
    assert started(fake_bench) == [1]
    fake_bench.finished(1)


def test_a_cancel_comes_before_it_is_read(
    fake_bench: Bench,
    gate: threading.Event,
    from_image: GenerationRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cancelled meanwhile, a job is gone at once, and an image whose turn had not come is never decoded."""
    read: list[str | None] = []
    honest = decoding.read
    monkeypatch.setattr(decoding, "read", lambda *a, **kw: read.append(kw["image"]) or honest(*a, **kw))
    second = replace(from_image, image=kept(tmp_path / inputs.FOLDER, a_photo(seed=1)))
    fake_bench.submit(1, from_image)
    fake_bench.submit(2, second)
    fake_bench.tick()
    for number in (1, 2):
        fake_bench.cancel(number)
    fake_bench.submit(3, WORDS)
    fake_bench.finished(3)
    assert all(isinstance(fake_bench.ending(number), Cancelled) for number in (1, 2))
    gate.set()
    fake_bench.submit(4, from_image)
    fake_bench.finished(4)
    assert set(read) == {from_image.image}


def test_signs_of_life_while_it_is_read(
    fake_bench: Bench, gate: threading.Event, from_image: GenerationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that takes long has bounds of its own: who watches is told again and again that nothing hangs."""
    monkeypatch.setattr(worker, "READING_S", 0.0)
    fake_bench.submit(1, from_image)
    fake_bench.tick(3)
    stages = [event.stage for event in fake_bench.of(1) if isinstance(event, Stepped)]
    assert stages[:2] == ["waiting", "waiting"]
    gate.set()
    fake_bench.finished(1)


def test_no_memory_to_read_it(
    fake_bench: Bench, from_image: GenerationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the decoder finds no memory that request alone fails, with a sentence."""

    def begun(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(decoding, "begun", begun)
    fake_bench.submit(1, from_image)
    fake_bench.submit(2, WORDS)
    fake_bench.finish(1, 2)
    failed = fake_bench.ending(1)
    assert isinstance(failed, Failed)
    assert failed.reason == "There is not enough memory for 128x128: try a smaller size."
    fake_bench.finished(2)

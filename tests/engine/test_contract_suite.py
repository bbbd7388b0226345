"""What every engine keeps: the same suite against the fake and the real one, each in a process of its own."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine import process
from engine.contract import (
    Cancel,
    Cancelled,
    EngineSettings,
    Event,
    Failed,
    FakeSettings,
    Finished,
    GenerationRequest,
    Loading,
    ModelInfo,
    Ready,
    Resident,
    Start,
    Started,
    Stepped,
    Submit,
    Unload,
)
from engine.pictures import inputs, metadata
from tests.kit.engines import NO_IMAGES, a_mask, a_photo, kept, pixels, recv, recv_endings, recv_until

pytestmark = pytest.mark.xdist_group("contract")  # what they share takes long to make
KINDS = ("fake", "real")


def settings_of(kind: str, tiny: Path, spool: Path) -> EngineSettings:
    fake = FakeSettings(step_s=0.01) if kind == "fake" else None
    return EngineSettings(model="fake" if fake else str(tiny), spool=str(spool), device="cpu", fake=fake)


class Running:
    """A ready engine and what it told on the way."""

    def __init__(self, settings: EngineSettings) -> None:
        begin = time.monotonic()
        self.process = process.start(settings)
        self.first = recv(self.process)
        self.first_after_s = time.monotonic() - begin
        self.loading = [self.first, *recv_until(self.process, lambda event: not isinstance(event, Loading))]
        assert isinstance(self.loading[-1], Ready), self.loading[-1]
        self.ready = self.loading[-1]
        self.model: ModelInfo = self.ready.models[0]
        self.jobs = 0
        self.inputs = Path(settings.spool) / inputs.FOLDER

    def request(self, **changes: Any) -> GenerationRequest:
        values: dict[str, Any] = {"prompt": "a fox", "seed": 7, "size": (64, 64), "steps": 5}
        return self.model.request(**{**values, **changes})

    def submit(self, request: GenerationRequest) -> int:
        self.jobs += 1
        self.process.send(Submit(job_id=self.jobs, attempt=1, request=request))
        return self.jobs

    def finish(self, *requests: GenerationRequest) -> tuple[list[Finished], list[Event]]:
        jobs = [self.submit(request) for request in requests]
        endings, events = recv_endings(self.process, *jobs)
        done = [endings[job] for job in jobs]
        assert all(isinstance(ending, Finished) for ending in done), done
        return [ending for ending in done if isinstance(ending, Finished)], events


@pytest.fixture(scope="module", params=KINDS)
def engine(
    request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One engine of each kind for all tests that leave it alive, and for the one that then ends it.

    It is spawned as in use: what it has to import before its first word is looked at, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "_context", multiprocessing.get_context("spawn"))
        running = Running(settings_of(request.param, tiny, tmp_path_factory.mktemp("spool")))
    yield running
    running.process.close()


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest, tiny: Path, tmp_path: Path) -> Iterator[Running]:
    """An engine of its own for a test that ends it."""
    running = Running(settings_of(request.param, tiny, tmp_path))
    yield running
    running.process.close()


def test_models_come_first_and_soon(engine: Running) -> None:
    """The very first event names the models, well under the time that torch takes to load."""
    assert isinstance(engine.first, Loading)
    assert engine.first.models == engine.ready.models
    assert engine.first_after_s < 3  # 0.15 s on an idle machine; importing torch alone takes 2


def test_ready_tells_what_it_offers(engine: Running) -> None:
    """Ready names device, slots, a fingerprint of plain text, and models whose defaults they accept themselves."""
    assert engine.ready.device
    assert engine.ready.slots == 4
    assert all(isinstance(value, str) for pair in engine.ready.fingerprint.items() for value in pair)
    assert engine.model.request(prompt="x", seed=0).model == engine.model.id


def test_a_job_from_start_to_end(engine: Running) -> None:
    """Started, then steps that only grow up to all of them, then Finished with files that are what they say."""
    (ending,), events = engine.finish(engine.request(images=3, seed=2**32 - 1))
    assert isinstance(events[0], Started)
    steps = [event.step for event in events if isinstance(event, Stepped)]
    assert steps == sorted(steps)
    assert steps[-1] == engine.request(images=3).evaluations * 3
    stages = [event.stage for event in events if isinstance(event, Stepped)]
    assert stages[0] == "encoding"
    assert stages[-2:] == ["decoding", "saving"]
    assert [image.seed for image in ending.images] == [2**32 - 1, 0, 1]
    assert ending.seconds > 0
    for image in ending.images:
        data = Path(str(image.path)).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (image.sha256, image.size_bytes)
        assert (image.width, image.height, image.flagged) == (64, 64, False)


def test_the_same_seed_gives_the_same_pixels(engine: Running) -> None:
    """Twice the same request gives the same picture, another seed another, and image 1 is that of the next seed."""
    request, other, pair = engine.request(), engine.request(seed=8), engine.request(images=2)
    endings, _ = engine.finish(request, request, other, pair)
    first, again, different, both = ([pixels(image.path) for image in ending.images] for ending in endings)
    assert first == again
    assert first != different
    assert both == [*first, *different]


def test_unloaded_and_loaded_again_it_draws_the_same(engine: Running) -> None:
    """It tells that nothing is loaded any more; the next request is told that its model loads, and has the same pixels."""
    request = engine.request(seed=11)
    (before,), _ = engine.finish(request)
    engine.process.send(Unload())
    assert recv_until(engine.process, lambda event: isinstance(event, Resident))[-1] == Resident(models=())
    (after,), events = engine.finish(request)
    assert any(isinstance(event, Stepped) and event.stage == "loading" for event in events)
    assert Resident(models=(engine.model.id,)) in events
    assert pixels(after.images[0].path) == pixels(before.images[0].path)


def test_the_file_tells_how_it_was_made(engine: Running) -> None:
    """The PNG's own text draws the very same picture again."""
    (ending,), _ = engine.finish(engine.request(images=2, prompt="Negative prompt: no\nSteps: 1"))
    info = metadata.read(str(ending.images[1].path))
    assert info is not None
    assert info.request is not None
    assert dict(info.fingerprint) == dict(engine.ready.fingerprint)
    (again,), _ = engine.finish(info.request)
    assert pixels(again.images[0].path) == pixels(ending.images[1].path)


def test_two_jobs_advance_together(engine: Running) -> None:
    """A short job submitted after a long one ends first: they share the engine by turns."""
    long, short = engine.submit(engine.request(steps=60)), engine.submit(engine.request(steps=2))
    _, events = recv_endings(engine.process, long, short)
    order = [event.job_id for event in events if isinstance(event, Finished)]
    assert order == [short, long]


def test_cancel(engine: Running) -> None:
    """A cancelled job ends as Cancelled with the share it did, leaves no file, and its neighbour is undisturbed."""
    job = engine.submit(engine.request(steps=150, sampler="Euler"))
    recv_until(engine.process, lambda event: isinstance(event, Stepped) and event.step > 0)
    engine.process.send(Cancel(job_id=job, attempt=1))
    endings, _ = recv_endings(engine.process, job)
    ending = endings[job]
    assert isinstance(ending, Cancelled)
    assert 0 < ending.done < 1
    (after,), events = engine.finish(engine.request())
    assert not [event for event in events if getattr(event, "job_id", None) == job]
    assert not list(Path(str(after.images[0].path)).parent.glob(f"{job}-*"))


def test_an_image_to_start_from(engine: Running) -> None:
    """Every model takes images: another image, another strength or a mask gives another picture, the same the same."""
    one, other = kept(engine.inputs, a_photo()), kept(engine.inputs, a_photo(seed=1))
    mask = kept(engine.inputs, a_mask())
    starts = [
        None,
        Start(image=one, strength=0.6),
        Start(image=one, strength=0.6),
        Start(image=other, strength=0.6),
        Start(image=one, strength=0.9),
        Start(image=one, strength=0.6, mask=mask),
    ]
    endings, events = engine.finish(*(engine.request(start=start) for start in starts))
    drawn = [pixels(ending.images[0].path) for ending in endings]
    assert drawn[1] == drawn[2]
    assert len(set(drawn)) == 5
    last = [event for event in events if isinstance(event, Stepped)]
    assert all(event.step <= event.steps for event in last)


def test_the_file_tells_what_it_started_from(engine: Running) -> None:
    """With the same files at hand, the PNG's own text draws the very same picture again."""
    start = Start(image=kept(engine.inputs, a_photo()), mask=kept(engine.inputs, a_mask()), strength=0.6)
    (ending,), _ = engine.finish(engine.request(start=start, images=2))
    info = metadata.read(str(ending.images[1].path))
    assert info is not None
    assert info.request is not None
    assert info.fields["Denoising strength"] == "0.6"
    (again,), _ = engine.finish(info.request)
    assert pixels(again.images[0].path) == pixels(ending.images[1].path)


def test_bad_images_fail_alone(engine: Running) -> None:
    """Each gets one sentence, as an image and as a mask, while a neighbour is drawn as if it were alone."""
    photo = kept(engine.inputs, a_photo())
    (alone,), _ = engine.finish(engine.request(steps=12))
    neighbour = engine.submit(engine.request(steps=12))
    expected: dict[int, str] = {}
    for data, words in NO_IMAGES.values():
        digest = inputs.keep(engine.inputs, data)
        for start in (Start(image=digest), Start(image=photo, mask=digest)):
            expected[engine.submit(engine.request(start=start))] = words
    for start, words in (
        (Start(image="0" * 64), "The image is not kept any more"),
        (Start(image=photo, mask="0" * 64), "The mask is not kept any more"),
        (Start(image=photo, mask=kept(engine.inputs, a_mask((64, 64)))), "make them the same size"),
        (Start(image=photo, mask=kept(engine.inputs, Image.new("L", (100, 80)))), "nothing to draw"),
    ):
        expected[engine.submit(engine.request(start=start))] = words
    endings, _ = recv_endings(engine.process, neighbour, *expected)
    for job, words in expected.items():
        failed = endings[job]
        assert isinstance(failed, Failed)
        assert words in failed.reason
        assert failed.reason.count(". ") == 0
    beside = endings[neighbour]
    assert isinstance(beside, Finished)
    assert pixels(beside.images[0].path) == pixels(alone.images[0].path)


def test_unknown_model(engine: Running) -> None:
    """A request for a model that isn't here fails with one sentence, and the engine goes on."""
    values = {**engine.request().to_dict(), "model": "no/such"}
    job = engine.submit(GenerationRequest.from_dict(values))
    endings, _ = recv_endings(engine.process, job)
    ending = endings[job]
    assert isinstance(ending, Failed)
    assert "no/such" in ending.reason
    engine.finish(engine.request())


def test_shutdown_ends_with_zero(engine: Running) -> None:
    """Shutdown ends the process soon, with exit code 0 and the end of the pipe, also in the middle of a job.

    The last test of the engine that all share: it ends with it, and needs none of its own.
    """
    engine.submit(engine.request(steps=150, images=10))
    recv_until(engine.process, lambda event: isinstance(event, Started))
    engine.process.stop(timeout_s=20)
    assert engine.process.exitcode == 0
    assert not engine.process.is_alive()
    with pytest.raises((EOFError, OSError)):
        recv_until(engine.process, lambda _: False)


def test_a_killed_engine_is_noticed(mortal: Running) -> None:
    """After SIGKILL the pipe ends at once, whatever was being drawn."""
    mortal.submit(mortal.request(steps=150, images=10))
    recv_until(mortal.process, lambda event: isinstance(event, Started))
    os.kill(mortal.process.pid, signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises((EOFError, OSError)):
        recv_until(mortal.process, lambda _: False)
    assert time.monotonic() - begin < 5
    mortal.process.close()
    assert mortal.process.exitcode == -signal.SIGKILL
    assert not mortal.process.is_alive()


PARENT = """
import sys, time
from engine import process
from engine.contract import EngineSettings, FakeSettings, Ready
fake = FakeSettings() if sys.argv[1] == "fake" else None
engine = process.start(EngineSettings(model=sys.argv[2], spool=sys.argv[3], device="cpu", fake=fake))
while not isinstance(engine.events.recv(), Ready):
    pass
print(engine.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an idle engine notices within a second")
@pytest.mark.parametrize("kind", KINDS)
def test_no_engine_outlives_its_bot(
    kind: str, tiny: Path, tmp_path: Path, gone: Callable[[int], bool]
) -> None:
    """When the bot is killed by SIGKILL its engine is gone at once."""
    arguments = [sys.executable, "-c", PARENT, kind, str(tiny), str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        engine_pid = int(parent.stdout.readline())
        assert not gone(engine_pid)
        parent.kill()
    deadline = time.monotonic() + 5
    while not gone(engine_pid):
        assert time.monotonic() < deadline, "the engine outlived its parent"
        time.sleep(0.02)

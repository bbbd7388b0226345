"""Errors that a device does not recover from end the engine wherever they turn up; a lack of memory and black do not."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine import boot, contract, errors
from engine.contract import (
    Broken,
    EngineSettings,
    Event,
    Failed,
    FakeSettings,
    Finished,
    Loading,
    ModelInfo,
    Ready,
    Submit,
)
from engine.errors import DeviceLost, NotFinite
from engine.fake import MODEL, FakeCanvas, FakeFamily, FakeForwards
from engine.families import preview
from engine.families.forwards import Forwards
from engine.families.sd import SdFamily
from engine.loading import load
from engine.loop.worker import Worker
from engine.process import EngineProcess
from engine.unet import switches
from tests.kit.engines import Bench, recv_until

ILLEGAL = "CUDA error: an illegal memory access was encountered"


def sticky(*args: Any, **kwargs: Any) -> Any:
    raise torch.AcceleratorError(ILLEGAL, 700)


# ------------------------------------------------------------------ which is which


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("an error nobody has words for", 999),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
        RuntimeError("CUDA driver error: unknown error"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_these_are_sticky(error: Exception) -> None:
    """Also when something else was raised because of them."""
    wrapped = OSError("could not load")
    wrapped.__cause__ = error
    for seen in (error, wrapped):
        assert errors.is_sticky(seen)
        assert not errors.is_out_of_memory(seen)
        with pytest.raises(DeviceLost):
            errors.check_device(seen)


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (torch.AcceleratorError("CUDA error: out of memory", 2), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("no"), False),
    ],
)
def test_these_are_not(error: Exception, short: bool) -> None:
    """A lack of memory, a library's refusal of a shape and ordinary mistakes leave the device usable."""
    assert not errors.is_sticky(error)
    assert errors.is_out_of_memory(error) is short
    errors.check_device(error)


# ------------------------------------------------------------------ wherever it turns up


@pytest.mark.parametrize("where", ["prepare", "predict", "advance", "decode", "equal_widths"])
@pytest.mark.parametrize("company", [1, 3])
def test_a_sticky_error_ends_the_worker_at_once(tmp_path: Path, where: str, company: int) -> None:
    """No further call of the family, nobody failed, nobody asked to try again: the whole process has to go."""
    calls: list[str] = []

    def lost(self: FakeFamily, *args: Any, **kwargs: Any) -> Any:
        calls.append(where)
        raise Sticky

    class Sticky(Exception):
        pass

    def is_out_of_memory(self: FakeFamily, error: Exception) -> bool:
        if isinstance(error, Sticky):
            raise DeviceLost from error
        return False

    family = type("Lost", (FakeFamily,), {where: lost, "is_out_of_memory": is_out_of_memory})(FakeSettings())
    if where == "equal_widths":
        family.forwards = type("Lost", (FakeForwards,), {where: lost})()
    bench = Bench(family, MODEL, tmp_path, mode="wide", rows=8)
    for number in range(1, company + 1):
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=1))
    with pytest.raises(DeviceLost):
        bench.worker.run()
    assert calls == [where]
    assert not [event for event in bench.events if isinstance(event, Failed | Finished)]


def test_a_sticky_error_in_a_preview(tmp_path: Path) -> None:
    """A preview that fails is no picture's fault, but one that tells of a lost device ends the engine."""

    class Lost(FakeFamily):
        def sketch(self, canvas: FakeCanvas) -> Callable[[], bytes] | None:
            return sticky

        def is_out_of_memory(self, error: Exception) -> bool:
            errors.check_device(error)
            return False

    bench = Bench(Lost(FakeSettings(step_s=0.01)), MODEL, tmp_path, preview_every=1)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=100))
    with pytest.raises(DeviceLost):
        bench.worker.run()


@pytest.mark.parametrize("part", ["unet", "vae.decode", "text_encoder"])
def test_the_real_family_finds_it_everywhere(
    bench: Bench, pipe: Any, model: ModelInfo, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Encoding, a forward in company and decoding: each ends the worker instead of a request."""
    target, _, name = part.partition(".")
    monkeypatch.setattr(getattr(pipe, target), name or "forward", sticky)
    for number in (1, 2):
        bench.submit(number, model.request(prompt="new words", seed=number, size=(64, 64), steps=1))
    with pytest.raises(DeviceLost, match="illegal memory access"):
        bench.worker.run()
    assert not [event for event in bench.events if isinstance(event, Failed | Finished)]


def test_measuring_does_not_mistake_it_for_a_lack_of_memory(
    pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who measures goes on without what has no room; a lost device is another matter."""
    family = SdFamily(pipe)
    monkeypatch.setattr(pipe.unet, "forward", sticky)
    settings = EngineSettings(model="m", spool="s")
    with pytest.raises(DeviceLost):
        switches.choose(pipe, settings, "fast", lambda: family.forwards.rehearse(2, (64, 64)))


def settings_of(tiny: Path, tmp_path: Path, **values: Any) -> EngineSettings:
    return EngineSettings(model=str(tiny), spool=str(tmp_path / "spool"), device="cpu", **values)


Where = Callable[[pytest.MonkeyPatch], None]
STARTS: dict[str, Where] = {
    "loading a part": lambda patch: patch.setattr(load, "import_module", sticky),
    "fitting previews": lambda patch: patch.setattr(preview, "_fit", sticky),
    "the self-test": lambda patch: patch.setattr(SdFamily, "self_test", sticky),
    "measuring": lambda patch: patch.setattr(Forwards, "rehearse", sticky),
    "drawing": lambda patch: patch.setattr(Worker, "run", lost),
}


def lost(_: Any) -> None:
    raise DeviceLost(ILLEGAL)


@pytest.mark.parametrize("where", STARTS)
def test_code_70_from_every_stage(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    """Never Broken, which would forbid a new process, and never the files' fault."""
    STARTS[where](monkeypatch)
    events: list[Event] = []
    settings = settings_of(tiny, tmp_path, data=str(tmp_path), preview_every=1, mode="exact")
    assert boot.run(settings, queue.Queue(), events.append) == contract.EXIT_DEVICE_LOST
    assert not [event for event in events if isinstance(event, Broken)]
    assert "illegal memory access" in capsys.readouterr().err


def test_the_process_leaves_with_code_70(start: Callable[..., EngineProcess]) -> None:
    """By os._exit, in the middle of a job with pictures still being saved; nothing is told any more."""
    engine = start(model="fake", fake=FakeSettings())
    recv_until(engine, lambda event: isinstance(event, Ready))
    for number, prompt in enumerate(["fine", "STICKY", "fine"]):
        engine.send(Submit(job_id=number, attempt=1, request=MODEL.request(prompt=prompt, seed=1, steps=4)))
    with pytest.raises((EOFError, OSError)):
        recv_until(engine, lambda event: isinstance(event, Failed))
    engine._process.join(10)
    assert engine.exitcode == contract.EXIT_DEVICE_LOST


# ------------------------------------------------------------------ before Ready


def test_every_start_draws_once(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward and a decode happen before Ready, also where nothing is measured."""
    done: list[str] = []
    real = SdFamily.self_test

    def self_test(self: SdFamily, size: tuple[int, int]) -> None:
        real(self, size)
        done.append("self-test")

    monkeypatch.setattr(SdFamily, "self_test", self_test)
    monkeypatch.setattr(Worker, "run", lambda _: None)

    def note(event: Event) -> None:
        done.extend(["ready"] if isinstance(event, Ready) else [])

    assert boot.run(settings_of(tiny, tmp_path), queue.Queue(), note) == contract.EXIT_OK
    assert done == ["self-test", "ready"]


@pytest.mark.parametrize("part", ["forward", "decode"])
def test_a_model_that_draws_no_numbers_is_broken(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """NaN in the self-test, as from float16 on some cards: the sentence names the setting that helps."""

    def spoil(pipeline: Any) -> None:
        if part == "decode":
            decode = pipeline.vae.decode
            pipeline.vae.decode = lambda *a, **k: (decode(*a, **k)[0] * torch.nan,)
        else:
            forward = pipeline.unet.forward
            pipeline.unet.forward = lambda *a, **k: (forward(*a, **k)[0] * torch.inf,)

    real = load.loading

    def loading(*args: Any) -> Any:
        settled = yield from real(*args)
        spoil(settled.pipeline)
        return settled

    monkeypatch.setattr(load, "loading", loading)
    events: list[Event] = []
    settings = replace(settings_of(tiny, tmp_path), dtype="bfloat16")
    assert boot.run(settings, queue.Queue(), events.append) == contract.EXIT_BROKEN
    broken = events[-1]
    assert isinstance(broken, Broken)
    assert "draws no numbers in bfloat16 on this device: set dtype to “float32”" in broken.reason


def test_no_memory_for_the_self_test_is_broken(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that just fit leave no room to draw: said at the start, not to every request."""

    def full(self: SdFamily, size: tuple[int, int]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SdFamily, "self_test", full)
    events: list[Event] = []
    assert boot.run(settings_of(tiny, tmp_path), queue.Queue(), events.append) == contract.EXIT_BROKEN
    assert "There is no memory left to draw" in str(events[-1])


def test_slow_measuring_is_told(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every forward of the measurements is a sign of life: on a slow machine they take minutes in all."""
    monkeypatch.setattr(Worker, "run", lambda _: None)
    events: list[Event] = []
    settings = settings_of(tiny, tmp_path, data=str(tmp_path), mode="exact")
    assert boot.run(settings, queue.Queue(), events.append) == contract.EXIT_OK
    told = [event for event in events if isinstance(event, Loading) and "know this machine" in event.stage]
    assert len(told) >= 1 + 2 * 4  # one and two rows at least, each once and then three times


# ------------------------------------------------------------------ black and not a number


def _decoding(pipe: Any, value: float) -> Callable[..., Any]:
    real = pipe.vae.decode
    return lambda *a, **k: (torch.full_like(real(*a, **k)[0], value),)


def test_a_black_picture_is_delivered(
    bench: Bench, pipe: Any, model: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A black circle on a black background is what was asked for."""
    monkeypatch.setattr(pipe.vae, "decode", _decoding(pipe, -1.0))
    bench.submit(1, model.request(prompt="x", seed=1, size=(64, 64), steps=1))
    (image,) = bench.finished(1).images
    with Image.open(str(image.path)) as opened:
        assert opened.getextrema() == ((0, 0),) * 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_decode_without_numbers_fails(
    bench: Bench, pipe: Any, model: ModelInfo, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """What would be shown as black, but is not a number, is a failure and no delivery; nothing is written."""
    monkeypatch.setattr(pipe.vae, "decode", _decoding(pipe, value))
    bench.submit(1, model.request(prompt="x", seed=1, size=(64, 64), steps=1))
    bench.finish(1)
    ending = bench.ending(1)
    assert isinstance(ending, Failed)
    assert "ran away" in ending.reason


def test_the_self_test_notices_what_is_not_a_number(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model passes it, and not with a decoder that gives NaN."""
    family = SdFamily(pipe)
    family.self_test((64, 64))
    monkeypatch.setattr(pipe.vae, "decode", _decoding(pipe, float("nan")))
    with pytest.raises(NotFinite):
        family.self_test((64, 64))


# ------------------------------------------------------------------ one engine per device


def waiting_for(pid: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, Loading) and f"process {pid}" in event.stage


def test_the_next_engine_waits_until_the_one_before_is_gone(
    start: Callable[..., EngineProcess], tmp_path: Path
) -> None:
    """It tells by its number who still holds the device, and gets ready when that one has ended, however it did."""
    common: dict[str, Any] = {"model": "fake", "data": str(tmp_path), "fake": FakeSettings()}
    first = start(**common)
    recv_until(first, lambda event: isinstance(event, Ready))
    second = start(**common, device="cuda")  # the same one by another name
    told = recv_until(second, waiting_for(first.pid))
    assert not [event for event in told if isinstance(event, Ready)]
    os.kill(first.pid, signal.SIGKILL)
    recv_until(second, lambda event: isinstance(event, Ready))
    third = start(**common)
    recv_until(third, waiting_for(second.pid))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's names are Linux's")
def test_the_lock_survives_the_loss_of_its_file(start: Callable[..., EngineProcess], tmp_path: Path) -> None:
    """Whoever removes the file, once or again and again, lets no second engine onto the device; its number is told still."""
    common: dict[str, Any] = {"model": "fake", "data": str(tmp_path), "fake": FakeSettings()}
    (tmp_path / "link").symlink_to(tmp_path)
    first = start(**common)
    recv_until(first, lambda event: isinstance(event, Ready))
    for data in (tmp_path, tmp_path / "link"):
        for file in tmp_path.glob("engine-*"):
            file.unlink()
        second = start(**{**common, "data": str(data)})
        told = recv_until(second, waiting_for(first.pid))
        assert not [event for event in told if isinstance(event, Ready)]
        second.kill()
    first.kill()
    recv_until(start(**common), lambda event: isinstance(event, Ready))


def test_engines_of_other_devices_and_other_folders_do_not_wait(
    start: Callable[..., EngineProcess], tmp_path: Path
) -> None:
    """The lock is for one device of one bot; who keeps no data, as `easel imagine`, takes none."""
    places: Sequence[dict[str, Any]] = (
        {"data": str(tmp_path / "a")},
        {"data": str(tmp_path / "a"), "device": "cuda:1"},
        {"data": str(tmp_path / "b")},
        {"data": None},
    )
    for place in places:
        engine = start(model="fake", fake=FakeSettings(), **place)
        recv_until(engine, lambda event: isinstance(event, Ready))


def test_an_engine_that_waits_for_the_device_can_be_stopped(
    start: Callable[..., EngineProcess], tmp_path: Path
) -> None:
    """Shutdown is obeyed while it waits."""
    common: dict[str, Any] = {"model": "fake", "data": str(tmp_path), "fake": FakeSettings()}
    first = start(**common)
    recv_until(first, lambda event: isinstance(event, Ready))
    second = start(**common)
    recv_until(second, waiting_for(first.pid))
    second.stop(timeout_s=10)
    assert second.exitcode == contract.EXIT_OK


def test_a_folder_that_cannot_be_written_to_stops_nobody(
    start: Callable[..., EngineProcess], tmp_path: Path
) -> None:
    """Without a lock the engine works all the same."""
    (tmp_path / "file").write_text("in the way")
    engine = start(model="fake", fake=FakeSettings(), data=str(tmp_path / "file"))
    recv_until(engine, lambda event: isinstance(event, Ready))


# ------------------------------------------------------------------ the bot is gone


PARENT = """
import sys, time
from engine import process
from engine.contract import EngineSettings, FakeSettings, Ready, Started, Submit
from engine.fake import MODEL
engine = process.start(EngineSettings(model="fake", spool=sys.argv[1], fake=FakeSettings(step_s=float(sys.argv[3]))))
while not isinstance(engine.events.recv(), Ready):
    pass
engine.send(Submit(job_id=1, attempt=1, request=MODEL.request(prompt=sys.argv[2], seed=1, steps=150)))
while not isinstance(engine.events.recv(), Started):
    pass
print(engine.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an engine notices when it tells its next step")
@pytest.mark.parametrize(("prompt", "step_s"), [("long", "1"), ("FREEZE", "0"), ("busy", "0.01")])
def test_a_busy_engine_does_not_outlive_its_bot(
    tmp_path: Path, gone: Callable[[int], bool], prompt: str, step_s: str
) -> None:
    """kill -9 of the bot while the engine draws, is in the middle of a long step, or hangs: it is gone at once."""
    arguments = [sys.executable, "-c", PARENT, str(tmp_path), prompt, step_s]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        engine_pid = int(parent.stdout.readline())
        assert not gone(engine_pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while not gone(engine_pid):
        assert time.monotonic() < deadline, "the engine outlived its parent"
        time.sleep(0.02)

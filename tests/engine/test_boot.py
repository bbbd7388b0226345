"""How the real engine starts and ends, without a process of its own."""

from __future__ import annotations

import itertools
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import boot, child, contract
from engine.checkpoints import describe, hub
from engine.checkpoints.source import Source
from engine.contract import (
    Broken,
    Control,
    EngineSettings,
    Event,
    HubTries,
    Loading,
    ModelInfo,
    Ready,
    Shutdown,
)
from engine.device import fingerprint
from engine.errors import DeviceLost, Unreachable
from engine.loading import load
from engine.loading.opening import Offered
from engine.loop.worker import Worker
from tests.kit.engines import announced, described, offered
from tests.kit.tiny_upscalers import build as build_upscaler

HOMES: dict[str, Any] = {"describe": describe, "loading": load}


def settings(tiny: Path, tmp_path: Path) -> EngineSettings:
    return EngineSettings(model=str(tiny), spool=str(tmp_path / "spool"), device="cpu", slots=2)


def test_a_life(tiny: Path, tmp_path: Path) -> None:
    """It describes, loads, announces itself with its slots and arithmetic, and leaves on Shutdown."""
    events = announced(settings(tiny, tmp_path))
    assert isinstance(events[0], Loading)
    assert events[0].models[0].id == "tiny"
    ready = events[-1]
    assert isinstance(ready, Ready)
    assert (ready.slots, ready.dtype) == (2, "float32")
    assert ready.device.startswith("CPU (")
    assert {"torch", "diffusers", "threads", "dtype", "mode", "cpu"} <= set(ready.fingerprint)
    assert len(ready.warnings) == 1
    assert (tmp_path / "spool").is_dir()


def test_a_lost_device_has_its_own_exit_code(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the GPU is lost the engine ends with code 70, which says that a new one may work, and with a line for the log."""

    def lose(*args: Any) -> None:
        raise DeviceLost("CUDA error: unspecified launch failure")

    monkeypatch.setattr(boot, "_start", lose)
    events: list[Event] = []
    assert boot.run(settings(tiny, tmp_path), queue.Queue(), events.append) == contract.EXIT_DEVICE_LOST == 70
    assert "unspecified launch failure" in capsys.readouterr().err
    assert [type(event) for event in events] == [Loading]


def test_an_added_model_is_not_fetched_anew(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id of the hub whose folder lies among the engine's models is drawn with from there."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv(
        "HF_HUB_OFFLINE", "1"
    )  # as the engine sets it for its own process: not for the tests after this one
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "owner--tiny").symlink_to(tiny)
    wanted = replace(settings(tiny, tmp_path), model="owner/tiny", models=str(tmp_path), hub_offline=True)
    ready = announced(wanted)[-1]
    assert isinstance(ready, Ready)
    assert [(model.id, model.title) for model in ready.models] == [("owner/tiny", "Tiny random model")]


def test_the_downloaded_files_are_described(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready and the worker go by the files that loading brought, not by what was known before."""
    known = ModelInfo(id="tiny", title="As known before")
    infos = iter([known, described(settings(tiny, tmp_path))])
    monkeypatch.setattr(describe, "describe", lambda *_: next(infos))
    monkeypatch.setattr(hub, "cached", lambda _: tiny)
    of_the_hub = replace(settings(tiny, tmp_path), model="org/tiny")
    workers: list[ModelInfo] = []

    class Seen(Worker):
        def run(self) -> None:
            workers.extend(self._shelf.models)

    monkeypatch.setattr(boot, "Worker", Seen)
    events: list[Event] = []
    assert boot.run(of_the_hub, queue.Queue(), events.append) == contract.EXIT_OK
    first, ready = events[0], events[-1]
    assert isinstance(first, Loading)
    assert isinstance(ready, Ready)
    assert first.models == (known,)
    assert ready.models == tuple(workers) != (known,)


@pytest.mark.parametrize("name", ["describe", "loading"])
def test_an_unexpected_error_is_broken(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """What nobody foresaw while describing or loading ends as Broken, in a sentence, with the traceback in the log."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(HOMES[name], name, fail)
    events: list[Event] = []
    assert boot.run(settings(tiny, tmp_path), queue.Queue(), events.append) == contract.EXIT_BROKEN == 78
    broken = events[-1]
    assert isinstance(broken, Broken)
    assert "ZeroDivisionError" in broken.reason
    assert "check the model's files" in broken.reason
    assert "Traceback" in capsys.readouterr().err


def test_an_error_while_drawing_is_not_the_models(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that fails ends the process, so that the bot starts a new one, instead of reporting Broken."""

    def fail(_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Worker, "run", fail)
    events: list[Event] = []
    with pytest.raises(ZeroDivisionError):
        boot.run(settings(tiny, tmp_path), queue.Queue(), events.append)
    assert isinstance(events[-1], Ready)


@pytest.mark.parametrize("name", ["describe", "loading"])
def test_the_hub_is_tried_again(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """While the hub can't be reached the engine stays in loading and says so; later tries succeed."""
    act, tries = getattr(HOMES[name], name), itertools.count(1)

    def fail_twice(*args: Any) -> Any:
        if next(tries) <= 2:
            raise Unreachable("no connection")
        return act(*args)

    monkeypatch.setattr(HOMES[name], name, fail_twice)
    monkeypatch.setattr(Worker, "run", lambda _: None)
    events: list[Event] = []
    told_so = replace(settings(tiny, tmp_path), hub=HubTries(pauses_s=(0.01, 0.02)))
    assert boot.run(told_so, queue.Queue(), events.append) == contract.EXIT_OK
    told = [event for event in events if isinstance(event, Loading) and "trying again in" in event.stage]
    assert len(told) == 2
    assert all(bool(event.models) == (name == "loading") for event in told)
    assert isinstance(events[-1], Ready)


@pytest.mark.parametrize("why", ["shutdown", "orphaned"])
def test_waiting_for_the_hub_ends_at_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Shutdown, and the parent's end, are noticed long before a pause of five seconds is over."""
    controls: queue.Queue[Control] = queue.Queue()

    def fail(*_: Any) -> None:
        raise Unreachable("no connection")

    def leave() -> None:
        if why == "shutdown":
            controls.put(Shutdown())
        else:
            monkeypatch.setattr(child, "parent_alive", lambda: False)

    monkeypatch.setattr(describe, "describe", fail)
    events: list[Event] = []
    threading.Timer(0.2, leave).start()
    begin = time.monotonic()
    assert boot.run(settings(tiny, tmp_path), controls, events.append) == contract.EXIT_OK
    assert time.monotonic() - begin < 3
    assert events == [Loading(stage="the model hub can't be reached; trying again in 5 s")]


def test_threads_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread for small pictures, else the cores this process may use; OMP_NUM_THREADS beats both, and torch has it."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    small = ModelInfo(id="m", title="m", width=256, height=256)
    large = ModelInfo(id="m", title="m", width=512, height=512)
    assert fingerprint.threads(large) == min(16, len(os.sched_getaffinity(0)))
    fingerprint.pin(small)
    assert torch.get_num_threads() == fingerprint.threads(small) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert fingerprint.threads(small) == fingerprint.threads(large) == 3
    assert not torch.backends.cudnn.benchmark


def test_the_driver_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    """Read where Linux tells it; nothing where there is none."""
    told = tmp_path / "version"
    told.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
    )
    assert fingerprint.driver(told) == "550.54.15"
    told.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release Build\n")
    assert fingerprint.driver(told) == "570.86.10"
    assert fingerprint.driver(tmp_path / "none") == ""


def test_torch_is_not_needed_to_say_what_is_offered() -> None:
    """The bot answers /imagine as soon as the models are described: nothing before that loads torch, which takes seconds."""
    code = "import sys; from engine import boot; from engine.loading import load; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ODD: dict[str, tuple[str, str]] = {
    "lists in lists": ("model_index.json", "[" * 100_000),
    "a width that is none": ("unet/config.json", '{"cross_attention_dim": "a", "sample_size": 16}'),
    "a text that is none": ("text_encoder/config.json", '{"hidden_size": "q"}'),
    "endless": ("unet/config.json", '{"sample_size": [1e400, 4]}'),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_model_beside_the_first_ends_nobody(tiny: Path, tmp_path: Path, name: str) -> None:
    """Whatever a folder among the further models holds, the configured one is offered."""
    file, text = ODD[name]
    odd = tmp_path / "checkpoints" / "odd"
    shutil.copytree(tiny, odd)
    (odd / file).write_text(text)
    told = replace(settings(tiny, tmp_path), models=str(tmp_path))
    offer = boot._Offer.of(told, offered(tiny=told)["tiny"])
    assert offer.models[0].id == "tiny"
    assert len(offer.models) + len(offer.warnings) == 2


def test_a_further_model_that_nobody_foresaw(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is left out with a sentence, and the log has the traceback; so is one whose name Discord would not take."""
    for name in ("odd", "x" * 101):
        shutil.copytree(tiny, tmp_path / "checkpoints" / name)
    told = replace(settings(tiny, tmp_path), models=str(tmp_path))
    first, really = offered(tiny=told)["tiny"], describe.describe

    def fail(source: Source, settings: EngineSettings) -> ModelInfo:
        if source.id == "odd":
            raise ZeroDivisionError("nobody foresaw this")
        return really(source, settings)

    monkeypatch.setattr(describe, "describe", fail)
    offer = boot._Offer.of(told, first)
    assert offer.models == (first.info,)
    assert "“odd” is left out: it can't be read (ZeroDivisionError)" in offer.warnings[0]
    assert "give it a shorter name" in offer.warnings[1]
    assert "nobody foresaw this" in capsys.readouterr().err


def test_models_that_were_set_aside_are_left_out(tiny: Path, tmp_path: Path) -> None:
    """An engine goes on with the next model where the first one was, and never mentions the further ones that were."""
    for name in ("other", "third"):
        shutil.copytree(tiny, tmp_path / "checkpoints" / name)
    told = replace(settings(tiny, tmp_path), models=str(tmp_path), set_aside=("tiny", "third"))
    first = boot._first_source(told)
    offer = boot._Offer.of(told, Offered(source=first, info=describe.describe(first, told)))
    assert [model.id for model in offer.models] == ["other"]
    nothing = replace(told, set_aside=("tiny", "other", "third"))
    assert boot._first_source(nothing).id == "tiny", "there is no other"


def test_the_bot_knows_what_is_read(tiny: Path, tmp_path: Path) -> None:
    """Before a file that may end the engine is read its model is named, upscalers that are only looked at included."""
    for name in ("4x", "bad"):
        build_upscaler(tmp_path / "upscalers" / f"{name}.safetensors", scale=4)
    told = replace(settings(tiny, tmp_path), models=str(tmp_path), set_aside=("bad",))
    events = announced(told)
    reading = [event.reading for event in events if isinstance(event, Loading)]
    assert reading[0] is None
    assert list(dict.fromkeys(reading[1:])) == ["4x", "tiny"]
    ready = events[-1]
    assert isinstance(ready, Ready)
    assert [model.id for model in ready.models] == ["tiny", "4x"]

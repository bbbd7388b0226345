"""How the real engine starts and ends, without a process of its own."""

from __future__ import annotations

import os
import queue
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import boot, process
from engine.contract import Control, EngineSettings, Event, Loading, Ready, Shutdown
from engine.drawing import DeviceLost


def settings(tiny: Path, tmp_path: Path) -> EngineSettings:
    return EngineSettings(model=str(tiny), spool=str(tmp_path / "spool"), device="cpu", slots=2)


def test_a_life(tiny: Path, tmp_path: Path) -> None:
    """It describes, loads, announces itself with its slots and arithmetic, and leaves on Shutdown."""
    controls: queue.Queue[Control] = queue.Queue()
    controls.put(Shutdown())
    events: list[Event] = []
    assert boot.run(settings(tiny, tmp_path), controls, events.append) == process.EXIT_OK
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
    assert boot.run(settings(tiny, tmp_path), queue.Queue(), events.append) == process.EXIT_DEVICE_LOST == 70
    assert "unspecified launch failure" in capsys.readouterr().err
    assert [type(event) for event in events] == [Loading]


def test_threads_are_pinned() -> None:
    """The thread count follows the cores this process may use, and torch has it."""
    boot.pin_arithmetic()
    assert torch.get_num_threads() == boot.threads() == min(16, len(os.sched_getaffinity(0)))
    assert not torch.backends.cudnn.benchmark

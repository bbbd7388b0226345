"""What a model is is read once and passed on: from the engine's start until a further model has drawn."""

from __future__ import annotations

import queue
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine import boot
from engine.contract import Control, EngineSettings, Event, Finished, ModelInfo, Ready, Shutdown, Submit


def drawn_with_another(settings: EngineSettings) -> None:
    """An engine in this process announces itself, draws a picture with the model `other`, and leaves."""
    controls: queue.Queue[Control] = queue.Queue()
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)
        if isinstance(event, Ready):
            other: ModelInfo = next(model for model in event.models if model.id == "other")
            request = other.request(prompt="a red circle", seed=1, steps=2)
            controls.put(Submit(job_id=1, attempt=1, request=request))
        if isinstance(event, Finished):
            controls.put(Shutdown())

    assert boot.run(settings, controls, note) == 0, events[-1]
    assert any(isinstance(event, Finished) for event in events), events[-1]


def test_each_file_of_a_further_model_is_read_once_for_each_question(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it offers is asked once, at the start, and whether its files are complete once, before it is loaded.

    Its UNet's width is asked by LoRA files besides.
    """
    models = tmp_path / "models"
    other = models / "checkpoints" / "other"
    shutil.copytree(tiny, other)
    read: Counter[str] = Counter()
    really: Any = Path.open

    def opened(path: Path, *args: Any, **options: Any) -> Any:
        if other in path.parents and path.suffix == ".json":
            read[str(path.relative_to(other))] += 1
        return really(path, *args, **options)

    monkeypatch.setattr(Path, "open", opened)
    settings = EngineSettings(
        model=str(tiny), models=str(models), spool=str(tmp_path / "spool"), device="cpu"
    )
    drawn_with_another(settings)
    assert dict(read) == {
        "unet/config.json": 3,
        "model_index.json": 2,
        "vae/config.json": 2,
        "scheduler/scheduler_config.json": 2,
        "text_encoder/config.json": 2,
        "easel.json": 1,
        "tokenizer/tokenizer.json": 1,
    }

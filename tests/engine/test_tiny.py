"""The tiny random model: quick to build, the same every time, in the hub's layout, and it can encode anything."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from engine.contract import GenerationRequest, ModelInfo
from tests.kit.engines import Bench
from tests.kit.tiny import build


def test_it_is_the_same_every_time(tiny: Path, tmp_path: Path) -> None:
    """Built again it is byte for byte the model the other tests use."""
    build(tmp_path / "tiny")
    for file in (file for file in tiny.rglob("*") if file.is_file()):
        assert (tmp_path / "tiny" / file.relative_to(tiny)).read_bytes() == file.read_bytes(), file


def test_only_safetensors(tiny: Path) -> None:
    """The folder has the layout of the hub, with weights in safetensors and nothing pickled."""
    suffixes = {file.suffix for file in tiny.rglob("*") if file.is_file()}
    assert suffixes == {".json", ".safetensors"}
    assert json.loads((tiny / "model_index.json").read_text())["_class_name"] == "StableDiffusionPipeline"
    assert "timestep_spacing" not in json.loads((tiny / "scheduler/scheduler_config.json").read_text())


@pytest.mark.parametrize("text", ["the red fox", "🦊 漢字 ÄÖÜ", "tab\tnul\0end", "!" * 50, ""])
def test_the_tokenizer_takes_any_text(pipe: Any, text: str) -> None:
    """Every text becomes known tokens: no byte is outside the small vocabulary."""
    ids = pipe.tokenizer(text).input_ids
    assert max(ids) < len(pipe.tokenizer)
    start, end = pipe.tokenizer.bos_token_id, pipe.tokenizer.eos_token_id
    assert (ids[0], ids[-1]) == (start, end)
    assert end not in ids[1:-1]


def test_pictures_are_colourful(bench: Bench, model: ModelInfo) -> None:
    """What it draws is not grey: people should see at once that seeds differ."""
    from PIL import Image, ImageStat

    bench.submit(1, model.request(prompt="x", seed=3))
    with Image.open(str(bench.finished(1).images[0].path)) as image:
        assert min(ImageStat.Stat(image).stddev) > 15


def test_it_is_quick(bench: Bench, model: ModelInfo) -> None:
    """Twenty steps at 128x128 take seconds even on a busy machine (0.4 s on two idle cores)."""
    request: GenerationRequest = model.request(prompt="x", seed=3, steps=20)
    bench.submit(1, request)
    begin = time.monotonic()
    bench.finish(1)
    assert time.monotonic() - begin < 10

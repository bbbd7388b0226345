"""Upscalers both ways: a row says what each took and how far their pictures are apart, and what can't be measured is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.openvino import convert
from tests.kit.tiny_upscalers import build
from workshop.bench import upscalers


@pytest.mark.xdist_group("openvino")
def test_both_ways_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that is named, once OpenVINO is in use; the command fails where that can't be, with why."""
    file = build(tmp_path / "2x-compact.safetensors")
    words = ["--file", str(file), "--pixels", "64", "--rounds", "2"]
    monkeypatch.setattr(convert, "convert_apart", convert._convert)
    assert upscalers.main(words) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"\| 2x-compact \| 64×64 \| 2 (\| \d+\.\d\d ){2}\| \*\*.*\*\* \(.*\) \| .* \| [01] of 255 \| \d+ s \|",
        row,
    )

    def failing(_order: convert.Order) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(convert, "convert_apart", failing)
    assert upscalers.main(words) == upscalers.EXIT_FAILED
    assert "2x-compact: OpenVINO is not used" in capsys.readouterr().err


def test_what_is_measured_is_an_upscaler_of_its_real_size(tmp_path: Path) -> None:
    """Recognised by spandrel as what it is called, with the weights that its users have."""
    sizes = {"compact": 621_424, "swinir": 910_152}
    for name, size in sizes.items():
        file = upscalers.made(tmp_path / f"{name}.safetensors", name)
        network = upscalers.upscaler_file.built(file)
        assert name in network.architecture.name.lower()
        assert sum(weight.numel() for weight in network.model.parameters()) == size

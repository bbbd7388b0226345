"""Switches that change bits: off in exact unless told, by measurement in wide and fast, and the same tomorrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.contract import EngineSettings, ModelInfo, Ready
from engine.families.sd import SdFamily
from engine.unet import costs, switches
from tests.kit.engines import announced, digest_of


def settings(folder: Path, **changes: Any) -> EngineSettings:
    values: dict[str, Any] = {"model": "x", "spool": str(folder / "spool"), "device": "cpu", **changes}
    return EngineSettings(**values)


@pytest.fixture
def own_pipe(tiny: Path, load_pipe: Any) -> Any:
    """A pipeline that a test may change."""
    return load_pipe(tiny)


def prediction(pipe: Any, model: ModelInfo) -> torch.Tensor:
    family = SdFamily(pipe)
    canvas = family.prepare(model.request(prompt="x", seed=1, size=(64, 64), steps=1), 1)
    return family.predict([canvas], padded=None)[0]


def test_exact_is_left_alone(own_pipe: Any, tmp_path: Path) -> None:
    """With everything on auto, exact measures nothing and turns nothing on."""

    def rehearse() -> None:
        raise AssertionError("measured")

    assert switches.choose(own_pipe, settings(tmp_path), "exact", rehearse) == {}


def test_what_is_told_is_done(own_pipe: Any, model: ModelInfo, tmp_path: Path) -> None:
    """Told to, both are on in any mode, and the prediction is the same but for rounding."""
    before = prediction(own_pipe, model)
    told = settings(tmp_path, channels_last="on", fused_qkv="on")
    assert switches.choose(own_pipe, told, "exact", lambda: None) == {
        "channels_last": "on",
        "fused_qkv": "on",
    }
    assert own_pipe.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert any(hasattr(module, "to_qkv") for module in own_pipe.unet.modules())
    assert torch.allclose(prediction(own_pipe, model), before, atol=1e-4)


@pytest.mark.parametrize("error", [None, torch.OutOfMemoryError("CUDA out of memory")])
def test_what_does_not_pay_is_undone(
    own_pipe: Any, model: ModelInfo, tmp_path: Path, error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch that is slower, or has no memory, leaves no trace: the same bits, and no fused weights kept."""
    before, calls = prediction(own_pipe, model), []
    monkeypatch.setattr(switches, "seconds", lambda rehearse: (rehearse(), 1.0)[1])

    def rehearse() -> None:
        calls.append(1)
        if error is not None and len(calls) % 2 == 0:
            raise error

    assert switches.choose(own_pipe, settings(tmp_path), "fast", rehearse) == {}
    assert not any(
        hasattr(module, name) for module in own_pipe.unet.modules() for name in ("to_qkv", "to_kv")
    )
    assert torch.equal(prediction(own_pipe, model), before)


def test_what_pays_is_kept_for_tomorrow(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start in fast measures and chooses; the second one has the same switches and measures nothing."""
    seconds = iter([1.0, 0.5, 1.0, 2.0])
    monkeypatch.setattr(switches, "bfloat16_pays", lambda: False)
    monkeypatch.setattr(switches, "seconds", lambda _: next(seconds))
    first = ready(tiny, tmp_path)
    monkeypatch.setattr(costs, "measure", lambda *_: pytest.fail("measured again"))
    second = ready(tiny, tmp_path)
    assert (first.fingerprint["channels_last"], "fused_qkv" in first.fingerprint) == ("on", False)
    assert first.fingerprint == second.fingerprint
    assert first.notes == second.notes
    assert any(note.startswith("▶ fast") for note in first.notes)


def ready(tiny: Path, folder: Path, **changes: Any) -> Ready:
    """What a real engine announces."""
    told = settings(
        folder, model=str(tiny), mode="fast", data=str(folder / "data"), runtime="torch", **changes
    )
    ready = announced(told)[-1]
    assert isinstance(ready, Ready)
    return ready


def test_rows_that_no_slot_can_fill_are_told(tiny: Path, tmp_path: Path) -> None:
    """Sixteen rows for two slots are a mistake worth a warning."""
    ready = announced(settings(tmp_path, model=str(tiny), mode="wide", rows=16, slots=2))[-1]
    assert isinstance(ready, Ready)
    assert ready.fingerprint["width"] == "16 rows"
    assert any("at most 4 of the 16 rows" in warning for warning in ready.warnings)


def test_weights_have_a_name(tiny: Path, copy: Path) -> None:
    """Equal weights have equal digests; one changed byte gives another."""
    own, other = (EngineSettings(model=str(folder), spool="") for folder in (tiny, copy))
    assert digest_of(own) == digest_of(other)
    file = next((copy / "unet").glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert digest_of(own) != digest_of(other)


@pytest.mark.parametrize(("bf16_s", "pays"), [(0.5, True), (0.9, False), (60.0, False)])
def test_bf16_has_to_bring_much(monkeypatch: pytest.MonkeyPatch, bf16_s: float, pays: bool) -> None:
    """It is worth its lost precision only where a product takes far less of fp32's time."""
    seconds = iter([bf16_s, 1.0])
    monkeypatch.setattr(switches, "seconds", lambda _rehearse: next(seconds))
    assert switches.bfloat16_pays() is pays


def test_this_processor_answers_twice_alike() -> None:
    """What is measured decides, and decides the same again."""
    assert switches.bfloat16_pays() is switches.bfloat16_pays()

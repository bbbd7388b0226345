"""Compiling goes on behind the first images: until a shape is ready, and where it never gets ready, drawing is plain."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.compiling import CompiledUnet
from engine.contract import ModelInfo
from engine.families.sd import SdFamily
from tests.engine.support import Bench


def test_nobody_waits_for_the_compiler(
    pipe: Any, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the compiler works a picture is drawn and finished; afterwards the compiled forward is the one in use."""
    gate, compiled_calls = threading.Event(), []

    def fake_compile(unet: Any, **_: Any) -> Any:
        def compiled(*args: Any, **kwargs: Any) -> Any:
            assert gate.wait(60)
            compiled_calls.append(args[0].shape)
            return unet(*args, **kwargs)

        return compiled

    monkeypatch.setattr(torch, "compile", fake_compile)
    family = SdFamily(pipe)
    family.compile_behind([2], (64, 64))
    bench = Bench(family, model, tmp_path, mode="fast", rows=4)
    bench.submit(1, model.request(prompt="x", seed=1, steps=2, size=(64, 64)))
    assert bench.finished(1).images[0].path
    assert not compiled_calls
    gate.set()
    assert family._compiled is not None
    family._compiled.wait()
    bench.submit(2, model.request(prompt="x", seed=1, steps=2, size=(64, 64), sampler="Euler"))
    bench.finish(2)
    assert len(compiled_calls) == 1 + 2


def test_other_shapes_are_drawn_plain(pipe: Any) -> None:
    """torch.compile really runs for the given rows; a batch of another shape never starts a compilation."""
    family = SdFamily(pipe)
    family.compile_behind([2], (64, 64), backend="eager")
    compiled = family._compiled
    assert compiled is not None
    compiled.wait()
    assert compiled._ready == {((2, 4, 8, 8), 77)}
    with torch.inference_mode():
        for rows, size in ((4, (64, 64)), (2, (64, 96)), (2, (64, 64))):
            batch = family._blank(rows, size)
            plain = pipe.unet(batch.latents, batch.timesteps, encoder_hidden_states=batch.embeddings).sample
            assert torch.allclose(compiled(batch), plain, atol=1e-5)
        longer = replace(batch, embeddings=batch.embeddings.repeat(1, 2, 1))  # a prompt of two windows
        plain = pipe.unet(longer.latents, longer.timesteps, encoder_hidden_states=longer.embeddings).sample
        assert torch.equal(compiled(longer), plain)
    assert compiled._ready == {((2, 4, 8, 8), 77)}


def test_a_missing_compiler_is_told_and_does_no_harm(pipe: Any, caplog: pytest.LogCaptureFixture) -> None:
    """When compiling fails the log says so, and forwards stay plain."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("no C compiler")

    unet = CompiledUnet(pipe.unet, backend=broken)  # type: ignore[arg-type]
    family = SdFamily(pipe)
    batch = family._blank(2, (64, 64))
    unet.begin([batch])
    unet.wait()
    assert "can't be compiled here" in caplog.text
    with torch.inference_mode():
        assert unet(batch).shape == batch.latents.shape

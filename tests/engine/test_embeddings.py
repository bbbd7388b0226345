"""Words that files taught mean what diffusers makes of them; prompts without them keep their bits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import adapter_files
from engine.contract import EngineSettings, GenerationRequest, ModelInfo
from engine.families.prompts import WINDOWS_MAX, Prompts
from engine.families.sd import SdFamily
from engine.families.sdxl import SdxlFamily
from engine.models import describe
from tests.engine.support import House, draw, pixels, plain

Load = Callable[[Path], Any]


@pytest.fixture
def models(adapters: Path) -> Path:
    return adapters


def a_request(info: ModelInfo, prompt: str, negative: str = "blurry") -> GenerationRequest:
    first = info.request(prompt=prompt, negative_prompt=negative, seed=7, size=(72, 64), steps=2)
    return replace(first, sampler="Euler")


@pytest.fixture(scope="module")
def taught(tiny: Path, adapters: Path, load_pipe: Load) -> Any:
    """A pipe that was taught by hand, as diffusers' documentation says."""
    pipe = load_pipe(tiny)
    own = adapters / "embeddings"
    pipe.load_textual_inversion(str(own / "EasyFox.safetensors"), token="EasyFox")
    pipe.load_textual_inversion(str(own / "cat-toy.safetensors"), token="cat-toy")
    return pipe


def test_words_mean_what_diffusers_makes_of_them(
    tiny: Path,
    load_pipe: Load,
    models: Path,
    model: ModelInfo,
    pipe: Any,
    taught: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With several vectors or one, in prompt and negative prompt; without them it is a pipe that was never taught."""
    with caplog.at_level(logging.WARNING, "easel.engine"):
        family = SdFamily(load_pipe(tiny), models=models)
    assert sorted(family._embeddings.digests) == ["EasyFox", "cat-toy"]
    told = "\n".join(record.getMessage() for record in caplog.records)
    for name, problem in {
        "the": "its name is a word already: rename the file",
        "wide": "it was made for another kind of model",
        "twoheads": "it was made for another kind of model",
        "cube": "it is no embedding file",
        "cut": adapter_files.DAMAGED,
    }.items():
        assert f"the embedding “{name}” is left out: {problem}" in told
    plainly = a_request(model, "a red fox")
    before = plain(pipe, plainly, 7, "latent")
    assert torch.equal(draw(family, plainly).latents[0], before)
    for request in (a_request(model, "a red EasyFox"), a_request(model, "a red fox", "a cat-toy, EasyFox")):
        expected = plain(taught, request, 7, "latent")
        canvas = draw(family, request)
        assert torch.equal(canvas.latents[0], expected)
        assert not torch.equal(expected, before)
        assert sorted(canvas.made_with) == [
            f"embedding {word}"
            for word in ("EasyFox", "cat-toy")
            if word in request.prompt + request.negative_prompt
        ]
    lowered = draw(family, a_request(model, "a red easyfox")).latents
    assert torch.equal(lowered[0], plain(taught, a_request(model, "a red EasyFox"), 7, "latent"))
    assert torch.equal(draw(family, plainly).latents[0], before)


def test_weights_and_long_texts_hear_every_vector(
    tiny: Path, load_pipe: Load, models: Path, taught: Any
) -> None:
    """compel gets all tokens of a word, they count in the window, and a cut falls before the word."""
    family = SdFamily(load_pipe(tiny), models=models)
    prompts = family._prompts
    one = prompts.encode("a (EasyFox:1.2) in snow").embeddings
    by_hand = Prompts(taught).encode("a (EasyFox EasyFox_1 EasyFox_2:1.2) in snow").embeddings
    assert torch.equal(one, by_hand)
    window = prompts._window
    fits = "x " * (window - 2 - 3 - 1)
    assert prompts.encode(f"{fits}EasyFox y").embeddings.shape[1] == window
    assert prompts.encode(f"{fits}EasyFox y z").embeddings.shape[1] == 2 * window
    room = WINDOWS_MAX * ((window - 2) // 3)
    assert not prompts.encode("EasyFox, " * 4).remarks
    (remark,) = prompts.encode("EasyFox " * (room + 1) + "end").remarks
    assert remark.endswith("from “EasyFox end” on it was left out.")


def test_sdxl_learns_a_word_in_both_encoders(
    tiny_xl: Path, load_pipe: Load, models: Path, model_xl: ModelInfo, pipe_xl: Any
) -> None:
    """Files with vectors for both are taken, others are not, and each encoder gets its own."""
    from safetensors.torch import load_file

    family, by_hand = SdxlFamily(load_pipe(tiny_xl), models=models), load_pipe(tiny_xl)
    assert [*family._embeddings.digests] == ["twoheads"]
    tensors = load_file(models / "embeddings" / "twoheads.safetensors")
    for key, end in (("clip_l", ""), ("clip_g", "_2")):
        encoder, tokenizer = (getattr(by_hand, f"{name}{end}") for name in ("text_encoder", "tokenizer"))
        by_hand.load_textual_inversion(
            tensors[key], token="twoheads", text_encoder=encoder, tokenizer=tokenizer
        )
    for request, pipe in (
        (a_request(model_xl, "a twoheads fox"), by_hand),
        (a_request(model_xl, "a fox"), pipe_xl),
    ):
        assert torch.equal(draw(family, request).latents[0], plain(pipe, request, 7, "latent"))


@pytest.mark.xdist_group("house")
def test_a_real_process_with_both(tiny: Path, models: Path, taught: Any, house: House, pipe: Any) -> None:
    """An engine that was told the folder offers what fits, and draws with a LoRA and a word what a pipe with both does."""
    from safetensors.torch import load_file

    info = house.ready.models[0]
    assert [lora.name for lora in info.loras] == ["detail"]
    assert info.loras == describe(EngineSettings(model=str(tiny), spool="", models=str(models))).loras
    assert [each.name for each in info.embeddings] == ["EasyFox", "cat-toy"]
    assert house.ready.notes == (
        f"Of 1 LoRA files 1 fit {info.title}: detail.",
        f"Prompts for {info.title} may hold words of 2 embeddings: EasyFox, cat-toy.",
    )
    requests = (a_request(info, "a red EasyFox <lora:detail:0.7>"), a_request(info, "a red fox"))
    endings, _ = house.finish(*requests)
    drawn = [pixels(ending.images[0].path) for ending in endings]
    taught.load_lora_weights(load_file(models / "loras" / "detail.safetensors"), adapter_name="detail")
    taught.set_adapters(["detail"], [0.7])
    assert drawn[0] == plain(taught, requests[0], 7, "pil").tobytes()
    assert drawn[1] == plain(pipe, requests[1], 7, "pil").tobytes()

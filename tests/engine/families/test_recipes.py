"""Schedules, guidance that ends and recipes draw what diffusers' own way draws, to the bit, alone and in a crowd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.contract import SAMPLERS, GenerationRequest, ModelInfo
from engine.families.sd import SdFamily
from engine.families.sdxl import SdxlFamily
from tests.kit.engines import Bench, draw, plain

SCHEDULED = [(name, schedule) for name, each in SAMPLERS.items() for schedule in each.schedules]


def a_request(model: ModelInfo, **options: Any) -> GenerationRequest:
    given: dict[str, Any] = {"negative_prompt": "blurry", "size": (72, 64), **options}
    return model.request(prompt="a red fox in the snow", seed=1234, **given)


@pytest.mark.parametrize(("sampler", "schedule"), SCHEDULED)
def test_schedules_equal_pipe(
    pipe: Any, family: SdFamily, model: ModelInfo, sampler: str, schedule: str
) -> None:
    """Align Your Steps is `pipe(timesteps=)`, SGM Uniform a scheduler with trailing timesteps."""
    request = a_request(model, sampler=sampler, schedule=schedule, steps=None if schedule == "AYS" else 6)
    canvas = draw(family, request)
    assert canvas.done == request.evaluations
    assert torch.equal(canvas.latents[0], plain(pipe, request, request.seed, "latent"))


@pytest.mark.parametrize("until", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("sampler", ["Euler a", "PNDM", "Heun", "DPM++ 2M SDE", "TCD"])
def test_guidance_ends_as_with_diffusers_callback(
    pipe: Any, family: SdFamily, model: ModelInfo, sampler: str, until: float
) -> None:
    """`SDCFGCutoffCallback` draws the same, and the rows that are evaluated are those that the request counts."""
    request = a_request(model, sampler=sampler, steps=7, guidance_until=until)
    canvas, rows = family.prepare(request, request.seed), 0
    while canvas.left:
        (prediction,) = family.predict([canvas], padded=None)
        rows += len(prediction)
        family.advance(canvas, prediction, look=False)
    assert request.evaluations < rows == request.rows < 2 * request.evaluations
    assert torch.equal(canvas.latents[0], plain(pipe, request, request.seed, "latent"))


@pytest.mark.parametrize("schedule", ["AYS", ""])
def test_xl(pipe_xl: Any, family_xl: SdxlFamily, model_xl: ModelInfo, schedule: str) -> None:
    """SDXL has a list of timesteps of its own, and a callback that leaves out its pooled prompts and sizes, too."""
    request = a_request(model_xl, sampler="Euler", schedule=schedule, guidance_until=0.6)
    canvas = draw(family_xl, request)
    assert canvas.rows == 1
    assert torch.equal(canvas.latents[0], plain(pipe_xl, request, request.seed, "latent"))


def test_guidance_until_the_end_is_guidance(family: SdFamily, model: ModelInfo) -> None:
    """A share of 1 leaves nothing out; without guidance there is nothing to leave out."""
    usual = a_request(model, steps=4)
    assert replace(usual, guidance_until=1.0) == usual
    unguided = a_request(model, steps=4, guidance_scale=1.0, guidance_until=0.3)
    assert (unguided.rows, unguided.guided_evaluations) == (unguided.evaluations, 0)
    assert draw(family, unguided).done == unguided.evaluations


@pytest.mark.parametrize("mode", ["exact", "wide"])
def test_a_crowd(pipe: Any, model: ModelInfo, tmp_path: Path, mode: Any) -> None:
    """Pictures whose guidance ends at different steps share forwards with others, and nobody's bits depend on it."""
    requests = {
        1: a_request(model, guidance_until=0.5, steps=6),
        2: a_request(model, schedule="AYS", guidance_until=0.6, images=2),
        3: a_request(model, sampler="TCD", steps=4, guidance_scale=1.0),
        4: a_request(model, sampler="Euler", schedule="SGM Uniform", steps=5),
        5: a_request(model, sampler="PNDM", steps=5, guidance_until=0.0),
    }
    together = Bench(SdFamily(pipe), model, _folder(tmp_path, "crowd"), slots=4, mode=mode, rows=8)
    for number, request in requests.items():
        together.submit(number, request)
        together.tick(2)
    together.finish(*requests)
    for number, request in requests.items():
        alone = Bench(SdFamily(pipe), model, _folder(tmp_path, str(number)), slots=4, mode=mode, rows=8)
        alone.submit(number, request)
        alone.finish(number)
        pairs = zip(together.finished(number).images, alone.finished(number).images, strict=True)
        for index, (one, other) in enumerate(pairs):
            with Image.open(str(one.path)) as first, Image.open(str(other.path)) as second:
                assert first.tobytes() == second.tobytes(), (number, index)
                if mode == "exact":
                    expected = plain(pipe, request, request.seed_of(index), "pil")
                    assert first.tobytes() == expected.tobytes(), (number, index)


def _folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name

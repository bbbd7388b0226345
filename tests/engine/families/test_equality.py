"""The engine draws what a plain `pipe(…)` call draws, to the bit, for every sampler, alone and in a crowd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.contract import SAMPLERS, EngineSettings, GenerationRequest, ModelInfo
from engine.families.sd import SdFamily
from tests.kit.engines import Bench, House, described, draw, plain


def a_request(model: ModelInfo, **changes: Any) -> GenerationRequest:
    first = model.request(prompt="a red fox in the snow", negative_prompt="blurry", seed=1234, size=(72, 64))
    return replace(first, **changes)


@pytest.mark.parametrize(
    ("sampler", "steps", "guidance"),
    [  # each with every number of steps and every guidance, and all of those with each other
        (sampler, steps, (1.0, 7.5)[(number + place) % 2])
        for number, sampler in enumerate(SAMPLERS)
        for place, steps in enumerate((1, 5))
    ],
)
def test_latents_equal_pipe(
    pipe: Any, family: SdFamily, model: ModelInfo, sampler: str, steps: int, guidance: float
) -> None:
    """For each sampler, step count and guidance, the final latents are bit-equal to the tutorial's call."""
    request = a_request(model, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(family, request)
    assert torch.isfinite(canvas.latents).all()
    assert torch.equal(canvas.latents[0], plain(pipe, request, request.seed, "latent"))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pictures_equal_pipe_at_a_usual_step_count(
    pipe: Any, family: SdFamily, model: ModelInfo, sampler: str
) -> None:
    """With 20 steps the decoded picture, too, has exactly pipe's pixels."""
    request = a_request(model, sampler=sampler, steps=20)
    image = family.decode(draw(family, request))
    assert image is not None
    assert image.tobytes() == plain(pipe, request, request.seed, "pil").tobytes()


def test_crowd_equals_pipe(pipe: Any, model: ModelInfo, tmp_path: Path) -> None:
    """Twenty mixed requests that join at different times all get the pixels they would get alone from pipe."""
    names = [*SAMPLERS] + ["Euler a", "DPM++ 2M SDE", "PNDM", "LCM", "DDIM"]
    sizes = [(64, 64), (72, 64), (64, 96)]
    requests = {
        number: a_request(
            model,
            prompt=f"picture {number % 4}",
            sampler=name,
            steps=2 + number % 6,
            guidance_scale=[1.0, 3.0, 7.5][number % 3],
            seed=2**32 - 2 + number if number < 2 else number,
            width=sizes[number % 3][0],
            height=sizes[number % 3][1],
            images=1 + (number % 5 == 0),
        )
        for number, name in enumerate(names)
    }
    bench = Bench(SdFamily(pipe), model, tmp_path, slots=5)
    for number, request in requests.items():
        bench.submit(number, request)
        bench.tick(1 + number % 4)
    bench.finish(*requests)
    for number, request in requests.items():
        for index, spooled in enumerate(bench.finished(number).images):
            assert spooled.seed == (request.seed + index) % 2**32
            expected = plain(pipe, request, spooled.seed, "pil")
            with Image.open(str(spooled.path)) as image:
                assert image.tobytes() == expected.tobytes(), (number, request.sampler)


def test_default_is_the_tutorials_first_example(pipe: Any, model: ModelInfo, bench: Bench) -> None:
    """A request with nothing but a prompt and a seed equals `pipe(prompt)` with the checkpoint's own scheduler."""
    assert model.sampler == "PNDM"
    bench.submit(1, model.request(prompt="an astronaut", seed=7))
    generator = torch.Generator("cpu").manual_seed(7)
    expected = pipe("an astronaut", num_inference_steps=model.steps, generator=generator).images[0]
    with Image.open(str(bench.finished(1).images[0].path)) as image:
        assert image.size == (128, 128)
        assert image.tobytes() == expected.tobytes()


@pytest.fixture(scope="module")
def build_and_load(
    tmp_path_factory: pytest.TempPathFactory, load_pipe: Callable[[Path], Any]
) -> Callable[..., tuple[Any, ModelInfo]]:
    """Each kind is made once."""
    from tests.kit.tiny import build

    @cache
    def make(**options: Any) -> tuple[Any, ModelInfo]:
        folder = build(tmp_path_factory.mktemp("models") / "tiny", **options)
        return load_pipe(folder), described(EngineSettings(model=str(folder), spool="/nowhere"))

    return make


@pytest.mark.parametrize("sampler", ["LCM", "PNDM", "Euler a"])
@pytest.mark.parametrize("guidance", [1.0, 8.5])
def test_guidance_as_an_input(
    build_and_load: Callable[..., tuple[Any, ModelInfo]], sampler: str, guidance: float
) -> None:
    """A model distilled to take guidance as an input (LCM) gets it, in one row, as pipe gives it."""
    pipe, model = build_and_load(time_cond_proj_dim=16)
    request = a_request(model, sampler=sampler, steps=4, guidance_scale=guidance)
    canvas = draw(SdFamily(pipe), request)
    assert canvas.embeddings.shape[0] == 1
    assert torch.equal(canvas.latents[0], plain(pipe, request, request.seed, "latent"))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_velocity_prediction(build_and_load: Callable[..., tuple[Any, ModelInfo]], sampler: str) -> None:
    """A checkpoint that predicts velocity keeps doing so under every sampler."""
    pipe, model = build_and_load(prediction_type="v_prediction")
    request = a_request(model, sampler=sampler, steps=5)
    canvas = draw(SdFamily(pipe), request)
    assert canvas.sampler.config.prediction_type == "v_prediction"
    assert torch.equal(canvas.latents[0], plain(pipe, request, request.seed, "latent"))


@pytest.mark.xdist_group("house")
def test_a_real_process_equals_pipe(pipe: Any, house: House) -> None:
    """PNGs out of a spawned engine, with three jobs at once, have exactly pipe's pixels."""
    assert house.ready.fingerprint["threads"] == str(torch.get_num_threads())
    model = house.ready.models[0]
    requests = (
        model.request(prompt="a castle", seed=5),
        model.request(prompt="a castle", seed=5, sampler="Euler a", size=(96, 64), images=2),
        model.request(prompt="a ship", seed=0, sampler="DPM++ 2M Karras", guidance_scale=1.0, steps=20),
    )
    endings, _ = house.finish(*requests)
    for request, ending in zip(requests, endings, strict=True):
        assert len(ending.images) == request.images
        for spooled in ending.images:
            with Image.open(str(spooled.path)) as image:
                assert image.tobytes() == plain(pipe, request, spooled.seed, "pil").tobytes()

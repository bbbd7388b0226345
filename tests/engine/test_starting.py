"""Pictures that start from an image are those of diffusers' own pipelines, to the bit, for every sampler and strength."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine import inputs
from engine.contract import SAMPLERS, EngineSettings, GenerationRequest, ModelInfo, Start
from engine.families.sd import SdFamily
from engine.models import describe
from tests.engine.support import a_mask, a_photo, draw, kept, plain

SIZE = (72, 64)
ENDS = [(1, 1.0, 7.5), (2, 0.5, 7.5), (5, 0.3, 1.0), (5, 0.6, 7.5), (7, 1.0, 1.0)]
"""Steps, strength, guidance: whole schedules, and such of which one step or several are left."""
each_end = pytest.mark.parametrize(("steps", "strength", "guidance"), ENDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / inputs.FOLDER


def from_image(model: ModelInfo, start: Start, **changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {"prompt": "a red fox", "negative_prompt": "blurry", "seed": 1234, "size": SIZE}
    return model.request(**{**values, **changes}, start=start)


@each_end
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_image_to_image_equals_pipe(
    pipe: Any, model: ModelInfo, folder: Path, sampler: str, steps: int, strength: float, guidance: float
) -> None:
    """The final latents are those of StableDiffusionImg2ImgPipeline, after as many calls as the contract counts."""
    photo = a_photo()
    start = Start(image=kept(folder, photo), strength=strength)
    request = from_image(model, start, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(SdFamily(pipe, inputs=folder), request)
    assert canvas.done == request.evaluations
    expected = plain(pipe, request, 1234, "latent", image=photo.resize(SIZE, Image.Resampling.LANCZOS))
    assert torch.isfinite(canvas.latents).all()
    assert torch.equal(canvas.latents[0], expected)


@each_end
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_inpainting_equals_pipe(
    pipe: Any, model: ModelInfo, folder: Path, sampler: str, steps: int, strength: float, guidance: float
) -> None:
    """With a plain checkpoint, within a mask, the final latents are those of StableDiffusionInpaintPipeline."""
    photo, mask = a_photo(), a_mask()
    start = Start(image=kept(folder, photo), mask=kept(folder, mask), strength=strength)
    request = from_image(model, start, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(SdFamily(pipe, inputs=folder), request)
    assert canvas.done == request.evaluations
    expected = plain(pipe, request, 1234, "latent", image=photo, mask=mask)
    assert torch.equal(canvas.latents[0], expected)


@pytest.fixture(scope="module")
def filling(
    tmp_path_factory: pytest.TempPathFactory, load_pipe: Callable[[Path], Any]
) -> tuple[Any, ModelInfo]:
    """A checkpoint that was made for inpainting."""
    from tests.tiny import build

    path = build(tmp_path_factory.mktemp("models") / "filling", fills_masks=True)
    return load_pipe(path), describe(EngineSettings(model=str(path), spool="/nowhere"))


@each_end
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_model_for_inpainting_equals_pipe(
    filling: tuple[Any, ModelInfo], folder: Path, sampler: str, steps: int, strength: float, guidance: float
) -> None:
    """With a checkpoint whose UNet is shown mask and image, too."""
    pipe, model = filling
    photo, mask = a_photo(), a_mask()
    start = Start(image=kept(folder, photo), mask=kept(folder, mask), strength=strength)
    request = from_image(model, start, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(SdFamily(pipe, inputs=folder), request)
    assert canvas.done == request.evaluations
    expected = plain(pipe, request, 1234, "latent", image=photo, mask=mask)
    assert torch.equal(canvas.latents[0], expected)

"""Previews: fitted to the VAE they belong to, small, JPEG, and they show where the colours are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine import samplers
from engine.contract import ModelInfo
from engine.errors import BrokenModel
from engine.families.preview import LinearSketcher, TinySketcher
from engine.families.sd import SdFamily
from workshop.starter.scenes import COLOURS, Placed, Scene


def opened(jpeg: bytes) -> Image.Image:
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        image.load()
    return image


def latents_of(pipe: Any, picture: Image.Image) -> torch.Tensor:
    pixels = pipe.image_processor.preprocess(picture)
    with torch.inference_mode():
        return pipe.vae.encode(pixels).latent_dist.mode() * pipe.vae.config.scaling_factor


@pytest.mark.parametrize(("thing", "ground"), [("red", "white"), ("yellow", "blue"), ("black", "green")])
def test_the_linear_map_shows_colours_in_their_places(starter: Any, thing: str, ground: str) -> None:
    """The preview of an encoded picture has its thing and its background in nearly their colours."""
    scene = Scene(things=(Placed(thing="square", colour=thing, radius=86.0),), background=ground)
    preview = opened(LinearSketcher(starter.vae).jpeg(latents_of(starter, scene.render())))
    assert preview.size == (256, 256)
    for at, colour in (((128, 128), thing), ((24, 24), ground)):
        shown = preview.crop((*at, at[0] + 1, at[1] + 1)).tobytes()
        nearest = min(
            COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(shown, COLOURS[name], strict=True))
        )
        assert nearest == colour, (at, shown)


def test_previews_are_small(starter: Any) -> None:
    """However large the picture, its preview has at most 256 pixels a side and a few kilobytes."""
    channels = starter.unet.config.in_channels
    jpeg = LinearSketcher(starter.vae).jpeg(torch.randn((1, channels, 32, 48)))
    assert opened(jpeg).size == (256, 171)
    assert len(jpeg) < 40_000


def test_a_preview_looks_like_the_picture_it_becomes(starter: Any, starter_model: ModelInfo) -> None:
    """Halfway, the guess at the finished latents is nearer to them than the noisy latents themselves."""
    family = SdFamily(starter, LinearSketcher(starter.vae))
    canvas = family.prepare(starter_model.request(prompt="a red circle on white", seed=3, steps=10), 3)
    halfway = None
    while canvas.left:
        look = canvas.left == 5
        (prediction,) = family.predict([canvas], padded=None)
        family.advance(canvas, prediction, look=look)
        if look:
            assert canvas.guess is not None
            halfway = (canvas.guess.clone(), canvas.latents.clone())
            sketch = family.sketch(canvas)
            assert sketch is not None
            assert opened(sketch()).size == (128, 128)
            assert canvas.guess is None
    assert halfway is not None
    guess, noisy = ((part - canvas.latents).square().mean() for part in halfway)
    assert guess < noisy


@pytest.mark.parametrize("name", ["Euler", "DPM++ 2M Karras", "DDIM", "UniPC"])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_guess_is_exact_where_the_truth_is_known(name: str, prediction_type: str) -> None:
    """Given the very noise (or v) that was added, the guess is the clean latents, for every kind of scheduler."""
    config = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    sampler = samplers.make(name, {**config, "prediction_type": prediction_type})
    sampler.set_timesteps(8)
    timestep = sampler.timesteps[3]
    kept = sampler.alphas_cumprod[round(float(timestep))]
    clean, noise = torch.randn((2, 1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    seen = kept.sqrt() * clean + (1 - kept).sqrt() * noise
    answer = noise if prediction_type == "epsilon" else kept.sqrt() * noise - (1 - kept).sqrt() * clean
    assert torch.allclose(samplers.guess(sampler, seen, answer, timestep), clean, atol=1e-4)


def test_a_tiny_decoder_when_given(starter: Any, tmp_path: Path) -> None:
    """An AutoencoderTiny's folder is used instead of the linear map."""
    import diffusers

    channels = starter.unet.config.in_channels
    diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        latent_channels=channels,
    ).save_pretrained(tmp_path)
    preview = opened(TinySketcher.of(str(tmp_path), channels).jpeg(torch.randn((1, channels, 16, 16))))
    assert preview.size == (128, 128)
    with pytest.raises(BrokenModel, match="another kind of model"):
        TinySketcher.of(str(tmp_path), channels + 1)


def test_a_wrong_preview_model_is_named(tmp_path: Path) -> None:
    """A folder without one is told by its name and what it should be."""
    with pytest.raises(BrokenModel, match="no preview model in “nothing”"):
        TinySketcher.of(str(tmp_path / "nothing"), 4)

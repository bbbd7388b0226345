"""Which well-known models would fit a machine, before their files are there."""

from __future__ import annotations

import pytest
import torch

from engine.checkpoints.known_models import KNOWN, KNOWN_SIDE, NUMBERS
from engine.device import fitting
from engine.device.choice import Place
from workshop.bench import sd15
from workshop.starter.parts import clip_tokenizer

SD15, SDXL = "stable-diffusion-v1-5/stable-diffusion-v1-5", "stabilityai/stable-diffusion-xl-base-1.0"
CARD = Place(device=torch.device("cuda"), dtype=torch.float16)
PROCESSOR = Place(device=torch.device("cpu"), dtype=torch.float32)
GB = 10**9


@pytest.mark.parametrize(
    ("model", "place", "free_gb", "fits", "told"),
    [
        (SD15, CARD, 4, True, "Profile full: 3.1 GB of 4.0 GB free for 512x512"),
        (SD15, CARD, 1, False, "layer by layer"),
        (SDXL, CARD, 24, True, "Profile full"),
        (SDXL, CARD, 8, True, "Profile balanced"),
        (SDXL, CARD, 4, False, "layer by layer"),
        (SD15, PROCESSOR, 8, True, "It takes 6.3 GB of 8.0 free for 512x512."),
        (SDXL, PROCESSOR, 16, False, "It takes 17.1 GB"),
    ],
)
def test_what_fits(model: str, place: Place, free_gb: int, fits: bool, told: str) -> None:
    """On a card by the profile that an engine would choose there; a processor has to hold all of it, in float32."""
    found = fitting.plan(model, place, free_gb * GB)

    assert found.leaves is not fits, found.why
    assert told in found.why


def test_each_has_what_is_known_of_it() -> None:
    """A title to be offered by and a size to be judged for."""
    assert NUMBERS.keys() <= KNOWN.keys()
    assert NUMBERS.keys() <= KNOWN_SIDE.keys()
    assert next(iter(NUMBERS)) == SD15


def test_numbers_are_those_of_the_architecture() -> None:
    """Stable Diffusion 1.5's UNet, VAE and text encoder, counted; the checker comes on top."""
    with torch.device("meta"):
        parts = (sd15.unet(), sd15.vae(), sd15.text_encoder(clip_tokenizer([], 77)))
    unet, vae, text = (sum(weight.numel() for weight in part.parameters()) for part in parts)

    core, decoder, aside = NUMBERS[SD15]
    assert (core, decoder) == (unet, vae)
    assert aside > text

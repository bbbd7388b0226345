"""Would a well-known model fit this machine? Told before its files are there, by how many numbers its weights are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.checkpoints.architectures import BY_FAMILY
from engine.checkpoints.known_models import KNOWN, KNOWN_SIDE, NUMBERS
from engine.device import profiles
from engine.device.memory import SPARE, Needs
from engine.device.profiles import Plan, Weights

if TYPE_CHECKING:
    from engine.device.choice import Place
_UNET: dict[str, Any] = {"block_out_channels": [320, 640, 1280, 1280]}
_VAE: dict[str, Any] = {"block_out_channels": [128, 256, 512, 512], "force_upcast": True}
"""What the configs of Stable Diffusion 1.x, 2.x and SDXL say alike of how much activations take."""


def plan(model: str, place: Place, free_bytes: int | None) -> Plan:
    """How one of NUMBERS would lie there, for pictures of its own size; `leaves` where it does not really fit.

    Processors have to hold all of it: their memory is overcommitted, and their system ends whoever takes too much.
    """
    family, side = KNOWN[model].get("family", "sd"), KNOWN_SIDE[model]
    itemsize = place.dtype.itemsize
    upcast = BY_FAMILY[family].upcasts(str(place.dtype).removeprefix("torch."), _VAE)
    vae_itemsize = 4 if upcast else itemsize
    core, vae, aside = NUMBERS[model]
    weights = Weights(core=core * itemsize, vae=vae * vae_itemsize, aside=aside * itemsize)
    needs = Needs.of(_UNET, _VAE, itemsize=itemsize, vae_itemsize=vae_itemsize, tiles=False)
    if place.device.type != "cpu" or free_bytes is None:
        return profiles.plan(place.profile, weights, needs, size=(side, side), free_bytes=free_bytes)
    took = profiles.peak_bytes("full", weights, needs, side * side)
    found = profiles.plan("full", weights, needs, size=(side, side), free_bytes=None)
    why = f"It takes {took / 1e9:.1f} GB of {free_bytes / 1e9:.1f} free for {side}x{side}."
    return replace(found, leaves=took > SPARE * free_bytes, why=why)

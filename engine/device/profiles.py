"""Which parts of a model lie on the device while it draws, chosen by what fits; knows bytes, neither files nor torch.

- full: everything is on the device.
- balanced: what is needed once for each picture, the text encoders and the safety checker, stays with the processor.
  UNet and VAE share the device; large pictures are decoded in tiles.
- low: UNet and VAE are on the device by turns, and smaller pictures are decoded in tiles too. Each decode then costs the
  way of both over the bus and back. Where even the larger one alone does not fit, layer after layer comes and goes at
  each forward ("leaves"), which is many times slower.

Models that are drawn with by calling their pipeline need their text encoders where they compute, so they know two of
the three: all parts on the device, or each by turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from engine.contract.settings import Profile
from engine.device.memory import SPARE, Cut, Needs

TILE = 512
"""Pixels a side: what Stable Diffusion's VAE was trained on, so that a tile is as good as a small picture. Decoding one
takes 384 MiB in float16, twice that in float32."""
CUTS: dict[Profile, Cut | None] = {
    "full": None,
    "balanced": Cut(whole=768 * 768, tile=TILE),
    "low": Cut(whole=TILE * TILE, tile=TILE),
}
"""balanced: the sizes usual with Stable Diffusion 1.x stay whole (864 MiB beside its 1.9 GB of weights). SDXL's VAE in
float32 would want 3 GiB for 1024x1024, which with its UNet fits no card of 8 GB: a tile does. low: whatever is larger
than one tile."""
LEAVES_BYTES = 256 * 2**20
"""More than the largest layer of any model here, and the next one behind it."""
CALLED_BYTES = 2 * 2**30
"""Activations of a pipeline that is called, whatever its kind: decoding 1024x1024 takes 1.5 GiB in bfloat16, and a
forward of the transformers known so far less than that."""
SIDE = 1024
"""Of pictures, where the model's configs are silent about it."""
CALLED_PIXELS = SIDE * SIDE
_ORDER: tuple[Profile, ...] = ("full", "balanced", "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Bytes of a model's parts, in the numbers they compute with."""

    core: int
    """The UNet or transformer."""
    vae: int
    aside: int
    """Text encoders and the safety checker."""
    called: bool = False
    """They belong to a pipeline that is called as a whole."""

    def held(self, profile: Profile, *, leaves: bool = False) -> tuple[int, int]:
        """What lies on the device during a forward, and while a picture is decoded."""
        if leaves:
            return LEAVES_BYTES, LEAVES_BYTES
        match profile:
            case "full":
                whole = self.core + self.vae + self.aside
                return whole, whole
            case "balanced":
                return self.core + self.vae, self.core + self.vae
            case "low" if (
                self.called
            ):  # one text encoder after the other, but who knows how they share their bytes
                return max(self.core, self.aside), self.vae
            case "low":
                return self.core, self.vae


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was chosen, and why in one sentence for the owner."""

    profile: Profile
    leaves: bool = False
    cut: Cut | None = None
    why: str


def peak_bytes(profile: Profile, weights: Weights, needs: Needs, pixels: int, rows: int = 2) -> int:
    """The most that lies on the device at once while a picture of so many pixels is made, `rows` rows a forward.

    `needs` are those of whole decodes. Left out is what CUDA itself takes (its context, libraries and their workspaces:
    some hundred MB by driver and card), and what its allocator rounds up.
    """
    return _needs(profile, weights, needs).bytes_for(pixels, rows)


def plan(
    wish: Profile | Literal["auto"],
    weights: Weights,
    needs: Needs,
    *,
    size: tuple[int, int],
    free_bytes: int | None,
) -> Plan:
    """The profile that is wished for; for "auto" the first of full, balanced, low that has room for pictures of `size`.

    "Room" is SPARE of the bytes that are free on the device before the model is there: allocators round up, and others
    use the card too. `free_bytes` is None where the device has no memory of its own (a processor, Apple's): there moving
    parts away gains nothing, so "auto" is full.
    """
    pixels = size[0] * size[1]
    known = _known(weights)
    if wish != "auto":
        chosen: Profile = wish if wish in known else "low"
        leaves = chosen == "low" and not _fits(chosen, weights, needs, pixels, free_bytes)
        return _planned(chosen, weights, leaves=leaves, why="as the configuration says")
    if free_bytes is None:
        return _planned("full", weights, why="this device has no memory of its own")
    free = f"of {_gb(free_bytes)} free"
    what = f"for {size[0]}x{size[1]}"
    for profile in known:
        if _fits(profile, weights, needs, pixels, free_bytes):
            took = peak_bytes(profile, weights, needs, pixels)
            why = f"{_gb(took)} {free} {what}"
            if profile != "full":
                why += f"; full would take {_gb(peak_bytes('full', weights, needs, pixels))}"
            return _planned(profile, weights, why=why)
    took = peak_bytes("low", weights, needs, pixels)
    return _planned(
        "low", weights, leaves=True, why=f"even one part after the other takes {_gb(took)} {free} {what}"
    )


def trained_on(side: Any, scale: int | None) -> tuple[int, int]:
    """(width, height) in pixels of the pictures that a profile has to have room for, by "sample_size" of a UNet's config and
    the VAE's scale; SIDE where they are silent, as of models that are called.
    """
    match side, scale:
        case int(), int():
            return side * scale, side * scale
        case [int(height), int(width)], int():
            return width * scale, height * scale
        case _:
            return SIDE, SIDE


def called_needs(pixels: int = CALLED_PIXELS) -> Needs:
    """Of a pipeline that is called, for pictures of so many pixels."""
    share = CALLED_BYTES / pixels
    return Needs(row=share / 2, decode=share)


def _planned(profile: Profile, weights: Weights, *, why: str, leaves: bool = False) -> Plan:
    layers = ", layer by layer, which is slow" if leaves else ""
    return Plan(
        profile=profile,
        leaves=leaves,
        cut=None if weights.called else CUTS[profile],
        why=f"Profile {profile}{layers}: {why}.",
    )


def _known(weights: Weights) -> tuple[Profile, ...]:
    return ("full", "low") if weights.called else _ORDER


def _needs(profile: Profile, weights: Weights, needs: Needs) -> Needs:
    before_forward, before_decode = weights.held(profile)
    return replace(
        needs,
        cut=None if weights.called else CUTS[profile],
        before_forward=before_forward,
        before_decode=before_decode,
    )


def _fits(profile: Profile, weights: Weights, needs: Needs, pixels: int, free_bytes: int | None) -> bool:
    return free_bytes is None or peak_bytes(profile, weights, needs, pixels) <= SPARE * free_bytes


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"

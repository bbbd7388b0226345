"""Trains the starter model's VAE: the encoder to write the code of `latents`, the decoder to draw from it; knows no text.

Both learn from scenes that are made up at each step: from pieces of pictures, since many colours teach faster, and from
whole ones.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workshop.starter import latents, parts, shapes
from workshop.starter.latents import COLOUR, GROUND, MEAN
from workshop.starter.parts import CELL
from workshop.starter.scenes import SIDE, SIZES, sample
from workshop.starter.studio import Encoded, Plan, Studio, learn, normalised

_PIECE = 128
"""Pixels a side of the pieces that the encoder learns from."""
_SIDES = ((0.4, 64), (0.85, 128), (1.0, SIDE))
"""(share of the steps, side of the decoder's pieces until then)"""
_PLAIN = 1 / 6
"""Share of the pieces without an edge that are kept."""
_UNNAMED = 0.3
"""Share of the scenes whose things are shapes that have no word."""
_RECOLOURED = 0.5
"""Share of the pictures that the encoder sees in other colours than the twelve."""
_NEAR, _CONTRAST = 9, 0.1
"""Pixels around that are looked at for an edge, and the difference of two colours that makes one."""


def train_vae(studio: Studio) -> tuple[Any, float]:
    """The VAE, and the seconds it took."""
    torch.manual_seed(studio.plan.seed)
    vae = parts.vae().to(studio.device)
    seconds = _train_decoder(studio, vae) + _train_encoder(studio, vae)
    return vae.eval(), seconds


def _train_decoder(studio: Studio, vae: Any) -> float:
    plan = studio.plan
    models = torch.nn.ModuleDict({"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv})

    def loss_of(step: int) -> Tensor:
        random = _dice(plan, "decoder", step)
        side = next(side for share, side in _SIDES if step < share * plan.decoder_steps)
        pixels, code = _examples(plan, random, plan.decoder_pixels // side**2, side, studio.device)
        return _distance(vae.decode(_misread(code, plan)).sample, pixels, plan)

    return learn(studio, "decoder", models, _adam(models, plan.vae_rate), plan.decoder_steps, loss_of)


def _train_encoder(studio: Studio, vae: Any) -> float:
    """From pieces and whole pictures by turns: the former are of more colours, the latter show which side of an edge is inside."""
    plan = studio.plan
    models = torch.nn.ModuleDict({"encoder": vae.encoder, "quant_conv": vae.quant_conv})

    def loss_of(step: int) -> Tensor:
        random = _dice(plan, "encoder", step)
        side = SIDE if step % 2 else _PIECE
        pixels, code = _examples(plan, random, plan.encoder_pixels // side**2, side, studio.device)
        return functional.mse_loss(vae.encode(_recoloured(pixels, code)).latent_dist.sample(), code)

    return learn(studio, "encoder", models, _adam(models, plan.vae_rate), plan.encoder_steps, loss_of)


def _dice(plan: Plan, stage: str, step: int) -> Random:
    """For this step alone; torch's are thrown the same way again, too."""
    random = Random(f"{plan.seed}/{stage}/{step}")
    torch.manual_seed(random.randrange(2**31))
    return random


def _adam(models: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(models.parameters(), rate, betas=(0.9, 0.95), weight_decay=1e-4, fused=True)


def _recoloured(pixels: Tensor, code: Tensor) -> Tensor:
    """Half of the pictures in any colours at all, with their code, which is changed in its place."""
    painted = pixels.clone()
    for picture, said in zip(painted, code, strict=True):
        if torch.rand(()) < _RECOLOURED:
            order = torch.randperm(3)
            scale = (2 * torch.rand(3, 1, 1) - 1).to(pixels.device)
            shift = (1 - scale.abs()) * (2 * torch.rand(3, 1, 1) - 1).to(pixels.device)
            for part in (picture, said[MEAN], said[GROUND], said[COLOUR]):
                part.copy_(part[order] * scale + shift)
    return painted


def _distance(painted: Tensor, pixels: Tensor, plan: Plan) -> Tensor:
    """L1 + L2, in which what lies near an edge counts more."""
    near = functional.max_pool2d(torch.cat([pixels, -pixels], dim=1), _NEAR, stride=1, padding=_NEAR // 2)
    contrast = (near[:, :3] + near[:, 3:]).amax(dim=1, keepdim=True)
    weights = torch.where(contrast > _CONTRAST, plan.edge_weight, 1.0)
    off = painted - pixels
    return (weights * (off.abs() + off.square())).mean() / weights.mean()


# ------------------------------------------------------------------ examples


def _examples(
    plan: Plan, random: Random, count: int, side: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(pictures -1 … 1, their code): square pieces of scenes, `side` pixels a side."""
    made = [_example(plan, random, side) for _ in range(count)]
    pixels, code = (torch.stack(parts).to(device) for parts in zip(*made, strict=True))
    return normalised(pixels), code


def _example(plan: Plan, random: Random, side: int) -> tuple[Tensor, Tensor]:
    """A piece, of those without an edge one in six."""
    size = random.choice(((SIDE, SIDE), *SIZES)) if side < SIDE else (SIDE, SIDE)
    scene = sample(random, pairs=plan.pairs, size=size)
    if random.random() < _UNNAMED:
        scene = shapes.unnamed(scene, random)
    pixels = latents.picture(scene)
    code = latents.code(scene, pixels)
    while True:
        left, top = (random.randrange((extent - side) // CELL + 1) for extent in size)
        piece = code[:, top : top + side // CELL, left : left + side // CELL]
        if piece[GROUND].ne(piece[COLOUR]).any() or random.random() < _PLAIN:
            break
    return pixels[:, top * CELL : top * CELL + side, left * CELL : left * CELL + side], piece


def _misread(code: Tensor, plan: Plan) -> Tensor:
    """The code as the UNet may write it: with noise in each square, and with errors of whole regions."""
    level = plan.decoder_noise * torch.rand(len(code), 1, 1, 1)
    wide = functional.interpolate(torch.randn(*code.shape[:2], 3, 3), code.shape[-2:], mode="bilinear")
    return code + (level * (torch.randn(code.shape) + 0.5 * wide)).to(code.device)


# ------------------------------------------------------------------ latents


def code_pictures(plan: Plan) -> list[Encoded]:
    """All the UNet learns from: the square pictures first, then each other size."""
    batches: list[Encoded] = []
    for number, size in enumerate(((SIDE, SIDE), *SIZES)):
        random = Random(plan.seed * 1000 + number)
        count = plan.other_pictures if number else plan.pictures
        scenes = [sample(random, pairs=plan.pairs, size=size) for _ in range(count)]
        code = torch.empty(count, parts.CHANNELS, size[1] // CELL, size[0] // CELL)
        for one, scene in zip(code, scenes, strict=True):
            one.copy_(latents.code(scene, latents.picture(scene)))
        batches.append(Encoded(scenes, code * parts.SCALING))
    return batches

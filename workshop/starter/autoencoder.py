"""Trains the starter model's VAE, and says what the pictures' latents are; knows no text.

Its latents are a plain code: a picture an eighth as large, in red, green and blue. The encoder learns to write it, and
the decoder to draw a sharp picture from it, which takes knowing the things. A code that a VAE makes up itself describes
an edge in a way of its own for every pair of colours; a UNet as small as ours learned to write colours with it, but no
shapes.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workshop.starter import parts
from workshop.starter.scenes import SIDE, SIZES, sample
from workshop.starter.studio import Encoded, Plan, Studio, learn, normalised, to_tensor

# ------------------------------------------------------------------ VAE


def train_vae(studio: Studio) -> tuple[Any, float]:
    """The VAE, and the seconds it took."""
    plan, device = studio.plan, studio.device
    torch.manual_seed(plan.seed)
    vae = parts.vae().to(device)
    optimizer = torch.optim.AdamW(
        vae.parameters(), plan.vae_rate, betas=(0.9, 0.95), weight_decay=1e-4, fused=True
    )

    def loss_of(step: int) -> Tensor:
        torch.manual_seed(plan.seed * 1_000_003 + step)
        crop = next(side for share, side in _CROPS if step < share * plan.vae_steps)
        pixels = normalised(_crops(_pool(plan), plan.vae_pixels // crop**2, crop)).to(device)
        return _vae_loss(vae, pixels, plan)

    seconds = learn(studio, "vae", vae, optimizer, plan.vae_steps, loss_of)
    return vae.eval(), seconds


@cache
def _pool(plan: Plan) -> Tensor:
    """The pictures that crops are taken from."""
    random = Random(plan.seed)
    return to_tensor([sample(random, pairs=plan.pairs).render() for _ in range(plan.vae_pool)])


_CROPS = ((0.15, 32), (0.3, 64), (1.0, SIDE))
"""(share of the steps, side of the crops until then)"""
_PLAIN_ONE_IN = 6


def _crops(pool: Tensor, count: int, side: int) -> Tensor:
    """`count` random squares out of random pictures; few of those that show nothing but background."""
    tries = 4 * count
    chosen = torch.randint(len(pool), (tries,)).tolist()
    tops, lefts = torch.randint(pool.shape[-1] - side + 1, (2, tries)).tolist()
    crops = torch.stack(
        [pool[n, :, y : y + side, x : x + side] for n, y, x in zip(chosen, tops, lefts, strict=True)]
    )
    plain = crops.eq(crops[:, :, :1, :1]).flatten(1).all(dim=1)
    wanted = count - count // _PLAIN_ONE_IN
    return torch.cat([crops[~plain][:wanted], crops[plain], crops[~plain][wanted:]])[:count]


def code(pixels: Tensor) -> Tensor:
    """(n, 3, height, width), -1 … 1 -> (n, 3, height / 8, width / 8): what the encoder learns to write."""
    return functional.avg_pool2d(pixels, 8)


def _vae_loss(vae: Any, pixels: Tensor, plan: Plan) -> Tensor:
    """The encoder's distance from the code, and the decoder's from the picture: L1 + L2, in which things count more.

    The decoder sees the code with some noise, since what the UNet writes is never quite right.
    """
    right = code(pixels)
    written = vae.encode(pixels).latent_dist.sample()
    noise = plan.vae_noise * torch.rand(len(right), 1, 1, 1) * torch.randn(right.shape)
    painted = vae.decode(right + noise.to(right.device)).sample
    is_thing = (pixels != pixels[:, :, :1, :1]).any(dim=1, keepdim=True)
    weights = torch.where(is_thing, plan.thing_weight, 1.0)
    off = painted - pixels
    return (
        functional.mse_loss(written, right) + (weights * (off.abs() + off.square())).mean() / weights.mean()
    )


# ------------------------------------------------------------------ latents


def code_pictures(studio: Studio) -> list[Encoded]:
    """All the UNet learns from: the square pictures first, then each other size."""
    plan = studio.plan
    batches: list[Encoded] = []
    for number, size in enumerate(((SIDE, SIDE), *SIZES)):
        random = Random(plan.seed * 1000 + number)
        count = plan.other_pictures if number else plan.pictures
        scenes = [sample(random, pairs=plan.pairs, size=size) for _ in range(count)]
        latents = torch.cat([code(normalised(to_tensor([scene.render()]))) for scene in scenes])
        batches.append(Encoded(scenes, latents * parts.SCALING))
    return batches

"""Trains the starter model's VAE, encodes pictures with it, and in the end sharpens its decoder; knows no text."""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import time
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.starter import parts
from engine.starter.scenes import SIDE, SIZES, Scene, sample
from engine.starter.studio import Encoded, Plan, Studio, normalised, progress, to_tensor, up_and_down

# ------------------------------------------------------------------ VAE


def train_vae(studio: Studio) -> tuple[Any, float]:
    """The VAE, and the seconds it took."""
    plan, device = studio.plan, studio.device
    vae = parts.vae().to(device)
    optimizer = torch.optim.AdamW(
        vae.parameters(), plan.vae_rate, betas=(0.9, 0.95), weight_decay=1e-4, fused=True
    )
    schedule = up_and_down(optimizer, plan.vae_steps)
    done, seconds = 0, 0.0
    if saved := studio.load("vae"):
        vae.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        done, seconds = saved["done"], saved["seconds"]
    if done >= plan.vae_steps:
        return vae.eval(), seconds
    random = Random(plan.seed)
    pool = to_tensor([sample(random, pairs=plan.pairs).render() for _ in range(plan.vae_pool)])
    begin, mean = time.monotonic() - seconds, 0.0
    for step in range(done, plan.vae_steps):
        torch.manual_seed(plan.seed * 1_000_003 + step)
        crop = next(side for share, side in _CROPS if step < share * plan.vae_steps)
        pixels = normalised(_crops(pool, plan.vae_pixels // crop**2, crop)).to(device)
        loss = _vae_loss(vae, pixels, plan.kl_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        mean = 0.95 * mean + 0.05 * loss.item()
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.vae_steps:
            seconds = time.monotonic() - begin
            studio.say(f"vae {step + 1}/{plan.vae_steps} loss {mean:.4f} {seconds / (step + 1):.3f} s a step")
            studio.save("vae", progress(vae, optimizer, schedule, step + 1, seconds))
    return vae.eval(), seconds


_CROPS = ((0.3, 16), (0.6, 32), (0.85, 64), (1.0, SIDE))
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


def _vae_loss(vae: Any, pixels: Tensor, kl_weight: float) -> Tensor:
    """L1 + L2, so that edges are sharp and colours exact, and a little KL (Rombach et al. 2022, arXiv 2112.10752)."""
    posterior = vae.encode(pixels).latent_dist
    painted = vae.decode(posterior.sample()).sample
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    return functional.l1_loss(painted, pixels) + functional.mse_loss(painted, pixels) + kl_weight * kl


# ------------------------------------------------------------------ latents


def encode_pictures(studio: Studio, vae: Any) -> list[Encoded]:
    """All the UNet learns from: the square pictures first, then each other size. Sets the VAE's scaling factor."""
    plan = studio.plan
    batches: list[tuple[list[Scene], Tensor]] = []
    saved = studio.load("latents")
    for number, size in enumerate(((SIDE, SIDE), *SIZES)):
        random = Random(plan.seed * 1000 + number)
        count = plan.other_pictures if number else plan.pictures
        scenes = [sample(random, pairs=plan.pairs, size=size) for _ in range(count)]
        latents = saved[str(number)] if saved else _encode(vae, scenes, studio.device)
        batches.append((scenes, latents.cpu()))
    if not saved:
        studio.save("latents", {str(number): latents for number, (_, latents) in enumerate(batches)})
        studio.say(f"{sum(len(scenes) for scenes, _ in batches)} pictures encoded")
    vae.register_to_config(scaling_factor=round(1 / batches[0][1].std().item(), 5))
    return [Encoded(scenes, latents * vae.config.scaling_factor) for scenes, latents in batches]


@torch.inference_mode()
def _encode(vae: Any, scenes: list[Scene], device: torch.device) -> Tensor:
    parts_: list[Tensor] = []
    for begin in range(0, len(scenes), 32):
        pixels = to_tensor([scene.render() for scene in scenes[begin : begin + 32]])
        parts_.append(vae.encode(normalised(pixels).to(device)).latent_dist.mean.cpu())
    return torch.cat(parts_)


# ------------------------------------------------------------------ decoder


def train_decoder(studio: Studio, vae: Any, encoded: Encoded) -> float:
    """Teaches the decoder alone to draw sharp things from latents that are a little wrong; the seconds it took.

    The encoder stays as it is, and with it everything the UNet has learned.
    """
    plan = studio.plan
    learning = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    vae.requires_grad_(requires_grad=False)
    for parameter in learning:
        parameter.requires_grad_()
    optimizer = torch.optim.AdamW(
        learning, plan.decoder_rate, betas=(0.9, 0.95), weight_decay=1e-4, fused=True
    )
    schedule = up_and_down(optimizer, plan.decoder_steps)
    done, seconds = 0, 0.0
    if saved := studio.load("decoder"):
        vae.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        done, seconds = saved["done"], saved["seconds"]
    begin, mean = time.monotonic() - seconds, math.nan
    for step in range(done, plan.decoder_steps):
        loss = _decoder_loss(vae, encoded, plan, Random(f"{plan.seed}/decoder/{step}")).to(studio.device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        mean = loss.item() if math.isnan(mean) else 0.95 * mean + 0.05 * loss.item()
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.decoder_steps:
            seconds = time.monotonic() - begin
            studio.say(
                f"decoder {step + 1}/{plan.decoder_steps} loss {mean:.4f} {seconds / (step + 1):.3f} s a step"
            )
            studio.save("decoder", progress(vae, optimizer, schedule, step + 1, seconds))
    return seconds


def _decoder_loss(vae: Any, encoded: Encoded, plan: Plan, random: Random) -> Tensor:
    """L1 + L2 in which things count more than what is around them."""
    torch.manual_seed(random.randrange(2**31))
    chosen = random.sample(range(len(encoded.scenes)), min(plan.decoder_batch, len(encoded.scenes)))
    pixels = normalised(to_tensor([encoded.scenes[n].render() for n in chosen])).to(vae.device)
    latents = encoded.latents[chosen].to(vae.device)
    latents = latents + plan.decoder_noise * torch.rand(len(chosen), 1, 1, 1).to(vae.device) * torch.randn(
        latents.shape
    ).to(vae.device)
    painted = vae.decode(latents / vae.config.scaling_factor).sample
    is_thing = (pixels != pixels[:, :, :1, :1]).any(dim=1, keepdim=True)
    weights = torch.where(is_thing, plan.thing_weight, 1.0)
    off = painted - pixels
    return (weights * (off.abs() + off.square())).mean() / weights.mean()

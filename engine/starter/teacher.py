"""Teaches the starter model's text model and UNet together; knows latents and captions, no pictures."""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import time
from random import Random
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from engine.starter import captions, parts
from engine.starter.studio import Encoded, Studio, up_and_down

# ------------------------------------------------------------------ text model and UNet


_DIFFERENT = 0.25
"""Mean distance from the ground's latents at which a latent pixel belongs to a thing."""


class Teacher:
    """The text model and the UNet, learning together, and the moving average of both that is kept in the end."""

    def __init__(self, studio: Studio, encoded: list[Encoded], tokenizer: Any) -> None:
        plan = self.plan = studio.plan
        self.device, self.encoded, self.tokenizer = studio.device, encoded, tokenizer
        torch.manual_seed(plan.seed)
        self.models = torch.nn.ModuleDict({"text": parts.text_encoder(tokenizer), "unet": parts.unet()})
        self.models.to(self.device)
        self.average = {name: value.detach().clone() for name, value in self.models.state_dict().items()}
        self.noise: Any = DDPMScheduler.from_config(
            {key: value for key, value in parts.NOISE.items() if not key.startswith("_")}
        )
        self.optimizer = torch.optim.AdamW(
            self.models.parameters(), plan.unet_rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
        )
        self.schedule = up_and_down(self.optimizer, plan.unet_steps)
        self.done, self.seconds = 0, 0.0

    def state(self) -> dict[str, Any]:
        return {
            "model": self.models.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "done": self.done,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.models.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.done, self.seconds = state["done"], state["seconds"]

    def step(self) -> float:
        """One batch; its loss. What is drawn depends on the seed and the step alone, so that going on is the same."""
        random = Random(f"{self.plan.seed}/{self.done}")
        torch.manual_seed(random.randrange(2**31))
        latents, texts = self._batch(random)
        loss = self._loss(latents, self._embeddings(texts))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.models.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.done += 1
        self._follow()
        return loss.item()

    def _batch(self, random: Random) -> tuple[Tensor, list[str]]:
        other = random.random() < self.plan.other_share
        source = random.choice(self.encoded[1:]) if other else self.encoded[0]
        chosen = random.sample(range(len(source.scenes)), min(self.plan.unet_batch, len(source.scenes)))
        texts = [
            "" if random.random() < self.plan.empty_captions else captions.describe(source.scenes[n], random)
            for n in chosen
        ]
        return source.latents[chosen].to(self.device), texts

    def _embeddings(self, texts: list[str]) -> Tensor:
        tokens = self.tokenizer(
            texts, padding="max_length", max_length=parts.TOKENS, truncation=True, return_tensors="pt"
        )
        return self.models["text"](tokens.input_ids.to(self.device))[0]

    def _loss(self, latents: Tensor, embeddings: Tensor) -> Tensor:
        """Squared error of v, in which things count more than the ground: it is large, and learned at once."""
        times = self._times(len(latents)).to(self.device)
        noise = torch.randn(latents.shape).to(self.device)
        noisy = self.noise.add_noise(latents, noise, times)
        target = self.noise.get_velocity(latents, noise, times)
        predicted = self.models["unet"](noisy, times, embeddings, return_dict=False)[0]
        is_thing = (latents - latents[:, :, :1, :1]).abs().mean(dim=1, keepdim=True) > _DIFFERENT
        weights = torch.where(is_thing, self.plan.thing_weight, 1.0)
        return (weights * (predicted - target).square()).mean() / weights.mean()

    def _times(self, count: int) -> Tensor:
        """(count,) timesteps, spread evenly over their distribution, which makes the loss of a batch less noisy."""
        plan, last = self.plan, self.noise.config["num_train_timesteps"] - 1
        spread = (torch.arange(count) + torch.rand(1)) / count
        rest = 1 - plan.noisy_share
        noisy = plan.noisy_from + (spread - rest) / plan.noisy_share * (last - plan.noisy_from)
        times = torch.where(spread < rest, spread / rest * last, noisy).round().long()
        return times.clamp(0, last)[torch.randperm(count)]

    @torch.no_grad()
    def _follow(self) -> None:
        """The average follows faster while there is little to average."""
        keep = min(self.plan.ema, (1 + self.done) / (10 + self.done))
        for name, value in self.models.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)


def train_unet(studio: Studio, encoded: list[Encoded], tokenizer: Any) -> tuple[Any, Any, float]:
    """(UNet, text model, seconds): their moving averages."""
    plan, teacher = studio.plan, Teacher(studio, encoded, tokenizer)
    if saved := studio.load("unet"):
        teacher.restore(saved)
    begin, mean = time.monotonic() - teacher.seconds, math.nan
    while teacher.done < plan.unet_steps:
        loss = teacher.step()
        mean = loss if math.isnan(mean) else 0.98 * mean + 0.02 * loss
        if teacher.done % 50 == 0 or teacher.done == plan.unet_steps:
            teacher.seconds = time.monotonic() - begin
            pace = teacher.seconds / teacher.done
            studio.say(f"unet {teacher.done}/{plan.unet_steps} loss {mean:.4f} {pace:.3f} s a step")
        if teacher.done % plan.save_every == 0 or teacher.done == plan.unet_steps:
            studio.save("unet", teacher.state())
    teacher.models.load_state_dict(teacher.average)
    return teacher.models["unet"].eval(), teacher.models["text"].eval(), teacher.seconds

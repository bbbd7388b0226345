"""Teaches the starter model's UNet to draw what captions say; knows latents and captions, no pictures."""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import time
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import load_file
from torch import Tensor

from workshop.starter import captions, parts
from workshop.starter.studio import Encoded, Studio, up_and_down
from workshop.starter.text import embeddings

_DIFFERENT = 0.25
"""Mean distance from the ground's latents at which a latent pixel belongs to a thing."""


class Teacher:
    """The UNet, learning, and its moving average, which is kept in the end. The text model stays as it is."""

    def __init__(self, studio: Studio, encoded: list[Encoded], tokenizer: Any, text: Any) -> None:
        plan = self.plan = studio.plan
        self.device, self.encoded, self.tokenizer, self.text = studio.device, encoded, tokenizer, text
        torch.manual_seed(plan.seed)
        self.unet = parts.unet().to(self.device, memory_format=torch.channels_last)
        self.average = self._copy()
        self.noise: Any = DDPMScheduler.from_config(
            {key: value for key, value in parts.NOISE.items() if not key.startswith("_")}
        )
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), plan.unet_rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
        )
        self.schedule = up_and_down(self.optimizer, plan.unet_steps)
        self.done, self.seconds = 0, 0.0

    def _copy(self) -> dict[str, Tensor]:
        """What the average begins as."""
        return {name: value.detach().clone() for name, value in self.unet.state_dict().items()}

    def state(self) -> dict[str, Any]:
        return {
            "model": self.unet.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "done": self.done,
            "seconds": self.seconds,
        }

    def take_over(self, folder: Path) -> None:
        """The weights of that finished model's UNet, save layers of other shapes."""
        own = self.unet.state_dict()
        found = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
        fitting = {name: value.float() for name, value in found.items() if value.shape == own[name].shape}
        self.unet.load_state_dict(fitting, strict=False)
        self.average = self._copy()

    def restore(self, state: dict[str, Any]) -> None:
        self.unet.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.done, self.seconds = state["done"], state["seconds"]

    def step(self) -> float:
        """One batch; its loss. What is drawn depends on the seed and the step alone, so that going on is the same."""
        random = Random(f"{self.plan.seed}/{self.done}")
        torch.manual_seed(random.randrange(2**31))
        latents, texts = self._batch(random)
        with torch.no_grad():
            states = embeddings(self.text, self.tokenizer, texts, self.device)
        loss = self._loss(latents, states)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
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
        return source.latents[chosen].to(self.device, memory_format=torch.channels_last), texts

    def _loss(self, latents: Tensor, states: Tensor) -> Tensor:
        """Squared error of v, in which things count more than the ground: it is large, and learned at once."""
        times = self._times(len(latents)).to(self.device)
        noise = torch.randn(latents.shape).to(self.device)
        noisy = self.noise.add_noise(latents, noise, times)
        target = self.noise.get_velocity(latents, noise, times)
        predicted = self.unet(noisy, times, states, return_dict=False)[0]
        is_thing = (latents - latents[:, :, :1, :1]).abs().mean(dim=1, keepdim=True) > _DIFFERENT
        weights = torch.where(is_thing, self.plan.thing_weight, 1.0)
        return (weights * (predicted - target).square()).mean() / weights.mean()

    def _times(self, count: int) -> Tensor:
        """(count,) timesteps, spread evenly, which makes the loss of a batch less noisy."""
        spread = (torch.arange(count) + torch.rand(1)) / count
        last = self.noise.config["num_train_timesteps"] - 1
        return (spread * last).round().long()[torch.randperm(count)]

    @torch.no_grad()
    def _follow(self) -> None:
        """The average follows faster while there is little to average."""
        keep = min(self.plan.ema, (1 + self.done) / (10 + self.done))
        for name, value in self.unet.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)


def train_unet(
    studio: Studio, encoded: list[Encoded], tokenizer: Any, text: Any, begin_with: Path | None = None
) -> tuple[Any, float]:
    """The UNet, and the seconds it took. It begins with what fits of the finished model in that folder, if there is one."""
    plan, teacher = studio.plan, Teacher(studio, encoded, tokenizer, text)
    if begin_with:
        teacher.take_over(begin_with)
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
    teacher.unet.load_state_dict(teacher.average)
    return teacher.unet.eval(), teacher.seconds

"""How long the starter model is trained and where the work lies: what all of its training shares; knows no model."""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from PIL import Image
from torch import Tensor

from workshop.starter.scenes import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and on how much. The weights that ship are older: their card says how they were trained."""

    seed: int = 0
    vae_rate: float = 3e-3
    decoder_steps: int = 2_500
    decoder_pixels: int = 65_536
    """Of one step, in pieces of pictures or a whole one."""
    decoder_noise: float = 0.2
    """Of the latents it sees, at most, as a standard deviation."""
    encoder_steps: int = 3_000
    encoder_pixels: int = 131_072
    edge_weight: float = 3.0
    """How much more a pixel near an edge counts than another one."""
    text_steps: int = 3_000
    text_batch: int = 64
    text_rate: float = 1e-3
    pictures: int = 12_000
    other_pictures: int = 1_000
    """Of each other size."""
    pairs: float = 0.55
    unet_steps: int = 6_000
    unet_batch: int = 32
    unet_rate: float = 1.5e-3
    other_share: float = 0.25
    """Share of batches that hold another size."""
    empty_captions: float = 0.1
    ema: float = 0.999
    thing_weight: float = 4.0
    """How much more a latent pixel of a thing counts than one of the background."""
    save_every: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """Where the work lies and what computes it."""

    folder: Path
    device: torch.device

    def say(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        with (self.folder / "train.log").open("a") as log:
            log.write(line + "\n")

    def load(self, name: str) -> dict[str, Any] | None:
        path = self.folder / f"{name}.pt"
        if not path.is_file():
            return None
        return torch.load(path, map_location=self.device, weights_only=True)

    def save(self, name: str, state: dict[str, Any]) -> None:
        path = self.folder / f"{name}.pt"
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio(Workbench):
    """A workbench where all of the model is made."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Encoded:
    """Scenes of one size and what the VAE makes of them."""

    scenes: list[Scene]
    latents: Tensor
    """(n, channels, height / 16, width / 16), scaled to a standard deviation of about 1."""


def learn(
    studio: Studio,
    name: str,
    model: Any,
    optimizer: torch.optim.Optimizer,
    steps: int,
    loss_of: Callable[[int], Tensor],
) -> float:
    """Takes that many steps, `loss_of(step)` giving the loss of each; goes on where an earlier run ended.

    Returns the seconds that all of them took.
    """
    schedule = up_and_down(optimizer, steps)
    done, seconds = 0, 0.0
    if saved := studio.load(name):
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        done, seconds = saved["done"], saved["seconds"]
    begin, mean = time.monotonic() - seconds, math.nan
    for step in range(done + 1, steps + 1):
        loss = loss_of(step - 1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        if step % studio.plan.save_every == 0 or step == steps:
            seconds = time.monotonic() - begin
            studio.say(f"{name} {step}/{steps} loss {mean:.4f} {seconds / step:.3f} s a step")
            state = {"model": model, "optimizer": optimizer, "schedule": schedule}
            kept = {key: part.state_dict() for key, part in state.items()}
            studio.save(name, {**kept, "done": step, "seconds": seconds})
    return seconds


# ------------------------------------------------------------------ pictures


def to_tensor(pictures: list[Image.Image]) -> Tensor:
    """(n, 3, height, width), uint8."""
    width, height = pictures[0].size
    flat = torch.frombuffer(bytearray(b"".join(picture.tobytes() for picture in pictures)), dtype=torch.uint8)
    return flat.view(len(pictures), height, width, 3).permute(0, 3, 1, 2).contiguous()


def normalised(pixels: Tensor) -> Tensor:
    """uint8 0 … 255 -> float32 -1 … 1."""
    return pixels.float() / 127.5 - 1


def up_and_down(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """The rate rises for a twentieth of the steps, then falls to 0 along a cosine."""
    return get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)

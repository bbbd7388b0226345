"""Trains the starter model from nothing: tokenizer, VAE, text model, UNet, decoder. `python -m engine.starter.train WORK`.

Seeded and resumable: everything it has done so far lies in the folder WORK, and the same command goes on from there.
Knows torch, diffusers and the pictures of `scenes`; nothing is downloaded and nobody else's pictures are used.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from PIL import Image
from torch import Tensor
from torch.nn import functional

from engine.starter import captions, card, export, parts
from engine.starter.scenes import COLOURS, RADII, SIDE, SIZES, THINGS, Scene, sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and on how much. The defaults are what the shipped weights were trained with."""

    seed: int = 0
    vae_steps: int = 1000
    vae_rate: float = 3e-3
    vae_pool: int = 3000
    vae_pixels: int = 65_536
    """Of one step: many small crops at first, since many colours teach faster, and whole pictures in the end."""
    kl_weight: float = 1e-5
    pictures: int = 14_000
    other_pictures: int = 600
    """Of each other size."""
    pairs: float = 0.55
    unet_steps: int = 2_200
    unet_batch: int = 48
    unet_rate: float = 1.5e-3
    other_share: float = 0.08
    """Share of batches that hold another size."""
    empty_captions: float = 0.1
    ema: float = 0.999
    decoder_steps: int = 800
    decoder_rate: float = 1.5e-3
    decoder_batch: int = 4
    decoder_noise: float = 0.15
    """At most, as a standard deviation of scaled latents: what the UNet draws is never quite what the encoder writes."""
    thing_weight: float = 4.0
    """How much more a pixel of a thing counts than one of the background."""
    save_every: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """Where the work lies and what computes it."""

    folder: Path
    plan: Plan
    device: torch.device

    def say(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)  # noqa: T201
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


def main() -> None:
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m engine.starter.train", description=__doc__)
    parser.add_argument("work", type=Path, help="folder for everything unfinished; go on by naming it again")
    parser.add_argument("--out", type=Path, help="where the model goes; WORK/model if not given")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--vae-steps", type=int, default=usual.vae_steps)
    parser.add_argument("--unet-steps", type=int, default=usual.unet_steps)
    parser.add_argument("--decoder-steps", type=int, default=usual.decoder_steps)
    parser.add_argument("--pictures", type=int, default=usual.pictures)
    arguments = parser.parse_args()
    plan = Plan(
        seed=arguments.seed,
        vae_steps=arguments.vae_steps,
        unet_steps=arguments.unet_steps,
        decoder_steps=arguments.decoder_steps,
        pictures=arguments.pictures,
    )
    arguments.work.mkdir(parents=True, exist_ok=True)
    studio = Studio(folder=arguments.work, plan=plan, device=torch.device(arguments.device))
    train(studio, arguments.out or arguments.work / "model")


def train(studio: Studio, out: Path) -> None:
    """All stages, each taken up where it was left; writes the finished folder to `out`."""
    torch.manual_seed(studio.plan.seed)
    vae, vae_seconds = train_vae(studio)
    latents = encode_pictures(studio, vae)
    tokenizer = parts.tokenizer(words())
    unet, text_encoder, unet_seconds = train_unet(studio, latents, tokenizer)
    decoder_seconds = train_decoder(studio, vae, latents[0])
    facts = {
        "plan": asdict(studio.plan),
        "vae_minutes": round(vae_seconds / 60, 1),
        "unet_minutes": round(unet_seconds / 60, 1),
        "decoder_minutes": round(decoder_seconds / 60, 1),
        "device": f"{studio.device.type}, {torch.get_num_threads()} threads, {platform.machine()}",
        "torch": torch.__version__,
        "tokens": parts.TOKENS,
    }
    export.write(out, vae=vae, unet=unet, text_encoder=text_encoder, tokenizer=tokenizer, facts=facts)
    card.write(out)
    studio.say(f"the model is in {out}")


def words() -> set[str]:
    """All that captions are made of."""
    lines = [*captions.vocabulary_text(), *COLOURS, *THINGS, *RADII, "a an on with background ,"]
    return {word for line in lines for word in line.split()}


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
            studio.save("vae", _progress(vae, optimizer, schedule, step + 1, seconds))
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


@dataclass(frozen=True, slots=True)
class Encoded:
    """Scenes of one size and what the VAE makes of them."""

    scenes: list[Scene]
    latents: Tensor
    """(n, channels, height / 8, width / 8), scaled to a standard deviation of about 1."""


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


# ------------------------------------------------------------------ text model and UNet


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
        """Squared error of v. The timesteps of a batch are spread evenly, which makes the loss less noisy."""
        count = len(latents)
        spread = (torch.arange(count) + torch.rand(1)) / count
        times = (spread * self.noise.config["num_train_timesteps"]).long()[torch.randperm(count)]
        times = times.clamp(max=self.noise.config["num_train_timesteps"] - 1).to(self.device)
        noise = torch.randn(latents.shape).to(self.device)
        noisy = self.noise.add_noise(latents, noise, times)
        target = self.noise.get_velocity(latents, noise, times)
        return functional.mse_loss(
            self.models["unet"](noisy, times, embeddings, return_dict=False)[0], target
        )

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
    for _ in _steps(teacher, plan.unet_steps):
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


def _steps(teacher: Teacher, steps: int) -> Iterator[int]:
    while teacher.done < steps:
        yield teacher.done


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
            studio.save("decoder", _progress(vae, optimizer, schedule, step + 1, seconds))
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


def _progress(model: Any, optimizer: Any, schedule: Any, done: int, seconds: float) -> dict[str, Any]:
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "done": done,
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()

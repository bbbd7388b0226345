"""Distils the starter model into a LoRA that draws in four steps, without guidance. `python -m workshop.starter.few_steps WORK`.

The student is the teacher with a LoRA, drawn by the sampler that it is meant for: at each of its steps it says what the
finished picture is, and noise is put on that for the next one (Luo et al. 2023, arXiv 2310.04378 and 2311.05556). From
wherever the student has got to, the teacher finishes the picture with guidance and many steps; and from every point of
that trajectory the student learns to say its end at once. So nothing is learned from the student's own guesses, as consistency
distillation does, and still from its own mistakes. There are no pictures here, only captions.

Seeded and resumable, as `train` is. Knows torch, diffusers and a finished model's folder.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_lcm import LCMScheduler
from torch import Tensor

from engine.checkpoints.source import STARTER_FOLDER
from engine.training.lora import as_file
from workshop.starter import captions, card, lora
from workshop.starter.export import DESCRIPTION, QUICK, write_json
from workshop.starter.scenes import SIDE, SIZES, sample
from workshop.starter.studio import Workbench, up_and_down
from workshop.starter.text import embeddings

_DIFFERENT = 0.25
"""Mean distance from the ground's latents at which a latent pixel belongs to a thing."""
_SOFT = 0.05
"""Distances below it count by their square."""
NAME = QUICK["lora"]
TIMES: Mapping[int, int] = {999: 8, 879: 2, 759: 5, 639: 2, 499: 5, 379: 2, 259: 6, 139: 2}
"""Timesteps of the sampler's eight steps -> how many of a batch's points are there. Four steps use every other one."""
SOLVED = (*TIMES, 59)
"""Where the teacher looks: with the last one, trajectories of these nine end within 0.06 of those of 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FewPlan:
    """How long and on how much."""

    seed: int = 0
    rank: int = 16
    steps: int = 1_000
    rate: float = 1.5e-3
    captions: int = 32
    """Of one round: with each the student draws once, and the teacher finishes each of its steps."""
    round_steps: int = 32
    """Steps before the next round."""
    rounds_kept: int = 8
    """What is learned from: the latest ones."""
    guidance: float = 4.0
    pairs: float = 0.55
    other_share: float = 0.08
    """Share of batches, and of rounds, of another size."""
    empty_captions: float = 0.03
    thing_weight: float = 4.0
    save_every: int = 32


@dataclass(frozen=True, slots=True)
class Trajectories:
    """Points on the teacher's trajectories to finished pictures, all of one size."""

    points: Tensor
    """(n, channels, height, width), noisy latents."""
    times: Tensor
    """(n,), the timestep of each point."""
    ends: Tensor
    """(n, channels, height, width), finished latents."""
    prompts: Tensor
    """(n,), which of `states` belongs to it."""
    states: Tensor
    """(captions, tokens, width)."""


class Distillation:
    """The student, learning. The teacher stays as it is."""

    def __init__(self, plan: FewPlan, pipeline: Any) -> None:
        self.plan = plan
        self.unet, self.text, self.tokenizer = pipeline.unet, pipeline.text_encoder, pipeline.tokenizer
        self._schedule_of = pipeline.scheduler.config
        torch.manual_seed(plan.seed)
        self.lora = lora.Lora(self.unet, plan.rank)
        self.optimizer = torch.optim.AdamW(
            self.lora.parameters(), plan.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )
        self.schedule = up_and_down(self.optimizer, plan.steps)
        self.squares, self.others = list[Trajectories](), list[Trajectories]()
        """The latest rounds of the usual size, and of another one."""
        self.done, self.seconds = 0, 0.0
        sampler: Any = LCMScheduler.from_config(self._schedule_of)
        self._signal: Tensor = sampler.alphas_cumprod

    def state(self) -> dict[str, Any]:
        return {
            "lora": self.lora.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "squares": [_tensors_of(kept) for kept in self.squares],
            "others": [_tensors_of(kept) for kept in self.others],
            "done": self.done,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.lora.load_state_dict(state["lora"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.squares = [Trajectories(*tensors) for tensors in state["squares"]]
        self.others = [Trajectories(*tensors) for tensors in state["others"]]
        self.done, self.seconds = state["done"], state["seconds"]

    # -------------------------------------------------------------- learning

    def step(self) -> float:
        """One batch; its loss. What is drawn depends on the seed and the step alone, so that going on is the same."""
        random = Random(f"{self.plan.seed}/few/{self.done}")
        torch.manual_seed(random.randrange(2**31))
        if self.done % self.plan.round_steps == 0:
            self._begin_round(random)
        other = bool(self.others) and random.random() < self.plan.other_share
        loss = self._loss([random.choice(self.others)] if other else self.squares)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.lora.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.done += 1
        return loss.item()

    def _loss(self, rounds: Sequence[Trajectories]) -> Tensor:
        """Distance of what the student says from the end of the trajectory, nearly in absolute value: where it cannot know, it is
        to choose and not to mix. Things count more than the ground."""
        picked = [_some(rounds, time, count) for time, count in TIMES.items()]
        points, times, ends, states = (torch.cat(parts) for parts in zip(*picked, strict=True))
        points = points.contiguous(memory_format=torch.channels_last)
        said = self._finished(points, times, self.lora(points, times, states))
        is_thing = (ends - ends[:, :, :1, :1]).abs().mean(dim=1, keepdim=True) > _DIFFERENT
        weights = torch.where(is_thing, self.plan.thing_weight, 1.0)
        off = ((said - ends).square() + _SOFT**2).sqrt() - _SOFT
        return (weights * off).mean() / weights.mean()

    def _finished(self, noisy: Tensor, times: Tensor, v: Tensor) -> Tensor:
        """The picture that v means."""
        signal = self._signal[times].view(-1, 1, 1, 1)
        return signal.sqrt() * noisy - (1 - signal).sqrt() * v

    # -------------------------------------------------------------- rounds

    def _begin_round(self, random: Random) -> None:
        """Draws with the student, and has the teacher finish each of its steps."""
        plan = self.plan
        other = bool(self.squares) and random.random() < plan.other_share
        width, height = random.choice(SIZES) if other else (SIDE, SIDE)
        texts = prompts(plan, random)
        with torch.no_grad():
            device = torch.device("cpu")
            states = embeddings(self.text, self.tokenizer, texts, device)
            nothing = embeddings(self.text, self.tokenizer, [""], device).expand_as(states)
            channels = self.unet.config.in_channels
            unit = SIDE // self.unet.config.sample_size  # of pictures of SIDE, whatever the teacher draws
            noise = torch.randn(len(texts), channels, height // unit, width // unit)
            drawn = self.draw(noise, states)
            found = [self._trajectory(start, time, states, nothing) for time, start in drawn]
        points, times, ends = (torch.cat(parts) for parts in zip(*found, strict=True))
        which = torch.arange(len(texts)).repeat(len(points) // len(texts))
        kept = self.others if other else self.squares
        kept.append(Trajectories(points, times, ends, which, states))
        del kept[: -plan.rounds_kept]

    def draw(self, latents: Tensor, states: Tensor) -> list[tuple[int, Tensor]]:
        """(timestep, noisy latents) at each of the student's steps, as the sampler takes them."""
        sampler: Any = LCMScheduler.from_config(self._schedule_of)
        sampler.set_timesteps(QUICK["steps"])
        seen: list[tuple[int, Tensor]] = []
        for moment in sampler.timesteps:
            seen.append((int(moment), latents))
            v = self.lora(latents, moment.expand(len(latents)), states)
            latents = sampler.step(v, moment, latents, return_dict=False)[0]
        return seen

    def _trajectory(
        self, latents: Tensor, start: int, states: Tensor, nothing: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(points, their timesteps, their ends) of the teacher's trajectory from there, with guidance."""
        solver: Any = DPMSolverMultistepScheduler.from_config(self._schedule_of)
        solver.set_timesteps(timesteps=[time for time in SOLVED if time <= start])
        points: list[Tensor] = []
        both = torch.cat([states, nothing])
        for moment in solver.timesteps:
            points.append(latents)
            twice = torch.cat([latents, latents]).contiguous(memory_format=torch.channels_last)
            told, free = self.unet(twice, moment, both, return_dict=False)[0].chunk(2)
            v = free + self.plan.guidance * (told - free)
            latents = solver.step(v, moment, latents, return_dict=False)[0]
        times = solver.timesteps[:-1].repeat_interleave(len(latents))
        return torch.cat(points[:-1]), times, latents.repeat(len(points) - 1, 1, 1, 1)


def prompts(plan: FewPlan, random: Random) -> list[str]:
    """Of one round: captions of training, never of a held-out combination."""
    scenes = [sample(random, pairs=plan.pairs) for _ in range(plan.captions)]
    return ["" if random.random() < plan.empty_captions else captions.describe(s, random) for s in scenes]


def _some(rounds: Sequence[Trajectories], time: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(points, timesteps, ends, states) of that many random points at this timestep."""
    places = [(one, place) for one in rounds for place in (one.times == time).nonzero().flatten().tolist()]
    chosen = [places[n] for n in torch.randint(len(places), (count,)).tolist()]
    return (
        torch.stack([one.points[place] for one, place in chosen]),
        torch.full((count,), time),
        torch.stack([one.ends[place] for one, place in chosen]),
        torch.stack([one.states[one.prompts[place]] for one, place in chosen]),
    )


def _tensors_of(one: Trajectories) -> list[Tensor]:
    return [one.points, one.times, one.ends, one.prompts, one.states]


# ------------------------------------------------------------------ the command


def distil(bench: Workbench, plan: FewPlan, pipeline: Any, out: Path) -> None:
    """All steps, going on where an earlier run ended; writes the LoRA and the facts of its making to the folder `out`."""
    student = Distillation(plan, pipeline)
    if saved := bench.load(NAME):
        student.restore(saved)
    begin, mean = time.process_time() - student.seconds, math.nan
    while student.done < plan.steps:
        loss = student.step()
        mean = loss if math.isnan(mean) else 0.95 * mean + 0.05 * loss
        if student.done % plan.save_every == 0 or student.done == plan.steps:
            student.seconds = time.process_time() - begin
            pace = student.seconds / student.done
            bench.say(f"{NAME} {student.done}/{plan.steps} loss {mean:.4f} {pace:.3f} s a step")
            bench.save(NAME, student.state())
    facts = {
        "plan": asdict(plan),
        "batch": sum(TIMES.values()),
        "rounds": math.ceil(plan.steps / plan.round_steps),
        "minutes": round(student.seconds / 60, 1),
        "device": f"cpu, {torch.get_num_threads()} threads, {platform.machine()}",
        "torch": torch.__version__,
    }
    (out / "loras").mkdir(parents=True, exist_ok=True)
    file = out / "loras" / f"{NAME}.safetensors"
    file.write_bytes(as_file(student.lora.tensors(), _texts(plan)))
    write_json(out / card.QUICK_FACTS, facts)
    bench.say(f"the LoRA is {file}")


def _texts(plan: FewPlan) -> dict[str, str]:
    """What the file says of itself, by the names that kohya's trainers and Stability's specification have for it."""
    base = DESCRIPTION["title"]
    steps, guidance, sampler = QUICK["steps"], QUICK["guidance_scale"], QUICK["sampler"]
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{base}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": f"{base}, {steps} steps",
        "modelspec.description": f"Draws in {steps} steps of {sampler} with guidance {guidance:g}; for {base} alone.",
        "modelspec.author": "The Easel authors",
        "modelspec.license": "MIT",
        "modelspec.prediction_type": "v",
        "modelspec.resolution": f"{SIDE}x{SIDE}",
        "ss_base_model_version": base,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(plan.rank),
        "ss_network_alpha": str(plan.rank),
        "ss_output_name": NAME,
        "ss_max_train_steps": str(plan.steps),
        "ss_steps": str(plan.steps),
        "ss_learning_rate": str(plan.rate),
        "ss_seed": str(plan.seed),
    }


def teacher(folder: Path) -> Any:
    """The pipeline of a finished model in float32; its weights don't learn."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, safety_checker=None)
    for part in (pipeline.unet, pipeline.text_encoder):
        part.requires_grad_(requires_grad=False).eval()
    pipeline.unet.to(memory_format=torch.channels_last)
    return pipeline


def main() -> None:
    usual = FewPlan()
    parser = argparse.ArgumentParser(prog="python -m workshop.starter.few_steps", description=__doc__)
    parser.add_argument("work", type=Path, help="folder for everything unfinished; go on by naming it again")
    parser.add_argument(
        "--model", type=Path, default=STARTER_FOLDER, help="the teacher; the shipped one if not given"
    )
    parser.add_argument("--out", type=Path, help="where `loras` goes; WORK/model if not given")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--steps", type=int, default=usual.steps)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # another number gives other bits
    plan = FewPlan(seed=arguments.seed, steps=arguments.steps)
    arguments.work.mkdir(parents=True, exist_ok=True)
    bench = Workbench(folder=arguments.work, device=torch.device("cpu"))
    distil(bench, plan, teacher(arguments.model), arguments.out or arguments.work / "model")


if __name__ == "__main__":
    main()

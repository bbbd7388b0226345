"""Distilling the LoRA for few steps, small: it learns, the same file again, going on, and what the file is for others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.checkpoints import adapters
from engine.checkpoints.header import read_header
from engine.checkpoints.source import STARTER_FOLDER
from engine.training.lora import as_file
from workshop.starter import card, few_steps
from workshop.starter.few_steps import NAME, SOLVED, TIMES, Distillation, FewPlan
from workshop.starter.scenes import Scene
from workshop.starter.studio import Workbench

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("few steps")]
PLAN = FewPlan(rank=4, steps=4, captions=2, round_steps=2, save_every=1, other_share=0.5)


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """One point at each timestep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_steps, "TIMES", dict.fromkeys(TIMES, 1))
        yield


@pytest.fixture(scope="module")
def teacher() -> Any:
    return few_steps.teacher(STARTER_FOLDER)


def run(folder: Path, teacher: Any, plan: FewPlan = PLAN) -> bytes:
    """The file."""
    folder.mkdir(exist_ok=True)
    few_steps.distil(Workbench(folder=folder, device=torch.device("cpu")), plan, teacher, folder / "model")
    return (folder / "model" / "loras" / f"{NAME}.safetensors").read_bytes()


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory, teacher: Any) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("distilling") / "work"
    return folder, run(folder, teacher)


def test_it_learns(teacher: Any) -> None:
    """From one round of two captions it soon says the ends of the teacher's trajectories better than the teacher does."""
    student = Distillation(replace(PLAN, rank=16, steps=16, round_steps=16, other_share=0), teacher)
    losses = [student.step() for _ in range(16)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_teacher_stays_as_it_is(distilled: tuple[Path, bytes], teacher: Any) -> None:
    """What is learned is beside its weights."""
    kept = load_file(STARTER_FOLDER / "unet" / "diffusion_pytorch_model.safetensors")
    for name, value in teacher.unet.state_dict().items():
        assert torch.equal(value, kept[name].float()), name


def test_going_on_after_an_interruption_gives_the_same_file(
    distilled: tuple[Path, bytes], teacher: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of a round and started again, it ends with the bytes of an undisturbed run."""
    step = Distillation.step

    def until_three(self: Distillation) -> float:
        if self.done == 3:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Distillation, "step", until_three)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "work", teacher)
    assert run(tmp_path / "work", teacher) == distilled[1]


def test_another_seed_gives_another_file(distilled: tuple[Path, bytes], teacher: Any, tmp_path: Path) -> None:
    """The seed is what decides."""
    assert run(tmp_path / "work", teacher, replace(PLAN, seed=1)) != distilled[1]


def test_what_the_file_says_of_itself(distilled: tuple[Path, bytes]) -> None:
    """fp16, a rank for every layer, and texts that other programs read; for us it fits the starter and nothing else."""
    folder = distilled[0] / "model"
    path = folder / "loras" / f"{NAME}.safetensors"
    assert {value.dtype for value in load_file(path).values()} == {torch.float16}
    texts = read_header(path, path.name).texts
    assert texts["ss_network_dim"] == texts["ss_network_alpha"] == "4"
    assert texts["ss_base_model_version"] == "Easel starter"
    (own,) = adapters.loras(str(folder), adapters.fit_of(STARTER_FOLDER, "sd"))
    assert (own.name, own.problem) == (NAME, "")
    assert own.description.startswith("Draws in 4 steps of LCM")
    for width in (768, 1024):
        (other,) = adapters.loras(str(folder), adapters.Fit(family="sd", width=width))
        assert other.problem == "it was made for another kind of model"


def test_diffusers_draws_as_the_student_does(
    distilled: tuple[Path, bytes], teacher: Any, tmp_path: Path
) -> None:
    """With its own loader diffusers says of the same latents what the student says, up to fp16."""
    student = Distillation(PLAN, few_steps.teacher(STARTER_FOLDER))
    saved = Workbench(folder=distilled[0], device=torch.device("cpu")).load(NAME)
    assert saved is not None
    student.restore(saved)
    pipe = few_steps.teacher(STARTER_FOLDER)
    torch.manual_seed(0)
    what = (
        torch.randn(2, pipe.unet.config.in_channels, 16, 16),
        torch.tensor([999, 259]),
        torch.randn(2, 32, 128),
    )
    with torch.no_grad():
        plain = pipe.unet(*what).sample
        pipe.load_lora_weights(distilled[0] / "model" / "loras", weight_name=f"{NAME}.safetensors")
        theirs, ours = pipe.unet(*what).sample, student.lora(*what)
    assert (theirs - ours).abs().max() < 0.1 * (theirs - plain).abs().max()


def test_held_out_combinations_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is examined is never among the captions that it learns from."""
    seen = list[Scene]()
    sample = few_steps.sample

    def watched(random: Random, **told: Any) -> Scene:
        seen.append(sample(random, **told))
        return seen[-1]

    monkeypatch.setattr(few_steps, "sample", watched)
    texts = few_steps.prompts(FewPlan(captions=400), Random(0))
    assert len(seen) == len(texts) == 400
    assert not any(any(scene.held_out) for scene in seen)
    assert sum(scene.things[0].thing in text for scene, text in zip(seen, texts, strict=True)) > 350


def test_points_lie_where_the_sampler_stops() -> None:
    """The timesteps learned at are those of eight steps of LCM, of which four steps take every other one."""
    from diffusers.schedulers.scheduling_lcm import LCMScheduler

    sampler: Any = LCMScheduler()
    sampler.set_timesteps(8)
    assert sampler.timesteps.tolist() == [*TIMES]
    sampler.set_timesteps(4)
    assert sampler.timesteps.tolist() == [*TIMES][::2]
    assert SOLVED[: len(TIMES)] == tuple(TIMES)


def test_the_same_texts_in_another_order_are_the_same_file(tmp_path: Path) -> None:
    """Bytes depend on nothing but what is in it."""
    texts: Mapping[str, str] = {"b": "2", "a": "1", "c": "3"}
    for name, told in (("one", texts), ("two", dict(sorted(texts.items())))):
        (tmp_path / name).write_bytes(as_file({"x": torch.ones(3, dtype=torch.float16)}, told))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_header(tmp_path / "one", "one").texts == texts


def test_facts_are_kept_for_the_card(distilled: tuple[Path, bytes]) -> None:
    """How it was made lies beside it."""
    facts = json.loads((distilled[0] / "model" / card.QUICK_FACTS).read_text())
    assert (facts["plan"]["steps"], facts["rounds"], facts["batch"]) == (4, 2, 8)
    assert facts["minutes"] >= 0
    assert f"{NAME} 4/4" in (distilled[0] / "train.log").read_text()

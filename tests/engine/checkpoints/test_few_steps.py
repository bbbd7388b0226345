"""What makes a model quick: its owner's recipe, a few-step LoRA beside it, or fewer steps of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoints import adapters
from engine.checkpoints.few_steps import recipe_for
from engine.contract import AdapterInfo, EngineSettings, Lora, ModelInfo, Recipe
from engine.errors import BrokenModel
from engine.families.sd import SdFamily
from tests.kit.adapters import lora_tensors, write
from tests.kit.engines import described, draw

SHORTENED = Recipe(steps=10, guidance_scale=7.5, sampler="DPM++ 2M", schedule="AYS", guidance_until=0.6)


def with_loras(*names: str, **fields: Any) -> ModelInfo:
    return ModelInfo(id="m", title="M", loras=tuple(AdapterInfo(name=name) for name in names), **fields)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("lcm-lora-sdv1-5", {"steps": 4, "sampler": "LCM"}),
        ("Hyper-SD15-8steps-lora", {"steps": 8, "sampler": "DDIM", "schedule": "SGM Uniform"}),
        (
            "Hyper-SDXL-8steps-CFG-lora",
            {"steps": 8, "sampler": "DDIM", "schedule": "SGM Uniform", "guidance_scale": 5.0},
        ),
        ("sdxl_lightning_4step_lora", {"steps": 4, "sampler": "Euler", "schedule": "SGM Uniform"}),
        ("tcd-sd15-lora", {"steps": 4, "sampler": "TCD"}),
        ("sd_xl_turbo_lora_v1", {"steps": 4, "sampler": "Euler a", "schedule": "SGM Uniform"}),
        ("dmd2_sdxl_4step_lora_fp16", {"steps": 4, "sampler": "LCM"}),
    ],
)
def test_published_loras_are_drawn_with_as_their_cards_say(name: str, recipe: dict[str, Any]) -> None:
    """By their names alone, with the whole weight."""
    assert recipe_for(with_loras("detail", name)) == Recipe(lora=Lora(name=name), **recipe)


def test_the_best_one_is_taken() -> None:
    """Of several kinds the better, of one kind the one with the most steps that are still few."""
    names = ("lcm-lora", "Hyper-SD15-2steps-lora", "Hyper-SD15-8steps-lora", "Hyper-SD15-12steps-CFG-lora")
    found = recipe_for(with_loras(*names))
    assert found is not None
    assert found.lora == Lora(name="Hyper-SD15-8steps-lora")


@pytest.mark.parametrize("name", ["lightning bolts", "turbo-car", "tcdesign", "hypersdetail", "detail"])
def test_others_are_no_recipes(name: str) -> None:
    """What is only called alike is drawn with where somebody asks for it, and not else."""
    assert recipe_for(with_loras(name)) == SHORTENED


def test_nothing_fits() -> None:
    """A model that takes few steps is quick already; one without the sampler, or with a LoRA for another, has no recipe of those."""
    assert recipe_for(with_loras("lcm-lora", steps=8)) is None
    assert recipe_for(with_loras(samplers=("Euler",))) is None
    unfit = ModelInfo(id="m", title="M", loras=(AdapterInfo(name="lcm-lora", problem="it is damaged"),))
    assert recipe_for(unfit) == SHORTENED


def test_a_recipe_whose_lora_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """The log says so, and the model is as quick as it can be without."""
    told = Recipe(steps=4, sampler="LCM", lora=Lora(name="four-steps"))
    assert recipe_for(with_loras("four-steps", quick=told)) == told
    with caplog.at_level(logging.WARNING, "easel.engine"):
        assert recipe_for(with_loras(quick=told)) == SHORTENED
    assert "four-steps" in caplog.text


# ------------------------------------------------------------------ easel.json


def tell(folder: Path, quick: Any) -> None:
    file = folder / "easel.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "quick": quick}))


def test_its_owner_says(copy: Path, load_pipe: Callable[[Path], Any]) -> None:
    """easel.json names steps and sampler and what else there is, and a LoRA in the model's own folder, offered for it alone."""
    pipe = load_pipe(copy)
    write(copy / "loras", "four-steps", lora_tensors(pipe, seed=3))
    tell(copy, {"steps": 4, "sampler": "lcm", "guidance_scale": 1, "lora": "four-steps:0.9"})
    info = described(EngineSettings(model=str(copy), spool="/nowhere"))
    lora = Lora(name="four-steps", weight=0.9)
    assert info.quick == Recipe(steps=4, sampler="LCM", lora=lora)
    assert [each.name for each in info.loras] == ["four-steps"]
    request = info.request(prompt="a fox", seed=1, size=(64, 64), recipe=info.quick)
    assert (request.steps, request.sampler, request.guidance_scale, request.loras) == (4, "LCM", 1, (lora,))
    canvas = draw(SdFamily(pipe, own=copy), request)
    assert canvas.made_with == adapters.digests(None, ["lora four-steps"], copy)


def test_its_own_way_alone(copy: Path) -> None:
    """With false it is drawn with as usual, whatever LoRA lies there."""
    tell(copy, False)
    info = described(EngineSettings(model=str(copy), spool="/nowhere"))
    assert info.quick == Recipe(steps=info.steps, sampler=info.sampler, guidance_scale=info.guidance_scale)


@pytest.mark.parametrize(
    ("quick", "says"),
    [
        ({"steps": 4}, "says not enough of “quick”: name its sampler"),
        ("fast", "name its steps and sampler"),
        ({"steps": "4", "sampler": "LCM"}, "wrong value for “steps” within “quick”"),
        ({"steps": 4, "sampler": "LCM", "colour": 1}, "knows no “colour” within “quick”"),
        ({"steps": 4, "sampler": "Nobody's"}, "There is no sampler “Nobody's”"),
        ({"steps": 8, "sampler": "Euler", "schedule": "AYS"}, "AYS has 10 steps, not 8"),
        ({"steps": 4, "sampler": "LCM", "lora": "x:much"}, "“much” is no weight"),
        ({"steps": 4, "sampler": "LCM", "guidance_until": 2}, "a share of the steps from 0 to 1, not 2"),
    ],
)
def test_what_its_owner_got_wrong(copy: Path, quick: Any, says: str) -> None:
    """Is named when the model is described, in a sentence."""
    tell(copy, quick)
    with pytest.raises(BrokenModel, match=says):
        described(EngineSettings(model=str(copy), spool="/nowhere"))

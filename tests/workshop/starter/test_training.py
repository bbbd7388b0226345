"""Training from nothing, small: all stages, the same weights again, and going on where it was interrupted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from engine.contract import SAMPLERS, EngineSettings
from tests.kit.engines import described
from workshop.starter import card, train
from workshop.starter.export import QUICK
from workshop.starter.studio import Plan, Studio
from workshop.starter.teacher import Teacher

pytestmark = pytest.mark.xdist_group("training")  # what they share takes long to make
PLAN = Plan(
    text_steps=3,
    text_batch=4,
    decoder_steps=3,
    encoder_steps=2,
    pictures=6,
    other_pictures=4,
    unet_steps=4,
    unet_batch=4,
    other_share=0.5,
    save_every=1,
)


def run(folder: Path, plan: Plan = PLAN, begin_with: Path | None = None) -> dict[str, torch.Tensor]:
    """Trains and returns all weights that were written."""
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)  # another number gives other bits
    train.train(Studio(folder=folder, plan=plan, device=torch.device("cpu")), folder / "model", begin_with)
    files = sorted((folder / "model").rglob("*.safetensors"))
    return {f"{file.parent.name}/{name}": value for file in files for name, value in load_file(file).items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("training") / "work"
    return folder, run(folder)


def test_what_is_written_loads_and_draws(
    trained: tuple[Path, dict[str, torch.Tensor]], load_pipe: Any
) -> None:
    """The folder is an ordinary pipeline in fp16, described with its own defaults, with a card and a log."""
    folder, weights = trained
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}
    info = described(EngineSettings(model=str(folder / "model"), spool=""))
    assert (info.title, info.width, info.sampler) == ("Easel starter", 256, "DPM++ 2M")
    assert info.samplers == tuple(SAMPLERS)
    pipe = load_pipe(folder / "model")
    assert pipe("a red circle", num_inference_steps=1, height=64, width=64).images[0].size == (64, 64)
    assert "Not examined yet" in (folder / "model" / card.CARD).read_text()
    assert "unet 4/4" in (folder / "train.log").read_text()


def test_going_on_after_an_interruption_gives_the_same_weights(
    trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of the UNet's steps and started again, it ends with the bits of an undisturbed run."""
    step = Teacher.step

    def until_two(self: Teacher) -> float:
        if self.done == 2:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Teacher, "step", until_two)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "work")
    again = run(tmp_path / "work")
    for name, value in trained[1].items():
        assert torch.equal(value, again[name]), name


def test_another_seed_gives_other_weights(
    trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """The seed is what decides."""
    other = run(tmp_path / "other", replace(PLAN, seed=1, text_steps=1, encoder_steps=1, unet_steps=1))
    assert not torch.equal(other["unet/conv_in.weight"], trained[1]["unet/conv_in.weight"])


def test_it_goes_on_from_a_finished_model(
    trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """With another seed, too, the text model is that one's to the bit, and the UNet has moved a step from there; the card says so."""
    model = trained[0] / "model"
    plan = replace(PLAN, seed=1, decoder_steps=1, encoder_steps=1, unet_steps=1, unet_rate=1e-5)
    again = run(tmp_path / "work", plan, model)
    texts = [name for name in again if name.startswith("text_encoder/")]
    assert texts
    for name in texts:
        assert torch.equal(again[name], trained[1][name]), name
    unet = "unet/conv_in.weight"
    assert torch.allclose(again[unet], trained[1][unet], atol=1e-3)
    cards = [" ".join((place / card.CARD).read_text().split()) for place in (model, tmp_path / "work/model")]
    assert ["random starting weights" in text for text in cards] == [True, False]
    assert "most of the UNet of an earlier one" in cards[1]


def test_figures_are_kept_in_the_card(trained: tuple[Path, dict[str, torch.Tensor]]) -> None:
    """What the examiner found stands in the card, beside its goals; what is drawn in few steps only once it is."""
    folder = trained[0] / "model"
    part = {
        "background": 99.5,
        "colour": 98.0,
        "thing": 91.0,
        "overlap": 93.5,
        "overlap_tenth": 81.0,
        "pair": 86.0,
        "relation": 97.0,
        "open": 80.0,
    }
    results: dict[str, Any] = {
        "steps": 20,
        "guidance_scale": 4.0,
        "sampler": "DPM++ 2M",
        "singles": 300,
        "pairs": 200,
        "open": 100,
        "default": part,
        "unguided": {**part, "thing": 50.0},
        "negative": 10.0,
        "sizes": {"192x320": 90.0},
        "seconds": 0.6,
    }
    card.keep(folder, results, Image.new("RGB", (8, 8)))
    text = (folder / card.CARD).read_text()
    assert "| thing recognised, of 16 | 91 % | ≥ 90 % | 50 % |" in text
    assert "| … of nine things in ten | 81 % | ≥ 80 % | 81 % |" in text
    assert f"]({card.SHEET})" in text
    assert (folder / card.SHEET).is_file()
    assert json.loads((folder / card.FIGURES).read_text()) == results
    assert "four steps" not in text
    results["quick"] = {**QUICK, "seconds": 0.12, "with": {**part, "thing": 90.5}, "without": part}
    card.keep(folder, results, Image.new("RGB", (8, 8)))
    text = (folder / card.CARD).read_text()
    assert "| thing recognised, of 16 | 91 % | ≥ 90 % | 50 % | 90.5 % | 91 % |" in text
    assert "| seconds for one of 4 steps with `four-steps` | 0.12 |" in text

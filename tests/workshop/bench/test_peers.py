"""Other programs beside Easel: the file that all read, how each is called, and the rounds; none of them is here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import openvino as ov
import pytest
import torch
from openvino import opset13 as ops
from PIL import Image
from safetensors.torch import load_file

from engine.contract import GenerationRequest
from workshop.bench import sd15
from workshop.bench.apart import NoResult
from workshop.bench.peers import __main__ as program
from workshop.bench.peers import child, export, model, original_format, programs
from workshop.bench.peers.child import EASEL, Order
from workshop.bench.peers.programs import CPP, GENAI, GenAi, StableDiffusionCpp
from workshop.bench.results import BASE

pytestmark = pytest.mark.xdist_group("bench")


def order(folder: Path, **values: Any) -> Order:
    usual = Order(
        side=BASE, folder=str(folder), pixels=128, steps=2, users=2, asks=3, parts=child.PARTS, turn=0
    )
    return replace(usual, **values)


# ------------------------------------------------------------------ the file


def test_names_are_those_of_the_original_program() -> None:
    """Of Stable Diffusion 1.5's every weight; where no attention comes before it an upsampler stands a place earlier."""
    with torch.device("meta"):
        unet, vae = sd15.unet().state_dict(), sd15.vae().state_dict()
    names = {
        name.removeprefix("model.diffusion_model."): tuple(weight.shape)
        for name, weight in original_format.of_unet(unet)
    }
    assert len(names) == 686
    assert {
        "input_blocks.0.0.weight": (320, 4, 3, 3),
        "input_blocks.3.0.op.weight": (320, 320, 3, 3),
        "input_blocks.4.0.skip_connection.weight": (640, 320, 1, 1),
        "middle_block.1.transformer_blocks.0.attn2.to_k.weight": (1280, 768),
        "output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
        "output_blocks.5.2.conv.weight": (1280, 1280, 3, 3),
        "output_blocks.11.1.proj_out.weight": (320, 320, 1, 1),
        "time_embed.2.bias": (1280,),
    }.items() <= names.items()
    pictures = {name: tuple(weight.shape) for name, weight in original_format.of_vae(vae)}
    assert len(pictures) == 248
    assert pictures["first_stage_model.decoder.mid.attn_1.q.weight"] == (512, 512, 1, 1)
    assert pictures["first_stage_model.decoder.up.0.block.0.nin_shortcut.weight"] == (128, 256, 1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The one file, with a model of no size in it."""
    made = tmp_path_factory.mktemp("peers")
    with mock.patch.dict(os.environ):
        model.make(made, partial(sd15.assemble, is_tiny=True))
        yield made


def test_the_file_is_what_was_made(folder: Path) -> None:
    """Easel reads it, without the hub, as a model of its kind with those weights; it is made once."""
    subject = child.loaded(order(folder), "float32")
    torch.manual_seed(0)
    made = sd15.assemble(torch.device("cpu"), is_tiny=True)
    for part in ("unet", "text_encoder"):
        mine, read = getattr(made, part).state_dict(), getattr(subject.pipeline, part).state_dict()
        assert mine.keys() == read.keys()
        assert all(torch.equal(mine[name].half().float(), read[name]) for name in mine)
    kept = load_file(model.file_of(folder))
    assert {weight.dtype for weight in kept.values()} <= {torch.float16, torch.int64}
    assert model.make(folder, lambda _: pytest.fail("made again")) == model.file_of(folder)


def test_one_pass_of_plain_diffusers(folder: Path) -> None:
    """Each part's requests are drawn and timed, and no picture is left behind."""
    told = child.passed(order(folder))

    assert told["words"] == "pipe(prompt) in float32"
    assert [len(told["parts"][part]["records"]) for part in child.PARTS] == [1, 8, 3]
    assert all(part["cpu_s"] > 0 for part in told["parts"].values())
    assert list((folder / "pictures").iterdir()) == []


def test_everybody_is_asked_for_the_same(tmp_path: Path) -> None:
    """Within a round, for what all of them have; in the next one for other pictures of the same work."""

    def asked(turn: int) -> list[GenerationRequest]:
        return order(tmp_path, turn=turn).requests("mixed")

    assert asked(0) == asked(0)
    assert asked(0) != asked(1)
    assert sorted(one.steps for one in asked(0)) == sorted(one.steps for one in asked(1))
    assert {one.sampler for one in asked(0)} == set(programs.SAMPLERS)
    assert all(one.evaluations == one.steps and one.size == "128x128" for one in asked(0))


# ------------------------------------------------------------------ the programs


def test_one_that_is_missing_says_what_to_install() -> None:
    """Each with its own command; Easel and diffusers are always here."""
    with mock.patch.object(programs.importlib.util, "find_spec", return_value=None):
        assert programs.missing(CPP) == "sd.cpp: left out, cyllama is not here: pip install cyllama"
        assert "pip install openvino-genai" in programs.missing(GENAI)
        assert programs.missing(EASEL) == programs.missing(BASE) == ""
    with mock.patch.object(programs.importlib.util, "find_spec", return_value=object()):
        assert programs.missing(CPP) == ""


def test_how_stable_diffusion_cpp_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file, all cores, and each request's own values."""
    asked: list[dict[str, Any]] = []

    class Context:
        def __init__(self, given: Any) -> None:
            asked.append({"threads": given.n_threads, "keeps": not given.free_params_immediately})

        def generate(self, prompt: str, **values: Any) -> list[Any]:
            asked.append({"prompt": prompt, **values})
            return [SimpleNamespace(to_pil=lambda: Image.new("RGB", (8, 8)))]

        def close(self) -> None:
            asked.append({"closed": True})

    module: Any = ModuleType("cyllama.sd")
    module.SDContext = Context
    module.SDContextParams = lambda model_path: SimpleNamespace(model_path=model_path)
    module.SampleMethod = SimpleNamespace(EULER="euler", EULER_A="euler a")
    module.get_system_info = lambda: "System Info: \n AVX = 1 | AVX2 = 1 | AVX512 = 0 |"
    monkeypatch.setitem(sys.modules, "cyllama", ModuleType("cyllama"))
    monkeypatch.setitem(sys.modules, "cyllama.sd", module)
    side = StableDiffusionCpp(key=CPP, file=tmp_path / "m.safetensors", folder=tmp_path)
    requests = order(tmp_path).requests("mixed")
    pictures = side.draw(requests[:2])
    side.close()

    assert side.words == "stable-diffusion.cpp in cyllama, built with AVX2"
    assert len(pictures) == 2
    assert asked[0]["threads"] >= 1
    assert asked[0]["keeps"]
    assert [(one["seed"], one["sample_steps"], one["cfg_scale"]) for one in asked[1:3]] == [
        (one.seed, one.steps, one.guidance_scale) for one in requests[:2]
    ]
    assert {one["sample_method"] for one in asked[1:3]} <= {"euler", "euler a"}
    assert asked[3] == {"closed": True}


def test_how_genai_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the wanted precision; without guidance it is told no negative prompt, which it would refuse."""
    asked: list[dict[str, Any]] = []

    class Pipe:
        def __init__(self, folder: str, device: str, **values: Any) -> None:
            asked.append({"device": device, **values})

        def set_scheduler(self, scheduler: str) -> None:
            asked.append({"scheduler": scheduler})

        def generate(self, prompt: str, **values: Any) -> Any:
            asked.append({"prompt": prompt, **values})
            return SimpleNamespace(data=np.zeros((1, 8, 8, 3), np.uint8))

    module: Any = ModuleType("openvino_genai")
    module.Text2ImagePipeline = Pipe
    kinds = SimpleNamespace(EULER_DISCRETE="euler", EULER_ANCESTRAL_DISCRETE="euler a")
    module.Scheduler = SimpleNamespace(from_config=lambda _, kind: kind, Type=kinds)
    monkeypatch.setitem(sys.modules, "openvino_genai", module)
    side = GenAi(key=GENAI, exported=tmp_path, folder=tmp_path, precision="f32")
    info = order(tmp_path).info
    requests = [
        info.request(prompt="x", seed=1, negative_prompt="y", guidance_scale=scale, sampler=sampler)
        for scale, sampler in ((7.0, "Euler"), (1.0, "Euler a"))
    ]
    assert [picture.size for picture in side.draw(requests)] == [(8, 8), (8, 8)]
    assert asked[0]["INFERENCE_PRECISION_HINT"] == "f32"
    assert [one["scheduler"] for one in asked[1::2]] == ["euler", "euler a"]
    assert [one.get("negative_prompt") for one in asked[2::2]] == ["y", None]


def test_genai_tells_its_unet_one_timestep(tmp_path: Path) -> None:
    """Where Easel's takes one for each row: every row gets it, and the inputs have the names that GenAI looks for."""
    unet_of: Any = ov.Model  # its types are two
    sample = ops.parameter([-1, 2], ov.Type.f32)
    timesteps = ops.parameter([-1], ov.Type.f32)
    embeddings = ops.parameter([-1, 2], ov.Type.f32)
    told = ops.unsqueeze(timesteps, ops.constant([1], ov.Type.i64))
    ov.save_model(
        unet_of([ops.add(ops.add(sample, told), embeddings)], [sample, timesteps, embeddings], "unet"),
        str(tmp_path / "unet.xml"),
    )
    unet = ov.Core().compile_model(export._unet(tmp_path / "unet.xml"), "CPU")
    rows = {"sample": np.zeros((3, 2), np.float32), "encoder_hidden_states": np.ones((3, 2), np.float32)}
    assert unet({**rows, "timestep": np.array([41], np.int64)})["out_sample"].tolist() == [[42.0, 42.0]] * 3


# ------------------------------------------------------------------ the rounds


def pass_of(seconds: float, cpu_s: float, asks: int, parts: tuple[str, ...]) -> dict[str, Any]:
    records = [[number, 0.0, seconds, seconds * (number + 1)] for number in range(asks)]
    return {
        "words": "it",
        "ready_s": 1.0,
        "peak_bytes": 10**9,
        "parts": {part: {"records": records, "cpu_s": cpu_s * asks} for part in parts},
    }


def test_sides_take_turns_and_are_compared_round_by_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model is made first; every second round goes backwards; what fails is left out and said; the better rival counts."""
    seen: list[tuple[str, int]] = []

    def run(order: Order) -> dict[str, Any]:
        seen.append((order.side, order.turn))
        if order.side == child.PREPARE:
            return {}
        if order.side == CPP and order.turn:
            raise NoResult("no memory")
        seconds = {BASE: 2.0, EASEL: 1.0, CPP: 6.0}[order.side]
        return pass_of(seconds, seconds, order.asks, tuple(order.parts))

    words = ["--sides", f"{BASE},{CPP},{EASEL}", "--parts", "users", "--rounds", "3"]
    file = tmp_path / "out.json"
    with mock.patch.object(programs.importlib.util, "find_spec", return_value=object()):
        assert program.main([*words, "--json", str(file), "--width", "200"], run) == 0

    first = [(BASE, 0), (CPP, 0), (EASEL, 0)]
    second = [(EASEL, 1), (CPP, 1), (BASE, 1)]
    assert seen == [(child.PREPARE, 0), *first, *second, (BASE, 2), (EASEL, 2)]
    told = json.loads(file.read_text())
    assert list(told["parts"]["users"]["sides"]) == [BASE, EASEL]
    goal = told["goals"][0]
    assert (goal["measured"], goal["is_met"]) == (2.0, True)
    assert told["cpu_s_a_picture"]["users"][EASEL] == [1.0, 1.0, 1.0]
    printed = capsys.readouterr().out
    assert "sd.cpp: left out, it failed (no memory)." in printed
    assert "(0.50x)" in printed


def test_the_slower_rival_flatters_nobody() -> None:
    """Easel is held against the better one, in images a second."""
    run_of = {BASE: 2.0, CPP: 1.2, EASEL: 1.0}
    found = program.Found(results=program.Results(about={}, sides={}))
    told = order(Path("/nowhere"), parts=("users",), asks=4)
    program._add(
        found, told, {side: pass_of(seconds, 1.0, 4, ("users",)) for side, seconds in run_of.items()}
    )
    assert program.goals(found)[0].measured == pytest.approx(1.2)


def test_nobody_who_can_draw_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit code 1."""

    def run(order: Order) -> dict[str, Any]:
        raise NoResult("no disk")

    assert program.main(["--folder", str(tmp_path)], run) == 1
    assert "Nothing could be measured: no disk" in capsys.readouterr().err

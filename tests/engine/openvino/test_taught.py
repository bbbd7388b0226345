"""A quick recipe's LoRA: what it makes of a model is converted behind the first pictures that ask for it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import report
from engine.checkpoints.source import Source
from engine.contract import EngineSettings, Lora, ModelInfo
from engine.device import choice
from engine.device.fingerprint import digest
from engine.families.sd import SdFamily
from engine.loading import speed
from engine.loading.speed import Subject
from engine.openvino import convert, files
from engine.openvino.convert import Order
from engine.openvino.runtime import OpenVino
from engine.unet.batch import forward, noise
from tests.engine.openvino.test_runtime import FOUND, bits, made_with
from tests.kit.adapters import lora_tensors, write
from tests.kit.engines import Bench, described

pytestmark = [pytest.mark.xdist_group("openvino"), pytest.mark.timeout(300)]
STRONG = Lora(name="four-steps", weight=0.9)


@pytest.fixture
def quick(copy: Path, load_pipe: Callable[[Path], Any]) -> tuple[Any, ModelInfo]:
    """(pipe, description) of a model whose quick recipe takes a LoRA in its own folder."""
    pipe = load_pipe(copy)
    tensors = {name: 2 * tensor for name, tensor in lora_tensors(pipe, seed=3).items()}
    write(copy / "loras", STRONG.name, tensors)
    write(copy / "loras", "other", tensors)
    told = json.loads((copy / "easel.json").read_text())
    recipe = {"steps": 4, "sampler": "LCM", "guidance_scale": 1, "lora": str(STRONG)}
    (copy / "easel.json").write_text(json.dumps({**told, "quick": recipe}))
    return pipe, described(EngineSettings(model=str(copy), spool="/nowhere"))


def subject_of(info: ModelInfo, copy: Path, data: Path) -> Subject:
    settings = EngineSettings(
        model=str(copy), spool="/nowhere", data=str(data), mode="wide", runtime="openvino"
    )
    place = choice.choose_place(settings, info.family)
    return Subject(
        settings=settings, info=info, place=place, profile="full", weights=digest(Source.of(str(copy)))
    )


def runtime_in(family: SdFamily) -> OpenVino:
    assert family.forwards.taught is not None
    made = family.forwards.taught.runtime
    assert isinstance(made, OpenVino)
    return made


def test_the_twin_predicts_what_the_unet_with_the_lora_does(quick: tuple[Any, ModelInfo], copy: Path) -> None:
    """Its weights hold what the LoRA adds; what that leaves as it is is there once; the pipeline is itself again."""
    pipe, info = quick
    family = SdFamily(pipe, own=copy)
    batch = noise(family.forwards.blank(2, (64, 64)), 2)
    with torch.inference_mode():
        before = forward(pipe.unet, batch)
        request = info.request(prompt="a fox", seed=1, size=(64, 64), recipe=info.quick)
        canvas = family.prepare(request, 1)
        taught = family.forwards.run(batch, canvas)
        twin = family.forwards.unet_with(STRONG)
        assert torch.allclose(forward(twin, batch), taught, atol=1e-4)
        assert not torch.allclose(before, taught, atol=1e-2)
        plain = family.prepare(replace(request, loras=()), 1)
        assert torch.equal(family.forwards.run(batch, plain), before)
    own = {id(tensor) for tensor in pipe.unet.parameters()}
    shared = [id(tensor) in own for tensor in twin.parameters()]
    assert 0 < sum(shared) < len(shared)
    assert twin.conv_in.weight.data_ptr() == pipe.unet.conv_in.weight.data_ptr()


def test_pictures_of_the_recipe_are_converted_behind_the_first(
    quick: tuple[Any, ModelInfo],
    copy: Path,
    converted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first is torch's, later ones OpenVINO's: the same to the eye, and to the bit in a crowd. Another weight, or another
    LoRA beside it, is torch's. `easel info` knows how it was drawn, and what would draw it again."""
    is_drawn = threading.Event()

    def convert_after_the_first(order: Order) -> None:
        assert is_drawn.wait(60)
        convert._convert(order)

    monkeypatch.setattr(convert, "convert_apart", convert_after_the_first)
    pipe, info = quick
    data, spool = tmp_path / "data", tmp_path / "spool"
    spool.mkdir()
    data.mkdir()
    monkeypatch.setattr(OpenVino, "_measured", lambda _self, _unets, _known: FOUND)
    family = SdFamily(pipe, own=copy)
    subject = subject_of(info, copy, data)
    wanted = speed.hastening(subject, 0).wanted
    assert wanted is not None
    shutil.copytree(converted, wanted.folder)
    speed.hasten(subject, family.forwards, pipe, wanted)
    assert isinstance(family.forwards.runtime, OpenVino)
    family.forwards.runtime.wait()
    assert family.forwards.runtime.is_in_use
    assert [path.name.rpartition("-")[0] for path in (data / files.FOLDER).glob("[!.]*[!n]")] == [info.id]

    bench = Bench(family, info, spool, mode="wide", rows=4)
    request = info.request(prompt="a fox", seed=1, size=(64, 64), recipe=info.quick)
    bench.submit(1, request)
    early = bench.finished(1)
    is_drawn.set()
    runtime_in(family).wait()
    assert runtime_in(family).is_in_use
    bench.submit(2, request)
    lone = bench.finished(2)
    others = [
        replace(request, seed=5),
        replace(request, loras=(replace(STRONG, weight=0.5),)),
        replace(request, loras=(STRONG, Lora(name="other"))),
        replace(request, loras=()),
    ]
    for number, each in enumerate([request, *others], 3):
        bench.submit(number, each)
    crowd = [bench.finished(number) for number in range(3, 8)]
    assert "runtime" not in made_with(early)
    assert made_with(lone)["runtime"] == runtime_in(family).words
    assert bits(crowd[0]) == bits(lone)
    apart = zip(bits(early), bits(lone), strict=True)
    assert max(abs(one - two) for one, two in apart) <= 3
    assert ["runtime" in made_with(each) for each in crowd] == [True, True, False, False, True]

    settings = {"model": str(copy), "data": str(data), "mode": "wide", "runtime": "openvino", "rows": 4}
    told = report.here(settings=settings, wanted=info.id, made=made_with(lone))
    assert (told["quick"], told["runtime"]) == (str(STRONG), made_with(lone)["runtime"])

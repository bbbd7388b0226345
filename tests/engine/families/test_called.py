"""Pipelines without a family of their own: drawn with by calling them, step by step, with the pixels of the plain call."""

from __future__ import annotations

import inspect
import io
import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL  # pyright: ignore[reportPrivateImportUsage]
from PIL import Image

from engine.checkpoints.architectures import CALLS
from engine.contract import (
    OWN_SAMPLER,
    Cancelled,
    EngineSettings,
    Failed,
    InvalidRequest,
    ModelInfo,
    Ready,
    Stepped,
)
from engine.errors import BrokenModel
from engine.families.called import AnyCanvas, AnyFamily, Performance, Step
from tests.kit.called import Called
from tests.kit.engines import Bench, House, announced, described
from tests.kit.tiny_any import BUILDERS


@pytest.fixture(scope="module")
def studio_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Called]:
    made: dict[str, Called] = {}

    def studio(name: str) -> Called:
        if name not in made:
            made[name] = Called(BUILDERS[name](tmp_path_factory.mktemp("models") / name))
        return made[name]

    return studio


@pytest.fixture(params=BUILDERS)
def studio(request: pytest.FixtureRequest, studio_of: Callable[[str], Called]) -> Called:
    return studio_of(request.param)


@pytest.fixture
def flux(studio_of: Callable[[str], Called]) -> Called:
    return studio_of("flux")


def pixels(path: str | None) -> bytes:
    with Image.open(str(path)) as image:
        return image.tobytes()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "easel-picture"]


def threads_end() -> bool:
    """Whether no picture's thread is left within a moment."""
    deadline = time.monotonic() + 30
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not threads()


# ------------------------------------------------------------------ drawing


def test_a_crowd_equals_the_plain_calls(studio: Called, tmp_path: Path) -> None:
    """Pictures that take turns, one of them cancelled on the way, have the pixels of one call each; no thread stays."""
    requests = {
        1: studio.request(seed=2**32 - 1, images=2),
        2: studio.request(prompt="a blue house", steps=2, size=(64, 128)),
        3: studio.request(seed=3, guidance_scale=1.0, steps=1),
        4: studio.request(seed=4, steps=4),
    }
    bench = Bench(studio.family(), studio.model, tmp_path, slots=3)
    for number, request in requests.items():
        bench.submit(number, request)
        bench.tick(number % 2)
    bench.cancel(4)
    bench.finish(*requests)
    assert isinstance(bench.ending(4), Cancelled)
    for number in (1, 2, 3):
        for spooled in bench.finished(number).images:
            expected = studio.plain(requests[number], spooled.seed)
            assert pixels(spooled.path) == expected, number
    assert threads_end()


def test_progress_and_previews(studio: Called, tmp_path: Path) -> None:
    """Each step is told, and a small JPEG of the picture to come is shown on the way where the VAE is a usual one."""
    family = studio.family(preview_every=1)
    bench = Bench(family, studio.model, tmp_path, preview_every=1)
    bench.submit(1, studio.request())
    bench.finish(1)
    steps = [event for event in bench.of(1) if isinstance(event, Stepped)]
    assert steps[-1].step == steps[-1].steps == 4
    jpegs = [event.preview for event in steps if event.preview]
    assert bool(jpegs) == isinstance(studio.pipe.vae, AutoencoderKL)
    for jpeg in jpegs:
        with Image.open(io.BytesIO(jpeg)) as image:
            assert image.format == "JPEG"


def test_the_last_guess_is_nearly_the_picture(studio: Called) -> None:
    """Told from the last step, the finished latents are those that the pipeline decodes."""
    family = studio.family()
    canvas = family.prepare(studio.request(), 7)
    step = None
    while canvas.left:
        (step,) = family.predict([canvas], padded=None)
        family.advance(canvas, step, look=False)
    assert isinstance(step, Step)
    assert torch.allclose(step.guess(), step.after, atol=1e-3, rtol=1e-3)
    family.decode(canvas)


def test_cancelled_within_a_step(flux: Called, tmp_path: Path) -> None:
    """A cancel is answered at the next tick, makes no further step, and leaves neither thread nor file."""
    bench = Bench(flux.family(), flux.model, tmp_path)
    bench.submit(1, flux.request(steps=40))
    bench.tick(3)
    assert threads()
    bench.cancel(1)
    bench.tick()
    ending = bench.ending(1)
    assert isinstance(ending, Cancelled)
    assert 0 < ending.done < 0.2
    assert threads_end()
    assert not list(tmp_path.iterdir())


def test_negative_prompts(studio_of: Callable[[str], Called], tmp_path: Path) -> None:
    """Where the pipeline knows them they are used as in the plain call; else the person is told."""
    sd3, flux = studio_of("sd3"), studio_of("flux")
    request = sd3.request(negative_prompt="blurry")
    bench = Bench(sd3.family(), sd3.model, tmp_path / "sd3")
    (tmp_path / "sd3").mkdir()
    bench.submit(1, request)
    finished = bench.finished(1)
    assert finished.notes == ()
    assert pixels(finished.images[0].path) == sd3.plain(request, 7) != sd3.plain(sd3.request(), 7)
    bench = Bench(flux.family(), flux.model, tmp_path / "flux")
    (tmp_path / "flux").mkdir()
    bench.submit(1, flux.request(negative_prompt="blurry"))
    assert bench.finished(1).notes == ("This model draws without negative prompts: yours was left out.",)


# ------------------------------------------------------------------ what goes wrong


def failing(family: AnyFamily, monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
    """Its transformer raises these, one after the other, when it is called, and then works again."""
    transformer = family._pipe.transformer
    honest = transformer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return honest(*args, **kwargs)

    monkeypatch.setattr(transformer, "forward", forward)


def test_a_failure_is_the_requests_own(flux: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request's error ends it in a sentence; its neighbour, and whoever comes later, are drawn as ever."""
    family = flux.family()
    bench = Bench(family, flux.model, tmp_path)
    bench.submit(1, flux.request(seed=1))
    bench.tick()
    failing(family, monkeypatch, [ValueError("no")])
    bench.submit(2, flux.request(seed=2, steps=1))
    bench.finish(1, 2)
    endings = [bench.ending(1), bench.ending(2)]
    failed = [ending for ending in endings if isinstance(ending, Failed)]
    assert [ending.reason for ending in failed] == [
        "The model could not draw this (ValueError): try other settings."
    ]
    (well,) = [number for number in (1, 2) if not isinstance(bench.ending(number), Failed)]
    request = flux.request(seed=well, steps=4 if well == 1 else 1)
    assert pixels(bench.finished(well).images[0].path) == flux.plain(request, well)
    bench.submit(3, flux.request(seed=3))
    assert pixels(bench.finished(3).images[0].path) == flux.plain(flux.request(seed=3), 3)
    assert threads_end()


def test_out_of_memory_once_begins_anew(
    flux: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that ran out of memory is begun once more, and has its pixels; twice, and a smaller size is named."""
    family = flux.family()
    failing(family, monkeypatch, [torch.OutOfMemoryError()])
    bench = Bench(family, flux.model, tmp_path)
    bench.submit(1, flux.request(size=(128, 128)))
    request = flux.request(size=(128, 128))
    assert pixels(bench.finished(1).images[0].path) == flux.plain(request, 7)
    failing(family, monkeypatch, [torch.OutOfMemoryError(), torch.OutOfMemoryError()])
    bench.submit(2, request)
    bench.finish(2)
    ending = bench.ending(2)
    assert isinstance(ending, Failed)
    assert ending.reason == "There is not enough memory for 128x128: try 64x64."


def test_no_memory_to_decode(flux: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that can't be decoded whole fails with a size that may fit."""

    def short(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(flux.pipe.vae, "decode", short)
    bench = Bench(flux.family(), flux.model, tmp_path)
    bench.submit(1, flux.request(size=(128, 128)))
    bench.finish(1)
    ending = bench.ending(1)
    assert isinstance(ending, Failed)
    assert "not enough memory for 128x128: try 64x64" in ending.reason


def test_numbers_that_ran_away(flux: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of no numbers fails instead of being posted black, and a model of such is found before Ready."""
    from engine.errors import NotFinite

    family = flux.family()
    honest = flux.pipe.transformer.forward

    def nan(*args: Any, **kwargs: Any) -> Any:
        return tuple(part * float("nan") for part in honest(*args, **kwargs))

    monkeypatch.setattr(flux.pipe.transformer, "forward", nan)
    bench = Bench(family, flux.model, tmp_path)
    bench.submit(1, flux.request())
    bench.finish(1)
    ending = bench.ending(1)
    assert isinstance(ending, Failed)
    assert "ran away" in ending.reason
    assert threads_end()
    with pytest.raises(NotFinite):
        family.self_test((64, 64))


def a_step(number: int) -> Step:
    at = torch.tensor(float(number))
    return Step(scheduler=None, prediction=at, timestep=at, before=at, after=at)


@pytest.mark.parametrize("taken", [2, 4, 6])
def test_steps_that_were_not_foreseen(flux: Called, taken: int) -> None:
    """A pipeline that takes more or fewer steps than it was told still ends with its picture."""
    family, picture = flux.family(), Image.new("RGB", (64, 64))

    def play(hand_over: Callable[[Step], None]) -> Image.Image:
        for number in range(taken):
            hand_over(a_step(number))
        return picture

    canvas = AnyCanvas(request=flux.request(steps=4), seed=1, notes=(), performance=Performance(play))
    while canvas.left:
        (outcome,) = family.predict([canvas], padded=None)
        family.advance(canvas, outcome, look=False)
    assert family.decode(canvas) is picture
    assert threads_end()


# ------------------------------------------------------------------ folders


@pytest.mark.parametrize("name", CALLS)
def test_what_the_calls_take(name: str) -> None:
    """Each is diffusers' own, and its defaults are those that the table says; nothing else is ever called."""
    import diffusers

    kind = getattr(diffusers, name)
    assert kind.__module__.startswith("diffusers.pipelines.")
    call, takes = CALLS[name], inspect.signature(kind.__call__).parameters
    assert takes["num_inference_steps"].default == call.steps
    assert takes[call.argument].default == call.guidance
    assert {"prompt", "width", "height", "generator", "output_type"} <= set(takes)
    assert not call.negative or "negative_prompt" in takes
    assert len(call.references) == 1 or "image" in takes
    assert call.area is None or call.area in takes


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_described_by_its_files(flux: Called, studio_of: Callable[[str], Called], tmp_path: Path) -> None:
    """Without easel.json the call's own defaults hold; a FLUX without guidance is one of few steps."""
    folder = Path(shutil.copytree(flux.folder, tmp_path / "flux"))
    (folder / "easel.json").unlink()
    few = described(replace(flux.settings, model=str(folder)))
    assert (few.family, few.width, few.steps, few.guidance_scale) == ("any", 1024, 4, 1.0)
    assert (few.sampler, few.samplers, few.side_multiple) == (OWN_SAMPLER.name, (OWN_SAMPLER.name,), 16)
    edit(folder / "transformer/config.json", guidance_embeds=True)
    many = described(replace(flux.settings, model=str(folder)))
    assert (many.steps, many.guidance_scale) == (28, 3.5)
    other = Path(shutil.copytree(studio_of("sd3").folder, tmp_path / "sd3"))
    (other / "easel.json").unlink()
    edit(other / "transformer/config.json", sample_size=128)
    sd3 = described(replace(flux.settings, model=str(other)))
    assert (sd3.width, sd3.height, sd3.steps, sd3.guidance_scale) == (1024, 1024, 28, 7.0)


def test_described_by_what_pipelines_differ_in(studio_of: Callable[[str], Called], tmp_path: Path) -> None:
    """Distilled models take few steps; sides are those that the VAE makes, or that the call takes by itself."""
    found: dict[str, ModelInfo] = {}
    for name in ("klein", "sana", "auraflow", "qwen"):
        folder = Path(shutil.copytree(studio_of(name).folder, tmp_path / name))
        (folder / "easel.json").unlink()
        found[name] = described(replace(studio_of(name).settings, model=str(folder)))
    told = {name: (info.width, info.side_multiple, info.steps) for name, info in found.items()}
    assert told == {
        "klein": (1024, 16, 4),
        "sana": (512, 64, 20),
        "auraflow": (1024, 16, 50),
        "qwen": (1024, 16, 50),
    }
    assert found["klein"].guidance_scale == 1.0
    edit(tmp_path / "klein/model_index.json", is_distilled=False)
    base = described(replace(studio_of("klein").settings, model=str(tmp_path / "klein")))
    assert (base.steps, base.guidance_scale) == (50, 4.0)


def test_guidance_that_needs_a_negative_prompt(studio_of: Callable[[str], Called], tmp_path: Path) -> None:
    """Qwen-Image's guidance makes a difference though nobody says what not to draw."""
    qwen = studio_of("qwen")
    bench = Bench(qwen.family(), qwen.model, tmp_path)
    pictures: list[bytes] = []
    for number, guidance in enumerate((1.0, 4.0), start=1):
        bench.submit(number, qwen.request(steps=2, guidance_scale=guidance))
        pictures.append(pixels(bench.finished(number).images[0].path))
    assert pictures[0] != pictures[1]


def test_only_its_own_sampler(flux: Called, model: ModelInfo) -> None:
    """It offers one sampler by name, refuses all others, and others refuse it."""
    assert flux.model.request(prompt="x", seed=1, sampler="model's OWN").sampler == OWN_SAMPLER.name
    with pytest.raises(InvalidRequest, match="flux does not work with Euler: use one of Model's own"):
        flux.request(sampler="Euler")
    with pytest.raises(InvalidRequest, match="does not work with Model's own"):
        model.request(prompt="x", seed=1, sampler=OWN_SAMPLER.name)


BREAKAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "code of its own": (
        lambda f: edit(f / "model_index.json", transformer=["my_code", "MyTransformer"]),
        "wants code of its own for transformer, and such code is never run",
    ),
    "a class that is not there": (
        lambda f: edit(f / "model_index.json", transformer=["diffusers", "NoTransformer"]),
        "files in transformer/ .* can't be loaded",
    ),
    "no transformer named": (
        lambda f: edit(f / "model_index.json", transformer=[None, None]),
        "names no transformer",
    ),
    "no weights": (
        lambda f: (f / "text_encoder_2/model.safetensors").unlink(),
        "text_encoder_2/model.safetensors is missing",
    ),
    "only pickles": (
        lambda f: (f / "transformer/diffusion_pytorch_model.safetensors").rename(f / "transformer/w.bin"),
        "transformer .* comes only as a pickle file",
    ),
    "another sampler in easel.json": (
        lambda f: edit(f / "easel.json", sampler="Euler"),
        "wrong value for “sampler”: .* is not one of Model's own",
    ),
}


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed here")
def test_a_library_that_is_not_there(studio_of: Callable[[str], Called], tmp_path: Path) -> None:
    """FLUX.2 [dev] has a tokenizer that wants torchvision: its owner is told before the weights are read."""
    folder = Path(shutil.copytree(studio_of("klein").folder, tmp_path / "dev"))
    index = {"_class_name": "Flux2Pipeline", "tokenizer": ["transformers", "PixtralProcessor"]}
    edit(folder / "model_index.json", **index)
    with pytest.raises(BrokenModel, match="The tokenizer of the model “dev” needs torchvision: install that"):
        Called(folder)


@pytest.mark.parametrize("name", BREAKAGES)
def test_broken_folders(flux: Called, tmp_path: Path, name: str) -> None:
    """What a folder may not have, or lacks, is named in one sentence, and nothing of it is run."""
    folder = Path(shutil.copytree(flux.folder, tmp_path / "flux"))
    break_it, words = BREAKAGES[name]
    break_it(folder)
    with pytest.raises(BrokenModel, match=words) as caught:
        Called(folder)
    assert str(tmp_path) not in str(caught.value)


def test_ready_says_that_no_forward_is_shared(flux: Called, tmp_path: Path) -> None:
    """An engine that was told to share forwards says that it does not with this model."""
    told = EngineSettings(model=str(flux.folder), spool=str(tmp_path), device="cpu", mode="wide")
    ready = announced(told)[-1]
    assert isinstance(ready, Ready)
    assert (ready.fingerprint["mode"], ready.fingerprint["width"]) == ("exact", "1 image")
    assert len(ready.fingerprint["weights"]) == 12


@pytest.mark.xdist_group("house")
def test_a_real_process(house: House) -> None:
    """A spawned engine draws the plain call's pixels."""
    flux = Called(house.folder / "checkpoints" / "flux")
    requests = (flux.request(seed=1), flux.request(seed=2, steps=2))
    endings, _ = house.finish(*requests)
    for request, ending in zip(requests, endings, strict=True):
        (spooled,) = ending.images
        assert pixels(spooled.path) == flux.plain(request, request.seed)

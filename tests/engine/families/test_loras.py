"""A picture with LoRAs equals `pipe()` with them, one without equals `pipe()` without, whatever is drawn in between."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.contract import EngineSettings, Failed, GenerationRequest, Lora, Mode, ModelInfo
from engine.families import loras as lora_module
from engine.families.loras import Loras
from engine.families.sd import SdFamily
from engine.families.sdxl import SdxlFamily
from engine.openvino.files import Findings, Wanted
from engine.openvino.runtime import OpenVino
from engine.pictures import metadata
from engine.unet.batch import Rows, forward
from engine.unet.costs import Costs
from tests.kit.adapters import kohya, lora_tensors, write
from tests.kit.engines import Bench, described, draw, pixels, plain

STEPS = 2
Load = Callable[[Path], Any]


@pytest.fixture
def drawing(tiny: Path, load_pipe: Load) -> Any:
    """A pipeline whose layers a test may change."""
    return load_pipe(tiny)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, pipe: Any, pipe_xl: Any) -> Path:
    """A folder with LoRA files for both tiny models, in both formats."""
    folder = tmp_path_factory.mktemp("adapters") / "loras"
    write(folder, "detail", lora_tensors(pipe, seed=1))
    write(folder, "pixel.v2", kohya(lora_tensors(pipe, seed=2)))
    write(folder / "below", "plain", lora_tensors(pipe, seed=3, text=False))
    write(folder, "words", lora_tensors(pipe, seed=4, unet=False))
    write(folder, "large", lora_tensors(pipe_xl, seed=5))
    write(folder, "larger", kohya(lora_tensors(pipe_xl, seed=6)))
    return folder.parent


@pytest.fixture(scope="module")
def info(tiny: Path, models: Path) -> ModelInfo:
    return described(EngineSettings(model=str(tiny), spool="/nowhere", models=str(models)))


@pytest.fixture(scope="module")
def info_xl(tiny_xl: Path, models: Path) -> ModelInfo:
    return described(EngineSettings(model=str(tiny_xl), spool="/nowhere", models=str(models)))


def a_request(info: ModelInfo, prompt: str = "a red fox", **changes: Any) -> GenerationRequest:
    first = info.request(
        prompt=prompt, negative_prompt="blurry", seed=7, size=(72, 64), steps=STEPS, sampler="Euler a"
    )
    return replace(first, **changes)


@pytest.fixture(scope="module")
def fresh(tiny: Path, tiny_xl: Path, models: Path, load_pipe: Load) -> Callable[..., Any]:
    """What a new pipe draws that was given these LoRAs as diffusers' documentation says."""

    @functools.cache
    def fresh(request: GenerationRequest, output_type: str = "pil") -> Any:
        from safetensors.torch import load_file

        pipe = load_pipe(tiny_xl if request.model == tiny_xl.name else tiny)
        for number, lora in enumerate(request.loras):
            (path,) = (models / "loras").rglob(f"{lora.name}.safetensors")
            pipe.load_lora_weights(load_file(path), adapter_name=f"a{number}")
        if request.loras:
            pipe.set_adapters(
                [f"a{n}" for n in range(len(request.loras))], [lora.weight for lora in request.loras]
            )
        return plain(pipe, request, request.seed, output_type)

    return fresh


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """peft warns of a second adapter, whoever loads it; the engine silences that for itself only."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute")
        yield


ONE = (Lora(name="detail", weight=0.8),)
TWO = (Lora(name="pixel.v2", weight=-0.5), Lora(name="plain"))
WORDS = (Lora(name="words", weight=1.5),)


def test_pictures_equal_a_fresh_pipe_with_the_same_files(
    drawing: Any, info: ModelInfo, models: Path, tmp_path: Path, fresh: Callable[..., Any]
) -> None:
    """Before, between and after pictures with LoRAs those without equal pipe() to the bit, and the others theirs."""
    sets = [(), ONE, (), TWO, WORDS, (), (*TWO, *ONE), ONE, ()]
    family = SdFamily(drawing, models=models)
    bench = Bench(family, info, tmp_path)
    for number, loras in enumerate(sets):
        bench.submit(number, a_request(info, loras=loras))
        bench.finish(number)
    expected = {loras: fresh(a_request(info, loras=loras)).tobytes() for loras in set(sets)}
    assert len(set(expected.values())) == len(expected)
    for number, loras in enumerate(sets):
        assert pixels(bench.finished(number).images[0].path) == expected[loras], (number, loras)


def test_sdxl_too(
    tiny_xl: Path,
    load_pipe: Load,
    info_xl: ModelInfo,
    models: Path,
    tmp_path: Path,
    fresh: Callable[..., Any],
) -> None:
    """Both text encoders, the pooled text and the UNet are switched there and back."""
    sets = [(), (Lora(name="large", weight=0.7),), (Lora(name="larger"), Lora(name="large", weight=-1.0)), ()]
    bench = Bench(SdxlFamily(load_pipe(tiny_xl), models=models), info_xl, tmp_path)
    for number, loras in enumerate(sets):
        bench.submit(number, a_request(info_xl, loras=loras))
    for number, loras in enumerate(sets):
        expected = fresh(a_request(info_xl, loras=loras)).tobytes()
        assert pixels(bench.finished(number).images[0].path) == expected, loras


@pytest.mark.parametrize("mode", ["exact", "wide"])
def test_alone_and_in_a_crowd(
    drawing: Any, info: ModelInfo, models: Path, tmp_path: Path, mode: Mode
) -> None:
    """Neighbours with other LoRAs, or weighted words, or a cancel on the way never show."""
    requests = [
        a_request(info, loras=TWO, seed=1),
        a_request(info, loras=ONE, seed=2, steps=3),
        a_request(info, "a (red:1.3) [fox]", loras=ONE, seed=3),
        a_request(info, "a (red:1.3) [fox]", seed=3),
        a_request(info, loras=TWO, seed=5, images=2, guidance_scale=1.0),
    ]

    family = SdFamily(drawing, models=models)

    def drawn(numbers: list[int]) -> dict[int, list[bytes]]:
        bench = Bench(family, info, tmp_path, slots=4, mode=mode, rows=4)
        for number in numbers:
            bench.submit(number, requests[number])
            bench.tick(number % 3)
        if len(numbers) > 1:
            bench.cancel(numbers.pop(1))
        return {number: [pixels(image.path) for image in bench.finished(number).images] for number in numbers}

    crowd = drawn([*range(len(requests))])
    assert crowd[2] != crowd[3]
    for number, pictures in crowd.items():
        assert drawn([number])[number] == pictures, number


def test_only_equal_adapters_share_a_forward(
    drawing: Any, info: ModelInfo, models: Path, tmp_path: Path
) -> None:
    """In fast, where as many as possible ride together, a forward holds one set of LoRAs; and switching is rare."""
    family = SdFamily(drawing, models=models)
    seen: list[set[tuple[Lora, ...]]] = []
    honest = family.predict

    def watched(canvases: Any, *, padded: int | None) -> Any:
        seen.append({canvas.loras for canvas in canvases})
        return honest(canvases, padded=padded)

    family.predict = watched  # type: ignore[method-assign]
    bench = Bench(family, info, tmp_path, slots=6, mode="fast", rows=8)
    for number in range(6):
        bench.submit(number, a_request(info, loras=(ONE, TWO)[number % 2], seed=number, steps=3 + number % 3))
        bench.tick(2)
    bench.finish(*range(6))
    assert all(len(sets) == 1 for sets in seen)
    flat = [next(iter(sets)) for sets in seen]
    switches = sum(one != other for one, other in itertools.pairwise(flat))
    assert 1 <= switches <= 4


def test_switching_happens_where_it_is_needed(
    drawing: Any, info: ModelInfo, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newcomer's prompt leaves the UNet alone, steps with the same LoRAs switch nothing, files are read once."""
    read: list[str] = []
    honest = Loras._bytes_of
    monkeypatch.setattr(Loras, "_bytes_of", lambda self, name: (read.append(name), honest(self, name))[1])
    switched: list[list[str]] = []
    set_adapters = drawing.unet.set_adapters
    monkeypatch.setattr(
        drawing.unet,
        "set_adapters",
        lambda names, weights: (switched.append(names), set_adapters(names, weights))[1],
    )
    family = SdFamily(drawing, models=models)
    first = family.prepare(a_request(info, loras=ONE), 1)
    family.prepare(a_request(info, loras=TWO), 1)
    while first.left:
        family.advance(first, family.predict([first], padded=None)[0], look=False)
        family.prepare(a_request(info, f"a red fox {first.left}", loras=TWO), 2)
    draw(family, a_request(info, loras=ONE))
    assert len(switched) == 1
    assert read == ["detail", "pixel.v2", "plain"]


def test_few_files_are_kept(
    drawing: Any, info: ModelInfo, models: Path, monkeypatch: pytest.MonkeyPatch, fresh: Callable[..., Any]
) -> None:
    """Those not needed for the longest leave; whoever needs one again has it read again, with the same pixels."""
    monkeypatch.setattr(lora_module, "KEPT", 1)
    family = SdFamily(drawing, models=models)
    first = family.prepare(a_request(info, loras=ONE), 7)
    draw(family, a_request(info, loras=TWO))
    assert [*family._loras._loaded] == ["pixel.v2", "plain"]
    while first.left:
        family.advance(first, family.predict([first], padded=None)[0], look=False)
    assert [*family._loras._loaded] == ["detail"]
    assert torch.equal(first.latents[0], fresh(a_request(info, loras=ONE), "latent"))
    monkeypatch.setattr(lora_module, "KEPT_BYTES", 0)
    assert torch.equal(draw(family, a_request(info)).latents[0], fresh(a_request(info), "latent"))
    assert not family._loras._loaded
    assert not any(drawing.get_list_adapters().values())


def test_a_file_that_is_replaced_makes_other_rows(
    drawing: Any, info: ModelInfo, pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found out about forwards with the old one, which another rank can change, does not hold for them."""
    monkeypatch.setattr(lora_module, "KEPT", 1)
    for name, seed in (("detail", 1), ("plain", 2)):
        write(tmp_path / "loras", name, lora_tensors(pipe, seed=seed))
    family = SdFamily(drawing, models=tmp_path)
    request, other = (a_request(info, loras=(Lora(name=name),)) for name in ("detail", "plain"))
    old = family.prepare(request, 1).shape
    family.prepare(other, 1)
    assert family.prepare(request, 2).shape == old
    write(tmp_path / "loras", "detail", lora_tensors(pipe, seed=1, rank=1))
    family.prepare(other, 1)
    assert family.prepare(request, 1).shape != old


def test_what_is_told_in_the_file(drawing: Any, info: ModelInfo, models: Path, tmp_path: Path) -> None:
    """The PNG names each LoRA, its weight and its file's digest."""
    from engine.checkpoints.adapters import digests

    bench = Bench(SdFamily(drawing, models=models), info, tmp_path)
    bench.submit(1, a_request(info, loras=TWO))
    read = metadata.read(str(bench.finished(1).images[0].path))
    assert read is not None
    assert read.request is not None
    assert read.request.loras == TWO
    here = digests(str(models), ["lora pixel.v2", "lora plain", "lora gone"])
    assert len(here) == 2
    assert read.fingerprint == {"engine": "test", **here}


def test_fused_projections_hear_loras(
    tiny: Path, load_pipe: Load, info: ModelInfo, models: Path, fresh: Callable[..., Any]
) -> None:
    """With q, k and v in one matrix the picture with a LoRA is the plain pipe's with it, and the others stay fused."""
    pipe = load_pipe(tiny)
    with torch.no_grad():
        pipe.unet.fuse_qkv_projections()
    family = SdFamily(pipe, models=models)
    before = draw(family, a_request(info)).latents
    for _ in range(2):
        assert torch.equal(
            draw(family, a_request(info, loras=ONE)).latents[0], fresh(a_request(info, loras=ONE), "latent")
        )
        assert torch.equal(draw(family, a_request(info)).latents, before)


def test_a_runtimes_twin_stays_as_it_is(drawing: Any, info: ModelInfo, models: Path) -> None:
    """It has layers of its own on the same weights, which no LoRA changes; and whatever has a LoRA torch draws."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    family = SdFamily(drawing, models=models)
    size = a_request(info).width, a_request(info).height
    runtime = OpenVino(
        drawing.unet,
        drawing.vae,
        family.forwards.blank(2, size),
        Wanted(folder=models / "none", rows_max=4, threads_max=1, worth=None),
    )
    calls: list[int] = []

    def unet(*tensors: Any) -> Any:
        calls.append(1)
        latents, times, embeddings = tensors
        return forward(
            runtime._unet, Rows(latents=latents, timesteps=times, embeddings=embeddings, guidance=None)
        )

    runtime._networks = {"unet": unet}  # type: ignore[dict-item]
    runtime._found = Findings(share=1.0, threads=1, rows=2, costs=Costs(seconds={1: 1.0, 2: 1.0}), at=1.0)
    family.forwards.runtime = runtime
    own = dict(drawing.unet.named_parameters())
    flags = {name: tensor.requires_grad for name, tensor in runtime._unet.named_parameters()}
    assert all(tensor is own[name] for name, tensor in runtime._unet.named_parameters())
    plain = a_request(info, width=64)
    before = draw(family, plain).latents
    changed = draw(family, replace(plain, loras=ONE)).latents
    assert torch.equal(draw(family, plain).latents, before)
    assert not torch.allclose(changed, before, atol=1e-3)
    assert len(calls) == 2 * STEPS
    assert not any(isinstance(module, BaseTunerLayer) for module in runtime._unet.modules())
    assert flags == {name: tensor.requires_grad for name, tensor in runtime._unet.named_parameters()}


def test_a_person_reads_how_much_of_a_file_was_used(
    drawing: Any, info: ModelInfo, pipe: Any, tmp_path: Path
) -> None:
    """Where a model has not all layers that a file is for, the picture comes with a note; others come without."""
    whole = kohya(lora_tensors(pipe, seed=1))
    more = {
        key.replace("_blocks_0_", "_blocks_7_"): tensor.clone()
        for key, tensor in whole.items()
        if "blocks_0_" in key
    }
    count, others = (sum(".alpha" in key for key in tensors) for tensors in (whole, more))
    write(tmp_path / "loras", "detail", whole)
    write(tmp_path / "loras", "words", {**whole, **more})
    bench = Bench(SdFamily(drawing, models=tmp_path), info, tmp_path)
    for number, loras in enumerate((ONE, WORDS, (*WORDS, *ONE), ())):
        bench.submit(number, a_request(info, loras=loras))
    told = f"Of the {count + others} layers of the LoRA “words”, {count} were used: this model has no place for the others."
    assert [bench.finished(number).notes for number in range(4)] == [(), (told,), (told,), ()]


# ------------------------------------------------------------------ bad files


def test_a_bad_file_fails_alone(
    tiny: Path, load_pipe: Load, info: ModelInfo, models: Path, tmp_path: Path, pipe: Any, pipe_xl: Any
) -> None:
    """Whatever turned up in a file's place since it was described: one sentence, and all others keep their bits."""
    import shutil

    folder = Path(shutil.copytree(models, tmp_path / "models"))
    offered = tuple(replace(each, problem="") for each in info.loras)
    bad = folder / "loras"
    odd = lora_tensors(pipe, seed=9)
    last = [*odd][-1]
    nothing = {
        key.replace("unet.", "unet.x"): tensor for key, tensor in odd.items() if key.startswith("unet")
    }
    write(bad, "detail", {**odd, last: torch.zeros(3, 5)})
    write(bad, "words", {**odd, last: odd[last] * float("nan")})
    write(bad / "below", "plain", nothing)
    (bad / "larger.safetensors").write_bytes((bad / "large.safetensors").read_bytes()[:-9])
    sentences = {
        "large": "The LoRA “large” can't be used: it does not fit this model.",
        "larger": "The LoRA “larger” can't be used: its file is damaged: download it again.",
        "detail": "The LoRA “detail” can't be used: it does not fit this model.",
        "plain": "The LoRA “plain” can't be used: it does not fit this model.",
        "words": "The numbers of this picture ran away: try another seed, less guidance or another sampler.",
    }
    bench = Bench(SdFamily(load_pipe(tiny), models=folder), replace(info, loras=offered), tmp_path)
    good = a_request(info, loras=(Lora(name="pixel.v2"),))
    (bad / "gone").mkdir()
    for number, name in enumerate(sentences, start=10):
        bench.submit(number, a_request(info, loras=(Lora(name="pixel.v2"), Lora(name=name))))
        bench.submit(number + 10, a_request(info))
    bench.submit(1, good)
    bench.finish(*range(10, 10 + len(sentences)), *range(20, 20 + len(sentences)), 1)
    told = {name: bench.ending(number) for number, name in enumerate(sentences, start=10)}
    assert {name: ending.reason for name, ending in told.items() if isinstance(ending, Failed)} == sentences
    alone = Bench(SdFamily(pipe, models=None), info, tmp_path)
    alone.submit(1, a_request(info))
    expected = pixels(alone.finished(1).images[0].path)
    assert all(pixels(bench.finished(20 + n).images[0].path) == expected for n in range(len(sentences)))
    (bad / "pixel.v2.safetensors").unlink()
    later = Bench(SdFamily(load_pipe(tiny), models=folder), info, tmp_path)
    later.submit(1, good)
    later.finish(1)
    gone = later.ending(1)
    assert isinstance(gone, Failed)
    assert gone.reason == "The LoRA “pixel.v2” can't be used: its file is gone."
    del pipe_xl

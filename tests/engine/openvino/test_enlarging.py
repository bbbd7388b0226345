"""OpenVINO enlarges as torch would, behind the first pictures: until it is ready, and where it never is, torch does."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.checkpoints.source import Source
from engine.contract import EngineSettings, Finished, GenerationRequest, ModelInfo, Start, Stepped
from engine.device import choice
from engine.families.sd import SdFamily
from engine.families.tiles import MARGIN
from engine.families.upscaler import UpscaleFamily
from engine.loading import load, upscalers
from engine.loading.opening import Offered, Opener
from engine.openvino import convert, files
from engine.openvino.enlarging import OpenVinoUpscaler
from engine.openvino.files import Findings, Wanted
from engine.pictures import inputs
from tests.engine.openvino.test_runtime import bits, made_with, python_that
from tests.kit.engines import Bench, a_photo, kept
from tests.kit.tiny_upscalers import build

pytestmark = [
    pytest.mark.xdist_group("openvino"),
    pytest.mark.timeout(300),  # by a process that stands behind all others, on a machine that may be busy
]
FOUND = Findings(share=0.5, threads=1, rows=1, costs=None, at=time.time())
"""As if it had been measured."""
NEARLY = 1e-3
"""A quarter of what tells two colours of a picture apart; random weights blow rounding up."""
REFUSED = "OpenVINO can't compute the upscaler “2x-compact”, and torch draws on"


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is FOUND: a busy machine can't find anything else."""
    monkeypatch.setattr(OpenVinoUpscaler, "_measured", lambda _self, _firsts, _known: FOUND)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Converting needs no process of its own."""
    monkeypatch.setattr(convert, "convert_apart", convert._convert)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return build(tmp_path / upscalers.FOLDER / "2x-compact.safetensors")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Converting takes until it is set."""
    opened = threading.Event()

    def later(order: convert.Order) -> None:
        assert opened.wait(60)
        convert._convert(order)

    monkeypatch.setattr(convert, "convert_apart", later)
    yield opened
    opened.set()


def opener_of(file: Path, folder: Path, **changes: Any) -> Opener:
    told: dict[str, Any] = {"data": str(folder / "data"), "mode": "wide", **changes}
    settings = EngineSettings(model="none", spool=str(folder), device="cpu", **told)
    offered = Offered(source=Source.upscaler(file), info=upscalers.describe(file))
    return Opener(settings, {file.stem: offered})


def opened(opener: Opener, file: Path, *, wait: bool = True) -> UpscaleFamily:
    """As an engine opens it; what is converted for it is ready, or never will be."""
    family = load.wholly(opener.open(file.stem)).family
    assert isinstance(family, UpscaleFamily)
    if wait and family.runtime is not None:
        runtime_in(family).wait()
    return family


def runtime_in(family: UpscaleFamily) -> OpenVinoUpscaler:
    assert isinstance(family.runtime, OpenVinoUpscaler)
    return family.runtime


def is_used(file: Path, folder: Path, **changes: Any) -> bool:
    runtime = opened(opener_of(file, folder, **changes), file).runtime
    return runtime is not None and runtime.is_in_use


def converted(folder: Path) -> list[str]:
    """What lies among the converted models, by the end of its name."""
    return sorted(each.suffix or "folder" for each in (folder / "data" / files.FOLDER).iterdir())


# ------------------------------------------------------------------ what it computes


@pytest.mark.parametrize(
    ("kind", "multiple"), [("compact", 1), ("esrgan", 1), ("span", 1), ("swinir", MARGIN), ("cugan", 1)]
)
def test_it_enlarges_as_torch_does(kind: str, multiple: int, tmp_path: Path) -> None:
    """Tiles of any size, filled up to what a network takes; or, where a trace of it can't do others, of whole windows."""
    file = build(tmp_path / f"{kind}.safetensors", kind)
    place = choice.choose_place(EngineSettings(model="none", spool="/nowhere", device="cpu"))
    network = upscalers.load(file, place)
    wanted = Wanted(folder=tmp_path / kind, rows_max=1, threads_max=2, worth=None)
    runtime = OpenVinoUpscaler(network, file, wanted, aligned=MARGIN)
    order = runtime.order()
    assert order is not None
    convert._convert(order)
    runtime.finish()
    assert files.find(wanted.folder) == FOUND
    for height, width in ((160, 144), (16, 64), (41, 30), (70, 161)):
        is_whole = not height % multiple and not width % multiple
        assert runtime.suits([(64, 64), (width, height)]) == is_whole
        if is_whole:
            pixels = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
            assert torch.allclose(runtime(pixels), network(pixels), atol=NEARLY)


def test_what_draws_noise_is_torchs(
    file: Path, tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Nobody could draw that again."""

    class Noisy(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.interpolate(pixels + torch.rand_like(pixels), scale_factor=2)

    monkeypatch.setattr(convert, "_upscaler", lambda _part: Noisy())
    assert not is_used(file, tmp_path)
    assert f"{REFUSED}: it draws noise of its own" in caplog.text


# ------------------------------------------------------------------ pictures


class Studio:
    """Stable Diffusion and the upscaler behind one worker, and an image of several tiles."""

    def __init__(self, pipe: Any, model: ModelInfo, file: Path, folder: Path) -> None:
        self.info, self.folder = upscalers.describe(file), folder / inputs.FOLDER
        opener = opener_of(file, folder)
        self.bench = Bench(SdFamily(pipe), model, folder, others=[self.info], source=opener)

    @property
    def family(self) -> UpscaleFamily:
        loaded = self.bench.worker._shelf.fetch(self.info.id, in_use=set())
        assert loaded is not None
        assert isinstance(loaded.family, UpscaleFamily)
        return loaded.family

    def request(self, image: Image.Image) -> GenerationRequest:
        size = self.info.upscaled(*image.size, 2)
        return self.info.request(
            prompt="", seed=0, size=size, start=Start(image=kept(self.folder, image), upscale=2)
        )

    def begin(self, job_id: int, image: Image.Image) -> None:
        """Until its first tile is there."""
        self.bench.submit(job_id, self.request(image))
        while not any(
            isinstance(each, Stepped) and each.stage == "denoising" for each in self.bench.of(job_id)
        ):
            self.bench.tick()

    def finished(self, job_id: int, image: Image.Image) -> Finished:
        self.bench.submit(job_id, self.request(image))
        return self.bench.finished(job_id)


@pytest.fixture
def studio(pipe: Any, model: ModelInfo, file: Path, tmp_path: Path) -> Studio:
    return Studio(pipe, model, file, tmp_path)


def apart(one: Finished, other: Finished) -> int:
    return max(abs(a - b) for a, b in zip(bits(one), bits(other), strict=True))


def test_nobody_waits_and_no_picture_is_enlarged_by_both(studio: Studio, gate: threading.Event) -> None:
    """Who began with torch ends so; who comes when it is ready has OpenVINO's pixels, the same each time, and its file says so."""
    photo = a_photo((300, 200))
    studio.begin(1, photo)
    gate.set()
    runtime_in(studio.family).wait()
    late, early, again = studio.finished(2, photo), studio.bench.finished(1), studio.finished(3, photo)
    assert "runtime" not in made_with(early)
    assert made_with(late)["runtime"] == runtime_in(studio.family).words
    assert runtime_in(studio.family).words.endswith(", 1 thread")
    assert bits(late) == bits(again)
    assert apart(early, late) <= 1


def test_when_it_fails_torch_enlarges_on(studio: Studio, at_once: None, caplog: Any) -> None:
    """The picture is not lost, its file says that it can't be had again, and OpenVINO is not asked any more."""
    photo = a_photo((300, 200))
    whole = studio.finished(1, photo)
    runtime_in(studio.family).wait()
    studio.begin(2, photo)

    def failing(*_tensors: Any) -> Any:
        raise RuntimeError("bad allocation")

    runtime_in(studio.family)._networks["upscaler"] = failing  # type: ignore[assignment]
    half = studio.bench.finished(2)
    assert caplog.text.count("OpenVINO failed, and torch draws on: bad allocation") == 1
    assert made_with(half)["runtime"] == "OpenVINO, then torch"
    assert apart(whole, half) <= 1
    after = studio.finished(3, photo)
    assert "runtime" not in made_with(after)
    assert bits(after) == bits(whole)


def test_sizes_that_it_does_not_suit_are_torchs(
    pipe: Any, model: ModelInfo, tmp_path: Path, at_once: None
) -> None:
    """Windows: an image whose sides are not made of them is torch's wholly, its whole tiles too."""
    studio = Studio(pipe, model, build(tmp_path / "swinir.safetensors", "swinir"), tmp_path)
    studio.finished(1, a_photo((64, 64)))
    runtime_in(studio.family).wait()
    assert "runtime" in made_with(studio.finished(2, a_photo((80, 64))))
    assert "runtime" not in made_with(studio.finished(3, a_photo((150, 64))))


# ------------------------------------------------------------------ what goes wrong, and what pays


def test_it_is_converted_once(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a process of its own; the next start finds it. Another file by the same name is another upscaler."""
    assert is_used(file, tmp_path)
    orders: list[convert.Order] = []
    monkeypatch.setattr(convert, "convert_apart", orders.append)
    assert is_used(file, tmp_path)
    assert orders == []
    build(file, seed=1)
    assert not is_used(file, tmp_path)
    assert [each.parts["upscaler"].config["file"] for each in orders] == [str(file)]


@pytest.mark.parametrize("changes", [{"runtime": "torch"}, {"mode": "exact"}, {"data": None}])
def test_where_it_is_not_chosen_nothing_is_converted(
    file: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """By the owner's word, or since there is no place to keep it."""
    assert opened(opener_of(file, tmp_path, **changes), file).runtime is None


def test_what_does_not_pay_is_not_used(
    file: Path, tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Unless somebody told so. What was measured is kept, so that it is not converted anew at each start."""
    caplog.set_level("INFO", logger="easel.engine")
    monkeypatch.setattr(OpenVinoUpscaler, "_measured", lambda *_: replace(FOUND, share=1.2))
    assert not is_used(file, tmp_path)
    assert "no faster with the upscaler “2x-compact” here (1.20 of torch's time)" in caplog.text
    assert converted(tmp_path) == [".json"]
    assert opened(opener_of(file, tmp_path), file).runtime is None
    assert is_used(file, tmp_path, runtime="openvino")


def truncated(folder: Path, _file: Path) -> None:
    (folder / "upscaler.bin").write_bytes(b"")


def rubbish(folder: Path, _file: Path) -> None:
    (folder / "upscaler.xml").write_bytes(b"rubbish")


def of_another(folder: Path, file: Path) -> None:
    """As where a file was replaced by one that has the same beginning and end."""
    order = convert.Order(
        folder=str(folder),
        partial=str(folder),
        parts={
            "upscaler": convert.Part(
                kind="Compact",
                config={"file": str(build(file.with_name("other.safetensors"), seed=1))},
                given=[[3, 48, 80]],
            )
        },
    )
    convert._convert(order)


@pytest.mark.parametrize("damage", [truncated, rubbish, of_another])
def test_damaged_and_foreign_files_are_not_used(
    file: Path, tmp_path: Path, at_once: None, caplog: Any, damage: Callable[[Path, Path], None]
) -> None:
    """One sentence; it is taken away, and made anew another day."""
    opener = opener_of(file, tmp_path)
    runtime = runtime_in(opened(opener, file))
    assert runtime.is_in_use
    damage(runtime._wanted.folder, file)
    family = opened(opener, file)
    assert not runtime_in(family).is_in_use
    assert caplog.text.count(REFUSED) == 1
    assert converted(tmp_path) == [".json"]
    assert files.failure(runtime._wanted.folder) is not None
    family.self_test((64, 64))


def test_a_converter_that_fails_is_told(
    file: Path, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, and no half folder stays."""
    python_that(tmp_path, "kill -9 $$", monkeypatch)
    assert not is_used(file, tmp_path)
    assert caplog.text.count(f"{REFUSED}: the system ended what converts it") == 1
    assert converted(tmp_path) == [".json"]


def test_a_file_that_is_gone_meanwhile(
    file: Path, tmp_path: Path, caplog: Any, gate: threading.Event
) -> None:
    """Whoever holds its network already enlarges on with that."""
    family = opened(opener_of(file, tmp_path), file, wait=False)
    file.unlink()
    gate.set()
    runtime_in(family).wait()
    assert not runtime_in(family).is_in_use
    assert caplog.text.count(REFUSED) == 1
    family.self_test((64, 64))


def test_where_openvino_fails_to_load_torch_enlarges(
    file: Path, tmp_path: Path, at_once: None, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is installed, and broken: one sentence."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert not is_used(file, tmp_path)
    assert caplog.text.count(f"{REFUSED}: OpenVINO can't be loaded") == 1


def test_short_memory_leaves_it_out(
    file: Path, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is begun, and one sentence says how much it would take."""
    caplog.set_level("INFO", logger="easel.engine")
    monkeypatch.setattr("engine.loading.speed.memory.reclaim", lambda _device: 1)
    assert opened(opener_of(file, tmp_path), file).runtime is None
    assert caplog.text.count("OpenVINO is left out: for 2x-compact it takes") == 1

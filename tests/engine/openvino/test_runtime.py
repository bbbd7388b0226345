"""OpenVINO computes what torch would, behind the first pictures: until it is ready, and where it never is, torch draws."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.contract import Finished, ModelInfo
from engine.families.sd import SdFamily
from engine.families.sdxl import SdxlFamily
from engine.openvino import convert, files, networks
from engine.openvino.convert import Order
from engine.openvino.files import Findings, Wanted
from engine.openvino.networks import Network
from engine.openvino.runtime import OpenVino
from engine.pictures import metadata
from engine.unet.batch import forward, noise
from engine.unet.costs import Costs
from tests.kit.engines import Bench

pytestmark = [
    pytest.mark.xdist_group("openvino"),  # what is converted is converted once
    pytest.mark.timeout(300),  # by a process that stands behind all others, on a machine that may be busy
]
SIZE = (64, 64)
FOUND = Findings(
    share=0.5, threads=1, rows=4, costs=Costs(seconds={1: 1.0, 2: 1.2, 4: 1.6, 8: 3.2}), at=time.time()
)
"""As if it had been measured: up to four rows pay."""


@pytest.fixture
def folder(converted: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may break, measured."""
    copy = Path(shutil.copytree(converted, tmp_path / "openvino" / converted.name))
    files.keep(copy, FOUND)
    return copy


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is FOUND: a busy machine can't find anything else."""
    monkeypatch.setattr(OpenVino, "_measured", lambda _self, _unets, _known: FOUND)


@pytest.fixture
def gate(converted: Path, monkeypatch: pytest.MonkeyPatch, measured: None) -> Iterator[threading.Event]:
    """Converting takes until it is set."""
    opened = threading.Event()

    def later(order: Order) -> None:
        assert opened.wait(60)
        files.drop(Path(order.partial))
        shutil.copytree(converted, order.folder)

    monkeypatch.setattr(convert, "convert_apart", later)
    yield opened
    opened.set()


def runtime_of(family: SdFamily, pipe: Any, folder: Path, *, worth: float | None = None) -> OpenVino:
    wanted = Wanted(folder=folder, rows_max=8, threads_max=2, worth=worth)
    return OpenVino(pipe.unet, pipe.vae, family.forwards.blank(2, SIZE), wanted)


def hastened(
    pipe: Any, folder: Path, *, wait: bool = True, worth: float | None = None, own: Path | None = None
) -> SdFamily:
    """A family that is drawn with by what lies in the folder, or will. `own`: the model's."""
    family = SdFamily(pipe, own=own)
    runtime = runtime_of(family, pipe, folder, worth=worth)
    family.forwards.runtime = runtime
    runtime.begin()
    if wait:
        runtime.wait()
    return family


def runtime_in(family: SdFamily) -> OpenVino:
    assert isinstance(family.forwards.runtime, OpenVino)
    return family.forwards.runtime


def bits(ending: Finished) -> bytes:
    from PIL import Image

    return Image.open(str(ending.images[0].path)).tobytes()


def made_with(ending: Finished) -> dict[str, str]:
    read = metadata.read(str(ending.images[0].path))
    assert read is not None
    return dict(read.fingerprint)


# ------------------------------------------------------------------ what it computes


def test_it_computes_what_torch_does(pipe: Any, folder: Path) -> None:
    """Any number of rows, of any size that the UNet can halve and any number of tokens; pixels as well."""
    family = hastened(pipe, folder)
    runtime = runtime_in(family)
    with torch.inference_mode():
        for count, size, times in ((1, SIZE, 1), (3, (96, 64), 1), (5, (64, 128), 2)):
            batch = noise(family.forwards.blank(2, size), count)
            batch = replace(batch, embeddings=batch.embeddings.repeat(1, times, 1))
            assert runtime.suits(batch)
            assert torch.allclose(runtime(batch), forward(pipe.unet, batch), atol=2e-5)
        latents = torch.randn((1, 4, 12, 8), generator=torch.Generator().manual_seed(1))
        expected = pipe.vae.decode(latents, return_dict=False)[0]
        assert torch.allclose(runtime.decode(latents), expected, atol=1e-4)


def test_what_it_was_not_made_for_is_torchs(pipe: Any, folder: Path) -> None:
    """Sides that can't be halved, hardly any latents, other channels."""
    runtime = runtime_in(hastened(pipe, folder))
    own = noise(SdFamily(pipe).forwards.blank(2, SIZE), 2)
    assert runtime.suits(own)
    for latents in (own.latents[..., :7], own.latents[..., :2, :2], own.latents.repeat(1, 2, 1, 1)):
        assert not runtime.suits(replace(own, latents=latents))
    assert not runtime.suits(replace(own, guidance=torch.zeros(2, 8)))


def test_sdxl_and_distilled_models(pipe_xl: Any, tmp_path: Path, pipe: Any) -> None:
    """What only SDXL's rows carry arrives, and the guidance that LCM's UNets take as an input."""
    from diffusers import UNet2DConditionModel

    config = {**pipe.unet.config, "time_cond_proj_dim": 16}
    torch.manual_seed(0)
    unet: Any = UNet2DConditionModel.from_config(config)
    lcm = type(pipe)(**{**pipe.components, "unet": unet.eval()})
    for number, (kind, made) in enumerate(((SdxlFamily, pipe_xl), (SdFamily, lcm))):
        like = kind(made).forwards.blank(2, SIZE)
        runtime = OpenVino(
            made.unet,
            made.vae,
            like,
            Wanted(folder=tmp_path / f"{number:016}", rows_max=8, threads_max=2, worth=None),
        )
        order = runtime.order()
        assert order is not None
        convert._convert(order)
        files.keep(Path(order.folder), FOUND)
        runtime.finish()
        batch = noise(like, 3)
        with torch.inference_mode():
            assert torch.allclose(runtime(batch), forward(made.unet, batch), atol=1e-4)
            assert not torch.allclose(runtime(noise(like, 3).each(torch.zeros_like)), runtime(batch))


@pytest.mark.parametrize(("is_half", "numbers"), [(False, "f32"), (True, "bf16")])
def test_the_numbers_are_told_and_never_left_to_it(
    monkeypatch: pytest.MonkeyPatch, is_half: bool, numbers: str
) -> None:
    """By itself it takes bfloat16 on processors that have it, whatever the model was loaded in."""
    told: list[dict[str, Any]] = []

    class Core:
        def compile_model(self, _file: str, _device: str, options: dict[str, Any]) -> Any:
            told.append(options)
            return SimpleNamespace(create_infer_request=lambda: None)

    monkeypatch.setattr(networks, "package", lambda: SimpleNamespace(Core=Core))
    Network(Path("x.xml"), threads=2, bfloat16=is_half)
    assert [(each["INFERENCE_PRECISION_HINT"], each["INFERENCE_NUM_THREADS"]) for each in told] == [
        (numbers, 2)
    ]


# ------------------------------------------------------------------ pictures


def test_alone_and_in_a_crowd_a_picture_has_the_same_bits(
    pipe: Any, folder: Path, model: ModelInfo, tmp_path: Path
) -> None:
    """Nothing is filled up where all widths are equal, and the file says what computed it."""
    family = hastened(pipe, folder)
    runtime = runtime_in(family)
    widths: list[int] = []
    run = runtime._networks["unet"]

    def counted(*tensors: Any) -> Any:
        widths.append(len(tensors[0]))
        return run(*tensors)

    bench = Bench(family, model, tmp_path, mode="wide", rows=2)
    requests = [
        model.request(prompt="x", seed=seed, steps=3, size=SIZE, guidance_scale=scale)
        for seed, scale in ((1, 4.0), (2, 7.0), (3, 1.0), (4, 4.0))
    ]
    canvas = family.prepare(requests[0], 1)
    assert sorted(family.forwards.equal_widths(canvas, 4) or ()) == [1, 2, 3, 4]
    runtime._networks["unet"] = counted  # type: ignore[assignment]
    for job_id, request in enumerate(requests, 1):
        bench.submit(job_id, request)
    crowd = [bench.finished(job_id) for job_id in (1, 2, 3, 4)]
    assert max(widths) == 4
    widths.clear()
    for job_id, request in enumerate(requests, 11):
        bench.submit(job_id, request)
        assert bits(bench.finished(job_id)) == bits(crowd[job_id - 11])
    assert set(widths) == {1, 2}
    assert {made_with(each)["runtime"] for each in crowd} == {runtime.words}


def test_nobody_waits_and_no_picture_is_drawn_by_both(
    pipe: Any, tmp_path: Path, model: ModelInfo, gate: threading.Event
) -> None:
    """Who began with torch ends so, equal to exact; who comes when it is ready is drawn with OpenVINO."""
    family = hastened(pipe, tmp_path / "a", wait=False)
    bench = Bench(family, model, tmp_path, mode="wide", rows=4)

    def request(seed: int, steps: int = 3) -> Any:
        return model.request(prompt="x", seed=seed, steps=steps, size=SIZE, guidance_scale=4.0)

    bench.submit(1, request(1, steps=6))
    bench.tick(3)
    gate.set()
    runtime_in(family).wait()
    bench.submit(2, request(2))  # while the first has steps to make
    early, late = bench.finished(1), bench.finished(2)
    assert "runtime" not in made_with(early)
    assert made_with(early)["mode"] == "exact"
    assert made_with(late)["runtime"] == runtime_in(family).words
    exact = Bench(SdFamily(pipe), model, tmp_path)
    exact.submit(9, request(1, steps=6))
    assert bits(early) == bits(exact.finished(9))


def test_seamless_pictures_are_torchs(pipe: Any, folder: Path, model: ModelInfo, tmp_path: Path) -> None:
    """It knows no edges that meet; and small sizes that can't be halved are torch's, too."""
    family = hastened(pipe, folder)
    bench = Bench(family, model, tmp_path, mode="wide", rows=4)
    bench.submit(1, model.request(prompt="x", seed=1, steps=2, size=SIZE, tile=True))
    bench.submit(2, model.request(prompt="x", seed=1, steps=2, size=SIZE))
    assert "runtime" not in made_with(bench.finished(1))
    assert "runtime" in made_with(bench.finished(2))


@pytest.mark.parametrize("mode", ["wide", "fast"])
@pytest.mark.parametrize("name", ["unet", "decoder"])
def test_when_it_fails_torch_draws_on(
    pipe: Any, folder: Path, model: ModelInfo, tmp_path: Path, mode: Any, name: str, caplog: Any
) -> None:
    """The picture is not lost, its file says that it can't be drawn again, and OpenVINO is not asked any more."""
    family = hastened(pipe, folder)
    runtime, calls = runtime_in(family), []
    honest = runtime._networks[name]

    def failing(*tensors: Any) -> Any:
        calls.append(1)
        if name == "decoder" or len(calls) > 5:
            raise RuntimeError("bad allocation")
        return honest(*tensors)

    bench = Bench(family, model, tmp_path, mode=mode, rows=4)
    runtime._networks[name] = failing  # type: ignore[assignment]
    bench.submit(1, model.request(prompt="x", seed=1, steps=10, size=SIZE))
    made = made_with(bench.finished(1))
    assert not runtime.is_in_use
    assert "OpenVINO failed, and torch draws on: bad allocation" in caplog.text
    assert made["runtime"] == "OpenVINO, then torch"
    assert ("decode" in made) == (name == "decoder")
    bench.submit(2, model.request(prompt="x", seed=1, steps=2, size=SIZE))
    assert "runtime" not in made_with(bench.finished(2))


def test_whoever_it_leaves_goes_on_alone(pipe: Any, folder: Path, model: ModelInfo, tmp_path: Path) -> None:
    """Pictures of other sizes, too, and those that wait to be decoded: what is known of OpenVINO's rows is not torch's."""
    family = hastened(pipe, folder)
    runtime, rows = runtime_in(family), []
    honest, run = runtime._networks["unet"], family.forwards.run

    def failing(*tensors: Any) -> Any:
        if tensors[0].shape[-1] == 8 and len(rows) > 4:
            raise RuntimeError("bad allocation")
        return honest(*tensors)

    def counted(batch: Any, like: Any) -> Any:
        rows.append(len(batch))
        return run(batch, like)

    family.forwards.run = counted  # type: ignore[method-assign]
    runtime._networks["unet"] = failing  # type: ignore[assignment]
    bench = Bench(family, model, tmp_path, mode="wide", rows=2, slots=4)
    canvas = family.prepare(model.request(prompt="x", seed=1, size=(96, 64)), 1)
    for job_id, size in enumerate([SIZE, SIZE, (96, 64), (96, 64)], 1):
        bench.submit(job_id, model.request(prompt="x", seed=job_id, steps=8, size=size))
    made = [made_with(bench.finished(job_id)) for job_id in (1, 2, 3, 4)]
    assert {each["runtime"] for each in made} == {"OpenVINO, then torch"}
    assert family.forwards.equal_widths(canvas, 4) == ()
    assert canvas.widest is None
    assert rows[-1] == 2


# ------------------------------------------------------------------ what goes wrong, and what pays


def test_what_does_not_pay_is_not_used(pipe: Any, tmp_path: Path, gate: threading.Event) -> None:
    """What was measured is kept for later starts; the model is not."""
    gate.set()
    folder = tmp_path / "openvino" / f"x-{1:016}"
    family = hastened(pipe, folder, worth=0.4)
    assert not runtime_in(family).is_in_use
    assert not folder.exists()
    assert files.find(folder) == FOUND


def test_threads_stay_when_it_is_measured_again(pipe: Any, folder: Path, monkeypatch: Any) -> None:
    """Bits depend on them; what costs what is asked anew after a week."""
    asked: list[list[int]] = []

    honest = OpenVino._measured

    def measured(self: OpenVino, unets: dict[int, Any], known: Findings | None) -> Findings:
        asked.append(list(unets))
        return honest(self, unets, known)

    monkeypatch.setattr(OpenVino, "_measured", measured)
    files.keep(folder, replace(FOUND, threads=2, rows=3, at=1.0))
    assert runtime_in(hastened(pipe, folder)).words.endswith("2 threads, 3 rows")
    assert asked == [[2]]
    found = files.find(folder)
    assert found is not None
    assert found.holds
    assert (found.threads, found.rows) == (2, 3)


@pytest.mark.parametrize("broken", ["unet.xml", "unet.bin", "decoder.xml", "another", "decoder of another"])
def test_damaged_and_foreign_files_are_not_used(
    pipe: Any, folder: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One sentence, the folder is taken away so that it is made anew, and torch draws on."""
    if "another" in broken:
        import copy

        pipe = type(pipe)(**pipe.components)
        part = "vae" if "decoder" in broken else "unet"
        changed = copy.deepcopy(getattr(pipe, part))
        with torch.no_grad():
            (changed.decoder.conv_out if part == "vae" else changed.conv_out).bias += 0.5
        setattr(pipe, part, changed)
    else:
        (folder / broken).write_bytes(b"rubbish")
    family = hastened(pipe, folder)
    assert not runtime_in(family).is_in_use
    assert caplog.text.count("OpenVINO can't compute this model, and torch draws on") == 1
    assert not folder.exists()
    assert files.failure(folder) is not None
    assert files.find(folder) is None


def test_a_full_disk_is_told_and_does_no_harm(
    pipe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While weights are written beside: nothing of it stays."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.openvino.runtime.save_file", full)
    family = hastened(pipe, tmp_path / "openvino" / "x")
    assert not runtime_in(family).is_in_use
    assert "torch draws on: [Errno 28] No space left on device" in caplog.text
    assert [each.name for each in (tmp_path / "openvino").iterdir()] == ["x.json"]


def python_that(tmp_path: Path, does: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What converts is begun by a shell that does this first."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\n{does}\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_a_disk_that_gets_full_while_it_is_converted(
    pipe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file may grow beyond a few blocks in that process: what it wrote until then is taken away."""
    python_that(tmp_path, "ulimit -f 100", monkeypatch)
    folder = tmp_path / "openvino" / f"x-{0:016}"
    family = hastened(pipe, folder)
    assert not runtime_in(family).is_in_use
    assert caplog.text.count("OpenVINO can't compute this model, and torch draws on") == 1
    assert [each.name for each in folder.parent.iterdir()] == [f"{folder.name}.json"]


def test_a_converter_that_the_system_ends_is_told(
    pipe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does where memory gets short; by what that most often means. No half folder stays."""
    python_that(tmp_path, "kill -9 $$", monkeypatch)
    folder = tmp_path / "openvino" / "x"
    assert not runtime_in(hastened(pipe, folder)).is_in_use
    assert "torch draws on: the system ended what converts it, most often for lack of memory" in caplog.text
    assert [each.name for each in folder.parent.iterdir()] == ["x.json"]


def test_where_openvino_fails_to_load_torch_draws(
    pipe: Any, folder: Path, model: ModelInfo, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is installed, and broken: one sentence; what was converted stays for the day on which it is whole again."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    family = hastened(pipe, folder)
    assert not runtime_in(family).is_in_use
    assert caplog.text.count("OpenVINO can't be loaded") == 1
    assert folder.exists()
    bench = Bench(family, model, tmp_path, mode="wide", rows=4)
    bench.submit(1, model.request(prompt="x", seed=1, steps=2, size=SIZE))
    assert "runtime" not in made_with(bench.finished(1))


def test_what_cant_be_converted_is_told(pipe: Any, tmp_path: Path, caplog: Any, monkeypatch: Any) -> None:
    """By the last line of the process; no half folder stays."""
    monkeypatch.setattr(
        OpenVino, "_parts", lambda self: {"unet": {"kind": "None", "config": {}, "given": []}}
    )
    monkeypatch.setattr(
        convert,
        "asdict",
        lambda order: {"folder": order.folder, "partial": order.partial, "parts": order.parts},
    )
    family = hastened(pipe, tmp_path / "openvino" / "x")
    assert not runtime_in(family).is_in_use
    assert "torch draws on: AttributeError: module diffusers has no attribute None" in caplog.text
    assert [each.name for each in (tmp_path / "openvino").iterdir()] == ["x.json"]
    assert (
        files.failure(tmp_path / "openvino" / "x") == "AttributeError: module diffusers has no attribute None"
    )


def test_two_models_are_converted_one_after_the_other(
    pipe: Any, tmp_path: Path, gate: threading.Event
) -> None:
    """Who is opened while another one is converted takes nothing away from it, the same model neither."""
    one, other, again = (
        runtime_of(SdFamily(pipe), pipe, tmp_path / "openvino" / name) for name in ("one", "other", "one")
    )
    one.begin()
    weights = tmp_path / "openvino" / files.partial_of(tmp_path / "one").name
    while not weights.exists():
        time.sleep(0.01)
    other.begin()
    again.begin()
    assert weights.exists()
    gate.set()
    for runtime in (one, other, again):
        runtime.wait()
        assert runtime.is_in_use


def test_the_converting_process_leaves_with_its_parent() -> None:
    """Whose id it was told: when that is no longer its parent's, it is gone."""
    command = [sys.executable, "-m", "engine.openvino.convert", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.wait(60) == -signal.SIGKILL


def test_what_killed_processes_left_is_taken_away(tmp_path: Path) -> None:
    """With room for one more; what a living process writes, and what is somebody else's, stays."""
    folders = [files.folder_of(tmp_path, "a/b", {}, weights=str(number)) for number in range(files.KEPT + 1)]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        files.keep(folder, FOUND)
        os.utime(folder, (number, number))
    parent = folders[0].parent
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f".x.{dead.pid}.part", f".x.{os.getppid()}.part", "other"):
        (parent / name).mkdir()
    files.clean(parent)
    kept = folders[2:]
    notes = [folder.with_name(f"{folder.name}.json") for folder in kept]
    assert set(parent.iterdir()) == {*kept, *notes, parent / f".x.{os.getppid()}.part", parent / "other"}


@pytest.mark.parametrize(
    "text", ["", "{", '{"share": 1}', "[]", json.dumps({"costs": {"seconds": {"1": "x"}}})]
)
def test_a_damaged_note_counts_as_none(tmp_path: Path, text: str) -> None:
    """It is measured anew, as if it had never been."""
    folder = tmp_path / "x"
    files.keep(folder, FOUND)
    assert files.find(folder) == FOUND
    folder.with_name("x.json").write_text(text)
    assert files.find(folder) is None


def test_a_note_that_cant_be_written_does_no_harm(tmp_path: Path) -> None:
    """Nothing half written stays beside it."""
    (tmp_path / "x.json").mkdir()
    files.keep(tmp_path / "x", FOUND)
    files.give_up(tmp_path / "x", "why")
    files.keep(tmp_path / "nowhere" / "x", FOUND)
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]


def test_a_model_that_is_let_go_meanwhile_leaves_the_memory(
    pipe: Any, tmp_path: Path, gate: threading.Event
) -> None:
    """Converting goes on, but holds none of its weights."""
    runtime = runtime_of(SdFamily(pipe), pipe, tmp_path / "a")
    runtime.begin()
    gone, thread = weakref.ref(runtime), runtime._thread
    del runtime
    while (tmp_path / "a").exists() is False and gone() is not None:
        gc.collect()
    assert gone() is None
    gate.set()
    assert thread is not None
    thread.join()
    assert (tmp_path / "a").exists()


def test_nothing_is_sent_to_anybody(tmp_path: Path) -> None:
    """OpenVINO's telemetry is not even loaded."""
    code = (
        "from engine.openvino.networks import package; package(); import sys;"
        "print(any(name.startswith('openvino_telemetry') and module for name, module in sys.modules.items()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"

"""Compiling goes on behind the first images: until it is ready, and where it never gets ready, drawing is plain."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from engine.contract import Finished, ModelInfo
from engine.families import forwards
from engine.families.sd import SdFamily
from engine.pictures import metadata
from engine.unet import compiled, compiled_files
from engine.unet.batch import forward, noise
from engine.unet.compiled import CompiledUnet, Order
from tests.kit.engines import Bench

pytestmark = [
    pytest.mark.xdist_group("compiling"),  # what is compiled is compiled once
    pytest.mark.timeout(600),  # by a nice process, on a machine that may be busy
]
SIZE = (64, 64)
MOST = 4


@pytest.fixture(scope="module")
def pipe(tiny: Path, load_pipe: Callable[[Path], Any]) -> Any:
    """With a UNet of one block: compiling takes a minute of anything larger."""
    from diffusers import UNet2DConditionModel

    pipe = load_pipe(tiny)
    torch.manual_seed(1)
    pipe.unet = UNet2DConditionModel(
        sample_size=pipe.unet.config.sample_size,
        cross_attention_dim=pipe.unet.config.cross_attention_dim,
        norm_num_groups=16,
        attention_head_dim=8,
        block_out_channels=(32,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        mid_block_type=None,
    ).eval()
    return pipe


@pytest.fixture(scope="module")
def package(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process of its own really makes of the tiny UNet, for 2 to 4 rows of its own size."""
    file = tmp_path_factory.mktemp("compiled") / "tiny.pt2"
    hasten_with(pipe, file)
    return file


@pytest.fixture
def hastened(pipe: Any, package: Path) -> SdFamily:
    """A family that has loaded it, as a later start does."""
    return hasten_with(pipe, package)


def hasten_with(pipe: Any, file: Path) -> SdFamily:
    """A family that uses what is compiled in `file`, once it is there."""
    family = SdFamily(pipe)
    family.forwards.compile_behind((2, MOST), SIZE, file=file, switches={})
    family.forwards.wait_for_compiler()
    assert family.forwards.is_compiled
    return family


@pytest.fixture
def gate(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Compiling takes until it is set."""
    opened = threading.Event()

    def later(order: Order) -> None:
        assert opened.wait(60)
        shutil.copy(package, order.file)

    monkeypatch.setattr(compiled, "compile_ahead", later)
    yield opened
    opened.set()


def bits(ending: Finished) -> bytes:
    from PIL import Image

    return Image.open(str(ending.images[0].path)).tobytes()


def made_with(ending: Finished) -> dict[str, str]:
    read = metadata.read(str(ending.images[0].path))
    assert read is not None
    return dict(read.fingerprint)


# ------------------------------------------------------------------ the forward


def test_it_predicts_what_the_plain_one_does(pipe: Any, hastened: SdFamily) -> None:
    """For any number of rows from two on, to rounding; every slot gives the same bits."""
    with torch.inference_mode():
        for count in (2, 3, MOST):
            batch = noise(hastened.forwards.blank(2, SIZE), count)
            assert hastened.forwards.runtime_for(batch) is not None
            plain = forward(pipe.unet, batch)
            assert torch.allclose(hastened.forwards(batch), plain, atol=1e-4)
            assert not torch.equal(plain[0], plain[1])
        rolled = hastened.forwards(batch.each(lambda part: part.roll(1, 0)))
        assert torch.equal(rolled.roll(-1, 0), hastened.forwards(batch))


def test_on_a_slow_machine_it_is_timed_twice(hastened: SdFamily, monkeypatch: pytest.MonkeyPatch) -> None:
    """People wait for pictures meanwhile: beyond the second turn only as long as time is left."""
    unet = hastened.forwards._compiled
    assert unet is not None
    honest, calls = unet._program, []

    def counted(batch: Any) -> Any:
        assert honest is not None
        calls.append(len(batch))
        return honest(batch)

    counted_program: Any = counted
    monkeypatch.setattr(compiled, "_TURNS_S", 0.0)
    assert unet._share(counted_program) > 0
    assert calls == [MOST] * 2
    monkeypatch.undo()
    unet._share(counted_program)
    assert calls == [MOST] * 6


def test_other_rows_are_drawn_plain(pipe: Any, hastened: SdFamily) -> None:
    """One row, too many, another size, a prompt of two windows: the plain forward's own bits."""
    with torch.inference_mode():
        own = noise(hastened.forwards.blank(2, SIZE), 2)
        longer = replace(own, embeddings=own.embeddings.repeat(1, 2, 1))
        others = [
            hastened.forwards.blank(count, size)
            for count, size in ((1, SIZE), (MOST + 1, SIZE), (2, (64, 96)))
        ]
        for batch in (*others, longer):
            assert hastened.forwards.runtime_for(batch) is None
            assert torch.equal(hastened.forwards(batch), forward(pipe.unet, batch))


def test_the_weights_are_shared(pipe: Any, hastened: SdFamily) -> None:
    """What is compiled holds no copy of its own: a weight that changes, changes what it predicts."""
    batch = noise(hastened.forwards.blank(2, SIZE), 2)
    weight = pipe.unet.conv_in.weight
    with torch.inference_mode():
        before = hastened.forwards(batch)
        weight.mul_(2)
        try:
            changed = hastened.forwards(batch)
            assert torch.allclose(changed, forward(pipe.unet, batch), atol=1e-4)
        finally:
            weight.div_(2)
        assert not torch.allclose(changed, before, atol=1e-3)
        assert torch.equal(hastened.forwards(batch), before)


def test_small_weights_are_part_of_the_program(pipe: Any, package: Path, tmp_path: Path) -> None:
    """The compiler writes them in, so the same program with another model's is found out, and not used."""
    import copy

    other = copy.deepcopy(pipe.unet)
    with torch.no_grad():
        other.conv_out.bias += 0.5
    file = Path(shutil.copy(package, tmp_path / "a.pt2"))
    unet = CompiledUnet(
        other, SdFamily(pipe).forwards.blank(2, SIZE), counts=(2, MOST), file=file, switches={}
    )
    assert len(unet._order().small["conv_out.bias"]) == 4
    with pytest.raises(compiled.Differs, match="off by"):
        unet.finish(None)
    assert not unet.is_in_use


# ------------------------------------------------------------------ behind the first images


def test_nobody_waits_for_the_compiler(
    pipe: Any, model: ModelInfo, tmp_path: Path, gate: threading.Event
) -> None:
    """In fast a picture is drawn plainly while the compiler works; afterwards the compiled forward is in use."""
    family = SdFamily(pipe)
    family.forwards.compile_behind((2, MOST), SIZE, file=tmp_path / "a.pt2", switches={})
    bench = Bench(family, model, tmp_path, mode="fast", rows=MOST)
    bench.submit(1, model.request(prompt="x", seed=1, steps=2, size=SIZE))
    assert "unet" not in made_with(bench.finished(1))
    gate.set()
    family.forwards.wait_for_compiler()
    bench.submit(2, model.request(prompt="x", seed=1, steps=2, size=SIZE, sampler="Euler"))
    assert made_with(bench.finished(2))["unet"] == f"compiled with {compiled.compiler()}"


def test_a_compiler_that_gets_ready_during_a_forward_changes_nothing(
    pipe: Any, model: ModelInfo, tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In wide the forward that was begun plainly counts as exact's, so the picture goes on in exact."""
    family = SdFamily(pipe)
    family.forwards.compile_behind((MOST, MOST), SIZE, file=tmp_path / "a.pt2", switches={})
    run = family.forwards.run

    def meanwhile(batch: Any, runtime: Any) -> Any:
        gate.set()
        family.forwards.wait_for_compiler()
        return run(batch, runtime)

    monkeypatch.setattr(family.forwards, "run", meanwhile)
    bench = Bench(family, model, tmp_path, mode="wide", rows=MOST)
    bench.submit(1, model.request(prompt="x", seed=1, steps=3, size=SIZE))
    made = made_with(bench.finished(1))
    assert family.forwards.is_compiled
    assert made["mode"] == "exact"
    assert "unet" not in made


def test_in_wide_no_picture_is_half_compiled(
    pipe: Any, model: ModelInfo, tmp_path: Path, gate: threading.Event
) -> None:
    """Until it is ready wide serves as exact does, and who began so ends so; then alone and in a crowd are equal."""
    family = SdFamily(pipe)
    family.forwards.compile_behind((MOST, MOST), SIZE, file=tmp_path / "a.pt2", switches={})
    bench = Bench(family, model, tmp_path, mode="wide", rows=MOST)

    def request(seed: int, steps: int = 3) -> Any:
        return model.request(prompt="x", seed=seed, steps=steps, size=SIZE, guidance_scale=4.0)

    bench.submit(1, request(1, steps=6))
    bench.tick(3)
    gate.set()
    family.forwards.wait_for_compiler()
    bench.submit(2, request(2))  # joins the first, which has steps to make
    early, late = bench.finished(1), bench.finished(2)
    assert made_with(early)["mode"] == "exact"
    assert "unet" not in made_with(early)
    assert "mode" not in made_with(late)
    assert made_with(late)["unet"] == f"compiled with {compiled.compiler()}"
    exact = Bench(SdFamily(pipe), model, tmp_path)
    exact.submit(9, request(1, steps=6))
    assert bits(early) == bits(exact.finished(9))
    for job_id in (3, 4):
        bench.submit(job_id, request(job_id - 1))
    crowd = bench.finished(3), bench.finished(4)
    bench.submit(5, request(3))
    assert bits(crowd[0]) == bits(late)
    assert bits(crowd[1]) == bits(bench.finished(5))


def test_sizes_that_are_not_compiled_are_wide_at_once(
    pipe: Any, model: ModelInfo, tmp_path: Path, gate: threading.Event
) -> None:
    """Only the shape that is being compiled waits for it."""
    family = SdFamily(pipe)
    family.forwards.compile_behind((MOST, MOST), SIZE, file=tmp_path / "a.pt2", switches={})
    bench = Bench(family, model, tmp_path, mode="wide", rows=MOST)
    bench.submit(1, model.request(prompt="x", seed=1, steps=2, size=(64, 96)))
    assert not {"mode", "unet"} & made_with(bench.finished(1)).keys()


# ------------------------------------------------------------------ what pays, and what goes wrong


def test_what_does_not_pay_is_not_used(pipe: Any, tmp_path: Path, gate: threading.Event) -> None:
    """Its share of the plain time is kept for later starts; the program is not."""
    gate.set()
    file = tmp_path / "a.pt2"
    family = SdFamily(pipe)
    family.forwards.compile_behind((2, MOST), SIZE, file=file, switches={}, worth=0.0)
    family.forwards.wait_for_compiler()
    assert not family.forwards.is_compiled
    assert not file.exists()
    share = compiled_files.share_of(file)
    assert share is not None
    assert share > 0
    assert compiled_files.was_slow(file, 0.0)
    assert not compiled_files.was_slow(file, share)
    os.utime(compiled_files._note_of(file), (0, 0))
    assert not compiled_files.was_slow(file, 0.0)


def test_a_missing_compiler_is_told_and_does_no_harm(
    pipe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the compiling process fails the log says why, nothing is left behind, and forwards stay plain."""
    monkeypatch.setenv("CXX", "/no/such/compiler")
    family = SdFamily(pipe)
    family.forwards.compile_behind((2, MOST), SIZE, file=tmp_path / "x" / "a.pt2", switches={})
    family.forwards.wait_for_compiler()
    assert not family.forwards.is_compiled
    assert "can't be compiled here, and is used as it is" in caplog.text
    assert "there is no C++ compiler" in caplog.text
    assert not (tmp_path / "x").exists()
    batch = noise(family.forwards.blank(2, SIZE), 2)
    with torch.inference_mode():
        assert torch.equal(family.forwards(batch), forward(pipe.unet, batch))


@pytest.mark.parametrize("rubbish", [b"", b"PK\x03\x04 nothing"])
def test_a_damaged_file_is_made_anew(
    pipe: Any, tmp_path: Path, gate: threading.Event, caplog: pytest.LogCaptureFixture, rubbish: bytes
) -> None:
    """It is told and taken away; meanwhile drawing is plain."""
    file = tmp_path / "a.pt2"
    file.write_bytes(rubbish)
    family = SdFamily(pipe)
    family.forwards.compile_behind((2, MOST), SIZE, file=file, switches={})
    assert "a compiled model can't be used any more" in caplog.text
    assert not file.exists()
    assert not family.forwards.is_compiled
    gate.set()
    family.forwards.wait_for_compiler()
    assert family.forwards.is_compiled


def test_a_compiled_forward_that_fails_is_taken_for_a_lack_of_memory(
    hastened: SdFamily, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not tell what was wrong: plain forwards follow, in wide by way of exact, and the picture is not lost."""
    assert hastened.forwards._compiled is not None

    honest, calls = hastened.forwards._compiled._program, []

    def failing(batch: Any) -> Any:
        assert honest is not None
        calls.append(len(batch))
        if len(calls) > 1:
            raise RuntimeError("aoti_torch_empty_strided(...) API call failed at model.cpp, line 1")
        return honest(batch)

    hastened.forwards._compiled._program = failing  # type: ignore[assignment]
    monkeypatch.setattr(hastened.forwards, "equal_widths", lambda _canvas, rows: (rows,))
    bench = Bench(hastened, model, tmp_path, mode="wide", rows=MOST)
    bench.submit(1, model.request(prompt="x", seed=1, steps=3, size=SIZE))
    assert made_with(bench.finished(1))["mode"] == "exact and wide"
    assert calls == [MOST] * 2
    assert not hastened.forwards.is_compiled


def test_equal_bits_are_the_compiled_ones(
    pipe: Any, model: ModelInfo, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A width that it does not take is not compared with it; and if it fails meanwhile, nothing that was found holds."""
    calls: list[int] = []

    def counted(batch: Any) -> Any:
        calls.append(len(batch))
        if len(calls) == 4:
            raise RuntimeError("aoti_torch_empty_strided(...) API call failed at model.cpp, line 1")
        return batch.latents

    for least, equal in ((3, [MOST]), (2, ())):
        family = SdFamily(pipe)
        family.forwards.compile_behind((least, MOST), SIZE, file=package, switches={})
        canvas = family.prepare(model.request(prompt="x", seed=1, size=SIZE), 1)
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(family.forwards._compiled, "_program", counted)
            patch.setattr(forwards, "forward", lambda _unet, batch: batch.latents)
            assert family.forwards.equal_widths(canvas, MOST) == equal
            assert family.forwards.is_compiled == (least == 3)


def test_a_compiled_model_leaves_the_memory(pipe: Any, package: Path) -> None:
    """When it is let go, nothing holds its weights, though torch keeps what it was given."""
    import copy
    import gc

    unet = copy.deepcopy(pipe.unet)
    like = SdFamily(pipe).forwards.blank(2, SIZE)
    twin = CompiledUnet(unet, like, counts=(2, MOST), file=package, switches={})
    twin.begin()
    assert twin.is_in_use
    weight = StorageWeakRef(unet.conv_in.weight.untyped_storage())
    del unet
    assert not weight.expired()
    del twin
    gc.collect()
    assert weight.expired()


def test_a_model_that_is_let_go_meanwhile_leaves_the_memory(
    pipe: Any, tmp_path: Path, gate: threading.Event
) -> None:
    """The compiler goes on, but holds none of its weights."""
    import gc
    import weakref

    unet = CompiledUnet(
        pipe.unet,
        SdFamily(pipe).forwards.blank(2, SIZE),
        counts=(2, MOST),
        file=tmp_path / "a.pt2",
        switches={},
    )
    unet.begin()
    gone, thread = weakref.ref(unet), unet._thread
    del unet
    gc.collect()
    assert gone() is None
    gate.set()
    assert thread is not None
    thread.join()
    assert (tmp_path / "a.pt2").exists()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """With room for one more; what a killed compiler left goes, and what is somebody else's stays."""
    files = [
        compiled_files.file_of(tmp_path, "a/b", f"{number:016x}") for number in range(compiled_files.KEPT + 1)
    ]
    files[0].parent.mkdir()
    for number, file in enumerate(files):
        file.touch()
        compiled_files.keep_share(file, 0.5)
        os.utime(file, (number, number))
    compiled_files.partial_of(files[0]).touch()
    other = files[0].with_name("other.pt2")
    other.touch()
    compiled_files.clean(files[0].parent)
    left = {*files[2:], *map(compiled_files._note_of, files[2:]), other}
    assert set(files[0].parent.iterdir()) == left


def test_the_compiling_process_leaves_with_its_parent(tmp_path: Path) -> None:
    """Whose id it was told: when that is no longer its parent's, it is gone, with all it has begun and written."""
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "engine.unet.compiler", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=env) as child:
        assert child.wait(60) == -signal.SIGKILL
    assert not list(tmp_path.iterdir())

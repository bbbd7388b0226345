"""One tick of the worker: who draws, what is told, what a cancel, a fault and a full disk do."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.contract import (
    Cancelled,
    Failed,
    FakeSettings,
    Finished,
    ModelInfo,
    Shutdown,
    Started,
    Stepped,
)
from engine.errors import DeviceLost
from engine.fake import MODEL, FakeCanvas, FakeFamily, FakeForwards
from engine.families.sd import SdFamily
from engine.loop import widths
from engine.loop import worker as worker_module
from engine.loop.progress import TELL_EVERY_S
from engine.pictures import metadata
from tests.kit.engines import Bench, described


def steps(bench: Bench, job_id: int, stage: str = "denoising") -> list[int]:
    return [event.step for event in bench.of(job_id) if isinstance(event, Stepped) and event.stage == stage]


class SpiedFamily(FakeFamily):
    """Remembers whose canvas was stepped or decoded, by seed."""

    def __init__(self, forwards: FakeForwards | None = None) -> None:
        super().__init__(FakeSettings())
        self.forwards = forwards or FakeForwards()
        self.drawn: list[tuple[list[int], int | None]] = []
        self.decoded: list[int] = []

    def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
        self.drawn.append(([canvas.seed for canvas in canvases], padded))
        return super().predict(canvases, padded=padded)

    def decode(self, canvas: FakeCanvas, *, sparing: bool = False) -> Any:
        self.decoded.append(canvas.seed)
        return super().decode(canvas, sparing=sparing)

    @property
    def stepped(self) -> list[int]:
        return [seed for seeds, _ in self.drawn for seed in seeds]


def test_a_job_in_order(tmp_path: Path) -> None:
    """A job is told as started, every step counted over all its images, then finished."""
    bench = Bench(FakeFamily(FakeSettings()), MODEL, tmp_path, tell_every_s=0.0)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=3, images=2))
    ending = bench.finished(1)
    events = bench.of(1)
    assert isinstance(events[0], Started)
    assert steps(bench, 1) == [1, 2, 3, 4, 5, 6]
    assert {event.steps for event in events if isinstance(event, Stepped)} == {6}
    assert events[-1] is ending
    assert [image.seed for image in ending.images] == [1, 2]
    assert ending.seconds >= 0


def test_exact_draws_one_picture_a_forward_the_shortest_first(tmp_path: Path) -> None:
    """In exact no forward is shared; who has least left goes first, and a third waits for a free slot."""
    family = SpiedFamily()
    bench = Bench(family, MODEL, tmp_path, slots=2)
    for number, steps_ in ((1, 5), (2, 2), (3, 1)):
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=steps_))
    bench.finish(1, 2, 3)
    assert family.stepped == [2, 2, 3, 1, 1, 1, 1, 1]
    assert {padded for _, padded in family.drawn} == {None}


def test_fast_shares_forwards_up_to_its_rows(tmp_path: Path) -> None:
    """Six rows hold three pictures with guidance, or five without and none of another size."""
    family = SpiedFamily()
    bench = Bench(family, MODEL, tmp_path, slots=8, mode="fast", rows=6)
    for number, guidance in ((1, 7.5), (2, 7.5), (3, 1.0), (4, 7.5), (5, 1.0)):
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=2, guidance_scale=guidance))
    bench.submit(6, MODEL.request(prompt="x", seed=6, steps=2, size=(64, 64)))
    bench.finish(*range(1, 7))
    assert family.drawn == [
        ([1, 2, 3, 5], None),
        ([1, 2, 3, 5], None),
        ([4], None),
        ([4], None),
        ([6], None),
        ([6], None),
    ]


def test_wide_is_always_as_wide(tmp_path: Path) -> None:
    """Alone or together, every forward is filled up to the same rows; who joins is in the next one."""
    family = SpiedFamily()
    bench = Bench(family, MODEL, tmp_path, mode="wide", rows=4)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=3))
    bench.tick(2)  # its widths are tried in the first one
    bench.submit(2, MODEL.request(prompt="x", seed=2, steps=3))
    bench.finish(1, 2)
    assert family.drawn == [([1], 4), ([1, 2], 4), ([1, 2], 4), ([2], 4)]


def test_wide_fills_up_no_further_than_bits_need(tmp_path: Path) -> None:
    """Where four rows give the bits of eight, up to two pictures are filled up to four, and three to eight."""

    class Halving(FakeForwards):
        def equal_widths(self, canvas: FakeCanvas, rows: int) -> Sequence[int]:
            return (rows, rows // 2)

    family = SpiedFamily(Halving())
    bench = Bench(family, MODEL, tmp_path, mode="wide", rows=8)
    for number, steps_ in ((1, 3), (2, 2), (3, 1)):
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=steps_))
    bench.finish(1, 2, 3)
    assert [(sorted(seeds), padded) for seeds, padded in family.drawn] == [
        ([1, 2, 3], 8),
        ([1, 2], 4),
        ([1], 4),
    ]


def test_a_shape_whose_slots_differ_is_served_in_exact(tmp_path: Path) -> None:
    """Where the probe finds slots that disagree, wide falls back to one picture a forward, and the file says so."""

    class Differing(FakeForwards):
        asked = 0

        def equal_widths(self, canvas: FakeCanvas, rows: int) -> Sequence[int]:
            self.asked += 1
            return () if canvas.request.width == 64 else (rows,)

    family = SpiedFamily(differing := Differing())
    bench = Bench(family, MODEL, tmp_path, mode="wide", rows=4)
    for number in (1, 2):
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=1, size=(64, 64)))
    bench.submit(3, MODEL.request(prompt="x", seed=3, steps=1))
    bench.finish(1, 2, 3)
    assert family.drawn == [([1], None), ([2], None), ([3], 4)]
    assert differing.asked == 2
    modes = [metadata.read(str(bench.finished(number).images[0].path)) for number in (1, 3)]
    assert [info.fingerprint.get("mode") for info in modes if info] == ["exact", None]


def test_widths_are_tried_in_a_tick_of_their_own(tmp_path: Path) -> None:
    """Who gives up while they are tried is heard before any forward, and what was found out serves the next one."""

    class Slow(FakeForwards):
        asked = 0

        def equal_widths(self, canvas: FakeCanvas, rows: int) -> Sequence[int]:
            self.asked += 1
            bench.cancel(1)
            return (rows,)

    family = SpiedFamily(slow := Slow())
    bench = Bench(family, MODEL, tmp_path, mode="wide", rows=4)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=2))
    bench.finish(1)
    assert bench.ending(1) == Cancelled(job_id=1, attempt=1, done=0.0)
    assert family.drawn == []
    bench.submit(2, MODEL.request(prompt="x", seed=2, steps=2))
    bench.finish(2)
    assert family.drawn == [([2], 4)] * 2
    assert slow.asked == 1


def test_no_memory_for_many_narrows_and_loses_nobody(tmp_path: Path) -> None:
    """A forward too large for memory is halved until it fits, and everybody is finished."""

    class Small(SpiedFamily):
        def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
            if len(canvases) > 3:
                raise MemoryError
            return super().predict(canvases, padded=padded)

    family = Small()
    bench = Bench(family, MODEL, tmp_path, slots=8, mode="fast", rows=16)
    for number in range(1, 8):
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=1))
    bench.finish(*range(1, 8))
    assert all(isinstance(bench.ending(number), Finished) for number in range(1, 8))
    assert [seeds for seeds, _ in family.drawn] == [[1, 2, 3], [4, 5, 6], [7]]


def test_alone_without_memory_there_is_one_more_try(tmp_path: Path) -> None:
    """A picture alone in a forward that has no memory is tried once more, then fails."""
    tries: list[int] = []

    class Full(SpiedFamily):
        def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
            tries.append(len(canvases))
            raise MemoryError

    bench = Bench(Full(), MODEL, tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1))
    bench.finish(1)
    assert isinstance(bench.ending(1), Failed)
    assert tries == [1, 1]


def test_a_forward_that_fails_is_repeated_one_by_one(tmp_path: Path) -> None:
    """When a shared forward raises, only the picture that also fails alone is lost."""

    class Fragile(SpiedFamily):
        def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
            if any(canvas.seed == 2 for canvas in canvases):
                raise RuntimeError("bad row")
            return super().predict(canvases, padded=padded)

    bench = Bench(Fragile(), MODEL, tmp_path, mode="fast", rows=8)
    for number in (1, 2, 3):
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=2))
    bench.finish(1, 2, 3)
    assert [type(bench.ending(number)) for number in (1, 2, 3)] == [Finished, Failed, Finished]


def test_no_memory_for_decoding_is_tried_sparingly(tmp_path: Path) -> None:
    """A picture that can't be decoded whole is decoded in parts."""
    asked: list[bool] = []

    class Large(SpiedFamily):
        def decode(self, canvas: FakeCanvas, *, sparing: bool = False) -> Any:
            asked.append(sparing)
            if not sparing:
                raise MemoryError
            return super().decode(canvas, sparing=sparing)

    bench = Bench(Large(), MODEL, tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=1))
    assert isinstance(bench.finished(1), Finished)
    assert asked == [False, True]


def test_previews_and_time_left(tmp_path: Path) -> None:
    """Every few steps a small JPEG is told, never after the last one, and every step tells the time left."""
    bench = Bench(FakeFamily(FakeSettings(step_s=0.01)), MODEL, tmp_path, preview_every=3, tell_every_s=0.0)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=10))
    bench.finish(1)
    told = [event for event in bench.of(1) if isinstance(event, Stepped)]
    previews = [event.preview for event in told if event.preview]
    assert len(previews) == 3
    with Image.open(io.BytesIO(previews[0])) as image:
        assert image.format == "JPEG"
    left = [event.seconds_left for event in told if event.seconds_left is not None]
    assert left[0] > left[len(left) // 2] > left[-1]
    assert 0.05 < left[0] < 5


def test_a_probe_that_fails_ends_nobody(tmp_path: Path) -> None:
    """Where the slots of a shape can't even be compared, it is served in exact."""

    class Fragile(FakeForwards):
        def equal_widths(self, canvas: FakeCanvas, rows: int) -> Sequence[int]:
            raise RuntimeError("CUDNN_STATUS_NOT_SUPPORTED")

    family = SpiedFamily(Fragile())
    bench = Bench(family, MODEL, tmp_path, mode="wide", rows=4)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=1))
    assert isinstance(bench.finished(1), Finished)
    assert family.drawn == [([1], None)]


def test_a_narrowed_shape_gets_wider_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that was short for a while is tried again after many forwards that went well."""
    monkeypatch.setattr(widths, "RELAX_AFTER", 3)

    class Passing(SpiedFamily):
        failed = False

        def predict(self, canvases: Sequence[FakeCanvas], *, padded: int | None) -> Sequence[None]:
            if not self.failed:
                self.failed = True
                raise MemoryError
            return super().predict(canvases, padded=padded)

    family = Passing()
    bench = Bench(family, MODEL, tmp_path, mode="fast", rows=4)
    for number in (1, 2):
        bench.submit(number, MODEL.request(prompt="x", seed=number, steps=8))
    bench.finish(1, 2)
    assert [seeds for seeds, _ in family.drawn][:4] == [[1], [1], [1], [1, 2]]


def test_a_picture_in_tiles_says_so(tmp_path: Path) -> None:
    """Tiles have slightly other pixels: the file's fingerprint tells."""

    class Large(FakeFamily):
        def decode(self, canvas: FakeCanvas, *, sparing: bool = False) -> Any:
            if not sparing:
                raise MemoryError
            return super().decode(canvas, sparing=sparing)

    bench = Bench(Large(FakeSettings()), MODEL, tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=1))
    found = metadata.read(str(bench.finished(1).images[0].path))
    assert found is not None
    assert found.fingerprint["decode"] == "tiles"


def test_waiting_is_told(tmp_path: Path) -> None:
    """A job that finds every slot taken says that it waits, and starts later."""
    bench = Bench(FakeFamily(FakeSettings()), MODEL, tmp_path, slots=1)
    bench.submit(1, MODEL.request(prompt="x", seed=1))
    bench.tick()
    bench.submit(2, MODEL.request(prompt="x", seed=2))
    bench.tick()
    (waiting,) = bench.of(2)
    assert isinstance(waiting, Stepped)
    assert (waiting.stage, waiting.step) == ("waiting", 0)
    bench.finish(1, 2)
    assert any(isinstance(event, Started) for event in bench.of(2))


def test_cancel_at_the_next_step_and_never_decodes(tmp_path: Path) -> None:
    """After a cancel the job takes no further step, is not decoded, and tells the share it had done."""
    family = SpiedFamily()
    bench = Bench(family, MODEL, tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=10))
    bench.submit(2, MODEL.request(prompt="x", seed=2, steps=10))
    bench.tick(3)
    bench.cancel(1)
    bench.finish(1, 2)
    assert family.stepped.count(1) == 3
    assert family.decoded == [2]
    ending = bench.ending(1)
    assert isinstance(ending, Cancelled)
    assert ending.done == pytest.approx(0.3)
    assert [file.name for file in tmp_path.iterdir()] == ["2-1-0.png"]


def test_cancel_after_the_last_step_still_prevents_decoding(tmp_path: Path) -> None:
    """Decoding is a turn of its own: a cancel that comes during the last step is in time."""
    family = SpiedFamily()
    bench = Bench(family, MODEL, tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=2))
    bench.tick(2)
    bench.cancel(1)
    bench.finish(1)
    assert family.decoded == []
    assert isinstance(bench.ending(1), Cancelled)


def test_cancel_removes_pictures_already_saved(tmp_path: Path) -> None:
    """A job cancelled between its images leaves no file behind."""
    bench = Bench(FakeFamily(FakeSettings()), MODEL, tmp_path, slots=1)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=2, images=3))
    for _ in range(200):
        bench.tick()
        if any(tmp_path.glob("1-1-0.png")):
            break
    bench.cancel(1)
    bench.submit(2, MODEL.request(prompt="x", seed=9))
    bench.finish(1, 2)
    bench.worker._finishing._saver.shutdown()
    bench.tick(1)
    assert [file.name for file in tmp_path.iterdir()] == ["2-1-0.png"]


def test_cancel_of_a_waiting_job_and_of_unknown_ones(tmp_path: Path) -> None:
    """A waiting job is cancelled with nothing done; cancels of finished, unknown or older attempts are silent."""
    bench = Bench(FakeFamily(FakeSettings()), MODEL, tmp_path, slots=1)
    bench.submit(1, MODEL.request(prompt="x", seed=1))
    bench.submit(2, MODEL.request(prompt="x", seed=2), attempt=2)
    bench.tick()
    bench.cancel(2, attempt=1)
    bench.cancel(77)
    bench.tick()
    assert not [event for event in bench.of(2) if not isinstance(event, Stepped)]
    bench.cancel(2, attempt=2)
    bench.finish(1, 2)
    bench.cancel(1)
    bench.tick(0)
    assert bench.ending(2) == Cancelled(job_id=2, attempt=2, done=0.0)
    assert isinstance(bench.ending(1), Finished)
    assert bench.of(77) == []


def test_steps_are_told_at_most_ten_times_a_second(tmp_path: Path) -> None:
    """A fast job tells its first and its last step, and does not flood the pipe between."""
    bench = Bench(FakeFamily(FakeSettings(step_s=0.004)), MODEL, tmp_path)
    bench.submit(1, MODEL.request(prompt="x", seed=1, steps=100))
    seconds = bench.finished(1).seconds
    told = steps(bench, 1)
    assert told[0] == 1
    assert told[-1] == 100
    assert told == sorted(set(told))
    assert len(told) <= seconds / TELL_EVERY_S + 2


def test_one_fault_is_ones_own(fake_bench: Bench) -> None:
    """A request that fails ends alone with a sentence; its neighbour is finished."""
    fake_bench.submit(1, MODEL.request(prompt="FAIL", seed=1))
    fake_bench.submit(2, MODEL.request(prompt="fine", seed=2))
    fake_bench.finish(1, 2)
    ending = fake_bench.ending(1)
    assert isinstance(ending, Failed)
    assert ending.reason.endswith(".")
    assert isinstance(fake_bench.ending(2), Finished)
    assert len([event for event in fake_bench.of(1) if isinstance(event, Failed)]) == 1


def test_a_full_disk_fails_with_a_sentence(fake_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a picture can't be saved its job fails, naming the reason, and the engine goes on."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        fake_bench.submit(1, MODEL.request(prompt="x", seed=1, images=3))
        fake_bench.finish(1)
    ending = fake_bench.ending(1)
    assert isinstance(ending, Failed)
    assert "No space left on device" in ending.reason
    fake_bench.submit(2, MODEL.request(prompt="x", seed=1))
    assert fake_bench.finished(2).images[0].path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "another/model"}, "There is no model “another/model”"),
        ({"width": 1032, "height": 64}, "the width 1032 is outside"),
    ],
)
def test_what_the_model_cannot_draw_fails(fake_bench: Bench, changes: dict[str, Any], words: str) -> None:
    """A request for another model or outside this model's bounds fails at once, without a Started."""
    values = {**MODEL.request(prompt="x", seed=1).to_dict(), **changes}
    fake_bench.submit(1, type(MODEL.request(prompt="x", seed=1)).from_dict(values))
    fake_bench.finish(1)
    (ending,) = fake_bench.of(1)
    assert isinstance(ending, Failed)
    assert words in ending.reason


def test_the_same_submit_twice_runs_once(fake_bench: Bench) -> None:
    """A repeated Submit of a running attempt changes nothing."""
    request = MODEL.request(prompt="x", seed=1)
    fake_bench.submit(1, request)
    fake_bench.submit(1, request)
    fake_bench.finish(1)
    assert len([event for event in fake_bench.of(1) if isinstance(event, Started)]) == 1


def test_shutdown_stops_at_once(fake_bench: Bench) -> None:
    """Shutdown ends the loop at the next tick, whatever is still being drawn."""
    fake_bench.submit(1, MODEL.request(prompt="x", seed=1, steps=150))
    fake_bench.tick(3)
    fake_bench.controls.put(Shutdown())
    fake_bench.worker.run()
    assert fake_bench.ending(1) is None


def test_idle_engine_leaves_when_nobody_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker asks whether to keep on, and ends when the answer is no."""
    monkeypatch.setattr(worker_module, "IDLE_S", 0.01)
    bench = Bench(FakeFamily(FakeSettings()), MODEL, tmp_path)
    answers = [True, True, False]
    bench.worker._keep_on = lambda: answers.pop(0)
    bench.worker.run()
    assert answers == []


# ------------------------------------------------------------------ with the real family


def test_the_real_one_never_decodes_a_cancelled_picture(
    bench: Bench, pipe: Any, model: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With diffusers, too: after the cancel neither UNet nor VAE is called again."""
    calls: list[str] = []
    unet, decode = pipe.unet.forward, pipe.vae.decode
    monkeypatch.setattr(pipe.unet, "forward", lambda *a, **k: (calls.append("unet"), unet(*a, **k))[1])
    monkeypatch.setattr(pipe.vae, "decode", lambda *a, **k: (calls.append("vae"), decode(*a, **k))[1])
    bench.submit(1, model.request(prompt="x", seed=1, size=(64, 64), sampler="Euler", steps=6))
    bench.tick(4)
    bench.cancel(1)
    bench.submit(2, model.request(prompt="x", seed=1, size=(64, 64), sampler="Euler", steps=1))
    bench.finish(1, 2)
    assert calls == ["unet"] * 4 + ["unet", "vae"]


def test_numbers_that_run_away_fail_alone(
    bench: Bench, model: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture whose latents are not finite fails with a sentence; its neighbour equals an undisturbed one."""
    advance = SdFamily.advance

    def poison(self: SdFamily, canvas: Any, prediction: Any, *, look: bool) -> None:
        advance(self, canvas, prediction, look=look)
        if canvas.guidance_scale == 3.0:
            canvas.latents = canvas.latents * torch.nan

    monkeypatch.setattr(SdFamily, "advance", poison)
    bench.submit(1, model.request(prompt="x", seed=1, size=(64, 64), guidance_scale=3.0))
    bench.submit(2, model.request(prompt="x", seed=1, size=(64, 64)))
    bench.finish(1, 2)
    ending = bench.ending(1)
    assert isinstance(ending, Failed)
    assert "ran away" in ending.reason
    assert bench.finished(2).images[0].path


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_names_a_smaller_size(
    bench: Bench, model: ModelInfo, pipe: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Running out of memory fails this request with a size to try, and the engine goes on."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(pipe.unet, "forward", fail)
        bench.submit(1, model.request(prompt="x", seed=1, size=(512, 256)))
        bench.finish(1)
    ending = bench.ending(1)
    assert isinstance(ending, Failed)
    assert ending.reason == "There is not enough memory for 512x256: try 320x128."
    bench.submit(2, model.request(prompt="x", seed=1, size=(64, 64)))
    assert bench.finished(2)


def test_a_lost_device_is_nobodys_fault(
    bench: Bench, model: ModelInfo, pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error that leaves the GPU unusable no request is failed: the engine itself ends."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered", 700)

    monkeypatch.setattr(pipe.unet, "forward", fail)
    bench.submit(1, model.request(prompt="x", seed=1, size=(64, 64)))
    with pytest.raises(DeviceLost):
        bench.tick()
    assert bench.ending(1) is None


def test_decoding_in_tiles_is_the_same_picture(starter: Any, starter_model: ModelInfo) -> None:
    """Where memory is short the picture is decoded in tiles: no seam, hardly a difference, and the VAE is left as it was."""
    family = SdFamily(starter)
    canvas = family.prepare(starter_model.request(prompt="a red heart", seed=1, size=(256, 192), steps=2), 1)
    before = starter.vae.use_tiling, starter.vae.tile_latent_min_size
    whole, tiled = family.decode(canvas), family.decode(canvas, sparing=True)
    assert whole is not None
    assert tiled is not None
    assert whole.size == tiled.size
    differences = [abs(a - b) for a, b in zip(whole.tobytes(), tiled.tobytes(), strict=True)]
    assert 0 < sum(differences) / len(differences) < 6
    assert (starter.vae.use_tiling, starter.vae.tile_latent_min_size) == before


def test_a_prompt_beyond_all_windows_is_cut_with_a_note(bench: Bench, model: ModelInfo, pipe: Any) -> None:
    """Of a prompt longer than four windows what fits is drawn, and the words shown are those around the cut."""
    fits = "a " * (4 * 75)
    bench.submit(1, model.request(prompt=f"{fits}bee {'c ' * 20}", seed=1, size=(64, 64), steps=2))
    bench.submit(2, model.request(prompt=fits, seed=1, size=(64, 64), steps=2))
    cut, whole = bench.finished(1), bench.finished(2)
    assert whole.notes == ()
    assert cut.notes == (
        "The prompt is too long for this model: it was used up to “…a a a a”; from “bee c c c…” on it was left out.",
    )
    assert cut.images[0].sha256 != whole.images[0].sha256  # the text in the file differs
    with Image.open(str(cut.images[0].path)) as one, Image.open(str(whole.images[0].path)) as other:
        assert one.tobytes() == other.tobytes()


def test_both_prompts_can_be_cut(bench: Bench, model: ModelInfo) -> None:
    """A long negative prompt has its own note, but only where guidance uses it."""
    long = "many different words " * 40
    request = model.request(prompt="x", negative_prompt=long, seed=1, size=(64, 64), steps=1)
    bench.submit(1, request)
    assert bench.finished(1).notes[0].startswith("The negative prompt is too long")
    bench.submit(
        2, model.request(prompt="x", negative_prompt=long, seed=1, size=(64, 64), steps=1, guidance_scale=1)
    )
    assert bench.finished(2).notes == ()


def test_prompts_are_encoded_once(
    bench: Bench, model: ModelInfo, pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four images of one prompt, and a second job with it, encode it once."""
    texts: list[str] = []
    encode = pipe.encode_prompt
    monkeypatch.setattr(
        pipe, "encode_prompt", lambda text, *a, **k: (texts.append(text), encode(text, *a, **k))[1]
    )
    bench.submit(1, model.request(prompt="a fox", seed=1, size=(64, 64), steps=1, images=4))
    bench.submit(2, model.request(prompt="a fox", seed=9, size=(64, 64), steps=1))
    bench.finish(1, 2)
    assert sorted(texts) == ["", "a fox"]


@pytest.mark.parametrize(("safety", "flagged"), [("flags", True), ("passes", False)])
def test_the_safety_checker_decides(tmp_path: Path, load_pipe: Any, safety: Any, flagged: bool) -> None:
    """A flagged picture is reported as such and lies aside; a passed one may be shown."""
    from engine.contract import EngineSettings
    from tests.kit.tiny import build

    folder = build(tmp_path / "model", safety=safety)
    info = described(EngineSettings(model=str(folder), spool="/nowhere"))
    assert info.safety_checker
    spool = tmp_path / "spool"
    spool.mkdir()
    bench = Bench(SdFamily(load_pipe(folder)), info, spool)
    bench.submit(1, info.request(prompt="x", seed=1, size=(64, 64), images=2))
    images = bench.finished(1).images
    assert [image.flagged for image in images] == [flagged, flagged]
    assert [image.path is None for image in images] == [flagged, flagged]
    assert [image.aside is None for image in images] == [not flagged, not flagged]
    assert len(list(spool.iterdir())) == 2

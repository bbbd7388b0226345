"""Neighbours never show: in exact and wide every picture has the same pixels alone and in any crowd."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contract import SAMPLERS, GenerationRequest, Mode, ModelInfo, Start
from engine.families import forwards
from engine.families.sd import SdFamily
from engine.pictures import decoding, metadata
from tests.kit.engines import Bench, a_mask, a_photo, begun, draw, kept, pixels, plain

PROMPTS = (
    "a red circle on a blue background",
    "a large yellow star on black",
    "green house, white background",
    "a (yellow:1.3) star on a [blue] background",
    ", ".join(["a small purple heart on black"] * 6),
)
SIZES = ((64, 64), (96, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One request and how many ticks after the one before it arrives."""

    prompt: str
    sampler: str
    steps: int
    guidance: float
    seed: int
    size: tuple[int, int]
    later: int
    start: Literal["noise", "image", "mask"] = "noise"
    strength: float = 1.0

    def request(self, model: ModelInfo, inputs: Path) -> GenerationRequest:
        start = None
        if self.start != "noise":
            mask = kept(inputs, a_mask()) if self.start == "mask" else None
            start = Start(image=kept(inputs, a_photo()), mask=mask, strength=self.strength)
        return model.request(
            prompt=self.prompt,
            sampler=self.sampler,
            steps=self.steps,
            guidance_scale=self.guidance,
            seed=self.seed,
            size=self.size,
            start=start,
        )


guests = st.builds(
    Guest,
    prompt=st.sampled_from(PROMPTS),
    sampler=st.sampled_from([*SAMPLERS]),
    steps=st.integers(2, 5),
    guidance=st.sampled_from([1.0, 4.0, 7.5]),
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from(SIZES),
    later=st.integers(0, 3),
    start=st.sampled_from(["noise", "image", "mask"]),
    strength=st.sampled_from([0.6, 1.0]),
)


class AtOnce(Executor):
    """Does what it is given before it says so: what is read here is there before anybody's first step."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done = Future[Any]()
        done.set_result(fn(*args, **kwargs))
        return done


@pytest.fixture(scope="module", autouse=True)
def decoded_once() -> Iterator[None]:
    """The same two files start pictures in all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "begun", begun)
        yield


def drawn(
    pipe: Any, model: ModelInfo, party: Sequence[Guest], mode: Mode, rows: int, cancelled: Sequence[int] = ()
) -> dict[int, bytes]:
    """What one worker draws for these, who come one after the other; some are cancelled on the way."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs"
        bench = Bench(SdFamily(pipe), model, Path(folder), slots=4, mode=mode, rows=rows)
        bench.worker._reader = AtOnce()  # type: ignore[assignment]
        for number, guest in enumerate(party):
            bench.submit(number, guest.request(model, inputs))
            bench.tick(guest.later)
        for number in cancelled:
            bench.cancel(number)
        bench.finish(*range(len(party)))
        left = [number for number in range(len(party)) if number not in cancelled]
        paths = {number: str(bench.finished(number).images[0].path) for number in left}
        for path in paths.values():  # the file says where a picture was not served in this mode
            info = metadata.read(path)
            assert info is not None
            assert info.fingerprint == {"engine": "test"}
        return {number: pixels(path) for number, path in paths.items()}


@pytest.mark.timeout(600)
@given(
    party=st.lists(guests, min_size=2, max_size=5), mode=st.sampled_from(["exact", "wide"]), data=st.data()
)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_alone_and_in_a_crowd(
    pipe: Any, model: ModelInfo, party: list[Guest], mode: Mode, data: st.DataObject
) -> None:
    """Any samplers, steps, guidance, sizes, images to start from, arrival order and neighbours, with cancels between."""
    rows = data.draw(st.sampled_from([4, 8]), "rows")
    cancelled = data.draw(st.sets(st.integers(0, len(party) - 1), max_size=1), "cancelled")
    crowd = drawn(pipe, model, party, mode, rows, sorted(cancelled))
    for number, picture in crowd.items():
        (alone,) = drawn(pipe, model, [party[number]], mode, rows).values()
        assert picture == alone, (number, party[number])


@pytest.mark.parametrize("mode", ["exact", "wide"])
def test_texts_of_any_length_share_a_crowd(starter: Any, starter_model: ModelInfo, mode: Mode) -> None:
    """Short, weighted and long prompts at once, with and without guidance: each picture is its lone twin's."""
    party = [
        Guest(
            prompt=PROMPTS[number],
            sampler="Euler a",
            steps=3,
            guidance=guidance,
            seed=number,
            size=(64, 64),
            later=0,
        )
        for number, guidance in ((0, 4.0), (3, 4.0), (4, 4.0), (4, 1.0))
    ]
    crowd = drawn(starter, starter_model, party, mode, 8)
    for number, guest in enumerate(party):
        assert crowd[number] == drawn(starter, starter_model, [guest], mode, 8)[0]


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M", "Heun"])
def test_exact_equals_pipe_with_the_starter(
    starter: Any, starter_model: ModelInfo, tmp_path: Path, sampler: str
) -> None:
    """With real weights, too, exact draws what the plain call draws, while others are drawn."""
    bench = Bench(SdFamily(starter), starter_model, tmp_path)
    request = starter_model.request(prompt=PROMPTS[0], seed=7, sampler=sampler, steps=6, size=(64, 64))
    bench.submit(1, request)
    bench.submit(2, starter_model.request(prompt=PROMPTS[1], seed=1, steps=3, size=(64, 64)))
    assert pixels(bench.finished(1).images[0].path) == plain(starter, request, 7, "pil").tobytes()


def test_fast_is_equal_to_the_eye(starter: Any, starter_model: ModelInfo, tmp_path: Path) -> None:
    """In fast a picture of a full forward differs from its lone twin by rounding alone."""
    party = [
        Guest(
            prompt=PROMPTS[number % 3],
            sampler="DPM++ 2M",
            steps=4,
            guidance=4.0,
            seed=number,
            size=(64, 64),
            later=0,
        )
        for number in range(4)
    ]
    crowd = drawn(starter, starter_model, party, "fast", 8)
    for number, picture in crowd.items():
        (alone,) = drawn(starter, starter_model, [party[number]], "fast", 8).values()
        pairs = zip(picture, alone, strict=True)
        assert max(abs(one - other) for one, other in pairs) <= 2


def test_slots_that_differ_are_found(
    starter: Any, starter_model: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe of a shape passes here, and notices a forward whose last slot is off by the last bit."""
    family = SdFamily(starter)
    canvas = family.prepare(starter_model.request(prompt="x", seed=1, size=(64, 64)), 1)
    assert family.forwards.equal_widths(canvas, 4)
    honest = family.forwards.run

    def crooked(batch: Any, like: Any) -> torch.Tensor:
        prediction = honest(batch, like)
        prediction[-1] = torch.nextafter(prediction[-1], prediction[-1] + 1)
        return prediction

    monkeypatch.setattr(family.forwards, "run", crooked)
    assert not family.forwards.equal_widths(canvas, 4)


def test_widths_of_equal_bits_are_found(
    starter: Any, starter_model: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer rows count where each of their slots has the bits of the whole, with the first and with the last of it."""
    family = SdFamily(starter)
    canvas = family.prepare(starter_model.request(prompt="x", seed=1, size=(64, 64)), 1)
    monkeypatch.setattr(
        family.forwards, "run", lambda batch, _like: batch.latents * batch.timesteps[:, None, None, None]
    )
    assert family.forwards.equal_widths(canvas, 16) == [16, 8, 2, 4, 6, 10, 12, 14, *range(1, 16, 2)]

    def crooked(batch: Any, _like: Any) -> torch.Tensor:
        prediction = batch.latents + 0
        if len(batch) == 4:  # in the last slot, for later timesteps
            prediction[-1] += 1e-4 * (batch.timesteps[-1] > 900)
        return prediction

    monkeypatch.setattr(family.forwards, "run", crooked)
    assert family.forwards.equal_widths(canvas, 16) == [16, 8, 2, 6, 10, 12, 14, *range(1, 16, 2)]
    assert family.forwards.equal_widths(canvas, 8) == [8, 2, 6, 1, 3, 5, 7]
    monkeypatch.setattr(forwards, "WIDTHS_S", 0.0)  # a slow machine: people wait
    assert family.forwards.equal_widths(canvas, 16) == [16]


def test_a_width_that_fails_is_left_out(
    starter: Any, starter_model: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All slots together went well: what goes wrong with fewer costs the shape nothing but the other trials."""
    family = SdFamily(starter)
    canvas = family.prepare(starter_model.request(prompt="x", seed=1, size=(64, 64)), 1)

    def fragile(batch: Any, _like: Any) -> torch.Tensor:
        if len(batch) == 4:
            raise RuntimeError("CUDNN_STATUS_NOT_SUPPORTED")
        return batch.latents

    monkeypatch.setattr(family.forwards, "run", fragile)
    assert family.forwards.equal_widths(canvas, 16) == [16, 8, 2]


STARTS: tuple[Literal["noise", "image", "mask"], ...] = ("noise", "image", "mask")


@pytest.mark.parametrize("mode", ["exact", "wide", "fast"])
def test_all_that_pictures_start_from_shares_forwards(
    starter: Any, starter_model: ModelInfo, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """Words alone, an image and a mask ride in one forward of wide and fast; in wide and exact with the lone one's bits."""
    widths: list[int] = []
    honest = SdFamily.predict

    def counted(self: SdFamily, canvases: Any, *, padded: int | None) -> Any:
        widths.append(len(canvases))
        return honest(self, canvases, padded=padded)

    monkeypatch.setattr(SdFamily, "predict", counted)
    party = [
        Guest(
            prompt=PROMPTS[0],
            sampler="Euler a",
            steps=5,
            guidance=1.0,
            seed=number,
            size=(64, 64),
            later=0,
            start=start,
            strength=0.8,
        )
        for number, start in enumerate(STARTS)
    ]
    crowd = drawn(starter, starter_model, party, mode, 4)
    assert max(widths) == (1 if mode == "exact" else 3)
    for number, guest in enumerate(party):
        (alone,) = drawn(starter, starter_model, [guest], mode, 4).values()
        pairs = zip(crowd[number], alone, strict=True)
        assert max(abs(one - other) for one, other in pairs) <= (2 if mode == "fast" else 0)


def test_an_image_shows_and_a_mask_keeps(starter: Any, starter_model: ModelInfo, tmp_path: Path) -> None:
    """At little strength a picture is near its image, at much it is not; outside of the mask it stays near."""
    photo = Image.new("RGB", (128, 128), (200, 40, 40))
    image, mask = kept(tmp_path, photo), kept(tmp_path, a_mask((128, 128)))
    family = SdFamily(starter)

    def reds(start: Start) -> list[int]:
        """Of the left edge, which the mask keeps, and of the right one."""
        request = starter_model.request(prompt="a green star on green", seed=3, steps=10, start=start)
        picture = family.decode(draw(family, request, tmp_path))
        assert picture is not None
        row = picture.getchannel("R").crop((0, picture.height // 2, picture.width, picture.height // 2 + 1))
        return [row.tobytes()[column] for column in (3, -4)]

    little, much = (reds(Start(image=image, strength=strength)) for strength in (0.1, 1.0))
    masked = reds(Start(image=image, mask=mask, strength=1.0))
    assert min(little) > 150
    assert max(much) < 100
    assert masked[0] > 150 > masked[1]

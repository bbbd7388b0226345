"""Seamless tiling: pictures whose edges meet are those of a `pipe()` whose convolutions were made circular, and nobody else's."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.contract import Failed, GenerationRequest, InvalidRequest, Mode, ModelInfo, Start
from engine.families.sd import SdFamily
from engine.families.sdxl import SdxlFamily
from engine.pictures import inputs, metadata
from engine.unet.batch import forward
from tests.kit.engines import Bench, a_photo, draw, kept, pixels, plain

SIZE = (72, 64)


def a_request(model: ModelInfo, **changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {"prompt": "moss on a stone", "seed": 7, "size": SIZE, "steps": 3, "tile": True}
    return model.request(**{**values, **changes})


def convolutions(pipe: Any) -> list[torch.nn.Conv2d]:
    layers = [*pipe.unet.modules(), *pipe.vae.modules()]
    return [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]


def made_circular(pipe: Any) -> Any:
    """As people do it by hand, once and for all."""
    twin = copy.copy(pipe)
    twin.unet, twin.vae = copy.deepcopy(pipe.unet), copy.deepcopy(pipe.vae)
    for layer in convolutions(twin):
        layer.padding_mode = "circular"
    return twin


@pytest.fixture(scope="module")
def circular_pipe(pipe: Any) -> Any:
    return made_circular(pipe)


def is_plain(pipe: Any) -> bool:
    return {layer.padding_mode for layer in convolutions(pipe)} == {"zeros"}


def test_tiled_pictures_equal_a_circular_pipe(
    pipe: Any, circular_pipe: Any, model: ModelInfo, tmp_path: Path
) -> None:
    """In a crowd that shares forwards as far as it may, each picture is that of its own kind of pipe; the file says which."""
    bench = Bench(SdFamily(pipe), model, tmp_path, slots=4)
    requests = {number: a_request(model, seed=number, tile=bool(number % 2)) for number in range(1, 5)}
    for number, request in requests.items():
        bench.submit(number, request)
    bench.finish(*requests)
    for number, request in requests.items():
        path = bench.finished(number).images[0].path
        own, other = (circular_pipe, pipe) if request.tile else (pipe, circular_pipe)
        assert (
            pixels(path)
            == plain(own, request, number, "pil").tobytes()
            != plain(other, request, number, "pil").tobytes()
        )
        told = metadata.read(Path(str(path)))
        assert told is not None
        assert told.request == replace(request, images=1)
        assert told.fields.get("Tiling") == ("True" if request.tile else None)
    assert is_plain(pipe)


@pytest.mark.parametrize("mode", ["wide", "fast"])
def test_tiled_and_plain_never_share_a_forward(
    pipe: Any, circular_pipe: Any, model: ModelInfo, tmp_path: Path, mode: Mode
) -> None:
    """Also where pictures do share them, everyone is drawn as it asked, to rounding."""
    bench = Bench(SdFamily(pipe), model, tmp_path, slots=4, mode=mode, rows=8)
    for number in range(1, 5):
        bench.submit(number, a_request(model, seed=number, tile=number > 2))
    for number in range(1, 5):
        request = a_request(model, seed=number, tile=number > 2)
        expected = plain(circular_pipe if request.tile else pipe, request, number, "pil")
        with Image.open(str(bench.finished(number).images[0].path)) as image:
            assert distance(image, expected) <= 2


def distance(one: Image.Image, other: Image.Image) -> int:
    """Of the two pixels that differ most."""
    first, second = (np.asarray(image, dtype=int) for image in (one, other))
    return int(abs(first - second).max())


def test_from_an_image_too(pipe: Any, circular_pipe: Any, model: ModelInfo, tmp_path: Path) -> None:
    """An image is read round its edges where its picture is to meet itself, and not where it is not, one after the other."""
    folder = tmp_path / inputs.FOLDER
    start, photo = (
        Start(image=kept(folder, a_photo()), strength=0.7),
        a_photo().resize(SIZE, Image.Resampling.LANCZOS),
    )
    family = SdFamily(pipe)
    for tile in (True, False):
        request = a_request(model, start=start, tile=tile)
        own = circular_pipe if tile else pipe
        assert torch.equal(
            draw(family, request, folder).latents[0], plain(own, request, 7, "latent", image=photo)
        )


def test_sdxl(pipe_xl: Any, model_xl: ModelInfo, family_xl: SdxlFamily) -> None:
    """The same holds for SDXL."""
    request = a_request(model_xl)
    image = family_xl.decode(draw(family_xl, request))
    assert image is not None
    assert image.tobytes() == plain(made_circular(pipe_xl), request, 7, "pil").tobytes()
    assert is_plain(pipe_xl)


def moved(
    family: SdFamily, request: GenerationRequest, *, sparing: bool = False
) -> tuple[Image.Image, Image.Image]:
    """The picture, moved by a quarter; and what is drawn of its noise, moved by a quarter."""
    drawn: list[Image.Image] = []
    for step in (0, 2):
        canvas = family.prepare(request, request.seed)
        canvas.latents = canvas.latents.roll((step, step), (-2, -1))
        while canvas.left:
            (prediction,) = family.predict([canvas], padded=None)
            family.advance(canvas, prediction, look=False)
        image = family.decode(canvas, sparing=sparing)
        assert image is not None
        drawn.append(image)
    rolled = np.roll(np.asarray(drawn[0]), (16, 16), (0, 1))
    return Image.fromarray(rolled), drawn[1]


def test_the_edges_meet(family: SdFamily, model: ModelInfo) -> None:
    """A tile has no edge: its noise moved across it gives the same picture moved across it. A plain picture has one."""
    request = a_request(model, size=(64, 64), sampler="DDIM")
    assert distance(*moved(family, request)) <= 1
    assert distance(*moved(family, replace(request, tile=False))) > 20


def test_the_edges_meet_in_parts(family: SdFamily, model: ModelInfo) -> None:
    """Where memory is too short to decode it whole, the last pixels still see the first ones."""
    canvas = draw(family, a_request(model, size=(128, 128)))
    whole, parts = (family.decode(canvas, sparing=sparing) for sparing in (False, True))
    canvas.tile = False
    edged = family.decode(canvas, sparing=True)
    assert whole is not None
    assert parts is not None
    assert edged is not None
    assert parts.size == whole.size

    def off(image: Image.Image) -> float:
        """How far its outermost pixels are from those of the whole picture, on average."""
        apart = abs(np.asarray(image, dtype=int) - np.asarray(whole, dtype=int))
        return float(np.mean([apart[0].mean(), apart[-1].mean(), apart[:, 0].mean(), apart[:, -1].mean()]))

    assert off(parts) < off(edged) / 2


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_nothing_stays_on_after_a_failure(
    pipe: Any, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A tiled picture that fails midway ends alone: the next plain one is drawn as ever."""

    def fail(*_: Any, **__: Any) -> Any:
        assert not is_plain(pipe)
        raise ValueError("no")

    bench = Bench(SdFamily(pipe), model, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(pipe.unet if part == "unet" else pipe.vae.decoder, "forward", fail)
        bench.submit(1, a_request(model))
        bench.finish(1)
    assert isinstance(bench.ending(1), Failed)
    assert is_plain(pipe)
    request = a_request(model, tile=False)
    bench.submit(2, request)
    assert pixels(bench.finished(2).images[0].path) == plain(pipe, request, 7, "pil").tobytes()


class Ready:
    """A runtime that is always ready, and counts."""

    words, rows, is_in_use, is_pending = "a runtime", 4, True, False

    def __init__(self, pipe: Any) -> None:
        self.calls = 0
        self._pipe = pipe

    def suits(self, like: Any) -> bool:
        del like
        return True

    def __call__(self, batch: Any) -> Any:
        self.calls += 1
        return forward(self._pipe.unet, batch)

    def decode(self, latents: Any) -> Any:
        return self._pipe.vae.decode(latents, return_dict=False)[0]


def test_a_runtime_is_for_plain_pictures(pipe: Any, circular_pipe: Any, model: ModelInfo) -> None:
    """What was converted has its edges converted in: a tile is drawn by the UNet itself."""
    family = SdFamily(pipe)
    runtime = Ready(pipe)
    family.forwards.runtime = runtime
    request = a_request(model)
    canvas = draw(family, request)
    assert (runtime.calls, "runtime" in canvas.made_with) == (0, False)
    assert torch.equal(canvas.latents[0], plain(circular_pipe, request, 7, "latent"))
    canvas = draw(family, replace(request, tile=False))
    assert runtime.calls > 0
    assert canvas.made_with["runtime"] == "a runtime"


def test_who_can_not_says_so(model: ModelInfo) -> None:
    """A model of another kind refuses in one sentence; what only enlarges leaves it out; rows of old hold no tile."""
    other = replace(model, title="FLUX", takes_tiling=False)
    with pytest.raises(
        InvalidRequest, match=r"^FLUX can't draw seamless tiles: leave out tile, or choose another model\.$"
    ):
        a_request(other)
    plain = model.request(
        prompt="", seed=1, size=(4096, 4096), start=Start(image="0" * 64, upscale=2), tile=True
    )
    assert (plain.is_plain, plain.tile) == (True, False)
    request = a_request(model)
    told = request.to_dict()
    assert GenerationRequest.from_dict(told) == GenerationRequest.stored(told) == request
    del told["tile"]
    assert not GenerationRequest.from_dict(told).tile
    assert not GenerationRequest.stored({**told, "tile": "yes"}).tile

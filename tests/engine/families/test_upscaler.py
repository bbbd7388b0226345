"""Upscalers: which files are taken, what their networks make of an image tile by tile, and what goes wrong."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from engine import upscaler_file
from engine.checkpoints.source import Source
from engine.contract import (
    Cancelled,
    EngineSettings,
    Failed,
    GenerationRequest,
    InvalidRequest,
    ModelInfo,
    Start,
    Stepped,
)
from engine.device import choice
from engine.errors import BrokenModel, NotFinite
from engine.families import tiles
from engine.families.sd import SdFamily
from engine.families.tiles import MARGIN
from engine.families.upscaler import UpscaleCanvas, UpscaleFamily
from engine.loading import load, upscalers
from engine.loading.opening import Offered, Opener
from engine.pictures import decoding, inputs, metadata
from tests.kit.engines import NO_IMAGES, Bench, House, a_photo, draw, encoded, kept, pixels
from tests.kit.tiny_upscalers import build, spoiled

PLACE = choice.choose_place(EngineSettings(model="none", spool="/nowhere", device="cpu"))


class Studio:
    """One upscaler and an image of 100x80 pixels."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.info: ModelInfo = upscalers.describe(file)
        self.network: Any = upscalers.load(file, PLACE)
        self.inputs = folder / inputs.FOLDER
        self.family = UpscaleFamily(self.network)
        self.family._side = 32  # many tiles of a small image
        self.photo = a_photo()

    def request(self, times: int = 2, image: Image.Image | None = None) -> GenerationRequest:
        image = image or self.photo
        return self.info.request(
            prompt="",
            seed=0,
            size=self.info.upscaled(*image.size, times),
            start=Start(image=kept(self.inputs, image), upscale=times),
        )

    def prepared(self, request: GenerationRequest, seed: int = 0) -> UpscaleCanvas:
        return self.family.prepare(request, seed, decoding.begun(self.inputs, request))

    def draw(self, request: GenerationRequest) -> UpscaleCanvas:
        return draw(self.family, request, self.inputs)

    def whole(self, image: Image.Image) -> Image.Image:
        """What the network makes of all of it at once."""
        values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = values.view(1, image.height, image.width, 3).permute(0, 3, 1, 2) / 255
        made = (self.network(pixels)[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
        return Image.fromarray(made.contiguous().numpy())


def offered_upscaler(file: Path) -> dict[str, Offered]:
    return {file.stem: Offered(source=Source.upscaler(file), info=upscalers.describe(file))}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    folder = tmp_path_factory.mktemp("models") / upscalers.FOLDER
    return lambda kind, scale: build(folder / f"{scale}x-{kind}.safetensors", kind, scale=scale)


@pytest.fixture
def studio(files: Callable[[str, int], Path], tmp_path: Path) -> Studio:
    return Studio(files("compact", 4), tmp_path)


def apart(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures' numbers, of 0 … 255."""
    assert one.size == other.size
    return max(high for _, high in ImageChops.difference(one, other).getextrema())  # pyright: ignore[reportGeneralTypeIssues]


# ------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("kind", "scale", "called"),
    [
        ("compact", 4, "Compact"),
        ("esrgan", 2, "ESRGAN"),
        ("span", 2, "SPAN"),
        ("swinir", 3, "SwinIR"),
        ("dat", 4, "DAT"),
    ],
)
def test_files_are_recognised(files: Callable[[str, int], Path], kind: str, scale: int, called: str) -> None:
    """Architecture and scale are told from the tensors, whatever the file is called, and are part of what is offered."""
    info = upscalers.describe(files(kind, scale))
    assert (info.id, info.family, info.scale, info.takes_images) == (
        f"{scale}x-{kind}",
        "upscale",
        scale,
        True,
    )
    assert f"{scale}×" in info.description
    assert called in info.description


def no_names(tensors: dict[str, Any]) -> None:
    tensors["body.999999999.weight"] = torch.zeros(8)


def too_wide(tensors: dict[str, Any]) -> None:
    tensors["body.0.weight"] = torch.zeros(20_000, 3, 3, 3, dtype=torch.float16)


def grey(tensors: dict[str, Any]) -> None:
    tensors["body.0.weight"] = torch.zeros(8, 1, 3, 3)
    tensors["body.6.weight"], tensors["body.6.bias"] = torch.zeros(4, 8, 3, 3), torch.zeros(4)


def unknown(tensors: dict[str, Any]) -> None:
    tensors.clear()
    tensors["down_blocks.0.weight"] = torch.zeros(8)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-9]), "but should have"),
    "empty": (lambda file: file.write_bytes(b""), "damaged at its start"),
    "text": (lambda file: file.write_text("notes " * 99), "damaged at its start"),
    "a pickle": (lambda file: torch.save({"a": torch.zeros(9)}, file), "is a pickle under another name"),
    "of another kind": (lambda file: spoiled(file, unknown), "no upscaler of a kind that is known"),
    "a denoiser": (lambda file: build(file, "denoiser"), "holds a network for restoration, no upscaler"),
    "hostile names": (lambda file: spoiled(file, no_names), "make no sense"),
    "larger than itself": (
        lambda file: spoiled(file, too_wide),
        "promises a network much larger than itself",
    ),
    "grey": (lambda file: spoiled(file, grey), "takes 1 channels"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_left_out(tmp_path: Path, case: str) -> None:
    """A file that is no upscaler, whatever it is, gets one sentence; the ones beside it are offered."""
    spoil, words = BAD[case]
    good = build(tmp_path / upscalers.FOLDER / "good.safetensors")
    bad = build(good.with_name("bad.safetensors"))
    spoil(bad)
    found = upscalers.find(str(tmp_path))
    assert [(info.id, source.path) for info, source in found.models] == [("good", good)]
    (warning,) = found.warnings
    assert words in warning
    assert "bad.safetensors" in warning
    assert warning.endswith(".")
    with pytest.raises(BrokenModel):
        upscalers.describe(bad)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    """A .pth is named and left alone; a folder that is not there is no mistake."""
    assert (
        upscalers.find(None)
        == upscalers.find(str(tmp_path))
        == upscalers.FoundUpscalers(models=(), warnings=())
    )
    (tmp_path / upscalers.FOLDER).mkdir()
    (tmp_path / upscalers.FOLDER / "4x.pth").write_bytes(b"\x80\x04.")
    (warning,) = upscalers.find(str(tmp_path)).warnings
    assert "“4x.pth” in upscalers is not read" in warning


def test_without_spandrel_a_file_is_left_out_by_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no dependency of the package, so it may lack."""
    build(tmp_path / upscalers.FOLDER / "good.safetensors")
    upscaler_file.package.cache_clear()
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "spandrel", None)
        found = upscalers.find(str(tmp_path))
    assert found.models == ()
    (warning,) = found.warnings
    assert "run “pip install --no-deps spandrel”" in warning


def test_no_torchvision_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in for a torchvision while spandrel is imported is gone afterwards, and what was there is back."""
    name = "torchvision.transforms.functional"
    upscaler_file.package()
    assert [left for left in sys.modules if left.startswith("torchvision")] == []
    before = ModuleType("torchvision")  # one that does not load
    monkeypatch.setitem(sys.modules, "torchvision", before)
    with upscaler_file._some_torchvision():
        assert import_module(name) is not before
    assert {left for left in sys.modules if left.startswith("torchvision")} == {"torchvision"}
    assert sys.modules["torchvision"] is before


# ------------------------------------------------------------------ tiles


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([32, 64, 128]))
def test_tiles_cover_a_picture_once(width: int, height: int, side: int) -> None:
    """Every pixel is in one core, none of which is larger than told; each sees a margin as far as there is one."""
    cores = [tile.core for tile in tiles.cut((width, height), side)]
    assert sum((right - left) * (bottom - top) for left, top, right, bottom in cores) == width * height
    for one, other in itertools.combinations(cores, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for tile in tiles.cut((width, height), side):
        left, top, right, bottom = tile.core
        assert tile.side <= side
        assert left % MARGIN == top % MARGIN == 0
        assert tile.seen[:2] == (max(0, left - MARGIN), max(0, top - MARGIN))
        assert tile.seen[2:] == (min(width, right + MARGIN), min(height, bottom + MARGIN))


@pytest.mark.parametrize(("kind", "scale"), [("compact", 4), ("esrgan", 2), ("swinir", 3)])
def test_tiles_equal_the_whole(
    files: Callable[[str, int], Path], tmp_path: Path, kind: str, scale: int
) -> None:
    """What is put together from tiles is what the network makes of the whole image, to a rounding or two."""
    studio = Studio(files(kind, scale), tmp_path)
    canvas = studio.draw(studio.request(scale))
    image = studio.family.decode(canvas, sparing=False)
    whole = studio.whole(studio.photo)
    assert image.size == (100 * scale, 80 * scale)
    assert len(canvas.tiles) == 12
    assert max(high - low for low, high in whole.getextrema()) > 25  # pyright: ignore[reportOperatorIssue, reportGeneralTypeIssues]
    inner = (8 * scale, 8 * scale, 92 * scale, 72 * scale)
    assert apart(image.crop(inner), whole.crop(inner)) <= 2


def test_other_scales_are_shrunk(studio: Studio) -> None:
    """Asked for less than its network makes, the picture is the network's, shrunk with Lanczos."""
    image = studio.family.decode(studio.draw(studio.request(2)), sparing=False)
    whole = studio.whole(studio.photo).resize((200, 160), Image.Resampling.LANCZOS)
    assert apart(image, whole) <= 2


def test_the_same_image_gives_the_same_pixels(studio: Studio) -> None:
    """Twice the same, whatever torch's own randomness does meanwhile, and whatever the seed is."""
    one, other = (studio.prepared(studio.request(), seed) for seed in (1, 2))
    while other.left:
        for canvas in (one, other):
            (prediction,) = studio.family.predict([canvas], padded=None)
            studio.family.advance(canvas, prediction, look=False)
            torch.rand(3)
    assert one.image.tobytes() == other.image.tobytes()


def test_transparency_and_turns(studio: Studio) -> None:
    """Alpha gives way to white, and an image that lies on its side stands up, whichever way it was measured."""
    request = studio.request()
    sideways = Image.new("RGBA", (100, 80), (0, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    digest = inputs.keep(studio.inputs, encoded(sideways, exif=exif))
    values = {**request.to_dict(), "image": digest}
    for size in ((200, 160), (160, 200)):
        told = GenerationRequest.from_dict({**values, "width": size[0], "height": size[1]})
        canvas = studio.prepared(told)
        assert canvas.image.size == (160, 200)
        assert canvas.source.getpixel((5, 5)) == (255, 255, 255)


def test_a_look_on_the_way(studio: Studio) -> None:
    """A preview shows the tiles that are there and the plain enlargement elsewhere, as a small JPEG."""
    canvas = studio.prepared(studio.request(4))
    (prediction,) = studio.family.predict([canvas], padded=None)
    studio.family.advance(canvas, prediction, look=True)
    with Image.open(io.BytesIO(studio.family.sketch(canvas)())) as image:
        assert (image.format, image.size) == ("JPEG", (256, 205))
    assert canvas.left == 11


# ------------------------------------------------------------------ what goes wrong


def test_another_size_than_was_said(studio: Studio) -> None:
    """The engine goes by the file itself: one of another size than what was admitted and paid for is refused."""
    request = studio.request()
    larger = kept(studio.inputs, a_photo((200, 160)))
    told = GenerationRequest.from_dict({**request.to_dict(), "image": larger})
    with pytest.raises(InvalidRequest, match="has 200x160 pixels, which is not what was said"):
        studio.prepared(told)


def short_above(studio: Studio, side: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The network has no memory for images of more than `side` pixels a side; the sides that worked are in the list."""
    network, worked = studio.network, list[int]()

    class Short:
        device, dtype, scale = network.device, network.dtype, network.scale

        def __call__(self, pixels: Any) -> Any:
            longest = max(pixels.shape[-2:])
            if longest > side:
                raise torch.OutOfMemoryError
            worked.append(longest)
            return network(pixels)

    monkeypatch.setattr(studio.family, "_network", Short())
    return worked


def test_short_memory_makes_smaller_tiles(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for a tile its quarters are tried; the picture stays the same to a rounding or two."""
    expected = studio.draw(studio.request(4)).image
    studio.family._side = 128
    worked = short_above(studio, 70, monkeypatch)
    canvas = studio.draw(studio.request(4))
    assert len(canvas.tiles) == 1
    assert len(worked) >= 4
    assert apart(canvas.image, expected) <= 2


def test_no_memory_at_all_is_a_sentence(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the smallest tile is too much: the person is told, and the next image works again."""
    request = studio.request()
    with monkeypatch.context() as patch:
        short_above(studio, 10, patch)
        with pytest.raises(torch.OutOfMemoryError) as caught:
            studio.draw(request)
        said = studio.family.explain(caught.value, request)
    assert (
        said
        == "There is not enough memory to enlarge with 4x-compact: try again when fewer people are drawing."
    )
    studio.draw(request)


def test_no_numbers_are_a_sentence(tmp_path: Path) -> None:
    """A network of NaN fails its own picture, and its self-test."""

    def ruin(tensors: dict[str, Any]) -> None:
        tensors["body.0.weight"][0, 0, 0, 0] = torch.nan

    studio = Studio(spoiled(build(tmp_path / "nan.safetensors"), ruin), tmp_path)
    request = studio.request()
    with pytest.raises(NotFinite) as caught:
        studio.draw(request)
    assert studio.family.explain(caught.value, request) == (
        "nan makes no picture of this image in float32: name another upscaler."
    )
    with pytest.raises(NotFinite):
        studio.family.self_test((64, 64))


# ------------------------------------------------------------------ among others


@pytest.fixture
def crowd(pipe: Any, model: ModelInfo, files: Callable[[str, int], Path], tmp_path: Path) -> Bench:
    """Stable Diffusion and an upscaler behind one worker."""
    file = files("compact", 4)
    settings = EngineSettings(model="none", spool=str(tmp_path), device="cpu")
    return Bench(
        SdFamily(pipe),
        model,
        tmp_path,
        others=[upscalers.describe(file)],
        source=Opener(settings, offered_upscaler(file)),
        preview_every=1,
    )


def test_it_takes_turns_with_others(crowd: Bench, studio: Studio, model: ModelInfo, tmp_path: Path) -> None:
    """Tiles are steps: who needs fewer goes first, progress counts them, previews come, and the pixels are those alone."""
    request = studio.request(2, a_photo((300, 200)))
    drawn = model.request(prompt="a boat", seed=3, steps=2)
    crowd.submit(2, request)
    while not any(isinstance(event, Stepped) and event.step for event in crowd.of(2)):
        crowd.tick()
    crowd.submit(1, drawn)
    crowd.submit(3, request)
    crowd.finish(1)
    assert crowd.ending(2) is None
    finished = [crowd.finished(job_id) for job_id in (1, 2, 3)]
    told = [event for event in crowd.of(2) if isinstance(event, Stepped) and event.stage == "denoising"]
    assert {event.steps for event in told} == {6}
    assert [event.step for event in told if event.preview is None][-1] == 6
    assert any(event.preview for event in told)
    one, other = (pixels(ending.images[0].path) for ending in finished[1:])
    studio.family._side = 128
    assert one == other == studio.draw(request).image.tobytes()
    alone = Bench(crowd.worker._shelf.fetch(model.id, in_use=set()).family, model, tmp_path)  # pyright: ignore[reportOptionalMemberAccess]
    alone.submit(1, drawn)
    assert pixels(finished[0].images[0].path) == pixels(alone.finished(1).images[0].path)
    made = metadata.read(str(finished[1].images[0].path))
    assert made is not None
    assert made.fields["Postprocess upscaler"] == "4x-compact"
    assert made.fingerprint["spandrel"]
    assert made.request is not None
    assert (made.request.upscale, made.request.is_seedless) == (2, True)


def test_cancelled_within_a_tile(crowd: Bench, studio: Studio, tmp_path: Path) -> None:
    """A cancel is answered before the next tile, with the share that is done, and leaves no file."""
    crowd.submit(1, studio.request(2, a_photo((300, 200))))
    while not any(isinstance(event, Stepped) and event.stage == "denoising" for event in crowd.of(1)):
        crowd.tick()
    crowd.cancel(1)
    crowd.tick()
    ending = crowd.ending(1)
    assert isinstance(ending, Cancelled)
    assert ending.done == pytest.approx(1 / 6)
    assert not list(tmp_path.glob("*.png"))


def test_bad_images_fail_alone(crowd: Bench, studio: Studio, model: ModelInfo) -> None:
    """A file that is no image is a sentence; who draws beside it draws on."""
    request = studio.request()
    crowd.submit(1, model.request(prompt="a boat", seed=3, steps=4))
    for number, case in enumerate(("a bomb", "a truncated PNG", "text"), 10):
        data, words = NO_IMAGES[case]
        digest = inputs.keep(studio.inputs, data)
        crowd.submit(number, GenerationRequest.from_dict({**request.to_dict(), "image": digest}))
        crowd.finish(number)
        ending = crowd.ending(number)
        assert isinstance(ending, Failed)
        assert words in ending.reason
    crowd.finished(1)
    crowd.submit(2, request)
    assert crowd.finished(2).images[0].width == 200


def test_one_that_makes_no_numbers_is_not_opened(crowd: Bench, studio: Studio, tmp_path: Path) -> None:
    """Found out when it is tried with a grey tile: a sentence for whoever asked, and the others draw on."""
    bad = build(tmp_path / upscalers.FOLDER / "bad.safetensors")
    spoiled(bad, lambda tensors: tensors["body.0.weight"].fill_(torch.nan))
    settings = EngineSettings(model="none", spool=str(tmp_path), device="cpu")
    opener = Opener(settings, offered_upscaler(bad))
    with pytest.raises(BrokenModel, match="bad draws no numbers in float32"):
        load.wholly(opener.open("bad"))
    bad.unlink()
    for act in (opener.size_of, lambda name: load.wholly(opener.open(name))):
        with pytest.raises(BrokenModel):
            act("bad")
    crowd.submit(1, studio.request())
    crowd.finished(1)


# ------------------------------------------------------------------ without a model file


def test_the_built_in_way(model: ModelInfo, crowd: Bench, studio: Studio) -> None:
    """A model that draws enlarges with Lanczos and draws anew at little strength: as from that image, and so it says."""
    image = kept(studio.inputs, studio.photo)
    size = model.upscaled(100, 80, 2)
    request = model.request(prompt="a cat", seed=1, size=size, start=Start(image=image, upscale=2))
    assert (size, request.strength, request.is_seedless) == ((200, 160), 0.2, False)
    plain = model.request(prompt="a cat", seed=1, size=size, start=Start(image=image, strength=0.2))
    for job_id, wish in enumerate((request, plain), 1):
        crowd.submit(job_id, wish)
    one, other = (crowd.finished(job_id).images[0].path for job_id in (1, 2))
    assert pixels(one) == pixels(other)
    made = metadata.read(str(one))
    assert made is not None
    assert (made.fields["Hires upscale"], made.fields["Denoising strength"]) == ("2", "0.2")


PHOTOS = [(1024, 768), (768, 1024), (640, 64), (2048, 1365)]


@pytest.mark.parametrize("size", PHOTOS)
def test_what_is_too_large_to_be_drawn_is_enlarged_all_the_same(
    model: ModelInfo, tmp_path: Path, size: tuple[int, int]
) -> None:
    """A photo becomes twice as large with Lanczos alone, without the model, and a note says so and what would do better."""
    photo = a_photo(size)
    small = replace(model, side_max=256, pixels_max=256**2)
    image = kept(tmp_path / inputs.FOLDER, photo)
    request = small.request(
        prompt="", seed=1, size=small.upscaled(*size, 2), start=Start(image=image, upscale=2, strength=0.3)
    )
    bench = Bench(NotAsked(), small, tmp_path)  # type: ignore[arg-type]
    bench.submit(1, request)
    ending = bench.finished(1)
    (note,) = ending.notes
    assert note == (
        f"Tiny random model can't draw {2 * size[0]}x{2 * size[1]}, so the image was enlarged with Lanczos alone: "
        "an upscaler in models/upscalers, such as RealESRGAN_x4plus.safetensors, would do better."
    )
    expected = photo.resize((2 * size[0], 2 * size[1]), Image.Resampling.LANCZOS)
    assert pixels(ending.images[0].path) == expected.tobytes()
    made = metadata.read(str(ending.images[0].path))
    assert made is not None
    assert (made.fields["Postprocess upscale by"], made.fields["Postprocess upscaler"]) == ("2", "Lanczos")
    assert made.request == request
    assert request.is_seedless


class NotAsked:
    """A model that is not to be asked for anything."""

    forwards = None


def test_an_image_of_another_size_is_not_enlarged_plainly(model: ModelInfo, tmp_path: Path) -> None:
    """The engine goes by the file itself, as for upscalers; the one on its side stands up."""
    words = replace(model, takes_images=False)
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = inputs.keep(tmp_path / inputs.FOLDER, encoded(a_photo((200, 160)), exif=exif))
    bench = Bench(NotAsked(), words, tmp_path)  # type: ignore[arg-type]
    for job_id, size in enumerate(((160, 200), (200, 160), (200, 200)), 1):
        start = Start(image=sideways, upscale=2)
        bench.submit(job_id, words.request(prompt="", seed=1, size=words.upscaled(*size, 2), start=start))
        bench.finish(job_id)
    assert [bench.finished(job_id).images[0].width for job_id in (1, 2)] == [320, 320]
    ending = bench.ending(3)
    assert isinstance(ending, Failed)
    assert "has 160x200 pixels, which is not what was said" in ending.reason


def test_lanczos_can_be_asked_for(model: ModelInfo, tmp_path: Path) -> None:
    """By the sampler of that name, also where the model could draw it; then there is nothing to remark on."""
    image = kept(tmp_path / inputs.FOLDER, a_photo())
    start = Start(image=image, upscale=2)
    bench = Bench(NotAsked(), model, tmp_path)  # type: ignore[arg-type]
    bench.submit(1, model.request(prompt="", seed=1, size=(200, 160), sampler="lanczos", start=start))
    assert bench.finished(1).notes == ()
    with pytest.raises(InvalidRequest, match="makes one picture of an image, not 3"):
        model.request(prompt="", seed=1, size=(200, 160), sampler="Lanczos", images=3, start=start)
    with pytest.raises(InvalidRequest, match="does not work with Lanczos: use one of"):
        model.request(prompt="a fox", seed=1, sampler="Lanczos")


@pytest.mark.parametrize(
    ("size", "times", "sentence"),
    [
        ((4000, 3000), 2, "take an image of at most 2048 pixels a side."),
        ((4000, 3000), 4, "take an image of at most 2048 pixels a side and ask for 2 times."),
        ((1500, 1000), 4, "ask for 2 times."),
        ((100, 80), 8, "ask for 2 times."),
    ],
)
def test_what_fits_is_named(model: ModelInfo, size: tuple[int, int], times: int, sentence: str) -> None:
    """The largest scale, or the size of an image that can be made twice as large."""
    small = replace(model, side_max=256, pixels_max=256**2)
    with pytest.raises(InvalidRequest) as refused:
        small.upscaled(*size, times)
    assert str(refused.value) == f"{size[0]}x{size[1]} can't be made {times} times as large here: {sentence}"


def test_some_step_is_always_left(model: ModelInfo) -> None:
    """Few steps raise the strength that is taken by default, so that at least one of them is taken."""
    for steps in range(1, 101):
        start = Start(image="0" * 64, upscale=2)
        request = model.request(prompt="", seed=0, size=(256, 256), steps=steps, sampler="Euler", start=start)
        assert request.steps_taken >= 1
        assert request.strength == 0.2 or steps < 5


@pytest.mark.xdist_group("house")
def test_an_engine_offers_and_loads_them(house: House, studio: Studio) -> None:
    """A real engine lists what is sound behind the other models, says what is not, and enlarges when it is asked to."""
    models = [(model.id, model.scale) for model in house.ready.models]
    assert models[0] == ("tiny", 1)
    assert [one for one in models if one[1] > 1] == models[-1:] == [("4x-compact", 4)]
    warnings = house.ready.warnings
    assert sum("“old.pth” in upscalers" in warning for warning in warnings) == 1
    assert sum("another model “tiny”" in warning for warning in warnings) == 1
    kept(house.inputs, studio.photo)
    (ending,), events = house.finish(studio.request(3))
    assert any(isinstance(event, Stepped) and event.stage == "loading" for event in events)
    assert (ending.images[0].width, ending.images[0].height) == (300, 240)
    expected = studio.whole(studio.photo).resize((300, 240), Image.Resampling.LANCZOS)
    with Image.open(str(ending.images[0].path)) as made:
        assert apart(made, expected) <= 2

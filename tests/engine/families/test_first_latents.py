"""Pictures that start from an image are those of diffusers' own pipelines, to the bit, for every sampler and strength."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.contract import (
    SAMPLERS,
    Cancelled,
    EngineSettings,
    Failed,
    Finished,
    GenerationRequest,
    InvalidRequest,
    Mode,
    ModelInfo,
    Start,
    Stepped,
)
from engine.families.first_latents import IN_TILES
from engine.families.preview import LinearSketcher
from engine.families.sd import SdFamily
from engine.pictures import inputs
from tests.kit.engines import Bench, House, a_mask, a_photo, described, draw, encoded, kept, pixels, plain

SIZE = (72, 64)
ENDS = [(1, 1.0, 7.5), (5, 0.6, 7.5), (7, 1.0, 1.0)]
LAST_STEPS = [(2, 0.5, 7.5), (5, 0.3, 1.0)]
"""Steps, strength, guidance: whole schedules and such of which several steps are left; and such of which one is."""
SOME_ENDS = [(5, 0.6, 7.5), (7, 1.0, 1.0)]
"""For a mask, whose ends are found as an image's are."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / inputs.FOLDER


def from_image(model: ModelInfo, start: Start, **changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {"prompt": "a red fox", "negative_prompt": "blurry", "seed": 1234, "size": SIZE}
    return model.request(**{**values, **changes}, start=start)


@pytest.mark.parametrize(
    ("sampler", "steps", "strength", "guidance"),
    [(sampler, *end) for number, sampler in enumerate(SAMPLERS) for end in (*ENDS, LAST_STEPS[number % 2])],
)
def test_image_to_image_equals_pipe(
    pipe: Any,
    family: SdFamily,
    model: ModelInfo,
    folder: Path,
    sampler: str,
    steps: int,
    strength: float,
    guidance: float,
) -> None:
    """The final latents are those of StableDiffusionImg2ImgPipeline, after as many calls as the contract counts."""
    photo = a_photo()
    start = Start(image=kept(folder, photo), strength=strength)
    request = from_image(model, start, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(family, request, folder)
    assert canvas.done == request.evaluations
    expected = plain(pipe, request, 1234, "latent", image=photo.resize(SIZE, Image.Resampling.LANCZOS))
    assert torch.isfinite(canvas.latents).all()
    assert torch.equal(canvas.latents[0], expected)


@pytest.mark.parametrize(("steps", "strength", "guidance"), SOME_ENDS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_inpainting_equals_pipe(
    pipe: Any,
    family: SdFamily,
    model: ModelInfo,
    folder: Path,
    sampler: str,
    steps: int,
    strength: float,
    guidance: float,
) -> None:
    """With a plain checkpoint, within a mask, the final latents are those of StableDiffusionInpaintPipeline."""
    photo, mask = a_photo(), a_mask()
    start = Start(image=kept(folder, photo), mask=kept(folder, mask), strength=strength)
    request = from_image(model, start, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(family, request, folder)
    assert canvas.done == request.evaluations
    expected = plain(pipe, request, 1234, "latent", image=photo, mask=mask)
    assert torch.equal(canvas.latents[0], expected)


@pytest.fixture(scope="module")
def filling(
    tmp_path_factory: pytest.TempPathFactory, load_pipe: Callable[[Path], Any]
) -> tuple[Any, ModelInfo]:
    """A checkpoint that was made for inpainting."""
    from tests.kit.tiny import build

    path = build(tmp_path_factory.mktemp("models") / "filling", fills_masks=True)
    return load_pipe(path), described(EngineSettings(model=str(path), spool="/nowhere"))


@pytest.mark.parametrize(
    ("sampler", "steps", "strength", "guidance"),
    [(sampler, *SOME_ENDS[number % 2]) for number, sampler in enumerate(SAMPLERS)],
)
def test_a_model_for_inpainting_equals_pipe(
    filling: tuple[Any, ModelInfo], folder: Path, sampler: str, steps: int, strength: float, guidance: float
) -> None:
    """With a checkpoint whose UNet is shown mask and image, too."""
    pipe, model = filling
    photo, mask = a_photo(), a_mask()
    start = Start(image=kept(folder, photo), mask=kept(folder, mask), strength=strength)
    request = from_image(model, start, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(SdFamily(pipe), request, folder)
    assert canvas.done == request.evaluations
    expected = plain(pipe, request, 1234, "latent", image=photo, mask=mask)
    assert torch.equal(canvas.latents[0], expected)


def test_a_model_for_inpainting_needs_a_mask(filling: tuple[Any, ModelInfo], tmp_path: Path) -> None:
    """Words alone, or an image without a mask, are refused with a sentence, and who has a mask is drawn beside them."""
    pipe, model = filling
    folder = tmp_path / inputs.FOLDER
    bench = Bench(SdFamily(pipe), model, tmp_path)
    image, mask = kept(folder, a_photo()), kept(folder, a_mask())
    whole = from_image(model, Start(image=image, mask=mask))
    bench.submit(1, replace(whole, image=None, mask=None, strength=None))
    bench.submit(2, replace(whole, mask=None))
    bench.submit(3, whole)
    bench.finish(1, 2, 3)
    with pytest.raises(InvalidRequest, match="only fills masks"):
        model.request(prompt="x", seed=1)
    for number in (1, 2):
        refused = bench.ending(number)
        assert isinstance(refused, Failed)
        assert refused.reason == f"{model.title} only fills masks: attach an image and a mask."
    assert len(bench.finished(3).images) == 1


@pytest.mark.xdist_group("house")
def test_a_real_process_fills_masks(house: House, load_pipe: Callable[[Path], Any]) -> None:
    """Such a checkpoint is loaded, examined and drawn with by a spawned engine, as diffusers' pipeline draws."""
    model = house.model("filling")
    assert model.takes_images
    photo, mask = a_photo(), a_mask()
    files = Start(image=kept(house.inputs, photo), mask=kept(house.inputs, mask), strength=0.8)
    request = from_image(model, files, steps=6)
    (ending,), _ = house.finish(request)
    pipe = load_pipe(house.folder / "checkpoints" / "filling")
    expected = plain(pipe, request, 1234, "pil", image=photo, mask=mask)
    assert pixels(ending.images[0].path) == expected.tobytes()


@pytest.mark.parametrize("mode", ["exact", "wide"])
def test_masks_are_filled_alone_and_in_a_crowd(
    filling: tuple[Any, ModelInfo], tmp_path: Path, mode: Mode
) -> None:
    """What else the UNet is shown belongs to each picture alone: neighbours with other images change no bit."""
    pipe, model = filling
    folder = tmp_path / inputs.FOLDER
    mask = kept(folder, a_mask())
    requests = [
        from_image(
            model,
            Start(image=kept(folder, a_photo(seed=number)), mask=mask),
            seed=number,
            steps=4,
            guidance_scale=1.0 + number % 2,
        )
        for number in range(4)
    ]

    def drawn(numbers: Sequence[int]) -> dict[int, bytes]:
        bench = Bench(SdFamily(pipe), model, tmp_path, mode=mode, rows=4)
        for number in numbers:
            bench.submit(number, requests[number])
        bench.finish(*numbers)
        return {number: pixels(bench.finished(number).images[0].path) for number in numbers}

    crowd = drawn(range(4))
    assert len(set(crowd.values())) == 4
    for number in range(4):
        assert drawn([number])[number] == crowd[number]


def test_pictures_of_one_request_are_those_of_their_own_seeds(
    pipe: Any, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image draws its own latents from the one encoding, as a lone call with its seed does."""
    folder = tmp_path / inputs.FOLDER
    photo = a_photo()
    encodings: list[Any] = []
    honest = pipe.vae.encode
    monkeypatch.setattr(pipe.vae, "encode", lambda image: encodings.append(image) or honest(image))
    request = from_image(model, Start(image=kept(folder, photo), strength=0.5), images=3, steps=4)
    bench = Bench(SdFamily(pipe), model, tmp_path)
    bench.submit(1, request)
    images = bench.finished(1).images
    assert len(encodings) == 1
    assert Stepped(job_id=1, attempt=1, stage="encoding", step=0, steps=9) in bench.events
    squeezed = photo.resize(SIZE, Image.Resampling.LANCZOS)
    for image in images:
        assert pixels(image.path) == plain(pipe, request, image.seed, "pil", image=squeezed).tobytes()


def test_a_mask_too_thin_for_the_latents(pipe: Any, model: ModelInfo, folder: Path) -> None:
    """White that falls between the latents' pixels would change nothing: that is said instead."""
    mask = Image.new("L", SIZE, 0)
    mask.putpixel((3, 3), 255)
    start = Start(image=kept(folder, a_photo(SIZE)), mask=kept(folder, mask))
    with pytest.raises(InvalidRequest, match="white is too thin: paint spots of at least 8 pixels"):
        draw(SdFamily(pipe), from_image(model, start), folder)


def test_a_note_says_what_was_left_out(bench: Bench, model: ModelInfo, tmp_path: Path) -> None:
    """Of a moving picture the first frame is taken, and who asked is told."""
    frames: dict[str, Any] = {"save_all": True, "append_images": [a_photo(seed=1)]}
    digest = inputs.keep(tmp_path / inputs.FOLDER, encoded(a_photo(), "WEBP", **frames))
    bench.submit(1, from_image(model, Start(image=digest)))
    assert bench.finished(1).notes == ("The image moves: its first frame was taken.",)


@pytest.mark.parametrize("start", ["image", "mask"])
def test_previews_and_a_cancel_on_the_way(pipe: Any, model: ModelInfo, tmp_path: Path, start: str) -> None:
    """A picture with an image is shown on its way as any other, and a cancel ends it within a step."""
    folder = tmp_path / inputs.FOLDER
    mask = kept(folder, a_mask()) if start == "mask" else None
    request = from_image(model, Start(image=kept(folder, a_photo()), mask=mask), steps=40, sampler="Euler")
    family = SdFamily(pipe, LinearSketcher(pipe.vae))
    bench = Bench(family, model, tmp_path, preview_every=1)
    bench.submit(1, request)
    while not any(isinstance(event, Stepped) and event.preview for event in bench.events):
        bench.tick()
    bench.cancel(1)
    bench.tick()
    ending = bench.ending(1)
    assert isinstance(ending, Cancelled)
    assert 0 < ending.done < 1


def short_encoder(pipe: Any, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    """The VAE's encoder has memory for so many pixels at once."""
    honest = pipe.vae.encoder.forward

    def encode(image: torch.Tensor) -> torch.Tensor:
        if image[0, 0].numel() > pixels:
            raise torch.OutOfMemoryError
        return honest(image)

    monkeypatch.setattr(pipe.vae.encoder, "forward", encode)


@pytest.mark.parametrize("masked", [False, True])
def test_an_image_is_read_in_tiles_where_memory_is_short(
    starter: Any, starter_model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, masked: bool
) -> None:
    """It takes less at once, looks almost the same and says so; the VAE is left as it was."""
    folder = tmp_path / inputs.FOLDER
    photo = kept(folder, a_photo((192, 160)))
    start = Start(image=photo, mask=kept(folder, a_mask((192, 160))) if masked else None, strength=0.5)
    request = starter_model.request(prompt="a red heart", seed=1, size=(192, 160), steps=4, start=start)
    before = starter.vae.use_tiling, starter.vae.tile_latent_min_size, starter.vae.tile_sample_min_size

    def drawn(job_id: int) -> tuple[bytes, tuple[str, ...]]:
        bench = Bench(SdFamily(starter), starter_model, tmp_path)
        bench.submit(job_id, request)
        finished = bench.finished(job_id)
        return pixels(finished.images[0].path), finished.notes

    whole, nothing = drawn(1)
    short_encoder(starter, monkeypatch, 128 * 128)
    tiles, notes = drawn(2)
    assert nothing == ()
    assert notes == (IN_TILES,)
    differences = [abs(one - other) for one, other in zip(whole, tiles, strict=True)]
    assert 0 < sum(differences) / len(differences) < 6
    after = starter.vae.use_tiling, starter.vae.tile_latent_min_size, starter.vae.tile_sample_min_size
    assert after == before


def test_no_memory_for_the_image_is_ones_own(
    pipe: Any, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where encoding the image finds no memory, not even in tiles, that request alone fails, and names a size that may fit."""
    folder = tmp_path / inputs.FOLDER
    bench = Bench(SdFamily(pipe), model, tmp_path)
    short_encoder(pipe, monkeypatch, 0)
    bench.submit(1, from_image(model, Start(image=kept(folder, a_photo())), size=(128, 128)))
    bench.submit(2, model.request(prompt="x", seed=1, steps=2, size=(64, 64)))
    bench.finish(1, 2)
    failed = bench.ending(1)
    assert isinstance(failed, Failed)
    assert failed.reason == "There is not enough memory for 128x128: try 64x64."
    assert isinstance(bench.ending(2), Finished)

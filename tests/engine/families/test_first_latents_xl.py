"""SDXL's pictures that start from an image are those of diffusers' own pipelines for that, to the bit, alone and in a crowd."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.contract import SAMPLERS, EngineSettings, Failed, GenerationRequest, Mode, ModelInfo, Start
from engine.device.choice import Place
from engine.families.sdxl import SdxlFamily
from engine.families.vae import unscaled
from engine.pictures import inputs
from tests.kit.engines import NO_IMAGES, Bench, a_mask, a_photo, described, draw, kept, pixels, plain, settled

SIZE = (72, 64)
ENDS = [(2, 0.5, 1.0), (3, 1.0, 5.0), (4, 0.6, 5.0)]
"""Steps, strength, guidance: whole schedules, and such of which one step or several are left."""
BAD = [NO_IMAGES["a bomb"], NO_IMAGES["one pixel"], NO_IMAGES["a truncated PNG"]]
CASES = [(sampler, *ENDS[number % 3]) for number, sampler in enumerate(SAMPLERS)]
OTHERS = [(sampler, *ENDS[(number + 1) % 3]) for number, sampler in enumerate(SAMPLERS)]
each_case = pytest.mark.parametrize(("sampler", "steps", "strength", "guidance"), CASES)
each_fourth = pytest.mark.parametrize(("sampler", "steps", "strength", "guidance"), OTHERS[::4])
each_other_fourth = pytest.mark.parametrize(("sampler", "steps", "strength", "guidance"), OTHERS[2::4])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / inputs.FOLDER


@pytest.fixture(scope="module")
def filling(
    tmp_path_factory: pytest.TempPathFactory, load_pipe: Callable[[Path], Any]
) -> tuple[Any, ModelInfo]:
    """A checkpoint of SDXL that was made for inpainting."""
    from tests.kit.tiny import build_xl

    path = build_xl(tmp_path_factory.mktemp("models") / "filling-xl", fills_masks=True)
    return load_pipe(path), described(EngineSettings(model=str(path), spool="/nowhere"))


def from_image(model: ModelInfo, start: Start, **changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {"prompt": "a red fox", "negative_prompt": "blurry", "seed": 1234, "size": SIZE}
    return model.request(**{**values, **changes}, start=start)


def squeezed(photo: Image.Image) -> Image.Image:
    return photo.resize(SIZE, Image.Resampling.LANCZOS)


@each_case
def test_image_to_image_equals_pipe(
    pipe_xl: Any,
    model_xl: ModelInfo,
    folder: Path,
    sampler: str,
    steps: int,
    strength: float,
    guidance: float,
) -> None:
    """The final latents are those of StableDiffusionXLImg2ImgPipeline, after as many calls as the contract counts."""
    photo = a_photo()
    start = Start(image=kept(folder, photo), strength=strength)
    request = from_image(model_xl, start, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(SdxlFamily(pipe_xl), request, folder)
    assert canvas.done == request.evaluations
    assert torch.isfinite(canvas.latents).all()
    assert torch.equal(canvas.latents[0], plain(pipe_xl, request, 1234, "latent", image=squeezed(photo)))


def same_in_pipe(pipe: Any, model: ModelInfo, folder: Path, **options: Any) -> None:
    photo, mask = a_photo(), a_mask()
    start = Start(image=kept(folder, photo), mask=kept(folder, mask), strength=options.pop("strength"))
    request = from_image(model, start, **options)
    canvas = draw(SdxlFamily(pipe), request, folder)
    assert canvas.done == request.evaluations
    assert torch.equal(canvas.latents[0], plain(pipe, request, 1234, "latent", image=photo, mask=mask))


@each_fourth
def test_inpainting_equals_pipe(
    pipe_xl: Any,
    model_xl: ModelInfo,
    folder: Path,
    sampler: str,
    steps: int,
    strength: float,
    guidance: float,
) -> None:
    """With a plain checkpoint, within a mask, the final latents are those of StableDiffusionXLInpaintPipeline."""
    options: dict[str, Any] = {"steps": steps, "strength": strength, "guidance_scale": guidance}
    same_in_pipe(pipe_xl, model_xl, folder, sampler=sampler, **options)


@each_other_fourth
def test_a_model_for_inpainting_equals_pipe(
    filling: tuple[Any, ModelInfo], folder: Path, sampler: str, steps: int, strength: float, guidance: float
) -> None:
    """With a checkpoint whose UNet is shown mask and image, too."""
    options: dict[str, Any] = {"steps": steps, "strength": strength, "guidance_scale": guidance}
    same_in_pipe(*filling, folder, sampler=sampler, **options)


def test_a_model_for_inpainting_is_loaded(filling: tuple[Any, ModelInfo], folder: Path) -> None:
    """Its folder is taken, its self-test passes, it needs a mask, and its pictures are those of diffusers' pipeline."""
    pipe, model = filling
    assert (model.family, model.takes_images, model.needs_mask) == ("sdxl", True, True)
    settings = EngineSettings(model=str(pipe.name_or_path), spool="/nowhere")
    place = Place(device=torch.device("cpu"), dtype=torch.float32)
    family = SdxlFamily(settled(settings, place).pipeline)
    family.self_test((64, 64))
    photo, mask = a_photo(), a_mask()
    request = from_image(model, Start(image=kept(folder, photo), mask=kept(folder, mask)), steps=3)
    image = family.decode(draw(family, request, folder))
    assert image is not None
    assert image.tobytes() == plain(pipe, request, 1234, "pil", image=photo, mask=mask).tobytes()


@pytest.mark.filterwarnings("ignore:.*upcast_vae:FutureWarning")  # diffusers warns of itself
@pytest.mark.parametrize("masked", [False, True])
def test_in_half_precision_the_vae_reads_in_full(tmp_path: Path, folder: Path, masked: bool) -> None:
    """A VAE that would overflow in float16 reads the image in float32, and the picture is that of pipe in float16."""
    import diffusers

    from tests.kit.tiny import build_xl

    path = build_xl(tmp_path / "xl")
    settings = EngineSettings(model=str(path), spool="/nowhere")
    place = Place(device=torch.device("cpu"), dtype=torch.float16)
    pipe = settled(settings, place).pipeline
    assert (pipe.vae.dtype, pipe.unet.dtype) == (torch.float32, torch.float16)
    photo, mask = a_photo(), a_mask() if masked else None
    start = Start(image=kept(folder, photo), mask=kept(folder, mask) if mask else None)
    request = from_image(described(settings), start, steps=3, sampler="Euler a")
    family = SdxlFamily(pipe)
    image = family.decode(draw(family, request, folder))
    assert image is not None
    half: Any = diffusers.DiffusionPipeline.from_pretrained(path, use_safetensors=True, dtype=torch.float16)
    given = photo if masked else squeezed(photo)
    assert image.tobytes() == plain(half, request, 1234, "pil", image=given, mask=mask).tobytes()


@pytest.fixture
def spread(pipe_xl: Any) -> Iterator[Any]:
    """SDXL with a VAE that says how its latents lie."""
    config = pipe_xl.vae.config
    pipe_xl.vae.register_to_config(latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.9, 1.1, 1.3, 0.7])
    yield pipe_xl
    pipe_xl.vae.register_to_config(latents_mean=config.latents_mean, latents_std=config.latents_std)


def test_latents_of_another_mean_and_spread(spread: Any, model_xl: ModelInfo, folder: Path) -> None:
    """Such a VAE's latents become the UNet's as in pipe; and within a mask what is kept is kept, which pipe forgets."""
    photo, mask = a_photo(), a_mask()
    family = SdxlFamily(spread)
    request = from_image(model_xl, Start(image=kept(folder, photo)), steps=3)
    expected = plain(spread, request, 1234, "latent", image=squeezed(photo))
    assert torch.equal(draw(family, request, folder).latents[0], expected)
    within = from_image(model_xl, Start(image=kept(folder, photo), mask=kept(folder, mask)), steps=3)
    with torch.inference_mode():
        pixels = spread.image_processor.preprocess(squeezed(photo))
        kept_latents = spread.vae.encode(pixels).latent_dist.sample(torch.Generator().manual_seed(1234))
        drawn = unscaled(spread.vae, draw(family, within, folder).latents)
    assert torch.allclose(drawn[..., :3], kept_latents[..., :3], atol=1e-5)
    assert not torch.allclose(drawn[..., 5:], kept_latents[..., 5:], atol=1e-2)


@pytest.mark.parametrize("mode", ["exact", "wide"])
def test_alone_and_in_a_crowd(pipe_xl: Any, model_xl: ModelInfo, tmp_path: Path, mode: Mode) -> None:
    """Pictures from words, from images and within masks share the line, bad images among them, and change no bit."""
    folder = tmp_path / inputs.FOLDER
    image, mask = kept(folder, a_photo()), kept(folder, a_mask())
    starts = [
        None,
        Start(image=image, strength=0.5),
        Start(image=image, mask=mask, strength=0.8),
        Start(image=kept(folder, a_photo(seed=1)), strength=1.0),
    ]
    requests = {
        number: model_xl.request(
            prompt=f"picture {number}", seed=number, size=SIZE, steps=4, start=start, sampler="Euler a",
            guidance_scale=5.0 - 4 * (number % 2),
        )
        for number, start in enumerate(starts, 1)
    }  # fmt: skip
    bad = {10 + number: Start(image=inputs.keep(folder, data)) for number, (data, _) in enumerate(BAD)}

    def drawn(numbers: Sequence[int], *, crowd: bool) -> dict[int, bytes]:
        bench = Bench(SdxlFamily(pipe_xl), model_xl, tmp_path, mode=mode, rows=4)
        for number in numbers:
            bench.submit(number, requests[number])
            bench.tick(number % 2)
        for number, start in bad.items() if crowd else ():
            bench.submit(number, from_image(model_xl, start))
        found = {number: pixels(bench.finished(number).images[0].path) for number in numbers}
        bench.finish(*(bad if crowd else ()))
        for number, (_, words) in enumerate(BAD if crowd else (), 10):
            refused = bench.ending(number)
            assert isinstance(refused, Failed)
            assert words in refused.reason
        return found

    together = drawn([*requests], crowd=True)
    for number in requests:
        assert drawn([number], crowd=False)[number] == together[number]

"""SDXL in the shared batch draws what a plain `pipe(…)` call draws, to the bit, alone and in any crowd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.contract import SAMPLERS, EngineSettings, GenerationRequest, Mode, ModelInfo
from engine.families.sdxl import SdxlFamily
from tests.kit.engines import Bench, House, described, plain, settled


def a_request(model: ModelInfo, **changes: Any) -> GenerationRequest:
    first = model.request(prompt="a red fox in the snow", negative_prompt="blurry", seed=1234, size=(72, 64))
    return replace(first, **changes)


def draw(family: SdxlFamily, request: GenerationRequest) -> Any:
    canvas = family.prepare(request, request.seed)
    while canvas.left:
        (prediction,) = family.predict([canvas], padded=None)
        family.advance(canvas, prediction, look=False)
    return canvas


@pytest.mark.parametrize(("steps", "guidance"), [(1, 7.5), (5, 1.0)])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_latents_equal_pipe(
    pipe_xl: Any, family_xl: SdxlFamily, model_xl: ModelInfo, sampler: str, steps: int, guidance: float
) -> None:
    """For each sampler, step count and guidance, the final latents are bit-equal to the tutorial's call."""
    request = a_request(model_xl, sampler=sampler, steps=steps, guidance_scale=guidance)
    canvas = draw(family_xl, request)
    assert torch.isfinite(canvas.latents).all()
    assert torch.equal(canvas.latents[0], plain(pipe_xl, request, request.seed, "latent"))


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("negative", ["", "blurry"])
def test_empty_negative_prompts(
    tmp_path: Path, load_pipe: Callable[[Path], Any], zeros: bool, negative: str
) -> None:
    """Without a negative prompt the other row is zeros where the model was trained so, else the empty text."""
    from tests.kit.tiny import build_xl

    folder = build_xl(tmp_path / "xl", zeros_for_empty=zeros)
    pipe, model = load_pipe(folder), described(EngineSettings(model=str(folder), spool="/nowhere"))
    request = a_request(model, negative_prompt=negative, steps=3)
    canvas = draw(SdxlFamily(pipe), request)
    assert bool(canvas.embeddings[0].any()) is not (zeros and not negative)
    assert torch.equal(canvas.latents[0], plain(pipe, request, request.seed, "latent"))


@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "UniPC"])
def test_velocity_prediction(tmp_path: Path, load_pipe: Callable[[Path], Any], sampler: str) -> None:
    """A fine-tune that predicts velocity keeps doing so."""
    from tests.kit.tiny import build_xl

    folder = build_xl(tmp_path / "xl", prediction_type="v_prediction")
    pipe, model = load_pipe(folder), described(EngineSettings(model=str(folder), spool="/nowhere"))
    request = a_request(model, sampler=sampler, steps=4)
    assert torch.equal(
        draw(SdxlFamily(pipe), request).latents[0], plain(pipe, request, request.seed, "latent")
    )


def test_latents_of_another_mean_and_spread(pipe_xl: Any, model_xl: ModelInfo) -> None:
    """A VAE that says how its latents lie is given them so, as in pipe."""
    config = pipe_xl.vae.config
    pipe_xl.vae.register_to_config(latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.9, 1.1, 1.3, 0.7])
    try:
        request = a_request(model_xl, steps=2)
        image = SdxlFamily(pipe_xl).decode(draw(SdxlFamily(pipe_xl), request))
        assert image is not None
        assert image.tobytes() == plain(pipe_xl, request, request.seed, "pil").tobytes()
    finally:
        pipe_xl.vae.register_to_config(latents_mean=config.latents_mean, latents_std=config.latents_std)


def crowd_of(model: ModelInfo) -> dict[int, GenerationRequest]:
    names = [*SAMPLERS, "Euler a", "DPM++ 2M SDE", "LCM"]
    sizes = [(64, 64), (72, 64), (64, 96)]
    return {
        number: a_request(
            model,
            prompt=f"picture {number % 4}",
            negative_prompt=["", "blurry"][number % 2],
            sampler=name,
            steps=2 + number % 5,
            guidance_scale=[1.0, 3.0, 7.5][number % 3],
            seed=number,
            width=sizes[number // 3 % 3][0],
            height=sizes[number // 3 % 3][1],
            images=1 + (number % 5 == 0),
        )
        for number, name in enumerate(names)
    }


def test_crowd_equals_pipe(pipe_xl: Any, model_xl: ModelInfo, tmp_path: Path) -> None:
    """Mixed requests that join at different times all get the pixels they would get alone from pipe."""
    requests = crowd_of(model_xl)
    bench = Bench(SdxlFamily(pipe_xl), model_xl, tmp_path, slots=5)
    for number, request in requests.items():
        bench.submit(number, request)
        bench.tick(1 + number % 4)
    bench.finish(*requests)
    for number, request in requests.items():
        for spooled in bench.finished(number).images:
            expected = plain(pipe_xl, request, spooled.seed, "pil")
            with Image.open(str(spooled.path)) as image:
                assert image.tobytes() == expected.tobytes(), (number, request.sampler)


@pytest.mark.parametrize("mode", ["exact", "wide"])
def test_alone_and_in_a_crowd(pipe_xl: Any, model_xl: ModelInfo, tmp_path: Path, mode: Mode) -> None:
    """Neighbours, and one of them cancelled on the way, never show; nothing was served in another mode."""
    from engine.pictures import metadata

    single = {number: request for number, request in crowd_of(model_xl).items() if request.images == 1}
    requests = dict([*single.items()][::2])  # all of them, in exact, are compared with pipe above

    def drawn(numbers: list[int], name: str) -> dict[int, bytes]:
        bench = Bench(SdxlFamily(pipe_xl), model_xl, tmp_path / name, slots=4, mode=mode, rows=4)
        (tmp_path / name).mkdir()
        for number in numbers:
            bench.submit(number, requests[number])
            bench.tick(number % 3)
        if len(numbers) > 1:
            bench.cancel(numbers.pop())
        pictures: dict[int, bytes] = {}
        for number in numbers:
            path = str(bench.finished(number).images[0].path)
            info = metadata.read(path)
            assert info is not None
            assert info.fingerprint == {"engine": "test"}
            with Image.open(path) as image:
                pictures[number] = image.tobytes()
        return pictures

    crowd = drawn([*requests], "crowd")
    assert len(crowd) == len(requests) - 1
    for number, picture in crowd.items():
        assert drawn([number], f"alone-{number}") == {number: picture}


def test_slots_that_differ_are_found(pipe_xl: Any, model_xl: ModelInfo) -> None:
    """The probe of a shape shifts what SDXL's rows carry besides, too."""
    family = SdxlFamily(pipe_xl)
    canvas = family.prepare(a_request(model_xl), 1)
    assert family.forwards.equal_widths(canvas, 4)
    honest = family.forwards.run

    def crooked(batch: Any, like: Any) -> torch.Tensor:
        return honest(replace(batch, pooled=batch.pooled[:1].expand_as(batch.pooled)), like)

    family.forwards.run = crooked  # type: ignore[method-assign]
    assert not family.forwards.equal_widths(canvas, 4)


def test_previews_and_tiles(pipe_xl: Any, model_xl: ModelInfo, tmp_path: Path) -> None:
    """Previews come on the way; decoded in tiles, the picture has the size it should have."""
    from engine.contract import Stepped
    from engine.families.preview import LinearSketcher

    family = SdxlFamily(pipe_xl, LinearSketcher(pipe_xl.vae))
    bench = Bench(family, model_xl, tmp_path, preview_every=2)
    bench.submit(1, a_request(model_xl, steps=6))
    assert bench.finished(1).images[0].path
    assert any(isinstance(event, Stepped) and event.preview for event in bench.events)
    sparing = family.decode(draw(family, a_request(model_xl, steps=2)), sparing=True)
    assert sparing is not None
    assert sparing.size == (72, 64)


@pytest.mark.filterwarnings("ignore:.*upcast_vae:FutureWarning")  # diffusers warns of itself
@pytest.mark.parametrize(("force_upcast", "vae"), [(True, "float32"), (False, "float16")])
def test_the_vae_does_not_overflow(tmp_path: Path, force_upcast: bool, vae: str) -> None:
    """In float16 a VAE that is too large for it computes in float32; one that was mended stays in float16."""
    from engine.device.choice import Place
    from tests.kit.tiny import build_xl

    folder = build_xl(tmp_path / "xl", force_upcast=force_upcast)
    settings = EngineSettings(model=str(folder), spool="/nowhere")
    place = Place(device=torch.device("cpu"), dtype=torch.float16)
    pipe = settled(settings, place).pipeline
    assert (str(pipe.vae.dtype), str(pipe.unet.dtype)) == (f"torch.{vae}", "torch.float16")
    family, model = SdxlFamily(pipe), described(settings)
    family.self_test((64, 64))
    image = family.decode(draw(family, a_request(model, steps=2)))
    assert image is not None
    assert image.tobytes() == plain_half(folder, a_request(model, steps=2)).tobytes()


def plain_half(folder: Path, request: GenerationRequest) -> Any:
    """What a tutorial's pipe draws in float16 on the CPU."""
    import diffusers

    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(folder, use_safetensors=True, dtype=torch.float16)
    pipe.set_progress_bar_config(disable=True)
    return plain(pipe, request, request.seed, "pil")


@pytest.mark.xdist_group("house")
def test_a_real_process_equals_pipe(pipe_xl: Any, house: House) -> None:
    """PNGs out of a spawned engine that was given the folder have exactly pipe's pixels."""
    model = house.model("xl")
    assert (model.family, model.sampler, model.guidance_scale) == ("sdxl", "Euler", 5.0)
    requests = (
        model.request(prompt="a castle", seed=5, size=(64, 64)),
        model.request(prompt="a ship", seed=0, sampler="Euler a", guidance_scale=1.0, steps=1, images=2),
    )
    endings, _ = house.finish(*requests)
    for request, ending in zip(requests, endings, strict=True):
        assert len(ending.images) == request.images
        for spooled in ending.images:
            with Image.open(str(spooled.path)) as image:
                assert image.tobytes() == plain(pipe_xl, request, spooled.seed, "pil").tobytes()

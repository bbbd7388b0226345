"""What a PNG says about itself: AUTOMATIC1111's line for other tools, and our own chunk that survives any prompt."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from engine.contract import SAMPLERS, SEEDS, GenerationRequest
from engine.contract.foreign_samplers import Known, known_as
from engine.pictures import metadata
from tests.kit.engines import NO_IMAGES

PIXEL = Image.new("RGB", (2, 2), (1, 2, 3))
HOSTILE = [
    "a cat\nNegative prompt: dog",
    "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 1x1, Model: x",
    'colon: comma, "quotes" \\ backslash',
    "🦊" * 4000,
    "漢字 ÄÖÜ \u202e right to left",
    "nul\0inside",
    "line\r\nends\r",
    "a" * 4000,
    "  spaces  ",
]


def a_request(**changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {
        "prompt": "a red fox",
        "negative_prompt": "",
        "width": 512,
        "height": 768,
        "steps": 20,
        "guidance_scale": 7.0,
        "sampler": "Euler a",
        "seed": 42,
        "model": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    }
    return GenerationRequest(**{**values, **changes})


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    started = draw(st.sampled_from([{}, {"image": "a" * 64}, {"image": "a" * 64, "mask": "b" * 64}]))
    strength = {"strength": draw(st.sampled_from([0.75, 1.0]))} if started else {}
    least = 2 if started else 1
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.sampled_from(HOSTILE)
    prompt = draw(text.filter(lambda words: any(char.isalnum() for char in words)))
    name = draw(st.sampled_from(list(SAMPLERS)))
    return a_request(
        prompt=prompt,
        negative_prompt=draw(text),
        sampler=name,
        schedule=(schedule := draw(st.sampled_from(["", *SAMPLERS[name].schedules]))),
        guidance_until=draw(st.floats(0, 1)),
        steps=10 if schedule == "AYS" else draw(st.integers(least, SAMPLERS[name].steps_max)),
        guidance_scale=draw(st.floats(1, 30)),
        seed=draw(st.integers(0, SEEDS - 1)),
        images=draw(st.integers(1, 10)),
        model=draw(st.sampled_from(["fake", "a/b", "comma, colon: model\nx"])),
        **started,
        **strength,
    )


@settings(max_examples=150, deadline=None)
@given(requests(), st.integers(0, 9))
@example(a_request(prompt=HOSTILE[0], negative_prompt=HOSTILE[1]), 0)
@example(a_request(prompt=HOSTILE[3], negative_prompt=HOSTILE[3]), 0)
@example(a_request(prompt="x" + HOSTILE[5], negative_prompt="\0"), 0)
def test_our_own_chunk_round_trips(request_: GenerationRequest, index: int) -> None:
    """Whatever the prompt holds, the file gives back the request of that very image, its notes and its fingerprint."""
    png = metadata.encode_png(
        PIXEL, request=request_, index=index, notes=("cut, here",), fingerprint={"torch": "2"}
    )
    info = metadata.read(png)
    assert info is not None
    assert info.request is not None
    expected = {**request_.to_dict(), "seed": (request_.seed + index) % SEEDS, "images": 1}
    assert info.request.to_dict() == expected
    assert (info.prompt, info.negative_prompt) == (request_.prompt, request_.negative_prompt)
    assert (info.notes, dict(info.fingerprint)) == (("cut, here",), {"torch": "2"})


@settings(max_examples=150, deadline=None)
@given(requests())
def test_the_settings_line_survives_any_prompt(request_: GenerationRequest) -> None:
    """Whatever the prompt holds, other tools read steps, sampler, guidance, seed, size and model right."""
    fields = metadata.parse_parameters(metadata.parameters(request_)).fields
    assert fields["Steps"] == str(request_.steps)
    assert fields["Sampler"] == request_.sampler
    assert float(fields["CFG scale"]) == pytest.approx(request_.guidance_scale, rel=1e-5)
    assert fields["Seed"] == str(request_.seed)
    assert (fields["Size-1"], fields["Size-2"]) == ("512", "768")
    assert fields["Model"] == request_.model
    assert fields["Version"].startswith("Easel ")


def test_the_line_is_exactly_automatic1111s() -> None:
    """The text is, character by character, what the web UI writes for these settings."""
    text = metadata.parameters(a_request(negative_prompt="blurry", guidance_scale=7.5, model="sd15"))
    assert text == (
        "a red fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 42, Size: 512x768, "
        f"Model: sd15, Version: Easel {metadata.easel_version()}"
    )


def test_the_strength_stands_where_automatic1111_puts_it() -> None:
    """A picture that started from an image tells its denoising strength, any other says nothing of it."""
    request = a_request(image="a" * 64, strength=0.6, model="sd15")
    assert "Model: sd15, Denoising strength: 0.6, Version: " in metadata.parameters(request)
    assert "Denoising" not in metadata.parameters(a_request())


def test_schedules_are_called_as_automatic1111_does() -> None:
    """Beside the sampler; where guidance ends has no name there, and one of ours."""
    request = a_request(sampler="DPM++ 2M", schedule="AYS", steps=10, guidance_until=0.6)
    told = metadata.parameters(request)
    assert "Sampler: DPM++ 2M, Schedule type: Align Your Steps, CFG scale: 7, Guidance until: 0.6" in told
    fields = metadata.parse_parameters(told).fields
    known = known_as(fields["Sampler"], fields["Schedule type"])
    assert known == Known(sampler="DPM++ 2M", schedule="AYS")


def test_ordinary_prompts_are_read_by_other_tools() -> None:
    """A prompt of several lines with a negative one comes back from the web UI's format alone."""
    info = metadata.parse_parameters(
        metadata.parameters(a_request(prompt="a fox,\nin snow: white", negative_prompt="one\ntwo"))
    )
    assert (info.prompt, info.negative_prompt) == ("a fox,\nin snow: white", "one\ntwo")


def test_values_with_commas_are_quoted() -> None:
    """A comma, a colon or a line break in a value is written as a JSON string, as the web UI does."""
    text = metadata.parameters(a_request(model='odd, "model": x'))
    assert 'Model: "odd, \\"model\\": x", Version' in text


def test_somebody_elses_picture() -> None:
    """A picture of the web UI, without our chunk, is read by its line."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text(
        "parameters",
        "a castle 🏰\nNegative prompt: fog\nSteps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, "
        'Seed: 5, Size: 640x512, Model hash: abc, Lora hashes: "a: 1, b: 2", Version: v1.10.1',
    )
    buffer = io.BytesIO()
    PIXEL.save(buffer, "PNG", pnginfo=chunks)
    info = metadata.read(buffer.getvalue())
    assert info is not None
    assert info.request is None
    assert (info.prompt, info.negative_prompt) == ("a castle 🏰", "fog")
    assert info.fields["Lora hashes"] == "a: 1, b: 2"
    assert (info.fields["Size-1"], info.fields["Schedule type"]) == ("640", "Karras")


@pytest.mark.parametrize(
    "text", ["", "x", "\n\n", "Negative prompt:", "a: b, c", '"', 'Steps: 1, A b: ", C d: 2']
)
def test_odd_lines_do_not_raise(text: str) -> None:
    """Anything may stand in somebody's chunk: reading it gives something, never an error."""
    assert metadata.parse_parameters(text) is not None


@pytest.mark.parametrize(
    "own", ["", "{", "[]", "null", '{"request": {}}', '{"request": {"prompt": 5}, "notes": 1}', "1" * 50]
)
def test_a_damaged_chunk_falls_back(own: str) -> None:
    """Where our chunk is damaged, the other one is used."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", metadata.parameters(a_request()))
    chunks.add_text("easel", own)
    buffer = io.BytesIO()
    PIXEL.save(buffer, "PNG", pnginfo=chunks)
    info = metadata.read(buffer.getvalue())
    assert info is not None
    assert (info.request, info.prompt, info.fields["Seed"]) == (None, "a red fox", "42")


def test_no_picture_and_no_text() -> None:
    """A picture without text says nothing; what is no picture raises OSError."""
    buffer = io.BytesIO()
    PIXEL.save(buffer, "PNG")
    assert metadata.read(buffer.getvalue()) is None
    for data in (b"not a picture", NO_IMAGES["DDS that Pillow does not know"][0]):
        with pytest.raises(OSError, match="identify"):
            metadata.read(data)


def test_pixels_are_untouched() -> None:
    """PNG is lossless: what was drawn is what is stored."""
    with Image.open(io.BytesIO(metadata.encode_png(PIXEL, request=a_request()))) as image:
        assert image.tobytes() == PIXEL.tobytes()
        assert json.loads(image.info["easel"])["request"]["seed"] == 42

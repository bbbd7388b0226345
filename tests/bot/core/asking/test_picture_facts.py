"""The facts in posted pictures of every program, what they come to here, and files that mean no good."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bot.core.asking import picture_facts
from bot.core.asking.picture_facts import RAW_CHARS_MAX, TEXT_CHARS_MAX, Part, PictureFacts, facts_of, wish_of
from bot.core.asking.wish import Wish, resolve
from engine.contract import SAMPLERS, AdapterInfo, GenerationRequest, ModelInfo
from engine.pictures import metadata
from engine.pictures.metadata import PictureInfo, encode_png
from tests.kit.foreign_pictures import (
    A1111,
    CODES,
    FLUX,
    GRAPH,
    NOVEL_PNG,
    PICTURES,
    chunk,
    named_png,
    png,
    with_exif,
)

LORAS = (AdapterInfo(name="detail"), AdapterInfo(name="Pixel"))
DREAM = ModelInfo(id="owner/dream", title="Dream 8", loras=LORAS, side_max=1024)
OTHER = ModelInfo(
    id="fake",
    title="Fake",
    width=128,
    height=128,
    side_max=256,
    steps=8,
    steps_max=25,
    sampler="Euler",
    samplers=("Euler",),
)
OURS = GenerationRequest(
    prompt="a castle",
    negative_prompt="fog",
    width=640,
    height=512,
    steps=20,
    guidance_scale=7.5,
    sampler="Euler",
    seed=5,
    model="dream",
)


def facts(data: bytes) -> PictureFacts:
    found = picture_facts.read(data)
    assert found is not None
    return found


def told(**changes: Any) -> PictureFacts:
    return replace(facts_of(PictureInfo(prompt="a castle")), **changes)


# ------------------------------------------------------------------ facts

LINE = (
    A1111.replace("CFG scale: 7,", "CFG scale: 7.5,")
    .replace("Steps: 30", "Steps: 20")
    .replace(", 漢字 é", "")
)
GOLDEN: dict[str, tuple[str, bytes]] = {
    "Forge's PNG": ("Forge", png(parameters=LINE)),
    "Forge's JPEG": ("Forge", with_exif("JPEG", {}, CODES["big"](LINE))),
    "AUTOMATIC1111's WebP": (
        "AUTOMATIC1111",
        with_exif("WEBP", {}, CODES["big"](LINE.replace("f2.0.1", "v1.10.1"))),
    ),
    "ComfyUI's PNG": (
        "ComfyUI",
        png(prompt=json.dumps(GRAPH).replace("8.5", "7.5"), workflow='{"nodes": []}'),
    ),
    "ComfyUI's WebP": (
        "ComfyUI",
        with_exif("WEBP", {0x0110: f"prompt:{json.dumps(GRAPH).replace('8.5', '7.5')}"}),
    ),
    "Easel's own": ("Easel", encode_png(Image.new("RGB", (8, 8)), request=OURS)),
    "Easel's line": ("Easel", png(parameters=metadata.parameters(OURS))),
    **{name: found for name, found in PICTURES.items() if name not in {"InvokeAI 1", "InvokeAI 2"}},
}


def test_tiles_and_edits_are_told() -> None:
    """“Tiling: True” as AUTOMATIC1111 writes it and we do; who can't tile leaves it out. What was edited is not in the file."""
    tiled, edited = replace(OURS, tile=True), replace(OURS, references=("a" * 64,))
    for data in (
        encode_png(Image.new("RGB", (8, 8)), request=tiled),
        png(parameters=metadata.parameters(tiled)),
        png(parameters=A1111.replace(", Model:", ", Tiling: True, Model:")),
    ):
        assert facts(data).is_tiled
        assert not facts(data).others or "Tiling" not in dict(facts(data).others)
    assert not facts(png(parameters=A1111)).is_tiled
    assert wish_of(told(is_tiled=True), [replace(DREAM, takes_tiling=True)]).wish.tile
    assert [part.part for part in wish_of(told(is_tiled=True), [DREAM]).left_out] == [Part.TILE]
    assert facts(encode_png(Image.new("RGB", (8, 8)), request=edited)).has_start


@pytest.mark.parametrize("name", GOLDEN)
def test_every_program_tells_the_same_facts(name: str) -> None:
    """Whatever it calls them and wherever it writes them."""
    program, data = GOLDEN[name]
    found = facts(data)
    assert found.program.split()[:1] == program.split()[:1]
    assert found.prompt in {"a castle", 'a "castle" & <moat>'}
    assert (found.negative_prompt, found.size, found.steps, found.guidance) == ("fog", (640, 512), 20, 7.5)
    assert found.seed == (156680208700286 if program == "ComfyUI" else 5)
    assert found.model.removesuffix(".safetensors") == "dream"
    assert found.sampler or program == "Easy Diffusion"
    assert found.is_told
    assert found.is_drawable
    assert found.is_whole
    assert "castle" in found.raw


def test_models_that_were_taught_to_be_guided() -> None:
    """FLUX has its guidance in another field, beside a scale of 1 that means none."""
    assert facts(png(prompt=json.dumps(FLUX))).guidance == 3.5
    forge = "x\nSteps: 20, Sampler: Euler, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 5"
    assert facts(png(parameters=forge)).guidance == 3.5


def test_settings_of_one_program_alone_are_kept_as_they_are() -> None:
    """What is no fact of ours has its name and value."""
    assert ("Lora hashes", "a: 1, b: 2") in facts(png(parameters=A1111)).others


def test_a_photo_tells_nothing() -> None:
    """A camera and its owner are no settings; neither is nothing at all."""
    photo = facts(with_exif("JPEG", {0x010F: "Apple", 0x0110: "iPhone 13", 0x013B: "somebody"}))
    assert not photo.is_told
    assert picture_facts.read(png()) is None


# ------------------------------------------------------------------ the wish


def test_all_of_it_is_taken_over() -> None:
    """Model, sampler and LoRAs by our names, whatever folder, ending or digest was told with them."""
    line = LINE.replace("a castle", "a castle <lora:detail:0.8>").replace(
        "Model: dream", "Model: sd\\dream.safetensors [abcdef12]"
    )
    taken = wish_of(facts(png(parameters=line)), [OTHER, DREAM])
    assert taken.left_out == ()
    assert taken.model is DREAM
    assert taken.wish == Wish(
        prompt="a castle",
        negative_prompt="fog",
        model="owner/dream",
        size="640x512",
        sampler="DPM++ 2M Karras",
        steps=20,
        guidance=7.5,
        seed=5,
        lora="detail:0.8",
    )


@pytest.mark.parametrize("name", ["Fooocus' PNG", "SwarmUI's PNG", "InvokeAI"])
def test_loras_beside_the_prompt_are_taken_over(name: str) -> None:
    """With their weights."""
    taken = wish_of(facts(PICTURES[name][1]), [DREAM])
    assert taken.wish.lora == "detail:0.8, pixel:1"
    assert resolve(taken.wish, DREAM, seed=0).loras[1].name == "Pixel"


def test_what_there_is_none_of_is_left_out() -> None:
    """Each on its own, named; the shape of the picture stays where its size can't be drawn."""
    line = "a castle <lora:detail:0.8>\nSteps: 30, Sampler: DPM++ 3M SDE, CFG scale: 99, Seed: 99999999999, Size: 1024x512, Model: x"
    taken = wish_of(facts(png(parameters=line)), [OTHER, DREAM])
    assert taken.model is OTHER
    assert taken.wish == Wish(prompt="a castle", size="184x88")
    assert [(each.part, each.value) for each in taken.left_out] == [
        (Part.MODEL, "x"),
        (Part.SAMPLER, "DPM++ 3M SDE"),
        (Part.SIZE, "1024x512"),
        (Part.STEPS, "30"),
        (Part.GUIDANCE, "99"),
        (Part.SEED, "99999999999"),
        (Part.LORA, "detail"),
    ]


def test_a_sampler_that_the_model_does_not_work_with() -> None:
    """Known here is not enough; and a schedule that is not is told apart."""
    assert [each.part for each in wish_of(told(sampler="DDIM"), [OTHER]).left_out] == [Part.SAMPLER]
    taken = wish_of(told(sampler="Euler", schedule="Karras"), [OTHER])
    assert taken.wish.sampler == "Euler"
    assert [(each.part, each.value) for each in taken.left_out] == [(Part.SCHEDULE, "Karras")]


def test_of_our_own_picture_only_its_image_is_missing() -> None:
    """A picture does not hold what it started from."""
    start = replace(OURS, model=DREAM.id, image="0" * 64, strength=0.5)
    taken = wish_of(facts(encode_png(Image.new("RGB", (8, 8)), request=start)), [OTHER, DREAM])
    assert [each.part for each in taken.left_out] == [Part.IMAGE]
    assert resolve(taken.wish, DREAM, seed=0) == replace(OURS, model=DREAM.id)


@pytest.mark.parametrize(
    ("prompt", "kept", "parts"),
    [
        ("x" * 5000, "x" * 4000, [Part.PROMPT]),
        ("a <lora:> b <lora:x:y>", "a b", []),
        ("", "", []),
        ("a\0\ud800\x1b[2J b", "a�[2J b", []),
    ],
)
def test_prompts_that_no_request_takes(prompt: str, kept: str, parts: list[Part]) -> None:
    """Too long ones are cut and that is told; broken tags, controls and halves of characters go."""
    taken = wish_of(facts_of(PictureInfo(prompt=prompt)), [DREAM])
    assert (taken.wish.prompt, [each.part for each in taken.left_out]) == (kept, parts)


# ------------------------------------------------------------------ files that mean no good


def packed(key: str, text: bytes) -> bytes:
    bare = png()
    return bare[:33] + chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(text)) + bare[33:]


HOSTILE: dict[str, bytes] = {
    "100 MB in a text": packed("parameters", bytes(100_000_000)),
    "NULs": packed("parameters", bytes(1_000_000)),
    "megabytes of words": packed("parameters", b"word " * 200_000),
    "JSON 100,000 deep": packed("invokeai_metadata", b'{"a":' * 100_000),
    "lists 100,000 deep": packed("prompt", b"[" * 100_000),
    "a graph of circles": packed(
        "prompt",
        json.dumps(
            {str(n): {"class_type": "KSampler", "inputs": {"positive": [str(n - 1), 0]}} for n in range(9999)}
        ).encode(),
    ),
    "60,000 LoRAs": packed("parameters", json.dumps({"prompt": "x", "loras": ["a"] * 60_000}).encode()),
    "100,000 tags": packed("parameters", b"<lora:a:1>" * 90_000),
    "numbers of 10,000 digits": packed(
        "parameters", b"x\nSteps: " + b"9" * 10_000 + b", Seed: 1, Sampler: y"
    ),
    "a truncated chunk": png(parameters=A1111)[:80],
    "a chunk longer than the file": png()[:33] + struct.pack(">I", 2**31) + b"tEXtparameters\0x",
    "halves of characters": png(
        parameters=json.dumps({"prompt": "\ud800", "seed": "\udfff", "sampler": "\ud800"})
    ),
    "a JPEG of nothing": b"\xff\xd8\xff\xe1\xff\xffExif\0\0II*\0\xff\xff\xff\xff",
    "a WebP of nothing": b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xffII*\0",
}


def check(found: PictureFacts | None) -> None:
    """Everything has its bounds and can be sent, and what is taken over can be drawn."""
    if found is None:
        return
    assert len(found.raw) <= RAW_CHARS_MAX
    assert max(len(found.prompt), len(found.negative_prompt)) <= TEXT_CHARS_MAX
    words = [found.program, found.sampler, found.schedule, found.model, *(lora.name for lora in found.loras)]
    words += [word for pair in found.others for word in pair]
    assert max(map(len, words)) <= 500
    "".join([found.raw, found.prompt, found.negative_prompt, *words]).encode()
    taken = wish_of(found, [DREAM, OTHER])
    assert resolve(replace(taken.wish, prompt="x"), taken.model, seed=0).sampler in SAMPLERS


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_read_within_bounds(name: str) -> None:
    """Nothing of it is evaluated, unpacked without end or believed; what it tells fits."""
    check(picture_facts.read(HOSTILE[name]))


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"GIF", bytes(1000)])
def test_what_is_no_picture_says_so(data: bytes) -> None:
    """As an error of the file, whatever it is called."""
    with pytest.raises(OSError, match="identify"):
        picture_facts.read(data)


SEEDS_OF_FILES = [data for _, data in GOLDEN.values()]


@settings(max_examples=300)
@given(
    st.sampled_from(SEEDS_OF_FILES),
    st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=6)), max_size=6),
)
def test_a_damaged_file_is_read_or_is_none(data: bytes, damages: list[tuple[int, bytes]]) -> None:
    """Bytes changed, inserted and taken away anywhere: facts within bounds, nothing, or the error of a file."""
    damaged = bytearray(data)
    for at, new in damages:
        damaged[at % len(damaged) : at % len(damaged) + 3] = new
        damaged = damaged or bytearray(b"x")
    with contextlib.suppress(OSError):
        check(picture_facts.read(bytes(damaged)))


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "prompt",
                        "loras",
                        "lora",
                        "model",
                        "seed",
                        "steps",
                        "inputs",
                        "class_type",
                        "sampler",
                        "width",
                        "height",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    ),
    st.sampled_from(["parameters", "prompt", "workflow", "invokeai_metadata", "Comment"]),
)
def test_settings_of_any_shape(value: object, key: str) -> None:
    """JSON that no program writes."""
    check(picture_facts.read(named_png({key: json.dumps(value), "Software": "NovelAI"})))


def test_pictures_are_not_decoded() -> None:
    """A picture whose pixels are missing tells as much as a whole one."""
    whole = named_png(NOVEL_PNG)
    cut = whole[: whole.index(b"IDAT") + 4]
    assert facts(cut) == facts(whole)
    with pytest.raises(OSError, match="truncated"), Image.open(io.BytesIO(cut)) as image:
        image.load()

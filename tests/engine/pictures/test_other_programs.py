"""Pictures of other programs are read, in every format that they save; what is known of none is told as it stands."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from engine.pictures import metadata, other_programs
from engine.pictures import texts as picture_texts
from engine.pictures.metadata import PictureInfo
from tests.kit.foreign_pictures import (
    A1111,
    CODES,
    DRAW,
    FLUX,
    GRAPH,
    NOVEL_PNG,
    PICTURES,
    chunk,
    hidden,
    node,
    png,
    with_exif,
    with_xmp,
    xmp,
)


def reading(data: bytes) -> PictureInfo:
    info = metadata.read(data)
    assert info is not None
    assert info.request is None
    assert info.is_whole
    return info


# ------------------------------------------------------------------ AUTOMATIC1111 and Forge


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF"])
def test_automatic1111s_user_comment_is_read(kind: str, code: Callable[[str], bytes]) -> None:
    """In every format that has EXIF data, whatever order the bytes of its letters have."""
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    info = reading(with_exif(kind, {}, code(A1111)))

    assert (info.prompt, info.negative_prompt) == ("a castle, 漢字 é", "fog")
    assert info.fields["Seed"] == "5"
    assert (info.fields["Size-1"], info.fields["Schedule type"]) == ("640", "Karras")
    assert info.fields["Lora hashes"] == "a: 1, b: 2"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
def test_letters_have_their_own_order(order: str, code: str) -> None:
    """The order of the numbers in EXIF data says nothing of the order in its letters."""
    comment = b"UNICODE\0" + A1111.encode(code)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    first = struct.pack(f"{order}HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)
    second = struct.pack(f"{order}HHHII", 1, 0x9286, 7, len(comment), 44) + bytes(4)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=b"Exif\0\0" + start + first + second + comment)

    assert reading(buffer.getvalue()).prompt == "a castle, 漢字 é"


def test_comments_of_gif_and_jpeg_are_read() -> None:
    """Where there is no EXIF, or no room in it."""
    for kind in ("GIF", "JPEG"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, kind, comment=A1111.encode())
        assert reading(buffer.getvalue()).fields["Seed"] == "5", kind


OLD_FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


@settings(max_examples=500)
@given(st.text(st.sampled_from('ab1 -/:,"\\é_\t.'), max_size=40))
@example('ab: "c, d", ef: g')
@example('ab: "c" d, ef:: , - gh:')
def test_the_line_is_read_as_automatic1111_reads_it(line: str) -> None:
    """Its own expression finds the same pairs, only not in time."""
    assert other_programs._pairs(line) == OLD_FIELD.findall(line)


@pytest.mark.parametrize(
    "line", ["a " * 500_000, " " * 1_000_000, "\t-/" * 300_000, "aa: b" * 200_000, 'aa:"\\",' * 100_000]
)
def test_a_line_of_a_megabyte_is_read_at_once(line: str) -> None:
    """Not letter by letter against every end: that took minutes for a tenth of it."""
    assert metadata.parse_parameters(f"x\n{line}").prompt.startswith("x")


# ------------------------------------------------------------------ ComfyUI


def test_comfyuis_graph_is_followed() -> None:
    """From the node that draws to its words, past nodes that hand both prompts on, and to everything it was set to."""
    info = reading(png(prompt=json.dumps(GRAPH), workflow=json.dumps({"nodes": [], "links": []})))

    assert (info.prompt, info.negative_prompt, info.program) == ("a castle", "fog", "ComfyUI")
    assert info.fields == {
        "Size": "640x512",
        "Seed": "156680208700286",
        "Steps": "20",
        "CFG scale": "8.5",
        "Sampler": "euler",
        "Scheduler": "normal",
        "Denoising strength": "1",
        "Model": "dream.safetensors",
        "LoRA": "detail.safetensors:0.8, pixel.safetensors",
    }
    assert list(map(str, info.loras)) == ["detail.safetensors:0.8", "pixel.safetensors:1"]


def test_comfyuis_guided_sampler_is_followed() -> None:
    """FLUX's graph has its words behind a guider and its seed behind a node for noise."""
    info = reading(png(prompt=json.dumps(FLUX)))

    assert (info.prompt, info.fields["Seed"], info.fields["Steps"]) == ("a castle", "7", "20")
    assert (info.fields["Model"], info.fields["guidance"]) == ("flux.safetensors", "3.5")


def test_comfyuis_loader_with_both_prompts() -> None:
    """A node that holds both as words tells which is which."""
    graph = {
        "1": node("Efficient Loader", positive="a castle", negative="fog"),
        "2": node("KSampler (Efficient)", positive=["1", 1], negative=["1", 2], seed=3),
    }
    info = reading(png(prompt=json.dumps(graph)))
    assert (info.prompt, info.negative_prompt, info.fields["Seed"]) == ("a castle", "fog", "3")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_comfyui_in_exif(kind: str) -> None:
    """Its own WebP node writes graph and workflow as camera and maker; others a user comment with both."""
    info = reading(
        with_exif(
            kind, {0x0110: f"prompt:{json.dumps(GRAPH)}", 0x010F: f"workflow:{json.dumps({'nodes': []})}"}
        )
    )
    assert (info.prompt, info.program) == ("a castle", "ComfyUI")
    both = json.dumps({"prompt": GRAPH, "workflow": {"nodes": []}})
    assert reading(with_exif(kind, {}, CODES["little"](both))).prompt == "a castle"


def test_a_graph_that_leads_in_circles_ends() -> None:
    """A stranger's graph may link its nodes to themselves, to each other and to nowhere."""
    graph = {str(n): node("KSampler", positive=[str((n + 1) % 9), 0], negative=["x", 0]) for n in range(9)}
    assert reading(png(prompt=json.dumps(graph))).program == "ComfyUI"


def test_a_workflow_alone_says_who_made_it() -> None:
    """The graph of the editor holds no settings by name, but no picture of ComfyUI carries nothing."""
    info = reading(png(workflow=json.dumps({"nodes": [], "links": []})))
    assert (info.prompt, info.program) == ("", "ComfyUI")


# ------------------------------------------------------------------ the others


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_read(name: str) -> None:
    """Its prompts, who made it, and the settings under the names that AUTOMATIC1111 gives them."""
    program, data = PICTURES[name]
    info = reading(data)

    assert info.program == program
    assert info.prompt == (DRAW["c"] if program == "Draw Things" else "a castle")
    if name != "InvokeAI 2":
        assert info.negative_prompt == "fog"
    fields = {"Seed": "5", "Steps": "20", "CFG scale": "7.5", "Model": "dream"}
    if name == "InvokeAI 1":  # which did not tell it
        del fields["Model"]
    assert {key: info.fields.get(key) for key in fields} == fields
    size = info.fields.get("Size") or f"{info.fields['Size-1']}x{info.fields['Size-2']}"
    assert re.sub(r"\D+", "x", size).strip("x") == "640x512"


WITH_LORAS = [name for name in PICTURES if not re.search(r"InvokeAI .|NovelAI|Easy", name)]


@pytest.mark.parametrize("name", WITH_LORAS)
def test_its_loras_are_told(name: str) -> None:
    """With their weights, by that program's own names; a file that is named twice is told once."""
    found = {lora.name.removesuffix(".safetensors"): lora.weight for lora in reading(PICTURES[name][1]).loras}
    assert {key.rpartition("/")[2]: weight for key, weight in found.items()} == {"detail": 0.8, "pixel": 1}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([["a", "x"], ["None", 1], ["b", float("inf")], [], {}, 5, None], {"a": 1, "b": 1}),
        ([{"model": {}}, {"model": [1]}, {"lora": 5}, {"model": "c", "weight": [1]}], {"c": 1}),
        (["a" * 1000, "b", "b"] + [f"n{n}" for n in range(1000)], {"b": 1} | {f"n{n}": 1 for n in range(17)}),
        ({"a": 1}, {}),
    ],
)
def test_loras_of_any_shape(told: object, found: dict[str, float]) -> None:
    """What is no LoRA is none, what has no number for a weight has 1, and not more than so many are told."""
    loras = reading(png(parameters=json.dumps({"prompt": "x", "loras": told}))).loras
    assert {lora.name: lora.weight for lora in loras} == found


@pytest.mark.parametrize(
    ("version", "program"),
    [
        ("v1.10.1", "AUTOMATIC1111"),
        ("f2.0.1v1.10.1-previous-665", "Forge"),
        ("neo", "Forge"),
        ("Fooocus v2.5.5", "Fooocus"),
        ("Easel 0.3.0", "Easel"),
        ("ComfyUI", "ComfyUI"),
        ("something", ""),
    ],
)
def test_the_version_tells_who_wrote_the_line(version: str, program: str) -> None:
    """Many programs write AUTOMATIC1111's line, and most say there which they are."""
    line = f"x\nSteps: 20, Sampler: Euler, Seed: 5, Version: {version}"
    assert reading(png(parameters=line)).program == program
    assert reading(png(parameters=f"{line}, App: SD.Next")).program == "SD.Next"


def test_hidden_settings_need_not_be_looked_for() -> None:
    """Who decodes no stranger's pixels still reads all texts."""
    data = hidden(b"stealth_pnginfo", A1111.encode())
    assert metadata.read(data, hidden=False) is None


def test_settings_hidden_in_transparency_are_read() -> None:
    """NovelAI's, packed, and AUTOMATIC1111's with an extension, as they are."""
    novel = reading(hidden(b"stealth_pngcomp", gzip.compress(json.dumps(NOVEL_PNG).encode())))
    assert (novel.prompt, novel.negative_prompt, novel.program) == ("a castle", "fog", "NovelAI")
    assert novel.fields["Seed"] == "5"
    assert reading(hidden(b"stealth_pnginfo", A1111.encode())).prompt == "a castle, 漢字 é"


@pytest.mark.parametrize(
    ("mark", "data"),
    [
        (b"stealth_pngcomp", b"no gzip"),
        (b"stealth_pngcomp", gzip.compress(b"\xff" * 100, mtime=0)),
        (b"stealth_pnginfo", b"[" * 200),
        (b"stealth_pnginfo", b"{" * 200),
        (b"stealth_pnginfo", b""),
        (b"something else.", b"x"),
    ],
)
def test_damaged_hidden_settings_are_none(mark: bytes, data: bytes) -> None:
    """Whatever a stranger hides: a reading or nothing."""
    info = metadata.read(hidden(mark, data))
    assert info is None or info.prompt == "[" * 200


def test_little_that_is_hidden_is_unpacked() -> None:
    """What unpacks to more than a text may have is cut there, and no longer what it says it is."""
    assert (
        metadata.read(
            hidden(b"stealth_pngcomp", gzip.compress(b'{"a":' + b" " * 3_000_000 + b'"x"}', mtime=0))
        )
        is None
    )


def test_midjourneys_picture_is_read() -> None:
    """Prompt and options are parted, author and job told."""
    job = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    text = f"a castle -- at noon --ar 16:9 --style raw --tile --v 6.1 Job ID: {job}"
    info = reading(png(Description=text, Author="somebody"))

    assert (info.prompt, info.program) == ("a castle", "Midjourney")
    assert info.fields["--ar"] == "16:9"
    assert (info.fields["--tile"], info.fields["--v"]) == ("on", "6.1")
    assert (info.fields["Author"], info.fields["Job ID"]) == ("somebody", job)
    assert reading(with_exif("JPEG", {0x010E: text, 0x013B: "somebody"})).program == "Midjourney"


def signed(kind: str, content: bytes) -> bytes:
    """A picture with content credentials."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    data = buffer.getvalue()
    match kind:
        case "PNG":
            return data[:33] + chunk(b"caBX", content) + data[33:]
        case "JPEG":
            return data[:2] + b"\xff\xeb" + struct.pack(">H", len(content) + 2) + content + data[2:]
        case _:
            return data + b"C2PA" + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_content_credentials_say_who_made_it(kind: str) -> None:
    """A picture of ChatGPT holds no words, but who signed it; a signature of anybody else is told as a text."""
    info = reading(signed(kind, b"JP\0\0jumb c2pa claim_generator: ChatGPT"))
    assert info.program == "ChatGPT by OpenAI, by its content credentials, which tell no prompt"
    unknown = reading(signed(kind, b"JP\0\0jumb c2pa claim_generator: somebody"))
    assert (unknown.program, list(unknown.texts)) == ("", ["C2PA"])


def test_xmp_says_that_a_model_made_it() -> None:
    """The mark of trained models and the credit beside it."""
    text = xmp(
        "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
        "</Iptc4xmpExt:DigitalSourceType><photoshop:Credit>Made with Google AI</photoshop:Credit>"
    )
    assert reading(with_xmp("JPEG", text)).program.startswith("Made with Google AI, by its XMP data")


@pytest.mark.parametrize(
    "data",
    [
        png(Software="GIMP 2.10", Comment="Created with GIMP"),
        with_exif("JPEG", {0x010F: "Apple", 0x0110: "iPhone 13", 0x0131: "17.1"}),
        png(prompt="[" * 10_000),
        png(invokeai_metadata='{"seed": ' + "1" * 10_000 + "}"),
    ],
)
def test_what_nobody_knows_is_told_as_it_stands(data: bytes) -> None:
    """Photos, drawings and damaged settings: no settings are made up, and no text is kept back."""
    info = reading(data)
    assert (info.prompt, dict(info.fields), info.program) == ("", {}, "")
    assert info.texts


# ------------------------------------------------------------------ bounds


def test_no_text_is_unpacked_beyond_the_bound() -> None:
    """A thousand bytes that stand for a gigabyte are left out, and the reading says so; what stands beside them is read."""
    bare = png()
    bomb = b"".join(chunk(b"zTXt", b"k%d\0\0" % n + zlib.compress(bytes(4_000_000))) for n in range(20))
    info = metadata.read(
        bare[:33] + bomb + chunk(b"tEXt", b"parameters\0" + A1111.encode("utf-8")) + bare[33:]
    )

    assert info is not None
    assert info.fields["Seed"] == "5"
    assert not info.is_whole


def test_texts_share_a_bound() -> None:
    """Texts of a megabyte each are read until they are four together."""
    bare, text = png(), b"x" * 1_000_000
    found = picture_texts.texts(
        io.BytesIO(bare[:33] + b"".join(chunk(b"tEXt", b"k%d\0" % n + text) for n in range(9)) + bare[33:])
    )
    assert sum(map(len, found.values.values())) == 4_000_000
    assert not found.is_whole


class Counted(io.BytesIO):
    """A file that knows how much was read of it."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


@pytest.mark.parametrize(
    "data",
    [
        png()[:33] + chunk(b"IDAT", b"") * 1_000_000,
        png()[:33] + chunk(b"IDAT", bytes(30_000_000)),
        png()[:33] + chunk(b"tEXt", b"k\0" + bytes(30_000_000)),
        b"\xff\xd8" + b"\xff" * 10_000_000,
        b"\xff\xd8" + b"\xff\xe2\0\2" * 1_000_000,
        b"\xff\xd8" + (b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65_527)) * 400,
        b"RIFF\0\0\0\0WEBP" + b"abcd\0\0\0\0" * 1_000_000,
        b"GIF89a" + bytes(7) + b"!\xfe" + b"\1a" * 5_000_000,
        b"II*\0\x08\0\0\0\xff\xff"
        + struct.pack("<HHII", 0x9286, 7, 1_000_000, 0) * 65_535
        + bytes(1_000_000),
    ],
)
def test_little_is_read_of_any_file(data: bytes) -> None:
    """Millions of chunks, segments, blocks or entries, and long ones: at most six megabytes are ever read."""
    file = Counted(data)
    picture_texts.texts(file)
    assert file.bytes_read <= 6 << 20

"""Pictures of other programs are read, in every format that they save; what is known of none is told as it stands."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, features

from engine.pictures import metadata, other_programs
from engine.pictures import texts as picture_texts
from engine.pictures.metadata import PictureInfo

A1111 = (
    "a castle, 漢字 é\nNegative prompt: fog\nSteps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, "
    'Seed: 5, Size: 640x512, Model: dream, Lora hashes: "a: 1, b: 2", Version: f2.0.1'
)


def png(**texts: str) -> bytes:
    """A PNG with these texts."""
    return named_png(dict(texts))


def named_png(texts: dict[str, str]) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        chunks.add_text(key, text)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def with_exif(kind: str, tags: dict[int, Any], comment: bytes | None = None) -> bytes:
    """A picture of this format with these tags of its first directory and this user comment."""
    exif = Image.Exif()
    exif[0x0131] = ""  # Pillow takes data without any tag of the first directory for empty
    for tag, value in tags.items():
        exif[tag] = value
    if comment is not None:
        exif.get_ifd(0x8769)[0x9286] = comment
    if kind == "TIFF":  # which is what EXIF data are
        return exif.tobytes().removeprefix(b"Exif\0\0")
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def reading(data: bytes) -> PictureInfo:
    info = metadata.read(data)
    assert info is not None
    assert info.request is None
    assert info.is_whole
    return info


# ------------------------------------------------------------------ AUTOMATIC1111 and Forge

CODES: dict[str, Callable[[str], bytes]] = {
    "big": lambda text: b"UNICODE\0" + text.encode("utf-16-be"),
    "little": lambda text: b"UNICODE\0" + text.encode("utf-16-le"),
    "marked big": lambda text: b"UNICODE\0\xfe\xff" + text.encode("utf-16-be"),
    "marked little": lambda text: b"UNICODE\0\xff\xfe" + text.encode("utf-16-le"),
    "UTF-8 called unicode": lambda text: b"UNICODE\0" + text.encode(),
    "UTF-8 called ASCII": lambda text: b"ASCII\0\0\0" + text.encode(),
    "undefined": lambda text: bytes(8) + text.encode(),
    "bare": lambda text: text.encode(),
}


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


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


GRAPH: dict[str, Any] = {
    "3": node(
        "KSampler",
        seed=156680208700286,
        steps=20,
        cfg=8.5,
        sampler_name="euler",
        scheduler="normal",
        denoise=1,
        model=["11", 0],
        positive=["10", 0],
        negative=["10", 1],
        latent_image=["5", 0],
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="dream.safetensors"),
    "5": node("EmptyLatentImage", width=640, height=512, batch_size=1),
    "6": node("CLIPTextEncode", text=["12", 0], clip=["4", 1]),
    "7": node("CLIPTextEncode", text="fog", clip=["4", 1]),
    "9": node("SaveImage", images=["8", 0]),
    "8": node("VAEDecode", samples=["3", 0]),
    "10": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=1),
    "11": node("LoraLoader", lora_name="detail.safetensors", model=["4", 0]),
    "12": node("PrimitiveString", value="a castle"),
}
FLUX: dict[str, Any] = {
    "13": node(
        "SamplerCustomAdvanced", noise=["25", 0], guider=["22", 0], sampler=["16", 0], sigmas=["17", 0]
    ),
    "22": node("BasicGuider", model=["12", 0], conditioning=["26", 0]),
    "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    "6": node("CLIPTextEncode", text="a castle"),
    "25": node("RandomNoise", noise_seed=7),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=20),
    "12": node("UNETLoader", unet_name="flux.safetensors"),
}


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
        "LoRA": "detail.safetensors",
    }


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

SWARM = {
    "sui_image_params": {
        "prompt": "a castle",
        "negativeprompt": "fog",
        "model": "dream",
        "seed": 5,
        "steps": 20,
        "cfgscale": 7.5,
        "width": 640,
        "height": 512,
        "sampler": "euler",
        "swarm_version": "0.9.1",
    },
    "sui_extra_data": {"date": "2025-01-01"},
}
FOOOCUS = {
    "prompt": "a castle",
    "negative_prompt": "fog",
    "base_model": "dream",
    "seed": "5",
    "steps": 20,
    "guidance_scale": 7.5,
    "resolution": "(640, 512)",
    "sampler": "euler",
    "version": "Fooocus v2.5.0",
}
INVOKE = {
    "positive_prompt": "a castle",
    "negative_prompt": "fog",
    "model": {"name": "dream", "hash": "x"},
    "seed": 5,
    "steps": 20,
    "cfg_scale": 7.5,
    "width": 640,
    "height": 512,
    "scheduler": "euler",
}
OLD_INVOKE = {
    "model_weights": "dream",
    "image": {
        "prompt": [{"prompt": "a castle", "weight": 1.0}],
        "steps": 20,
        "cfg_scale": 7.5,
        "seed": 5,
        "sampler": "k_euler",
        "width": 640,
        "height": 512,
    },
}
NOVEL = {"steps": 20, "sampler": "k_euler", "seed": 5, "scale": 7.5, "uc": "fog", "width": 640, "height": 512}
NOVEL_PNG = {
    "Software": "NovelAI",
    "Source": "dream",
    "Description": "a castle",
    "Comment": json.dumps(NOVEL),
}
EASY = {
    "prompt": "a castle",
    "negative_prompt": "fog",
    "seed": "5",
    "num_inference_steps": "20",
    "use_stable_diffusion_model": "dream",
    "guidance_scale": "7.5",
    "width": "640",
    "height": "512",
}
DRAW = {
    "c": 'a "castle" & <moat>',
    "uc": "fog",
    "model": "dream",
    "seed": 5,
    "steps": 20,
    "scale": 7.5,
    "size": "640x512",
    "sampler": "Euler",
    "v2": {},
}


def xmp(inside: str) -> str:
    return f"<x:xmpmeta><rdf:RDF><rdf:Description>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>"


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


COMMENT = f"<exif:UserComment><rdf:Alt><rdf:li xml:lang='x-default'>{escaped(json.dumps(DRAW))}</rdf:li></rdf:Alt></exif:UserComment>"


def with_xmp(kind: str, text: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, xmp=text.encode())
    return buffer.getvalue()


PICTURES: dict[str, tuple[str, bytes]] = {
    "SwarmUI's PNG": ("SwarmUI", png(parameters=json.dumps(SWARM), prompt=json.dumps(FLUX))),
    "SwarmUI's JPEG": ("SwarmUI", with_exif("JPEG", {}, CODES["little"](json.dumps(SWARM, indent=1)))),
    "Fooocus' PNG": ("Fooocus", png(parameters=json.dumps(FOOOCUS), fooocus_scheme="fooocus")),
    "Fooocus' JPEG": ("Fooocus", with_exif("JPEG", {0x9286: json.dumps(FOOOCUS), 0x0131: "Fooocus v2.5.0"})),
    "Fooocus' WebP": ("Fooocus", with_exif("WEBP", {0x9286: json.dumps(FOOOCUS)})),
    "InvokeAI": ("InvokeAI", png(invokeai_metadata=json.dumps(INVOKE))),
    "InvokeAI 2": ("InvokeAI", named_png({"sd-metadata": json.dumps(OLD_INVOKE), "Dream": "x"})),
    "InvokeAI 1": ("InvokeAI", png(Dream='"a castle [fog]" -s 20 -S 5 -W 640 -H 512 -C 7.5 -A k_euler')),
    "NovelAI's PNG": ("NovelAI", named_png(NOVEL_PNG)),
    "NovelAI's WebP": (
        "NovelAI",
        with_exif("WEBP", {}, CODES["big"](json.dumps({**NOVEL_PNG, "prompt": "a castle"}))),
    ),
    "Easy Diffusion's PNG": ("Easy Diffusion", named_png(EASY)),
    "Easy Diffusion's JPEG": ("Easy Diffusion", with_exif("JPEG", {}, CODES["big"](json.dumps(EASY)))),
    "Draw Things' PNG": ("Draw Things", named_png({picture_texts.XMP: xmp(COMMENT)})),
    "Draw Things' JPEG": ("Draw Things", with_xmp("JPEG", xmp(COMMENT))),
    "Draw Things' WebP": ("Draw Things", with_xmp("WEBP", xmp(COMMENT))),
}


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
    assert re.sub(r"\D+", "x", info.fields["Size"]).strip("x") == "640x512"


def hidden(mark: bytes, data: bytes) -> bytes:
    """A picture with this in the lowest bits of its transparency, column after column."""
    bits = "".join(f"{byte:08b}" for byte in mark + struct.pack(">I", 8 * len(data)) + data)
    image = Image.new("RGBA", (200, 200), (1, 2, 3, 254))
    for at, bit in enumerate(bits):
        image.putpixel((at // 200, at % 200), (1, 2, 3, 254 + int(bit)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


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


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


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
    assert (unknown.program, list(unknown.other_texts)) == ("", ["C2PA"])


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
    assert info.other_texts


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

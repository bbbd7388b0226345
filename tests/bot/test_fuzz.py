"""Whatever strangers write, the parsers answer with a value or with their own error: files, pictures, buttons."""

from __future__ import annotations

import contextlib
import io
import json
import string
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, features

from bot import config
from bot.chat import ids
from bot.chat.ids import Verb
from bot.config import ConfigError, Settings
from bot.shell import carried_settings as bot_info
from engine.contract import GenerationRequest
from engine.pictures import metadata, other_programs
from engine.pictures.metadata import PictureInfo

# Pillow's warnings about odd pictures are no errors of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Invalid APNG"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]
ANY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

# ------------------------------------------------------------------ easel.toml and the environment

VALUES = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.datetimes(),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n'"), max_size=20),
    st.lists(st.integers(), max_size=3),
)
KEYS = st.sampled_from([*config.KEYS, "engine", "engine.slotz", "data.", "token", "discord.token"])


def toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f"'{value}'"
        case list():
            return f"[{', '.join(toml(item) for item in value)}]"
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def load(file: Path, environ: dict[str, str]) -> Settings | None:
    """Settings, or None where they are refused with sentences."""
    try:
        return config.load(file, environ)
    except ConfigError as refused:
        problems = refused.problems
    assert problems
    assert all(problems)
    return None


@ANY
@given(st.binary(max_size=200))
@example(b"a." * 3000 + b"b = 1")
@example(b"a = " + b"[" * 5000)
@example(b"[engine]\nslots = 1" + b"0" * 5000)
def test_any_bytes_are_settings_or_sentences(tmp_path: Path, content: bytes) -> None:
    """A file of any bytes is read, or refused by ConfigError, never by anything else."""
    file = tmp_path / "easel.toml"
    file.write_bytes(content)
    load(file, {})


@ANY
@given(st.dictionaries(KEYS, VALUES, max_size=6), st.text(string.printable, max_size=30))
def test_any_values_are_settings_or_sentences(tmp_path: Path, values: dict[str, Any], tail: str) -> None:
    """TOML of the right shape with any kind of value, and a tail of anything: what is accepted is within its bounds."""
    file = tmp_path / "easel.toml"
    lines = [f"{key} = {toml(value)}" for key, value in values.items()]
    for text in ("\n".join(lines), "\n".join([*lines, tail])):
        file.write_text(text, "utf-8")
        loaded = load(file, {})
        if loaded is not None:
            assert 1 <= loaded.engine.slots <= 64
            assert loaded.limits.pending <= loaded.ceilings.pending
            assert Settings.model_validate(loaded.model_dump()) is not None


@ANY
@given(
    st.dictionaries(
        st.sampled_from([*config.VARIABLES, "EASEL_NOTHING"]),
        st.text(st.characters(exclude_characters="\0"), max_size=20),
        max_size=4,
    )
)
@example({"EASEL_DISCORD_TOKEN_FILE": "~nobody-here/token"})
def test_any_environment_is_settings_or_sentences(tmp_path: Path, environ: dict[str, str]) -> None:
    """Variables of any text are taken in their key's type or refused by name."""
    file = tmp_path / "easel.toml"
    file.write_text("", "utf-8")
    loaded = load(file, environ)
    if loaded is not None:
        assert "EASEL_NOTHING" not in environ


# ------------------------------------------------------------------ text in pictures

REQUEST = GenerationRequest(
    prompt="a red circle",
    width=64,
    height=64,
    steps=5,
    guidance_scale=7.5,
    sampler="Euler",
    seed=42,
    model="fake",
)
PNG = metadata.encode_png(
    Image.new("RGB", (8, 8)), request=REQUEST, notes=("cut",), fingerprint={"torch": "2"}
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries({}, optional=dict.fromkeys(REQUEST.to_dict(), JSONS)).map(
    lambda odd: {**REQUEST.to_dict(), **odd}
)
OWN = st.fixed_dictionaries(
    {}, optional={"request": REQUESTS | JSONS, "notes": JSONS, "fingerprint": JSONS, "version": JSONS}
)


def with_text(own: str, parameters: str) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for key, text in ((metadata.EASEL_KEY, own), (metadata.PARAMETERS_KEY, parameters)):
        chunks.add_itxt(key, text)
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def read(png: bytes) -> PictureInfo | None:
    try:
        return metadata.read(png)
    except OSError:
        return None


@settings(max_examples=500)
@given(st.data())
def test_any_damage_to_a_picture_is_no_picture_or_a_reading(data: st.DataObject) -> None:
    """A picture with bytes changed, cut or inserted anywhere is read as something, or refused as no picture."""
    png = bytearray(PNG)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(png) - 1))
        png[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
        if not png:
            break
    info = read(bytes(png))
    assert info is None or isinstance(info.prompt, str)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL"]
            ),
            st.binary(max_size=40) | st.just(b"easel\0\0" + zlib.compress(b"{}")),
        ),
        max_size=6,
    )
)
@example([(b"zTXt", b"easel\0\0" + zlib.compress(b"x" * 50_000_000))])
@example([(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)), (b"IDAT", b"")])
@example([(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)), (b"IDAT", b"")])
def test_any_chunks_are_no_picture_or_a_reading(chunks: list[tuple[bytes, bytes]]) -> None:
    """Valid chunks in any order with any content, bombs included: something, or OSError."""
    png = PNG[:8] + b"".join(chunk(kind, content) for kind, content in chunks)
    info = read(png)
    assert info is None or isinstance(info.prompt, str)
    read(PNG[:33] + b"".join(chunk(kind, content) for kind, content in chunks) + PNG[33:])


@ANY
@given(OWN.map(json.dumps) | st.text(max_size=60), st.text(max_size=200))
@example("[" * 100_000, "x")
@example('{"request": ' * 50_000, "x")
@example(json.dumps({"request": {**REQUEST.to_dict(), "seed": 1e400}}), "Steps: 1, Seed: 2, Size: 1x2")
@example("{}", "a: b, " * 3000)
@example("{}", 'Steps: "' + "\\" * 3000)
def test_any_text_in_a_picture_is_a_reading(own: str, parameters: str) -> None:
    """Whatever our own chunk and the web UI's line hold: a reading, whose request is a valid one or none."""
    info = metadata.read(with_text(own, parameters))
    assert info is not None
    if info.request is not None:
        assert GenerationRequest.from_dict(info.request.to_dict()) == info.request


# ------------------------------------------------------------------ pictures of other programs, and easel info

COMMENT = b"UNICODE\0" + "x\nSteps: 1, Seed: 2, Size: 1x2".encode("utf-16-be")


def picture(kind: str) -> bytes:
    """One that carries settings wherever its format has a place for them."""
    exif = Image.Exif()
    exif[0x0110] = 'prompt:{"1": {"class_type": "KSampler", "inputs": {}}}'
    exif.get_ifd(0x8769)[0x9286] = COMMENT
    buffer = io.BytesIO()
    if kind == "GIF":
        Image.new("RGB", (8, 8)).save(buffer, kind, comment=b"a comment")
    elif kind == "TIFF":
        return exif.tobytes().removeprefix(b"Exif\0\0")
    else:
        xmp = b'exif:UserComment="{}" trainedAlgorithmicMedia photoshop:Credit="x"'
        Image.new("RGB", (8, 8)).save(buffer, kind, exif=exif, xmp=xmp)
    return buffer.getvalue()


PICTURES = {
    kind: picture(kind)
    for kind in ("JPEG", "WEBP", "GIF", "TIFF", *(["AVIF"] if features.check("avif") else []))
}


@pytest.mark.parametrize("kind", PICTURES)
@settings(max_examples=200)
@given(data=st.data())
def test_any_damage_to_another_format_is_no_picture_or_a_reading(kind: str, data: st.DataObject) -> None:
    """JPEG, WebP, GIF, TIFF and AVIF with bytes changed, cut or inserted anywhere, like PNG."""
    damaged = bytearray(PICTURES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    info = read(bytes(damaged))
    assert info is None or isinstance(info.prompt, str)


WORDS = st.sampled_from(
    [
        "prompt",
        "negative_prompt",
        "seed",
        "class_type",
        "inputs",
        "positive",
        "negative",
        "KSampler",
        "guider",
        "1",
        "0",
    ]
    + [
        "text",
        "c",
        "uc",
        "model",
        "name",
        "width",
        "height",
        "image",
        "sui_image_params",
        "Comment",
        "steps",
        "nodes",
    ]
)
GRAPHS = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=30,
)
TEXT_KEYS = st.sampled_from(
    [
        "parameters",
        "prompt",
        "workflow",
        "Comment",
        "Description",
        "Software",
        "Dream",
        "sd-metadata",
        "invokeai_metadata",
    ]
    + [
        "UserComment",
        "Model",
        "Make",
        "ImageDescription",
        "XML:com.adobe.xmp",
        "negative_prompt",
        "C2PA",
        "Author",
    ]
)


@settings(max_examples=400)
@given(st.dictionaries(TEXT_KEYS, GRAPHS.map(json.dumps) | st.text(max_size=80), max_size=4))
@example({"prompt": '{"a":' * 100_000})
@example({"parameters": '{"prompt": "x", "seed": NaN, "steps": 1e999, "cfg": -Infinity}'})
@example({"parameters": '{"prompt": "x", "seed": ' + "9" * 100_000 + "}"})
@example({"parameters": '{"prompt": "x", "prompt": ["y"], "prompt": {"prompt": 1}}'})
@example({"parameters": '{"prompt": "x", "model": ' + '{"name":' * 900 + "1" + "}" * 901})
@example({"Description": "--x --  Job ID: " + "a" * 36, "Author": "\ud800"})
@example({"XML:com.adobe.xmp": "<exif:UserComment>" * 1000 + "&amp;" * 1000})
def test_any_texts_of_other_programs_are_a_reading(texts: dict[str, str]) -> None:
    """JSON of any shape and any words where other programs keep their settings: a reading or none, never an error."""
    info = other_programs.read(texts)
    assert info is None or isinstance(info.prompt, str)
    told = (
        []
        if info is None
        else [info.prompt, info.negative_prompt, info.program, *info.fields, *info.fields.values()]
    )
    assert all(isinstance(word, str) for word in told)


CONTROL = {chr(code) for code in [*range(9), *range(11, 32), *range(127, 160)]}


@ANY
@given(OWN.map(json.dumps) | st.text(max_size=60), st.text(max_size=200))
@example(
    json.dumps({"request": {**REQUEST.to_dict(), "model": 5}, "notes": [], "fingerprint": {}, "version": ""}),
    "",
)
@example(
    json.dumps(
        {"request": {**REQUEST.to_dict(), "seed": 1.5}, "notes": [], "fingerprint": {}, "version": ""}
    ),
    "",
)
@example(
    json.dumps(
        {"request": {**REQUEST.to_dict(), "model": "\ud800\0"}, "notes": [], "fingerprint": {}, "version": ""}
    ),
    "",
)
@example(
    json.dumps(
        {
            "request": REQUEST.to_dict(),
            "notes": ["\x1b[2J"],
            "fingerprint": {"mode": "wide"},
            "version": "\x9b",
        }
    ),
    "",
)
@example(
    json.dumps(
        {
            "request": REQUEST.to_dict(),
            "notes": [],
            "fingerprint": {"\x1b": "\0", "unet": "x" * 9**6},
            "version": "",
        }
    ),
    "",
)
@example("", "\x1b[2J \x9b a\nSteps: 1, Seed: \x1b, Size: 1x2")
def test_info_of_any_settings_is_sentences(tmp_path: Path, own: str, parameters: str) -> None:
    """`easel info` never shows a traceback, and never sends a control character to a terminal."""
    file, out = tmp_path / "a.png", io.StringIO()
    file.write_bytes(with_text(own, parameters))
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        patch.setattr(
            bot_info, "ask_engine", lambda *_, **told: ({"model": "fake", "mode": str(told)[:9]}, "")
        )
        assert bot_info.show_info(file, Settings()) in {0, 1}
    assert out.getvalue()
    assert not set(out.getvalue()) & CONTROL


# ------------------------------------------------------------------ custom ids of buttons


@given(st.sampled_from(Verb), st.integers(0, 10**18 - 1), st.none() | st.integers(0, 999))
def test_every_button_we_post_is_understood(verb: Verb, job: int, image: int | None) -> None:
    """The id of a button gives back its verb, its job and its image."""
    custom_id = ids.OfJob(verb=verb, job=job, image=image).custom_id
    assert len(custom_id) <= 100
    assert ids.read(custom_id) == ids.OfJob(verb=verb, job=job, image=image)


@ANY
@given(
    st.text(max_size=100)
    | st.from_regex(r"easel:(reroll|delete|history|x):.{0,30}", fullmatch=True)
    | st.from_regex(r"easel:(1:)?(reroll|cancel):\d{1,30}(:\d{1,30})?", fullmatch=True)
)
@example("easel:reroll:٣")
@example("easel:1:reroll:3:٣")
@example("easel:1:reroll:3:")
@example("easel:reroll:1\n")
@example("easel:reroll:" + "9" * 19)
def test_an_id_of_strangers_means_a_job_or_nothing(custom_id: str) -> None:
    """What is understood is a number that SQLite can hold, in plain digits; the rest is nobody's button."""
    match ids.read(custom_id):
        case ids.OfJob(job=number) | ids.OfPage(offset=number):
            assert 0 <= number < 2**63
            assert custom_id == custom_id.strip()
            assert custom_id.isascii()
        case None:
            pass


def test_a_picture_that_is_a_bomb_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`easel info` on a file that claims to be of gigapixels ends with 1 and one sentence."""
    from bot.shell.carried_settings import show_info

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    file = tmp_path / "bomb.png"
    file.write_bytes(PNG[:8] + header + PNG[33:])
    assert show_info(file, Settings()) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1

"""Colour profiles of what people attach: their colours look as they did, and what is in sRGB stays as it is."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from engine.pictures import colours, decoding, inputs
from tests.kit.engines import a_mask, a_photo, encoded

SIZE = (100, 80)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
RED = (255, 0, 0)


def profile(primaries: Any, gamma: float | None = None) -> bytes:
    """sRGB's own profile with other primaries, and another curve if told."""
    data = bytearray(SRGB.tobytes())
    wanted = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True))
    for number in range(struct.unpack(">I", data[128:132])[0]):
        tag, at, _ = struct.unpack(">4sII", data[132 + 12 * number : 144 + 12 * number])
        if tag in wanted:
            data[at + 8 : at + 20] = b"".join(struct.pack(">i", round(v * 65536)) for v in wanted[tag])
        elif tag[1:] == b"TRC" and gamma is not None:  # a parametric curve of one number
            data[at : at + 16] = b"para" + bytes(4) + struct.pack(">HHi", 0, 0, round(gamma * 65536))
    return bytes(data)


def printers() -> bytes:
    """A CMYK profile with a table of two colours a side: no ink is white, and each ink takes its part of the light."""
    lab = ImageCms.createProfile("LAB")
    srgb_to_lab = ImageCms.buildTransform(SRGB, lab, "RGB", "LAB")
    corners = [
        tuple(round(255 * (1 - ink) * (1 - black)) for ink in (c, m, y))
        for c in (0, 1) for m in (0, 1) for y in (0, 1) for black in (0, 1)
    ]  # fmt: skip
    chart = Image.frombytes("RGB", (16, 1), bytes(v for corner in corners for v in corner))
    pixels = ImageCms.applyTransform(chart, srgb_to_lab).tobytes()  # type: ignore[union-attr]
    table = bytes(
        value if index % 3 == 0 else (value + 128) % 256  # Pillow's LAB is signed, the table's is not
        for index, value in enumerate(pixels)
    )
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut += ramp * 4 + table + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(8 + 3 + 67)
    tags, body, at = [], b"", 132 + 12 * 3
    for name, part in ((b"A2B0", lut), (b"wtpt", white), (b"desc", text)):
        part += bytes(-len(part) % 4)  # noqa: PLW2901
        tags.append(struct.pack(">4sII", name, at + len(body), len(part)))
        body += part
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", 3) + b"".join(tags) + body


def grey(gamma: float) -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    at = 132 + 12 * 2
    head = struct.pack(
        ">I4sI4s4s4s", at + len(curve) + len(white), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    tags = struct.pack(">I4sII4sII", 2, b"kTRC", at, len(curve), b"wtpt", at + len(curve), len(white))
    return head.ljust(128, b"\0") + tags + curve + white


def seen_as(image: Image.Image, data: bytes) -> Image.Image:
    """What a file with that profile has to hold to look like `image`."""
    made = ImageCms.profileToProfile(image, SRGB, ImageCms.ImageCmsProfile(io.BytesIO(data)))
    assert made is not None
    return made


def read(folder: Path, data: bytes, mask: bytes | None = None) -> decoding.Inputs:
    names = [None if file is None else inputs.keep(folder, file) for file in (data, mask)]
    assert names[0] is not None
    return decoding.read(folder, image=names[0], mask=names[1], size=SIZE)


def far(one: Image.Image, other: Image.Image) -> int:
    return max(abs(a - b) for a, b in zip(one.tobytes(), other.tobytes(), strict=True))


LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True}}
PROFILES = {"Display P3": profile(P3), "Adobe RGB": profile(ADOBE, 2.19921875)}
MILD = Image.eval(a_photo(SIZE), lambda value: 64 + value // 2)
"""Colours that every one of these profiles has."""


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("name", PROFILES)
def test_colours_of_wide_profiles(tmp_path: Path, name: str, kind: str) -> None:
    """What a telephone or a camera took looks as it did there, in each format, and red stays as red as sRGB has it."""
    data = PROFILES[name]
    options = LOSSLESS.get(kind, {"quality": 100, "subsampling": 0})
    stored = seen_as(MILD, data)
    found = read(tmp_path, encoded(stored, kind, icc_profile=data, **options)).image
    assert far(found, MILD) <= (3 if kind in LOSSLESS else 12)
    assert far(stored, MILD) > 15, "the profile matters"
    red = encoded(seen_as(Image.new("RGB", SIZE, RED), data), kind, icc_profile=data, **options)
    assert far(read(tmp_path, red).image, Image.new("RGB", SIZE, RED)) <= 8


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*(("PNG", mode) for mode in ("RGB", "RGBA", "P", "L", "LA")), ("WEBP", "RGB"), ("WEBP", "RGBA")],
)
def test_srgb_stays_to_the_bit(tmp_path: Path, kind: str, mode: str) -> None:
    """A file that says it is in sRGB has the very pixels of one that says nothing."""
    photo = a_photo(SIZE)
    if mode in {"RGBA", "LA"}:
        photo.putalpha(a_mask(SIZE))
    photo = photo.convert(mode)
    bare = read(tmp_path, encoded(photo, kind, **LOSSLESS[kind])).image
    told = encoded(photo, kind, icc_profile=SRGB.tobytes(), **LOSSLESS[kind])
    assert far(read(tmp_path, told).image, bare) == 0


def test_transparency_stays(tmp_path: Path) -> None:
    """Beside converted colours: what shines through is white, and half of it half."""
    photo = Image.new("RGBA", SIZE, (255, 0, 0, 128))
    photo.paste((255, 0, 0, 0), (50, 0, 100, 80))
    photo.paste((255, 0, 0, 255), (0, 0, 20, 80))
    found = read(tmp_path, encoded(photo, icc_profile=profile(ADOBE, 2.19921875))).image
    assert found.getpixel((90, 40)) == (255, 255, 255)
    assert found.getpixel((5, 40)) == RED
    assert found.getpixel((35, 40)) == (255, 127, 127)


def test_the_profile_of_a_palette(tmp_path: Path) -> None:
    """Colours of a palette are converted like any others."""
    palette = seen_as(Image.new("RGB", SIZE, (200, 90, 90)), profile(P3)).quantize(4)
    found = read(tmp_path, encoded(palette, icc_profile=profile(P3))).image
    assert far(found, Image.new("RGB", SIZE, (200, 90, 90))) <= 3


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profiles(tmp_path: Path, mode: str) -> None:
    """A grey of gamma 1 is far brighter than its number says in sRGB."""
    photo = Image.new("L", SIZE, 55)
    if mode == "LA":
        photo.putalpha(255)
    if mode == "I;16":
        photo = Image.frombytes("I;16", SIZE, bytes((0, 55)) * (SIZE[0] * SIZE[1]))
    found = read(tmp_path, encoded(photo, icc_profile=grey(1.0))).image
    assert far(found, Image.new("RGB", SIZE, (128, 128, 128))) <= 2


def test_profiles_of_printers(tmp_path: Path) -> None:
    """Inks become the light that they leave."""
    inks = Image.new("CMYK", SIZE, (0, 255, 255, 0))
    found = read(tmp_path, encoded(inks, "JPEG", quality=100, icc_profile=printers())).image
    assert far(found, Image.new("RGB", SIZE, RED)) <= 12
    half = Image.new("CMYK", SIZE, (0, 0, 0, 128))
    plain = read(tmp_path, encoded(half, "JPEG", quality=100)).image
    told = read(tmp_path, encoded(half, "JPEG", quality=100, icc_profile=printers())).image
    assert far(plain, told) > 5, "the profile says how dark half of the ink is"


HOSTILE = {
    "rubbish": b"rubbish" * 30,
    "cut off": profile(P3)[:200],
    "no tags": profile(P3)[:128] + bytes(4),
    "a million tags": profile(P3)[:128] + b"\x00\x0f\xff\xff" + profile(P3)[132:],
    "of another kind of picture": printers(),
    "too long": profile(P3) + bytes(colours.PROFILE_BYTES_MAX),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("what", HOSTILE)
def test_profiles_that_are_no_good(tmp_path: Path, what: str, kind: str) -> None:
    """They are ignored, and take nothing from the pixels."""
    options = LOSSLESS.get(kind, {"quality": 95})
    bare = read(tmp_path, encoded(a_photo(SIZE), kind, **options)).image
    found = read(tmp_path, encoded(a_photo(SIZE), kind, icc_profile=HOSTILE[what], **options)).image
    assert far(found, bare) == 0


@pytest.mark.parametrize("what", ["a bomb", "another compression", "a wrong sum"])
def test_chunks_of_profiles_that_are_no_good(tmp_path: Path, what: str) -> None:
    """A PNG whose chunk for the profile can't be opened is read without it."""
    png = encoded(a_photo(SIZE))
    body = b"iCCP" + b"name\0" + bytes((what == "another compression",)) + zlib.compress(bytes(2**24))
    check = zlib.crc32(body) ^ (what == "a wrong sum")
    data = png[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", check) + png[33:]
    assert far(read(tmp_path, data).image, a_photo(SIZE)) == 0


def test_masks_are_no_colours(tmp_path: Path) -> None:
    """A mask's white and black are what is painted, whatever its profile would make of them."""
    mask = Image.new("L", SIZE, 100)
    mask.paste(200, (50, 0, 100, 80))
    plain = read(tmp_path, encoded(a_photo(SIZE)), encoded(mask)).mask
    told = read(tmp_path, encoded(a_photo(SIZE)), encoded(mask, icc_profile=grey(1.0))).mask
    assert plain is not None
    assert told is not None
    assert far(plain, told) == 0

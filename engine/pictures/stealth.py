"""Settings hidden in the pixels of a PNG: the lowest bits of its transparency, as NovelAI and some extensions write them.

Knows Pillow. A stranger's picture is decoded for this, so only one of a size that such programs draw.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, BinaryIO, cast

from PIL import Image

from engine.pictures.texts import TEXT_BYTES_MAX

PIXELS_MAX = 4 << 20
_PACKED, _BARE = b"stealth_pngcomp", b"stealth_pnginfo"
_RGBA = b"\x08\x06"
"""How the header of a PNG tells it, eight bits each."""
_BITS = bytes(ord("0") + value % 2 for value in range(256))


def texts(file: BinaryIO) -> dict[str, str]:
    """What a text chunk would have held, empty where nothing is hidden or it is damaged."""
    try:
        text = _hidden(_lowest_bits(file))
        values: Any = json.loads(text) if text.startswith("{") else {}
    except Exception:  # noqa: BLE001 - decoders have many words for damaged pictures, and none of them matters here
        return {}
    told = cast("dict[str, object]", values)
    found = {key: value for key, value in told.items() if isinstance(value, str)}
    return found or ({"parameters": text} if text else {})


def _lowest_bits(file: BinaryIO) -> bytes:
    """Of the transparency, column after column, as digits."""
    file.seek(0)
    width, height, kind = struct.unpack(">16xII2s", file.read(26))
    if kind != _RGBA or width * height > PIXELS_MAX:
        return b""
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as image:
        columns = image.getchannel("A").transpose(Image.Transpose.TRANSPOSE)
    return columns.tobytes().translate(_BITS)


def _hidden(bits: bytes) -> str:
    mark = _bytes(bits, 0, len(_PACKED))
    if mark not in {_PACKED, _BARE}:
        return ""
    start = 8 * len(mark)
    length = int.from_bytes(_bytes(bits, start, 4), "big") // 8
    if length > TEXT_BYTES_MAX:
        return ""
    data = _bytes(bits, start + 32, length)
    if mark == _PACKED:
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)  # gzip
        data = unpacking.decompress(data, TEXT_BYTES_MAX)
    return data.decode()


def _bytes(bits: bytes, start: int, count: int) -> bytes:
    """Raises ValueError where there are not so many."""
    digits = bits[start : start + 8 * count]
    if len(digits) < 8 * count:
        raise ValueError("too few bits")
    return int(digits or b"0", 2).to_bytes(count, "big")

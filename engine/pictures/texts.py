"""The texts in a picture's file beside its pixels; knows the formats of files, not what the texts mean.

Strangers write these files: no pixel is decoded, and what is looked at has bounds, so that the time and memory it takes
are small whatever a file holds or says of itself.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from engine.pictures import exif

PARTS_MAX = 1 << 16
"""Chunks, segments or blocks that are looked at: a picture of 500 MB in libpng's 8 KiB chunks still has fewer."""
TEXT_BYTES_MAX = 1 << 20
"""Of one text, packed or unpacked; longer ones are left out, as Pillow leaves them out."""
ALL_BYTES_MAX = 4 << 20
"""Of all texts of a file together, and again of what is packed in them."""
PIXELS_MAX = 178_956_970
"""What claims more is a decompression bomb, by Pillow's measure."""
XMP = "XML:com.adobe.xmp"
"""The name of XMP data among the texts, which is the one PNG gives it."""
SIGNED = "C2PA"
"""The name among the texts of who signed the picture, by its content credentials."""
UNKNOWN_SIGNER = "signed by somebody whom Easel does not know"
_SIGNERS = {
    b"DALL": "DALL·E by OpenAI",
    b"ChatGPT": "ChatGPT by OpenAI",
    b"OpenAI": "OpenAI",
    b"Firefly": "Adobe Firefly",
    b"Midjourney": "Midjourney",
    b"Microsoft": "Microsoft",
    b"Black Forest Labs": "Black Forest Labs",
    b"Stability": "Stability AI",
    b"Google": "Google",
}
_PNG = b"\x89PNG\r\n\x1a\n"
_XMP_OF_JPEG = b"http://ns.adobe.com/xap/1.0/\0"


class NoPicture(OSError):
    """The file is none of the pictures that are read."""


@dataclass(slots=True)
class Texts:
    """What was found, by the names that the formats give it."""

    values: dict[str, str] = field(default_factory=dict[str, str])
    is_whole: bool = True
    """False where something was longer than the bounds and left out."""
    _room: int = ALL_BYTES_MAX
    _room_unpacked: int = ALL_BYTES_MAX

    def content(self, file: BinaryIO, length: int) -> bytes:
        """The next `length` bytes; skipped, and b"", where they are too many."""
        if length > min(TEXT_BYTES_MAX, self._room):
            self.is_whole = False
            file.seek(length, io.SEEK_CUR)
            return b""
        self._room -= length
        return file.read(length)

    def unpacked(self, data: bytes) -> bytes | None:
        """None where it is damaged or too long."""
        most = min(TEXT_BYTES_MAX, self._room_unpacked)
        try:
            text = zlib.decompressobj().decompress(data, most + 1)
        except zlib.error:
            return None
        self._room_unpacked -= min(len(text), most)
        if len(text) > most:
            self.is_whole = False
            return None
        return text

    def add_exif(self, data: bytes) -> None:
        told = exif.texts(io.BytesIO(data.removeprefix(b"Exif\0\0")), bytes_max=TEXT_BYTES_MAX)
        self.values.update({key: text for key, text in told.items() if key not in self.values})

    def add_signature(self, data: bytes) -> None:
        known = next((name for mark, name in _SIGNERS.items() if mark in data), UNKNOWN_SIGNER)
        if self.values.get(SIGNED, UNKNOWN_SIGNER) == UNKNOWN_SIGNER:
            self.values[SIGNED] = known


def texts(file: BinaryIO) -> Texts:
    """The texts of a PNG, JPEG, WebP, AVIF, GIF or TIFF file. Raises OSError, NoPicture where it is none of these."""
    start = file.read(16)
    found = Texts()
    for is_one, read in _FORMATS:
        if is_one(start):
            file.seek(0)
            read(file, found)
            return found
    raise NoPicture("cannot identify it as PNG, JPEG, WebP, AVIF, GIF or TIFF")


# ------------------------------------------------------------------ PNG


def _read_png(file: BinaryIO, found: Texts) -> None:
    file.seek(len(_PNG))
    _check_size(file.read(16))
    file.seek(len(_PNG))
    for _ in range(PARTS_MAX):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind not in _PNG_CHUNKS:
            file.seek(length + 4, io.SEEK_CUR)
            continue
        content = found.content(file, length)
        if file.read(4) == zlib.crc32(kind + content).to_bytes(4, "big"):
            _PNG_CHUNKS[kind](content, found)
    found.is_whole = False


def _check_size(header: bytes) -> None:
    if len(header) < 16 or header[4:8] != b"IHDR":
        raise NoPicture("cannot identify it as PNG, which begins with a header")
    width, height = struct.unpack(">II", header[8:])
    if not 0 < width * height <= PIXELS_MAX:
        raise NoPicture("it claims to have more pixels than can be")


def _plain_chunk(content: bytes, found: Texts) -> None:
    key, nul, text = content.partition(b"\0")
    if nul:
        found.values[key.decode("latin-1")] = text.decode("latin-1")


def _packed_chunk(content: bytes, found: Texts) -> None:
    key, nul, packed = content.partition(b"\0")
    text = found.unpacked(packed[1:]) if nul and packed[:1] == b"\0" else None
    if text is not None:
        found.values[key.decode("latin-1")] = text.decode("latin-1")


def _international_chunk(content: bytes, found: Texts) -> None:
    key, _, rest = content.partition(b"\0")
    packed, parts = rest[:2], rest[2:].split(b"\0", 2)
    if len(parts) < 3 or packed not in {b"\0\0", b"\1\0"}:
        return
    text = found.unpacked(parts[2]) if packed[0] else parts[2]
    if text is not None:
        found.values[key.decode("latin-1")] = text.decode("utf-8", "replace")


def _exif_chunk(content: bytes, found: Texts) -> None:
    found.add_exif(content)


def _signed_chunk(content: bytes, found: Texts) -> None:
    found.add_signature(content)


_PNG_CHUNKS: dict[bytes, Callable[[bytes, Texts], None]] = {
    b"tEXt": _plain_chunk,
    b"zTXt": _packed_chunk,
    b"iTXt": _international_chunk,
    b"eXIf": _exif_chunk,
    b"caBX": _signed_chunk,
}

# ------------------------------------------------------------------ JPEG

_SCAN, _END, _APP1, _APP11, _COMMENT = 0xDA, 0xD9, 0xE1, 0xEB, 0xFE
_BARE = {0x01, *range(0xD0, 0xD9)}
"""Markers that nothing belongs to."""


def _read_jpeg(file: BinaryIO, found: Texts) -> None:
    file.seek(2)
    told = bytearray()
    """EXIF data, which may go on in the next segment."""
    for _ in range(PARTS_MAX):
        mark = file.read(2)
        if len(mark) < 2 or mark[0] != 0xFF or mark[1] in {_SCAN, _END}:
            break
        if mark[1] == 0xFF:  # filled up
            file.seek(-1, io.SEEK_CUR)
        elif mark[1] not in _BARE:
            _read_segment(file, mark[1], found, told)
    else:
        found.is_whole = False
    found.add_exif(bytes(told))


def _read_segment(file: BinaryIO, kind: int, found: Texts, told: bytearray) -> None:
    length = max(0, int.from_bytes(file.read(2), "big") - 2)
    if kind not in {_APP1, _APP11, _COMMENT}:
        file.seek(length, io.SEEK_CUR)
        return
    content = found.content(file, length)
    if kind == _COMMENT:
        found.values.setdefault("comment", exif.plain(content))
    elif kind == _APP11 and b"jumb" in content:
        found.add_signature(content)
    elif content.startswith(b"Exif\0\0"):
        told += content[6:]
    elif content.startswith(_XMP_OF_JPEG):
        found.values.setdefault(XMP, content.removeprefix(_XMP_OF_JPEG).decode("utf-8", "replace"))


# ------------------------------------------------------------------ the others


def _read_webp(file: BinaryIO, found: Texts) -> None:
    file.seek(12)
    for _ in range(PARTS_MAX):
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if kind not in {b"EXIF", b"XMP ", b"C2PA"}:
            file.seek(length + length % 2, io.SEEK_CUR)
            continue
        content = found.content(file, length)
        file.seek(length % 2, io.SEEK_CUR)
        match kind:
            case b"EXIF":
                found.add_exif(content)
            case b"XMP ":
                found.values.setdefault(XMP, content.decode("utf-8", "replace"))
            case b"C2PA":
                found.add_signature(content)
            case _:
                pass
    found.is_whole = False


def _read_avif(file: BinaryIO, found: Texts) -> None:
    """Boxes in boxes tell where its EXIF data lie; they are looked for by their own start, since encoders put them first."""
    data = file.read(TEXT_BYTES_MAX)
    for start in islice(_TIFF.finditer(data), _STARTS_MAX):
        found.add_exif(data[start.start() :])


_TIFF = re.compile(rb"II\*\0|MM\0\*")
_STARTS_MAX = 16
"""Four letters may stand among the pixels by chance."""


def _read_gif(file: BinaryIO, found: Texts) -> None:
    file.seek(10)
    flags = file.read(3)[:1]
    file.seek(_table(flags), io.SEEK_CUR)
    comment, left = bytearray(), PARTS_MAX
    while left > 0:
        mark = file.read(1)
        if mark == b"!":
            is_comment = file.read(1) == b"\xfe"
            left -= _read_blocks(file, comment if is_comment else None, left)
        elif mark == b",":
            file.seek(8, io.SEEK_CUR)
            file.seek(_table(file.read(1)) + 1, io.SEEK_CUR)
            left -= _read_blocks(file, None, left)
        else:
            break
    found.is_whole = left > 0
    if comment:
        found.values["comment"] = exif.plain(bytes(comment))


def _table(flags: bytes) -> int:
    """How many bytes the table of colours has that these flags announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _read_blocks(file: BinaryIO, into: bytearray | None, most: int) -> int:
    """How many blocks there were up to the empty one, `most` at most; what they hold goes `into`."""
    for number in range(1, most + 1):
        length = file.read(1)
        if length in {b"", b"\0"}:
            return number
        if into is None:
            file.seek(length[0], io.SEEK_CUR)
        else:
            into += file.read(length[0])[: TEXT_BYTES_MAX - len(into)]
    return most


def _read_tiff(file: BinaryIO, found: Texts) -> None:
    found.values.update(exif.texts(file, bytes_max=TEXT_BYTES_MAX))


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, Texts], None]], ...] = (
    (lambda start: start.startswith(_PNG), _read_png),
    (lambda start: start.startswith(b"\xff\xd8\xff"), _read_jpeg),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", _read_webp),
    (lambda start: start[4:8] == b"ftyp" and start[8:12] in {b"avif", b"avis", b"mif1"}, _read_avif),
    (lambda start: start.startswith((b"GIF87a", b"GIF89a")), _read_gif),
    (lambda start: start.startswith((b"II*\0", b"MM\0*")), _read_tiff),
)
"""What a file begins with, and what reads it."""

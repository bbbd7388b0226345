"""The texts of EXIF data, of which programs keep their settings in a few tags; standard library only.

Strangers write it: of each directory only the wanted tags are looked at, each once, and no further than it is told, so
that neither many entries nor entries that all name the same megabytes cost anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_TAGS = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x9286: "UserComment",
    0x9C9C: "XPComment",
}
_EXIF_DIRECTORY = 0x8769
_ONE_BYTE = {1, 2, 7, 129}
"""The kinds of values whose count is one of bytes: BYTE, ASCII, UNDEFINED, UTF-8."""
_ENTRY = 12


def texts(file: BinaryIO, *, bytes_max: int) -> dict[str, str]:
    """What the wanted tags say, by their names, from where the file stands; what is too long for the rest is left out."""
    base, head = file.tell(), file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None or len(head) < 8:
        return {}
    found: dict[str, str] = {}
    directories = [struct.unpack(f"{order}I", head[4:])[0]]
    for offset in directories:  # which grows by one at most
        for tag, kind, count, value in _entries(file, base + offset, order):
            if tag == _EXIF_DIRECTORY and len(directories) == 1:
                directories.append(struct.unpack(f"{order}I", value)[0])
            elif tag in _TAGS and kind in _ONE_BYTE and 0 < count <= bytes_max:
                bytes_max -= count
                data = value[:count] if count <= 4 else _at(file, base, value, count, order)
                text = _decoded(tag, data, order)
                if text.strip():
                    found.setdefault(_TAGS[tag], text)
    return found


def _entries(file: BinaryIO, at: int, order: str) -> Iterator[tuple[int, int, int, bytes]]:
    """(tag, kind, count, value or its place) of one directory, the first of each wanted tag."""
    file.seek(at)
    told = file.read(2)
    entries = file.read(_ENTRY * struct.unpack(f"{order}H", told)[0]) if len(told) == 2 else b""
    wanted = {_EXIF_DIRECTORY, *_TAGS}
    for start in range(0, len(entries) - _ENTRY + 1, _ENTRY):
        tag, kind, count = struct.unpack_from(f"{order}HHI", entries, start)
        if tag in wanted:
            wanted.remove(tag)
            yield tag, kind, count, entries[start + 8 : start + _ENTRY]


def _at(file: BinaryIO, base: int, place: bytes, count: int, order: str) -> bytes:
    file.seek(base + struct.unpack(f"{order}I", place)[0])
    return file.read(count)


def _decoded(tag: int, data: bytes, order: str) -> str:
    name = _TAGS[tag]
    if name == "XPComment":
        return data[: len(data) // 2 * 2].decode("utf-16-le", "replace").strip("\0")
    if name != "UserComment":
        return plain(data)
    code, rest = data[:8], data[8:]
    match code:
        case b"UNICODE\0":
            return _unicode(rest, order)
        case b"ASCII\0\0\0" | b"\0\0\0\0\0\0\0\0":
            return plain(rest)
        case _:  # some programs leave the code out
            return plain(data)


def plain(data: bytes) -> str:
    """Bytes of a text whose code nobody told: UTF-8, else Latin-1."""
    data = data.strip(b"\0")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _unicode(data: bytes, order: str) -> str:
    """EXIF leaves the order of the bytes open, and programs differ: settings have many letters whose upper byte is 0."""
    big, little = data[0::2].count(0), data[1::2].count(0)
    if not big and not little:  # some write UTF-8 here
        return plain(data)
    ordered = {"<": "utf-16-le", ">": "utf-16-be"}[order] if big == little else None
    by_zeros = "utf-16-be" if big > little else "utf-16-le"
    text = data[: len(data) // 2 * 2].decode(ordered or by_zeros, "replace")
    return text.strip("\0").removeprefix("\ufeff")

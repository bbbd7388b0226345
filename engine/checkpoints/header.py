"""Headers of safetensors files, read without their numbers and compared with the file's size; knows no model."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from engine.errors import BrokenModel

PICKLES = (".bin", ".ckpt", ".pt", ".pth")


_HEADER_MAX = 20_000_000
"""Bytes; the largest of real models have a few hundred thousand."""


AGAIN = "download the model again"


PICKLE = "can run foreign code when it is opened: get a version of the model as .safetensors"


def count_numbers(file: Path) -> int:
    """In all tensors of a file that `check_safetensors` let through."""
    return sum(math.prod(shape) for shape in read_header(file, file.name).shapes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a safetensors file holds: the shape of each tensor by its name, and free texts."""

    shapes: Mapping[str, tuple[int, ...]]
    texts: Mapping[str, str]


def read_header(path: Path, called: str) -> Header:
    """The header of a safetensors file whose tensors lie in it gapless; raises BrokenModel, whose sentence begins `called`."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            text = file.read(length) if length <= _HEADER_MAX else b""
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BrokenModel(f"{called} can't be read ({reason}): {AGAIN}.") from None
    try:
        if len(start) < 8 or len(text) != length:
            raise ValueError("cut off, or no header at all")
        tensors: Any = json.loads(text, object_pairs_hook=_unique)
        texts = tensors.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in texts.values()):
            raise TypeError("no text")
        spans = sorted(_span(tensor) for tensor in tensors.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BrokenModel(f"{called} {_instead(start + text[:64])}.") from None
    end = 0
    for begin, until in spans:
        if begin != end:
            raise BrokenModel(f"{called} names places for its numbers that overlap or leave gaps: {AGAIN}.")
        end = until
    if 8 + length + end != size:
        raise BrokenModel(f"{called} has {size:,} bytes but should have {8 + length + end:,}: {AGAIN}.")
    return Header(shapes={name: tuple(tensor["shape"]) for name, tensor in tensors.items()}, texts=texts)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _span(tensor: Any) -> tuple[int, int]:
    """(begin, end) of a tensor's bytes, which its shape and dtype must agree with."""
    (begin, end), shape = tensor["data_offsets"], tensor["shape"]
    if not isinstance(shape, list) or len(cast("list[object]", shape)) > 16:
        raise TypeError("no shape")
    numbers = (begin, end, *cast("list[object]", shape))
    if not all(type(number) is int and 0 <= number < _NUMBER_MAX for number in numbers):
        raise ValueError("no size")
    if (end - begin) * 8 != math.prod(cast("list[int]", shape)) * _BITS[tensor["dtype"]]:
        raise ValueError("not as large as its shape")
    return begin, end


_NUMBER_MAX = 2**63


_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}
"""Bits of one number, by safetensors' names for their kinds."""


def _instead(start: bytes) -> str:
    """What a file that is no safetensors file is, as far as its first bytes tell, and what to do."""
    if start.startswith(b"version "):
        return "is only a git-lfs pointer: run “git lfs pull” in its folder"
    is_length = start[5:8] == bytes(3)  # a header that was cut off: none is as long as a terabyte
    is_pickle = start.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")) and not is_length
    if start.startswith(b"PK\x03\x04") or is_pickle:
        return f"is a pickle under another name, which {PICKLE}"
    if start.lstrip()[:1] in {b"<", b"{"} and not is_length:
        return "is a web page or a message and no model: download it again, logged in if its site wants that"
    return f"is damaged at its start: {AGAIN}"

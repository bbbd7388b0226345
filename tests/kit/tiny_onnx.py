"""Writes a tiny ONNX file with the inputs and outputs of open_nsfw, byte by byte; knows protobuf's wire format, no package.

It calls bright pictures unsafe: the mean of each colour, a matrix, a softmax.
"""

from __future__ import annotations

import struct
from pathlib import Path

SHARPNESS = 0.05


def build(file: Path, *, side: int = 224, scores: int = 2) -> Path:
    """Writes the file and returns it."""
    matrix = [SHARPNESS if column == 1 else -SHARPNESS for _ in range(3) for column in range(scores)]
    graph = (
        _node("ReduceMean", ["picture"], "mean", _ints("axes", [1, 2]), _int("keepdims", 0))
        + _node("MatMul", ["mean", "matrix"], "raw")
        + _node("Softmax", ["raw"], "scores", _int("axis", 1))
        + _field(2, b"tiny")
        + _field(5, _matrix("matrix", matrix, [3, scores]))
        + _field(11, _value("picture", [1, side, side, 3]))
        + _field(12, _value("scores", [1, scores]))
    )
    file.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13)))
    return file


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _field(tag: int, data: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(data)) + data


def _node(kind: str, given: list[str], made: str, *attributes: bytes) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in given)
    return _field(1, names + _field(2, made.encode()) + _field(4, kind.encode()) + b"".join(attributes))


def _int(name: str, value: int) -> bytes:
    return _field(5, _field(1, name.encode()) + _number(3, value) + _number(20, 2))


def _ints(name: str, values: list[int]) -> bytes:
    return _field(5, _field(1, name.encode()) + b"".join(_number(8, v) for v in values) + _number(20, 7))


def _matrix(name: str, values: list[float], dims: list[int]) -> bytes:
    raw = struct.pack(f"<{len(values)}f", *values)
    return b"".join(_number(1, d) for d in dims) + _number(2, 1) + _field(8, name.encode()) + _field(9, raw)


def _value(name: str, dims: list[int]) -> bytes:
    shape = b"".join(_field(1, _number(1, d)) for d in dims)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, 1) + _field(2, shape)))

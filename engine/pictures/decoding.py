"""Has the images that pictures start from decoded, each by a process of its own; knows their files, neither torch nor a model.

Decoders have met hostile files before: `engine.pictures.decoder` does it within bounds, and what comes back is taken for plain
pixels and nothing else. Of a file only the pixels of its first frame are used: metadata says which way up they are and what
its colours mean, and is dropped with everything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from engine.contract import SIDE_MIN, GenerationRequest, InvalidRequest
from engine.pictures.inputs import BYTES_MAX, path_of

COMMAND = (sys.executable, "-S", "-P", "-m", "engine.pictures.decoder")
WITHIN_S = 60.0
"""For one file, however busy the machine is; its share of a processor is bounded by the decoder itself."""
WHITE = 128
"""A mask's pixels are white from here on, as diffusers rounds them."""
NOTHING_TO_DRAW = "The mask leaves nothing to draw: paint white what is to be drawn anew."
PIXELS_MAX = 2**26
"""More than a decoder can ever hold."""
_SIDE_MAX = 2**16
_LINE_MAX = 1000
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
"""As many as a request may have references."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What pictures start from, in the size that they have themselves. Equal where made from the same files."""

    files: tuple[str | None, ...]
    """The digests of image and mask, or of the references."""
    size: tuple[int, int]
    """Width and height of image and mask."""
    image: Image.Image = field(compare=False)
    """RGB; of references the first."""
    references: tuple[Image.Image, ...] = field(default=(), compare=False)
    """RGB, each in its own size: what an instruction is about."""
    mask: Image.Image | None = field(default=None, compare=False)
    """L; from WHITE on it is drawn anew."""
    notes: tuple[str, ...] = ()
    """Sentences for the person who asked."""


def begun(folder: Path, request: GenerationRequest) -> Inputs | None:
    """What this request starts from, None where it is words alone. Raises InvalidRequest; takes up to a second."""
    if request.references:
        return _read_references(folder, request.references)
    if request.image is None:
        return None
    # An upscaler's network makes the size itself.
    size = None if request.is_seedless else (request.width, request.height)
    return read(folder, image=request.image, mask=request.mask, size=size)


def read(folder: Path, *, image: str, mask: str | None, size: tuple[int, int] | None) -> Inputs:
    """The files of these digests in `folder`, squeezed into `size` (width, height), None: that of the image itself.

    Raises InvalidRequest.
    As `VaeImageProcessor.preprocess` of diffusers 0.42.1 does it, so that the pixels are those of its own pipelines.
    """
    picture = _decoded("image", _bytes_of(folder, "image", image), size, ground="white", coloured=True)
    stencil, notes = None, ()
    if mask is not None:
        stencil, notes = _read_mask(folder, mask, picture.shape, picture.image.size)
    return Inputs(
        files=(image, mask),
        size=picture.image.size,
        image=picture.image,
        mask=stencil,
        notes=picture.notes + notes,
    )


def shown(data: bytes, *, within_s: float) -> Image.Image:
    """A picture that is only to be looked at, RGB in its own size. Raises InvalidRequest, in time."""
    return _decoded("picture", data, None, ground="white", coloured=True, side_min=1, within_s=within_s).image


def _read_references(folder: Path, digests: tuple[str, ...]) -> Inputs:
    names = ["image"] if len(digests) == 1 else [f"{ordinal} image" for ordinal in _ORDINALS]
    found = [
        _decoded(name, _bytes_of(folder, name, digest), None, ground="white", coloured=True)
        for name, digest in zip(names, digests, strict=False)
    ]
    images = tuple(each.image for each in found)
    notes = tuple(note for each in found for note in each.notes)
    return Inputs(files=digests, size=images[0].size, image=images[0], references=images, notes=notes)


def _read_mask(
    folder: Path, digest: str, expected: tuple[int, int], size: tuple[int, int]
) -> tuple[Image.Image, tuple[str, ...]]:
    # What a mask leaves transparent was not painted.
    mask = _decoded("mask", _bytes_of(folder, "mask", digest), size, ground="black", coloured=False)
    if mask.shape != expected:
        raise InvalidRequest(
            f"The mask has {_times(mask.shape)} pixels but the image {_times(expected)}: make them the same size."
        )
    stencil = mask.image.convert("L")
    if max(stencil.tobytes()) < WHITE:
        raise InvalidRequest(NOTHING_TO_DRAW)
    return stencil, mask.notes


def _bytes_of(folder: Path, name: str, digest: str) -> bytes:
    """The file of that digest; `name` is what sentences call it, such as "mask". Raises InvalidRequest."""
    try:
        with path_of(folder, digest).open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise InvalidRequest(f"The {name} is not kept any more: attach it again.") from None
    except OSError as error:
        raise InvalidRequest(
            f"The {name} can't be read ({error.strerror}): the bot's owner needs to look at the disk."
        ) from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise InvalidRequest(f"The {name} was damaged on this disk: attach it again.")
    return data


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


# ------------------------------------------------------------------ the decoder's process


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    image: Image.Image
    """RGB."""
    shape: tuple[int, int]
    """(width, height) of the file, the way up it is looked at."""
    notes: tuple[str, ...]


def _decoded(
    name: str,
    data: bytes,
    size: tuple[int, int] | None,
    *,
    ground: str,
    coloured: bool,
    side_min: int = SIDE_MIN,
    within_s: float = WITHIN_S,
) -> _Decoded:
    """As `engine.pictures.decoder` makes it of a file's bytes. Raises InvalidRequest, whatever becomes of that process."""
    asked = {"name": name, "size": size, "ground": ground, "coloured": coloured, "side_min": side_min}
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    ) as process:
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(within_s, end)
        timer.start()
        try:
            told, pixels = _converse(process, json.dumps(asked).encode() + b"\n" + data, size)
        finally:
            timer.cancel()
            process.kill()  # it has said all, or has no more to say
    if told is None:
        raise InvalidRequest(_why_nothing(name, process.returncode, is_late=late.is_set()))
    if "problem" in told:
        raise InvalidRequest(str(told["problem"]))
    notes = (f"The {name} moves: its first frame was taken.",) if told["moves"] else ()
    return _Decoded(image=Image.frombytes("RGB", told["size"], pixels), shape=told["shape"], notes=notes)


def _environment() -> dict[str, str]:
    """Nothing that is anybody's secret: what it takes to find Python's packages, and their libraries."""
    root = str(Path(__file__).parents[2])
    own = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    return {**own, "PYTHONPATH": os.pathsep.join(filter(None, [root, *sys.path]))}


def _converse(
    process: subprocess.Popen[bytes], said: bytes, size: tuple[int, int] | None
) -> tuple[dict[str, Any] | None, bytes]:
    """(what it tells, the pixels as it tells them); None for whatever is not exactly what a decoder may say."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):  # it has ended, and its last words say why, if there are any
        process.stdin.write(said)
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        told = _checked(json.loads(process.stdout.readline(_LINE_MAX)), size)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, b""
    wanted = 0 if "problem" in told else 3 * told["size"][0] * told["size"][1]
    pixels = process.stdout.read(wanted)
    return (told, pixels) if len(pixels) == wanted else (None, b"")


def _checked(told: Any, size: tuple[int, int] | None) -> dict[str, Any]:
    """Raises ValueError, TypeError or KeyError for anything but plain facts of a decoded file."""
    if "problem" in told:
        return {"problem": str(told["problem"])}
    sides = drawn_x, drawn_y, *_ = *_sides(told["size"]), *_sides(told["shape"])
    if size not in (None, (drawn_x, drawn_y)) or drawn_x * drawn_y > PIXELS_MAX:
        raise ValueError
    return {"size": sides[:2], "shape": sides[2:], "moves": told["moves"] is True}


def _sides(told: Any) -> tuple[int, int]:
    width, height = told
    if not all(type(side) is int and 0 < side <= _SIDE_MAX for side in (width, height)):
        raise ValueError
    return width, height


def _why_nothing(name: str, exitcode: int, *, is_late: bool) -> str:
    if is_late or exitcode == -getattr(signal, "SIGXCPU", 0):
        return f"The {name} takes too long to decode: save it anew and attach that."
    return f"The {name} can't be decoded safely: save it anew and attach that."

"""The program that decodes one image: a process of its own for each, with bounds on time and memory; knows Pillow alone.

Decoders have met hostile files before. One that dies, stalls or is taken over here takes nothing with it: it got the
bytes of one file, has nobody's secrets in its environment, and writes no file.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageOps, UnidentifiedImageError, WebPImagePlugin

from engine.pictures import colours
from engine.pictures.inputs import BYTES_MAX, FORMATS

__all__ = ["WebPImagePlugin"]  # else Pillow would look for it among all that it knows

BYTES_A_PIXEL = 8
MEMORY_MAX = 2**29
"""Bytes that pixels may take while an image is decoded and squeezed."""
BESIDE = 4 * BYTES_MAX
"""What the file itself takes, which libraries copy."""
CPU_S = 10
"""The largest photographs take two on a slow core."""
SCANS_MAX = 100
"""How often a JPEG may go through its pixels; usual ones do once, or some ten times."""
_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])")
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBA", "CMYK"})
Ground = Literal["white", "black"]


class Unusable(Exception):
    """Nothing can be made of the file; its text is one sentence for the person who sent it."""


def main() -> None:
    """Reads a line of JSON and then the file from stdin; writes a line of JSON and then the pixels, as RGB, to stdout."""
    asked = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read()
    _confine()
    told, pixels = dict[str, Any](), b""
    name, size = asked["name"], asked["size"]
    try:
        upload = Upload(name, data, asked["side_min"])
        _hold_memory()
        upload.load()
        drawn = upload.drawn(size and tuple(size), asked["ground"], coloured=asked["coloured"])
        pixels = drawn.tobytes()
        told = {"size": drawn.size, "shape": upload.size, "moves": upload.moves}
    except Unusable as problem:
        told = {"problem": str(problem)}
    except MemoryError:
        told = {"problem": f"The {name} takes more memory than one may: attach a smaller one."}
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + pixels)


def _confine() -> None:
    """From here on it writes no file, and others come first where memory is short."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _limit("RLIMIT_CPU", CPU_S, spare=1)  # the signal of the lower bound says what it is for
    for name in ("RLIMIT_CORE", "RLIMIT_FSIZE"):
        _limit(name, 0)


def _limit(name: str, most: int, *, spare: int = 0) -> None:
    """Where the system has such a limit: Windows has none of them."""
    with contextlib.suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        resource.setrlimit(getattr(resource, name), (most, most + spare))


class Upload:
    """A file that somebody attached; `name` is what its sentences call it, "image" or "mask"."""

    def __init__(self, name: str, data: bytes, side_min: int = 1) -> None:
        """Raises Unusable, also where a side has fewer pixels than `side_min`."""
        self._name = name
        with self._careful():
            image = _opened(data)
        self._check_size(image, side_min)
        if image.format in {"JPEG", "MPO"} and _scans(data) > SCANS_MAX:
            raise Unusable(f"The {name} is stored in an unusual way: save it anew and attach that.")
        self.moves = image.format in {"PNG", "WEBP"} and getattr(image, "n_frames", 1) > 1
        self._image = image

    def load(self) -> None:
        """Decodes it; until then only its header was looked at."""
        with self._careful():
            self._image.load()
        self._image = _upright(self._image)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), once it is loaded the way up it is looked at."""
        return self._image.size

    def drawn(self, size: tuple[int, int] | None, ground: Ground, *, coloured: bool) -> Image.Image:
        """As RGB of this size (None: its own), with `ground` behind what is transparent; in sRGB, if `coloured`."""
        with self._careful():
            return _squeezed(_as_rgb(self._image, coloured=coloured), size or self.size, ground)

    def _check_size(self, image: Image.Image, side_min: int) -> None:
        width, height = image.size
        most = MEMORY_MAX // _bytes_a_pixel(image)
        if width * height > most:
            raise self._too_large(most)
        if min(width, height) < side_min:
            raise Unusable(
                f"The {self._name} has {width}x{height} pixels: attach one of at least {side_min} a side."
            )

    def _too_large(self, most: int) -> Unusable:
        return Unusable(
            f"The {self._name} is too large: attach one of at most {most // 10**6} million pixels."
        )

    @contextlib.contextmanager
    def _careful(self) -> Generator[None]:
        """Whatever a decoder trips over in a stranger's file, the file is to blame."""
        try:
            yield
        except MemoryError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise self._too_large(MEMORY_MAX // BYTES_A_PIXEL) from None
        except UnidentifiedImageError:
            raise Unusable(
                f"The {self._name} can't be read as PNG, JPEG or WebP: attach one of those."
            ) from None
        except Exception:  # noqa: BLE001
            raise Unusable(f"The {self._name} is damaged: save it anew and attach that.") from None


def _opened(data: bytes) -> Image.Image:
    """By its content, and only the header. Raises what Pillow does."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:
        if (bare := _without_profile(data)) == data:
            raise
    return Image.open(io.BytesIO(bare), formats=FORMATS)


def _without_profile(png: bytes) -> bytes:
    """What tells of colours may be damaged, or a bomb: it takes nothing from the pixels."""
    at = png.find(b"iCCP", 0, max(0, png.find(b"IDAT")))
    return png if at < 8 else png[: at - 4] + png[at + 8 + int.from_bytes(png[at - 4 : at], "big") :]


def _bytes_a_pixel(image: Image.Image) -> int:
    """The most that decoding and squeezing takes of a file like this one, by its header."""
    if image.format == "WEBP":
        return 20  # two canvases, the decoder's own, a copy of one, and the image
    if image.info.get("progressive") or "transparency" in image.info or image.mode not in _PLAIN_MODES:
        return 13  # all coefficients are kept until the last scan; other modes are copied once more
    return BYTES_A_PIXEL


def _scans(data: bytes) -> int:
    """Of a JPEG, up to its end: telephones put films behind theirs."""
    count, at = 0, 2
    while (found := _MARKER.search(data, at)) and found[1] != b"\xd9":
        count += found[1] == b"\xda"
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return count


def _hold_memory() -> None:
    """The header promised what will do; from here on that is held to, on Linux."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _limit("RLIMIT_AS", pages * resource.getpagesize() + MEMORY_MAX + BESIDE)


def _upright(image: Image.Image) -> Image.Image:
    """Turned the way its metadata says, if that can be read."""
    with contextlib.suppress(Exception):  # damaged metadata takes nothing from the pixels
        return ImageOps.exif_transpose(image)
    return image


def _as_rgb(image: Image.Image, *, coloured: bool) -> Image.Image:
    """As RGB or RGBA, whatever the file's own mode; in sRGB, if `coloured`."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off instead of scaling
        image.info.pop("transparency", None)
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    plain = image if image.mode == mode else image.convert(mode)
    return colours.in_srgb(image, plain, profile) if coloured and profile else plain


def _squeezed(image: Image.Image, size: tuple[int, int], ground: Ground) -> Image.Image:
    """As RGB; never with more than one whole copy at a time, which may be large."""
    small = image.resize(size, Image.Resampling.LANCZOS)
    if small.mode == "RGB":
        return small
    return Image.alpha_composite(Image.new("RGBA", size, ground), small).convert("RGB")


if __name__ == "__main__":
    main()

"""Decodes the images that pictures start from; knows Pillow and the files of `engine.inputs`, neither torch nor a model.

Decoders have met hostile files before, so this runs in the engine's process alone. Of a file only the pixels of its
first frame are used: metadata says which way up they are and is dropped with everything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from PIL import Image, ImageOps, UnidentifiedImageError

from engine.contract import SIDE_MIN, GenerationRequest, InvalidRequest
from engine.inputs import BYTES_MAX, path_of

PIXELS_MAX = 64 * 2**20
"""The most that telephones take without being asked to; decoded and squeezed it needs half a GiB for a moment."""
FORMATS = ("PNG", "JPEG", "WEBP")
WHITE = 128
"""A mask's pixels are white from here on, as diffusers rounds them."""
NOTHING_TO_DRAW = "The mask leaves nothing to draw: paint white what is to be drawn anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What pictures start from, in the size that they have themselves. Equal where made from the same files."""

    files: tuple[str, str | None]
    """The digests of image and mask."""
    size: tuple[int, int]
    """Width and height of both."""
    image: Image.Image = field(compare=False)
    """RGB."""
    mask: Image.Image | None = field(compare=False)
    """L; from WHITE on it is drawn anew."""
    notes: tuple[str, ...]
    """Sentences for the person who asked."""


def begun(folder: Path, request: GenerationRequest) -> Inputs | None:
    """What this request starts from, None where it is words alone. Raises InvalidRequest; takes up to a second."""
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
    picture = _Upload.read(folder, "image", image)
    size = size or picture.size
    rgb = picture.resized(size, "white")
    stencil, notes = None, ()
    if mask is not None:
        stencil, notes = _read_mask(folder, mask, picture.size, size)
    return Inputs(files=(image, mask), size=size, image=rgb, mask=stencil, notes=picture.notes + notes)


def _read_mask(
    folder: Path, digest: str, expected: tuple[int, int], size: tuple[int, int]
) -> tuple[Image.Image, tuple[str, ...]]:
    mask = _Upload.read(folder, "mask", digest)
    if mask.size != expected:
        raise InvalidRequest(
            f"The mask has {_times(mask.size)} pixels but the image {_times(expected)}: make them the same size."
        )
    # What a mask leaves transparent was not painted.
    stencil = mask.resized(size, "black").convert("L")
    if max(stencil.tobytes()) < WHITE:
        raise InvalidRequest(NOTHING_TO_DRAW)
    return stencil, mask.notes


class _Upload:
    """A file that somebody attached; `name` is what its sentences call it, "image" or "mask"."""

    def __init__(self, name: str, data: bytes) -> None:
        self._name = name
        with self._careful():
            image = Image.open(io.BytesIO(data), formats=FORMATS)  # by its content, and only the header
        self._check_size(*image.size)
        with self._careful():
            image.load()
        moves = image.format in {"PNG", "WEBP"} and getattr(image, "n_frames", 1) > 1
        self.notes = (f"The {name} moves: its first frame was taken.",) if moves else ()
        self._image = _upright(image)

    @classmethod
    def read(cls, folder: Path, name: str, digest: str) -> Self:
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
        return cls(name, data)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), the way up it is looked at."""
        return self._image.size

    def resized(self, size: tuple[int, int], ground: str) -> Image.Image:
        """As RGB, with `ground` behind what is transparent."""
        with self._careful():
            return _squeezed(self._image, size, ground)

    def _check_size(self, width: int, height: int) -> None:
        if width * height > PIXELS_MAX:
            raise self._too_large()
        if min(width, height) < SIDE_MIN:
            raise InvalidRequest(
                f"The {self._name} has {width}x{height} pixels: attach one of at least {SIDE_MIN} a side."
            )

    def _too_large(self) -> InvalidRequest:
        return InvalidRequest(
            f"The {self._name} is too large: attach one of at most {PIXELS_MAX // 10**6} million pixels."
        )

    @contextlib.contextmanager
    def _careful(self) -> Generator[None]:
        """Whatever a decoder trips over in a stranger's file, the file is to blame, never the engine."""
        try:
            yield
        except MemoryError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise self._too_large() from None
        except UnidentifiedImageError:
            raise InvalidRequest(
                f"The {self._name} can't be read as PNG, JPEG or WebP: attach one of those."
            ) from None
        except Exception:  # noqa: BLE001
            raise InvalidRequest(f"The {self._name} is damaged: save it anew and attach that.") from None


def _upright(image: Image.Image) -> Image.Image:
    """Turned the way its metadata says, if that can be read."""
    with contextlib.suppress(Exception):  # damaged metadata takes nothing from the pixels
        return ImageOps.exif_transpose(image)
    return image


def _squeezed(image: Image.Image, size: tuple[int, int], ground: str) -> Image.Image:
    """As RGB, whatever the file's own mode; never with more than one whole copy at a time, which may be large."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off instead of scaling
        image.info.pop("transparency", None)
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    small = (image if image.mode == mode else image.convert(mode)).resize(size, Image.Resampling.LANCZOS)
    if mode == "RGB":
        return small
    return Image.alpha_composite(Image.new(mode, size, ground), small).convert("RGB")


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"

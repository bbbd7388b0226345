"""Pictures in sRGB, whatever colour profile their files bring; knows Pillow's colour management alone."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageCms

PROFILE_BYTES_MAX = 4 * 2**20
"""Those of printers have up to three million."""
ALIKE = 2
"""Of 255: profiles that change no value by more are sRGB, in the words of another maker."""
_cms: Any = ImageCms  # whose functions are typed in part
_SRGB = _cms.createProfile("sRGB")
_GREYS = frozenset({"1", "L", "LA"})


def in_srgb(image: Image.Image, plain: Image.Image, profile: bytes) -> Image.Image:
    """`plain`, which is `image` as RGB or RGBA, in sRGB; itself to the bit where it is already, or the profile is no good."""
    if len(profile) > PROFILE_BYTES_MAX:
        return plain
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return _converted(image, plain, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    return plain


def _converted(image: Image.Image, plain: Image.Image, profile: Any) -> Image.Image:
    """Raises what Pillow's colour management does."""
    match profile.profile.xcolor_space.strip():
        case "RGB" if image.mode != "CMYK":
            source = plain
        case "GRAY" if image.mode in _GREYS:
            source = image.convert("L")
        case "CMYK" if image.mode == "CMYK":
            source = image
        case _:
            return plain
    if source.mode != "CMYK" and _is_alike(profile, "L" if source.mode == "L" else "RGB"):
        return plain
    if source is plain:  # which may be large: no second one is made of it
        _cms.profileToProfile(plain, profile, _SRGB, inPlace=True)
        return plain
    drawn = _moved(source, profile)
    if plain.mode == "RGBA":
        drawn.putalpha(plain.getchannel("A"))
    return drawn


def _is_alike(profile: Any, mode: str) -> bool:
    """Whether it moves no colour of a small chart by more than makers of sRGB profiles differ."""
    data = bytes(range(256)) if mode == "L" else bytes(itertools.chain.from_iterable(_chart()))
    chart = Image.frombytes(mode, (len(data) // len(mode), 1), data)
    pairs = zip(_moved(chart, profile).tobytes(), chart.convert("RGB").tobytes(), strict=True)
    return all(abs(one - other) <= ALIKE for one, other in pairs)


def _chart() -> Iterator[tuple[int, ...]]:
    yield from ((value, value, value) for value in range(256))
    yield from itertools.product(range(0, 256, 51), repeat=3)


def _moved(image: Image.Image, profile: Any) -> Image.Image:
    """As RGB in sRGB."""
    return _cms.profileToProfile(image, profile, _SRGB, outputMode="RGB")

"""Small pictures of what lies in the spool, for lists. Blocking; knows no message.

A list can't show the pictures where they were posted: the addresses of Discord's files end after a day, and asking for new
ones takes a request for each message. So a list brings small files of its own, as far as the originals are kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

from engine.contract import InvalidRequest
from engine.pictures import decoding

SIDE, QUALITY = 256, 80
"""Pixels that Discord shows, twice over for fine screens; some 10 kB each."""
FILE_BYTES_MAX = 8 * 2**20
"""Of a picture beside a model's file."""
WITHIN_S = 1.0
"""For all of a list: its answer is due after 3 s. Those that come later are left out."""
STRANGERS_WITHIN_S = 10.0
"""For one that a process of its own decodes."""


def of_stranger(path: Path, *, within_s: float = STRANGERS_WITHIN_S) -> bytes | None:
    """The same of a picture that anybody may have made, beside a model's file: None where it can't be had, or not in time."""
    try:
        with path.open("rb") as file:
            image = decoding.shown(file.read(FILE_BYTES_MAX + 1), within_s=within_s)
    except (OSError, InvalidRequest):
        return None
    image.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def thumbnails(paths: Mapping[int, Path], *, within_s: float = WITHIN_S) -> dict[int, bytes]:
    """A JPEG for each original that is there and was reached in time, by the same numbers."""
    ends_at = time.monotonic() + within_s
    made: dict[int, bytes] = {}
    for number, path in paths.items():
        if time.monotonic() > ends_at:
            break
        try:
            with Image.open(path, formats=("PNG",)) as image:
                image.thumbnail((SIDE, SIDE))
                buffer = BytesIO()
                image.convert("RGB").save(buffer, "JPEG", quality=QUALITY)
        except (OSError, ValueError):  # not kept any more, or damaged
            continue
        made[number] = buffer.getvalue()
    return made

"""Sets of pictures that are to be taught from: their names, files and captions. Knows no row, no SQL and no Discord."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.training import TrainingPicture
from engine.pictures import spool

NAME_CHARS_MAX = 40
TRIGGER_CHARS_MAX = 60
CAPTION_CHARS_MAX = 300
STEPS_MIN = 10
PICTURES_MIN = 2
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_EVERYDAY_LETTERS = re.compile(r"[a-z]+")
_STARTS = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"RIFF", "webp"))
_ENDINGS = tuple(ending for _, ending in _STARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file as far as its head tells: decoders are for the process that teaches."""

    data: bytes
    digest: str
    ending: str


async def keep(folder: Path, training_id: int, picture: Picture) -> None:
    """Durably among its training's in `folder`, under the digest of its bytes. Raises OSError."""
    await asyncio.to_thread(_keep, folder / str(training_id), picture)


def _keep(place: Path, picture: Picture) -> None:
    place.mkdir(parents=True, exist_ok=True)
    spool.write(place, f"{picture.digest}.{picture.ending}", picture.data)


async def forget(folder: Path, training_id: int, digest: str) -> None:
    """What is not there is fine. Raises OSError."""
    place = folder / str(training_id)
    for ending in _ENDINGS:
        await asyncio.to_thread((place / f"{digest}.{ending}").unlink, missing_ok=True)


async def read(
    folder: Path, training_id: int, pictures: Sequence[TrainingPicture], *, bytes_max: int
) -> dict[int, tuple[str, bytes]]:
    """Names and contents of these pictures' files, by their numbers; those left out that would make it more than `bytes_max`."""
    return await asyncio.to_thread(_read, folder / str(training_id), pictures, bytes_max)


def _read(place: Path, pictures: Sequence[TrainingPicture], bytes_max: int) -> dict[int, tuple[str, bytes]]:
    found: dict[int, tuple[str, bytes]] = {}
    room = bytes_max
    for each in pictures:
        files = (place / f"{each.digest}.{ending}" for ending in _ENDINGS)
        file = next((file for file in files if file.is_file()), None)
        if file is None or each.size_bytes > room:
            continue
        found[each.number] = f"{each.number}{file.suffix}", file.read_bytes()
        room -= each.size_bytes
    return found


def picture_of(data: bytes) -> Picture | None:
    """None for what is none of the kinds that are taken."""
    ending = next((ending for start, ending in _STARTS if data.startswith(start)), None)
    if ending is None or (ending == "webp" and data[8:12] != b"WEBP"):
        return None
    return Picture(data=data, digest=hashlib.sha256(data).hexdigest(), ending=ending)


def is_name(name: str) -> bool:
    """It becomes that of a file."""
    return len(name) <= NAME_CHARS_MAX and _NAME.fullmatch(name) is not None


def is_everyday(trigger: str) -> bool:
    """A single word in plain letters means something to the model already."""
    return _EVERYDAY_LETTERS.fullmatch(trigger.casefold()) is not None


def as_lines(pictures: Sequence[TrainingPicture], most: int) -> str:
    """Captions as a form shows them, `1: a snail`; only whole ones, as many as there is room for."""
    lines: list[str] = []
    for each in pictures:
        line = f"{each.number}: {each.caption}"
        if sum(map(len, lines)) + len(lines) + len(line) > most:
            break
        lines.append(line)
    return "\n".join(lines)


def from_lines(text: str) -> dict[int, str] | None:
    """Captions by their numbers; None where a line has no number."""
    found: dict[int, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        number, colon, caption = line.partition(":")
        if not colon or not number.strip().isdecimal() or len(number.strip()) > 6:
            return None
        found[int(number)] = " ".join(caption.split())
    return found

"""What the chat does with trainings beside their life: rows while they are collected, bounds, and files. Knows no SQL and no Discord."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bot.core.training.service import TrainingService
from bot.job import Asker
from bot.training import Sharing, Training, TrainingPicture
from engine.pictures import spool

NAME_CHARS_MAX = 40
TRIGGER_CHARS_MAX = 60
CAPTION_CHARS_MAX = 300
STEPS_MIN = 10
PICTURES_MIN = 2
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_EVERYDAY_LETTERS = re.compile(r"[a-z]+")
_STARTS = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"RIFF", "webp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What an admin lets a person have of trainings, and what they have left to pay with."""

    trainings: int
    """At once; 0: none at all."""
    pictures: int
    steps: int
    bytes_kept: int
    credits: int
    """For the window, used ones too."""
    left: int
    window_start: float


class SetRows(Protocol):
    """The store's. What changes a row is guarded by its state, and gives False or None where that is another one; all raise DatabaseError."""

    async def new(
        self,
        *,
        guild_id: int,
        user_id: int,
        name: str,
        trigger: str,
        model: str,
        steps: int,
        locale: str,
        now: float,
    ) -> Training | None:
        """None where the name is taken."""
        ...

    async def of(self, training_id: int) -> Training | None: ...
    async def by_name(self, guild_id: int, name: str) -> Training | None: ...
    async def listed(self, guild_id: int, user_id: int | None) -> list[Training]: ...
    async def pictures(self, training_id: int) -> list[TrainingPicture]: ...
    async def bytes_kept(self, guild_id: int, user_id: int) -> int: ...
    async def add_picture(
        self,
        training_id: int,
        *,
        digest: str,
        size_bytes: int,
        width: int,
        height: int,
        most: int,
        bytes_most: int,
    ) -> TrainingPicture | None:
        """With the next number; None where it is there already, is one too many, or none are collected any more."""
        ...

    async def set_caption(self, training_id: int, number: int, caption: str) -> bool: ...
    async def start(
        self,
        training_id: int,
        *,
        cost: int,
        budget: int,
        window_start: float,
        most: int,
        channel_id: int,
        locale: str,
        now: float,
    ) -> Training | None:
        """None where so much is not left in the window, so many are under way, or it is started already."""
        ...

    async def posted(self, training_id: int, *, channel_id: int, message_id: int) -> None: ...
    async def share(self, training_id: int, sharing: Sharing, role_id: int | None) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """What a handler reaches of trainings."""

    rows: SetRows
    service: TrainingService
    folder: Path
    """Of all sets."""
    bounds: Callable[[Asker], Awaitable[Bounds]]
    is_free: Callable[[str], bool]
    """Whether no LoRA is called so already."""

    async def keep(self, training_id: int, file: Picture) -> None:
        """Durably, under the digest of its bytes. Raises OSError."""
        await asyncio.to_thread(self._keep, training_id, file)

    def _keep(self, training_id: int, file: Picture) -> None:
        place = self.folder / str(training_id)
        place.mkdir(parents=True, exist_ok=True)
        spool.write(place, f"{file.digest}.{file.ending}", file.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file as far as its head tells: decoders are for the process that teaches."""

    data: bytes
    digest: str
    ending: str


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

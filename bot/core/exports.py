"""Puts together what a person gets of all that is kept of them: archives that can be sent. Knows no Discord and no SQL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from bot.config import Settings
from bot.core.spool import by_job
from bot.job import Job
from bot.store import Store
from bot.store.personal import Reading
from bot.store.threads import unawaited
from bot.training import TrainingState
from engine.contract import GenerationRequest

PART_BYTES_MAX = 8 << 20
"""Of an archive: every place takes it."""
PICTURES_BYTES_MAX = 100 << 20
"""The newest; the others are named, with links to where they were posted."""
_ROOM_BYTES = 1 << 20
"""Left for what is still being compressed, and for the list of what is in an archive."""
_BREATH_S = 0.002
"""After each page, so that who waits for an answer is not kept from Python's lock. (A lower priority would keep them from it
for longer, where others want the processor.)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    parts: Sequence[IO[bytes]]
    """Archives, each complete in itself; they have no names, and are gone with this process."""
    jobs: int
    pictures: int
    left_out: int
    """Pictures that are kept, and would be too many or too large."""


class Exports:
    def __init__(self, store: Store, settings: Settings, *, link: Callable[[Job], str]) -> None:
        """`link`: to the message of a job."""
        self._store = store
        self._settings = settings
        self._link = link
        self._people: set[int] = set()
        self._turn = asyncio.Lock()
        """One at a time: others wait, rather than all of them for long."""

    def is_under_way(self, user_id: int) -> bool:
        return user_id in self._people

    @contextmanager
    def begun(self, user_id: int) -> Generator[None]:
        """Until the end of the block it is under way."""
        self._people.add(user_id)
        try:
            yield
        finally:
            self._people.discard(user_id)

    @asynccontextmanager
    async def of(self, user_id: int) -> AsyncGenerator[Export]:
        """What there is now, until the end of the block. Raises DatabaseError and OSError."""
        async with self._turn:
            export = await unawaited(lambda: self._written(user_id))
        try:
            yield export
        finally:
            for part in export.parts:
                part.close()

    def _written(self, user_id: int) -> Export:
        found = _Found(files=by_job(self._settings.spool), link=self._link)
        archive = _Archive(self._settings.data_dir)
        try:
            with self._store.personal.reading(user_id) as reading:
                rest = _rest(reading)
                archive.write("easel.json", _json(rest, indent=2))
                archive.write_lines("jobs", _lines(reading, found))
            left_out = _write_pictures(archive, found, self._settings.inputs)
            for training in rest["trainings"]:
                _write_training(archive, training, self._settings)
            return Export(
                parts=archive.finished(), jobs=found.jobs, pictures=len(found.pictures), left_out=left_out
            )
        except BaseException:
            archive.close()
            raise


# ------------------------------------------------------------------ what is told


class _Found:
    """What the rows named on their way, of what lies in the spool."""

    def __init__(self, *, files: Mapping[int, Sequence[Path]], link: Callable[[Job], str]) -> None:
        self.files = files
        self.link = link
        self.jobs = 0
        self.pictures: list[tuple[float, Path]] = []
        self.inputs: dict[str, None] = {}


def _rest(reading: Reading) -> dict[str, Any]:
    return {"exported_at": _moment(time.time()), **reading.rest()}


def _lines(reading: Reading, found: _Found) -> Iterator[list[str]]:
    for page in reading.jobs():
        yield [_line(job, found) for job in page]
        time.sleep(_BREATH_S)


def _line(job: Job, found: _Found) -> str:
    found.jobs += 1
    found.inputs |= dict.fromkeys(job.request.inputs)
    names = [Path(str(image.path)).name for image in job.shown_images]
    if not job.is_unpaid and job.deleted_at is None:
        there = {path.name: path for path in found.files.get(job.id, ())}
        found.pictures += [(job.created_at, there[name]) for name in names if name in there]
    told = {
        "number": job.id,
        "asked_at": _moment(job.created_at),
        "ended_at": _moment(job.finished_at),
        "deleted_at": _moment(job.deleted_at),
        "state": job.state,
        "reason": None if job.reason is None else str(job.reason),
        "action": job.action,
        "made_from": job.parent_id,
        "server": job.guild_id,
        "channel": job.channel_id,
        "message": None if job.message_id is None else found.link(job),
        "language": job.locale,
        "typed": None if job.wish is None else dict(job.wish),
        "request": _request(job.request),
        "notes": job.notes,
        "cost": job.cost,
        "charged": job.charged,
        "seeds": [image.seed for image in job.images],
        "pictures": names,
    }
    return _json(told)


def _request(request: GenerationRequest) -> dict[str, Any]:
    """As `to_dict`, in a third of its time."""
    told = {name: getattr(request, name) for name in _NAMES}
    return told | {"loras": [{"name": lora.name, "weight": lora.weight} for lora in request.loras]}


_NAMES = tuple(entry.name for entry in fields(GenerationRequest))


def _moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _json(told: object, *, indent: int | None = None) -> str:
    return json.dumps(told, ensure_ascii=False, indent=indent) + "\n"


def _write_pictures(archive: _Archive, found: _Found, inputs: Path) -> int:
    """The newest first, then what was attached; how many pictures were left out."""
    room, taken = PICTURES_BYTES_MAX, list[tuple[float, Path]]()
    found.pictures.sort(reverse=True)
    for at, path in found.pictures:
        size = archive.write_file(f"pictures/{path.name}", path, at_most=room)
        room -= size
        if size:
            taken.append((at, path))
    left_out = len(found.pictures) - len(taken)
    found.pictures = taken
    for digest in found.inputs:
        room -= archive.write_file(f"attached/{digest}", inputs / digest, at_most=room)
    return left_out


def _write_training(archive: _Archive, training: Mapping[str, Any], settings: Settings) -> None:
    """Its pictures, and the LoRA that came of it; one that is larger than an archive is named alone."""
    folder = f"trainings/{training['number']}"
    digests = {picture["sha256"] for picture in training["pictures"]}
    for path in sorted((settings.trainings / str(training["number"])).glob("*")):
        if path.stem in digests and path.suffix != ".txt":
            archive.write_file(f"{folder}/{path.name}", path, at_most=PICTURES_BYTES_MAX)
    if training["state"] == TrainingState.DONE:
        for ending in (".safetensors", ".json"):
            file = settings.models_dir / "loras" / f"{training['name']}{ending}"
            archive.write_file(f"{folder}/{file.name}", file, at_most=PICTURES_BYTES_MAX)


# ------------------------------------------------------------------ archives


class _Archive:
    """One after the other, as large as may be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[IO[bytes]] = []
        self._zip: ZipFile | None = None

    @property
    def _room(self) -> int:
        return PART_BYTES_MAX - _ROOM_BYTES - self._parts[-1].tell() if self._zip is not None else 0

    def _begin(self) -> ZipFile:
        if self._zip is not None:
            self._zip.close()
        self._parts.append(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115 - closed by whoever has sent it
        self._zip = ZipFile(self._parts[-1], "w", ZIP_DEFLATED)
        return self._zip

    def write(self, name: str, text: str) -> None:
        zipped = self._zip or self._begin()
        zipped.writestr(name, text)

    def write_lines(self, name: str, pages: Iterator[list[str]]) -> None:
        """As `NAME.jsonl`, which goes on as `NAME-2.jsonl` in the next archive."""
        page, number = next(pages, None), 1
        while page is not None:
            zipped = self._zip if self._zip is not None and self._room > 0 else self._begin()
            entry = f"{name}.jsonl" if number == 1 else f"{name}-{number}.jsonl"
            with zipped.open(entry, "w") as lines:
                while page is not None and self._room > 0:
                    lines.write("".join(page).encode())
                    page = next(pages, None)
            number += 1

    def write_file(self, name: str, path: Path, *, at_most: int) -> int:
        """Its bytes; 0 where it is gone, or too large."""
        try:
            size = path.stat().st_size
            if not 0 < size <= min(at_most, PART_BYTES_MAX - _ROOM_BYTES):
                return 0
            data = path.read_bytes()
        except OSError:
            return 0
        zipped = self._zip if self._zip is not None and self._room >= size else self._begin()
        zipped.writestr(name, data, ZIP_STORED)  # which is compressed already
        return size

    def finished(self) -> Sequence[IO[bytes]]:
        if self._zip is not None:
            self._zip.close()
        for part in self._parts:
            part.seek(0)
        return self._parts

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._zip is not None:
                self._zip.close()
        for part in self._parts:
            part.close()

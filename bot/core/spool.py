"""What lies in the spool: finished images, and those that people gave. Knows only paths and hashes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bot.job import Job
from bot.store.threads import unawaited
from engine.contract import GenerationRequest, SpooledImage

IMAGE = re.compile(r"\.?(\d{1,18})-(\d{1,18})-\d+\.png")
"""Job and attempt of an image, as the engine names it: JOB-ATTEMPT-IMAGE.png, half-written after a dot."""


class Spool:
    """What engines drew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def are_intact(self, images: Sequence[SpooledImage]) -> bool:
        """`all_intact` in a thread of its own, which is not waited for when the bot is told to end."""
        return await unawaited(lambda: all_intact(images))

    async def discard(self, job: Job) -> None:
        """Removes all that was drawn for a job, by earlier attempts too and half-written; raises OSError."""
        await asyncio.to_thread(self._discard, job)

    def _discard(self, job: Job) -> None:
        images = [Path(str(image.path)) for image in job.shown_images]
        folder = self._folder
        for path in [*images, *folder.glob(f"{job.id}-*"), *folder.glob(f".{job.id}-*.part")]:
            path.unlink(missing_ok=True)


def by_job(folder: Path) -> dict[int, list[Path]]:
    """All that was drawn, half-written files too, in one look: with many jobs one for each takes too long. Blocking."""
    found: dict[int, list[Path]] = {}
    for path in folder.glob("*.png*"):
        if (match := IMAGE.match(path.name)) is not None:
            found.setdefault(int(match[1]), []).append(path)
    return found


def remove(files: Iterable[Path]) -> None:
    """Blocking; raises OSError, but not for what is gone."""
    for path in files:
        path.unlink(missing_ok=True)


def hold_inputs(folder: Path, request: GenerationRequest) -> bool:
    """Whether every file that a request needs is still there; from now on it stays as long as what is made of it."""
    try:
        for digest in request.inputs:
            os.utime(folder / digest)
    except OSError:
        return False
    return True


def all_intact(images: Sequence[SpooledImage]) -> bool:
    """Whether every image that may be shown still lies in the spool as it was written."""
    return all(image.path is None or _sha256(Path(image.path)) == image.sha256 for image in images)


async def are_intact(images: Sequence[SpooledImage]) -> bool:
    """The same in a thread of its own, which is not waited for when the bot is told to end."""
    return await unawaited(lambda: all_intact(images))


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None

"""What lies in the spool: finished images, and those that people gave. Blocking; knows only paths and hashes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bot.job import Job
from engine.contract import GenerationRequest, SpooledImage


def inputs_of(request: GenerationRequest) -> tuple[str, ...]:
    """Names of the files that a request starts from."""
    return tuple(digest for digest in (request.image, request.mask) if digest is not None)


def hold_inputs(folder: Path, request: GenerationRequest) -> bool:
    """Whether all that a request starts from is still there; from now on it stays as long as what is made of it."""
    try:
        for digest in inputs_of(request):
            os.utime(folder / digest)
    except OSError:
        return False
    return True


def discard(folder: Path, job: Job) -> None:
    """Removes all that was drawn for a job, by earlier attempts too and half-written; raises OSError."""
    images = [Path(str(image.path)) for image in job.shown_images]
    for path in [*images, *folder.glob(f"{job.id}-*"), *folder.glob(f".{job.id}-*.part")]:
        path.unlink(missing_ok=True)


def all_intact(images: tuple[SpooledImage, ...]) -> bool:
    """Whether every image that may be shown still lies in the spool as it was written."""
    return all(image.path is None or _sha256(Path(image.path)) == image.sha256 for image in images)


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None

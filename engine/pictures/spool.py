"""Finished pictures on disk, complete or not at all; knows bytes and names, not what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path

NO_ROOM = "The finished picture could not be saved ({reason}): the bot's owner needs to look at the disk."


def file_name(job_id: int, attempt: int, image: int) -> str:
    """One name per image and attempt, so that a late write of an old attempt can't replace a newer picture."""
    return f"{job_id}-{attempt}-{image}.png"


def write(folder: Path, name: str, data: bytes) -> tuple[Path, str]:
    """Writes durably: after it returns, the file survives a power cut. Returns (path, sha256); raises OSError.

    An existing file of that name is replaced in one step.
    """
    path = folder / name
    partial = folder / f".{name}.{os.getpid()}-{threading.get_ident()}.part"
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    _sync_folder(folder)
    return path, hashlib.sha256(data).hexdigest()


def discard(path: str) -> None:
    """Removes a picture nobody will ask for; a missing one is fine."""
    with contextlib.suppress(OSError):
        Path(path).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows can't open folders; its renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

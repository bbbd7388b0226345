"""Whether finished images still lie in the spool as they were written. Blocking; knows only paths and hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.contract import SpooledImage


def all_intact(images: tuple[SpooledImage, ...]) -> bool:
    """Whether every image that may be shown still lies in the spool as it was written."""
    return all(image.path is None or _sha256(Path(image.path)) == image.sha256 for image in images)


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None

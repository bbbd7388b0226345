"""Pictures that people upload, by their SHA-256, exactly as they came; knows bytes and names, not what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine import spool


def keep(folder: Path, data: bytes) -> str:
    """Writes durably what is not there yet, and returns its digest, which is its name; raises OSError."""
    digest = hashlib.sha256(data).hexdigest()
    if not (folder / digest).exists():
        folder.mkdir(parents=True, exist_ok=True)
        spool.write(folder, digest, data)
    return digest

"""Images that pictures start from, kept under the digest of their bytes; knows files, no request's life and no model.

`keep` may be called by the bot: it looks at no pixel. Reading is the engine's, since decoders have met hostile files before.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.errors import InvalidRequest
from engine.pictures import spool

FOLDER = "inputs"
"""Of the spool."""
FORMATS = ("PNG", "JPEG", "WEBP")
"""What people may send, by Pillow's names: no other of its decoders is ever tried on a stranger's file."""
BYTES_MAX = 32 * 2**20
"""The largest photographs fit; more would only keep the others in the line waiting."""


def keep(folder: Path, data: bytes) -> str:
    """Writes the bytes of an uploaded file durably into `folder` (`<spool>/inputs`), made if need be; their name there.

    The name is their SHA-256, so twice the same is one file. Raises InvalidRequest for too many bytes, OSError where the
    disk fails.
    """
    if len(data) > BYTES_MAX:
        raise InvalidRequest(f"The file is larger than {BYTES_MAX // 2**20} MiB: take a smaller one.")
    digest = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    spool.write(folder, digest, data)
    return digest


def path_of(folder: Path, digest: str) -> Path:
    """Where the bytes of this digest lie in `folder`, if they are still kept."""
    return folder / digest

"""SHA-256 sums of weight files: what was noted when they came, as `sha256sum` notes it; knows files, no models."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

OF_A_FOLDER = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_CHUNK_BYTES = 2**22

Read = Callable[[int], None]
"""Told how many bytes were read."""


def digest(file: Path, read: Read, into: Path | None = None) -> str:
    """The SHA-256 of a whole file, which is copied on the way where a place for it is given; raises OSError."""
    found = hashlib.sha256()
    with file.open("rb") as source, (into or Path(os.devnull)).open("wb") as target:
        while chunk := source.read(_CHUNK_BYTES):
            found.update(chunk)
            target.write(chunk)
            read(len(chunk))
        if into is not None:
            target.flush()
            os.fsync(target.fileno())
    return found.hexdigest()


def note(model: Path, sums: Mapping[str, str]) -> None:
    """Writes sums by their files' names relative to the model's folder; a single file's go beside it."""
    lines = [f"{value}  {name}\n" for name, value in sorted(sums.items())]
    place(model).write_text("".join(lines), encoding="utf-8")


def noted(model: Path) -> dict[str, str]:
    """The sums that are known of a model's files: noted ones, or those by which the hub's cache names its files."""
    try:
        text = place(model).read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    found = {match[2]: match[1] for line in text.splitlines() if (match := _LINE.fullmatch(line))}
    return found or _cached(model)


def place(model: Path) -> Path:
    """Where a model's sums are noted: in its folder, or beside its file."""
    return model / OF_A_FOLDER if model.is_dir() else model.with_name(f"{model.name}.sha256")


def _cached(model: Path) -> dict[str, str]:
    """In the hub's cache a file is a link to one that is called by its SHA-256."""
    files = {str(file.relative_to(model)): file for file in model.rglob("*.safetensors") if file.is_symlink()}
    names = {name: file.readlink().name for name, file in files.items()}
    return {name: value for name, value in names.items() if re.fullmatch(r"[0-9a-f]{64}", value)}

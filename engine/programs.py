"""Where compiled models are kept from one start to the next, and how much they bring; knows files, no torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

FOLDER = "compiled"
KEPT = 8
"""Of them, at most; the longest unused are deleted."""


def file_of(data: Path, model: str, key: str) -> Path:
    """That of a model with this id; `key` names the machine, its weights and all else that it depends on."""
    return data / FOLDER / f"{_slug(model)}-{key}.pt2"


def share_of(file: Path) -> float | None:
    """What share of a plain forward's time the compiled one took when it was tried; None if it never was."""
    try:
        return float(json.loads(note_of(file).read_text(encoding="utf-8"))["share"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_share(file: Path, share: float) -> None:
    note_of(file).write_text(json.dumps({"share": share}), encoding="utf-8")


def note_of(file: Path) -> Path:
    """Beside it, and still there where the program itself was not worth keeping."""
    return file.with_suffix(".json")


def sentences(data: Path, model: str) -> tuple[str, ...]:
    """What the one that was made last for a model brings; empty where there is none."""
    files = sorted((data / FOLDER).glob(f"{_slug(model)}-*.pt2"), key=_used_at)
    share = share_of(files[-1]) if files else None
    return () if share is None else (sentence(share),)


def sentence(share: float) -> str:
    return f"The model is compiled for this machine: such a forward takes {share:.2f} of a plain one's time."


def prune(folder: Path) -> None:
    """Leaves those that were used last."""
    for old in sorted(folder.glob("*.pt2"), key=_used_at, reverse=True)[KEPT:]:
        old.unlink(missing_ok=True)
        note_of(old).unlink(missing_ok=True)


def _used_at(file: Path) -> float:
    return file.stat().st_mtime


def _slug(model: str) -> str:
    return re.sub(r"[^\w.]+", "-", model)

"""Where compiled models are kept from one start to the next, and how much they bring; knows files, no torch."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
from contextlib import suppress
from pathlib import Path

FOLDER = "compiled"
KEPT = 8
"""Of them, at most; the longest unused are deleted."""
FORGIVEN_S = 7 * 24 * 3600.0
"""What was slower once is tried again after so long: it may have been measured in a bad hour."""
CPUINFO = Path("/proc/cpuinfo")
_KEY = "[0-9a-f]" * 16
_PARTIAL = "*.part.pt2"


def file_of(data: Path, model: str, key: str) -> Path:
    """That of a model with this id; `key`, 16 hexadecimal digits, names the machine and all else that it depends on."""
    return data / FOLDER / f"{_slug(model)}-{key}.pt2"


def partial_of(file: Path) -> Path:
    """Where it is written."""
    return file.with_suffix(f".{os.getpid()}.part.pt2")


def share_of(file: Path) -> float | None:
    """What share of a plain forward's time the compiled one took when it was tried; None if it never was."""
    try:
        return float(json.loads(_note_of(file).read_text(encoding="utf-8"))["share"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def was_slow(file: Path, worth: float) -> bool:
    """Whether it took more than this share of the time, not long ago."""
    share = share_of(file)
    if share is None or share <= worth:
        return False
    return time.time() - _note_of(file).stat().st_mtime < FORGIVEN_S


def keep_share(file: Path, share: float) -> None:
    """A folder that can't be written to is not worth failing for."""
    with suppress(OSError):
        _note_of(file).write_text(json.dumps({"share": share}), encoding="utf-8")


def touch(file: Path) -> None:
    """It was used."""
    with suppress(OSError):
        os.utime(file)


def drop(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)


def sentences(data: Path, model: str) -> tuple[str, ...]:
    """What the one that was used last for a model brings; empty where there is none."""
    files = sorted((data / FOLDER).glob(f"{_slug(model)}-{_KEY}.pt2"), key=_used_at)
    share = share_of(files[-1]) if files else None
    return () if share is None else (sentence(share),)


def sentence(share: float) -> str:
    return f"The model is compiled for this machine: such a forward takes {share:.2f} of a plain one's time."


def clean(folder: Path) -> None:
    """Makes room for one more, and takes away what a killed compiler left."""
    for left in folder.glob(_PARTIAL):
        drop(left)
    for old in sorted(folder.glob(f"*-{_KEY}.pt2"), key=_used_at, reverse=True)[KEPT - 1 :]:
        drop(old)
        drop(_note_of(old))


def processor() -> str:
    """A digest of what this processor can do: a program that was made for another one may end the process."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    facts = sorted(set(re.findall(r"(?m)^(?:model name|flags|Features|CPU part)\s*:.*$", text)))
    facts = facts or [platform.processor(), platform.machine()]  # some processors call these lines otherwise
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _note_of(file: Path) -> Path:
    """Beside it, and still there where the program itself was not worth keeping."""
    return file.with_suffix(".json")


def _used_at(file: Path) -> float:
    return file.stat().st_mtime


def _slug(model: str) -> str:
    return re.sub(r"[^\w.]+", "-", model)

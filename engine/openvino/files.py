"""Where converted models are kept from one start to the next, and what was measured of them; knows files, no torch.

A converted model is a folder that gets its name when it is whole, so that a kill at any moment leaves none that counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.contract import Lora
from engine.openvino import networks
from engine.unet.costs import HOLDS_S, NOISY_HOLDS_S, Costs, key_of

FOLDER = "openvino"
KEPT = 8
"""Of them, at most: the longest unused are deleted."""
CPUINFO = Path("/proc/cpuinfo")
_KEY = "[0-9a-f]" * 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be converted."""

    folder: Path
    """Where it is kept."""
    rows_max: int
    """A forward has at most so many rows."""
    threads_max: int
    worth: float | None
    """It is used if a forward takes at most this share of torch's time; None: in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was measured of a converted model on this machine."""

    share: float
    """Of torch's time that a forward of two rows takes, or a tile."""
    threads: int
    """That it is quickest with."""
    rows: int
    """Of a forward, as many as pay."""
    costs: Costs | None
    """Of forwards by their rows; None where they have but one: whether the machine was busy is not known then."""
    at: float
    """When that was, in seconds since the epoch."""

    @property
    def holds(self) -> bool:
        """Whether it need not be measured again yet; threads and rows stay, since bits depend on them."""
        is_sure = self.costs is not None and not self.costs.is_noisy
        return 0 <= time.time() - self.at < (HOLDS_S if is_sure else NOISY_HOLDS_S)

    @property
    def sentence(self) -> str:
        rows = self.rows
        shared = (
            f"and up to {rows} rows share a forward" if rows > 2 else "and each picture has its own forwards"
        )
        return (
            f"OpenVINO computes this model here: a forward takes {self.share:.2f} of torch's time, {shared}."
        )


def folder_of(data: Path, model: str, facts: Mapping[str, str], *, weights: str) -> Path:
    """That of a model with this id and weights of this digest, on this processor; `facts` are what else bits depend on."""
    told = {**facts, "weights": weights, "openvino": networks.version(), "processor": processor()}
    return data / FOLDER / f"{_slug(model)}-{key_of(told)}"


def taught(model: str, weights: str, lora: Lora, digests: Mapping[str, str]) -> tuple[str, str]:
    """(id, digest of the weights) of what this LoRA, of these digests, makes of a model."""
    return f"{model}+{lora.name}", " ".join([weights, *digests.values(), f"{lora.weight:g}"])


def partial_of(folder: Path) -> Path:
    """Where it is written by this process."""
    return folder.with_name(f".{folder.name}.{os.getpid()}.part")


def find(folder: Path) -> Findings | None:
    """What was measured last; None where nothing was, or nothing that can be read."""
    try:
        values = _noted(folder)
        costs = None if values["costs"] is None else _costs(values["costs"])
        found = Findings(
            share=float(values["share"]),
            threads=int(values["threads"]),
            rows=int(values["rows"]),
            costs=costs,
            at=float(values["at"]),
        )
        is_whole = costs is None or {1, 2} <= set(costs.seconds)
        is_whole = is_whole and found.share > 0 and found.threads > 0 and found.rows > 0
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if is_whole else None


def _costs(values: Mapping[str, Any]) -> Costs:
    seconds = {int(rows): float(value) for rows, value in values["seconds"].items()}
    return Costs(seconds=seconds, is_noisy=bool(values["is_noisy"]))


def keep(folder: Path, found: Findings) -> None:
    """A folder that can't be written to is not worth failing for."""
    _write(folder, asdict(found))


def give_up(folder: Path, why: str) -> None:
    """It could not be converted or used, and is not tried again for a day: each try takes minutes of a core."""
    _write(folder, {"failed": why, "at": time.time()})


def failure(folder: Path) -> str | None:
    """Why it could not be converted or used not long ago."""
    try:
        values = _noted(folder)
        why, age = str(values["failed"]), time.time() - float(values["at"])
    except (ValueError, KeyError, TypeError):
        return None
    return why if 0 <= age < NOISY_HOLDS_S else None


def _noted(folder: Path) -> dict[str, Any]:
    """What stands beside it; nothing where nothing can be read."""
    try:
        values: Any = json.loads(_note_of(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _write(folder: Path, values: Mapping[str, Any]) -> None:
    note = _note_of(folder)
    partial = note.with_name(f".{note.name}.{os.getpid()}.part")
    try:
        partial.write_text(json.dumps(values), encoding="utf-8")
        partial.replace(note)
    except OSError:
        drop(partial)


def newest(data: Path, model: str) -> Findings | None:
    """What was measured last for a model; None where nothing was."""
    notes = sorted((data / FOLDER).glob(f"{_slug(model)}-{_KEY}.json"), key=_used_at)
    return find(notes[-1].with_suffix("")) if notes else None


def touch(folder: Path) -> None:
    """It was used."""
    with suppress(OSError):
        os.utime(folder)


def drop(path: Path) -> None:
    """A folder or file that is of no use. A folder loses its name first: half of it is never taken for a whole one."""
    with suppress(OSError):
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        beside = path if path.name.endswith(".part") else path.with_name(f".{path.name}.{os.getpid()}.part")
        path.replace(beside)
        shutil.rmtree(beside)


def clean(parent: Path) -> None:
    """Makes room for one more, and takes away what killed processes left."""
    for left in parent.glob(".*.part"):
        if not _is_being_written(left):
            drop(left)
    folders = [folder for folder in parent.glob(f"*-{_KEY}") if folder.is_dir()]
    for old in sorted(folders, key=_used_at, reverse=True)[KEPT - 1 :]:
        drop(old)
        drop(_note_of(old))


def processor() -> str:
    """A digest of what this processor can do: what was measured, and bits, are another one's otherwise."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    facts = sorted(set(re.findall(r"(?m)^(?:model name|flags|Features|CPU part)\s*:.*$", text)))
    facts = facts or [platform.processor(), platform.machine()]  # some processors call these lines otherwise
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _is_being_written(partial: Path) -> bool:
    """Whether the process that it is named after lives, and is another one."""
    process = int(found[1]) if (found := re.search(r"\.(\d+)\.part$", partial.name)) else 0
    if not process or process == os.getpid():
        return False
    if os.name == "nt":  # there the question would end it
        return True
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _note_of(folder: Path) -> Path:
    """Beside it, and still there where the model itself was not worth keeping."""
    return folder.with_name(f"{folder.name}.json")


def _used_at(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _slug(model: str) -> str:
    return re.sub(r"[^\w.]+", "-", model)

"""The files that `easel init` makes: settings from the example, and all files at once or none. Asks nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    path: Path
    text: str
    mode: int = 0o644


def settings_text(values: Mapping[str, str | int | bool]) -> str:
    """The example with these keys ("section.key") set; it explains all the others, which keep their defaults."""
    example = resources.files("bot.config").joinpath("example.toml").read_text("utf-8")
    section, lines, left = "", list[str](), dict(values)
    for line in example.splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif match := re.fullmatch(r"(?:# )?(\w+) = .+", line):
            key = f"{section}.{match[1]}"
            if key in left:
                line = f"{match[1]} = {json.dumps(left.pop(key), ensure_ascii=False)}"  # noqa: PLW2901
        lines.append(line)
    assert not left, "the example shows every key"
    return "\n".join([*lines, ""])


def write(files: Sequence[NewFile], *, over: bool) -> None:
    """All of them, whole, or none where something fails before the first has its name. Raises OSError."""
    beside = [file.path.with_name(f".{file.path.name}.{os.getpid()}.new") for file in files]
    try:
        for file, place in zip(files, beside, strict=True):
            _write_new(place, file)
        for file in files:
            if os.path.lexists(file.path) and (not over or file.path.is_dir()):
                what = "it is a folder" if file.path.is_dir() else "it has just been made by somebody else"
                raise FileExistsError(0, what, str(file.path))
        for file, place in zip(files, beside, strict=True):
            place.replace(file.path)
    finally:
        for place in beside:
            with contextlib.suppress(OSError):
                place.unlink()


def _write_new(place: Path, file: NewFile) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as opened:
        opened.write(file.text)
        opened.flush()
        os.fsync(descriptor)

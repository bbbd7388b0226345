"""What may lie in a bot's data folder when it has ended, and what lies there too; reads rows, knows no storm."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

OWN = frozenset({"easel.sqlite3", "easel.lock", "health.json"})
OF_A_RUNNING_BOT = frozenset({"easel.sqlite3-wal", "easel.sqlite3-shm"})
YEAR_S = 365 * 86_400


def rows_of(data: Path, *, running: bool = True) -> list[dict[str, Any]]:
    """Every job, read beside a bot that may run; where none does, without making files of a log."""
    how = "mode=ro" if running else "immutable=1"
    with closing(sqlite3.connect(f"file:{data}/easel.sqlite3?{how}", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM job ORDER BY id")]


def leftovers(data: Path, *, backups: int, running: bool = False) -> list[str]:
    """Whatever nobody has a use for any more, by its name under the folder."""
    named = {path for row in rows_of(data, running=running) for path in _named(row)}
    kept = sorted((data / "backups").glob("easel-*.sqlite3"))[-backups:]
    allowed = OWN | (OF_A_RUNNING_BOT if running else frozenset[str]())
    return [
        str(path.relative_to(data))
        for path in sorted(data.rglob("*"))
        if path.is_file()
        and path not in kept
        and str(path.relative_to(data / "spool") if path.is_relative_to(data / "spool") else "") not in named
        and str(path.relative_to(data)) not in allowed
    ]


def _named(row: dict[str, Any]) -> Iterator[str]:
    """Files of the spool that a row names: its pictures, unless they were deleted, and what it starts from."""
    request = json.loads(row["request"])
    yield from (f"inputs/{request[name]}" for name in ("image", "mask") if request.get(name))
    if row["deleted_at"] is None:
        yield from (Path(image["path"]).name for image in json.loads(row["images"]) if image["path"])


def of_deleted(data: Path) -> list[str]:
    """What is still there of pictures that were deleted, in a folder where no bot runs."""
    gone = [row["id"] for row in rows_of(data, running=False) if row["removed_at"] is not None]
    return [
        str(path.relative_to(data))
        for job in gone
        for path in (data / "spool").glob(f"*{job}-*-*")
        if path.name.removeprefix(".").startswith(f"{job}-")
    ]


def let_a_year_pass(data: Path, names: list[str]) -> None:
    """For those of these files that people gave: they may be somebody's in this moment, so only old ones are swept."""
    then = time.time() - YEAR_S
    for name in names:
        if name.startswith("spool/inputs/"):
            os.utime(data / name, (then, then))

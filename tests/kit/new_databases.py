"""A new database is a copy of one that the migrations made, once: they sync the disk several times for each."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from bot.store import db

Prepare = Callable[[Path, Path], None]
AS_IT_IS: Prepare = db._prepare


def copying() -> Prepare:
    """What comes before a database is opened, with a new one made at once."""
    with tempfile.TemporaryDirectory(prefix="easel-new-") as folder:
        path = Path(folder) / "easel.sqlite3"
        asyncio.run(_made(path))
        new = path.read_bytes()

    def prepare(path: Path, backups: Path) -> None:
        is_new = not path.exists()
        AS_IT_IS(path, backups)
        if is_new:
            path.write_bytes(new)

    return prepare


async def _made(path: Path) -> None:
    await (await db.Database.open(path)).close()

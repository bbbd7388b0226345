"""The real bot whose database breaks when a picture is done: `python -m tests.kit.damaged_child FILE FAKE`."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from bot.store.database_errors import plain_errors
from bot.store.jobs import Jobs
from workshop.rehearsal import bot_child


async def rendered(*_: Any, **__: Any) -> None:
    """As SQLite tells of a page that can't be read."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with plain_errors():
        raise error


if __name__ == "__main__":
    Jobs.rendered = rendered  # type: ignore[method-assign]
    raise SystemExit(bot_child.main(*sys.argv[1:]))

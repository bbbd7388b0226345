"""Where pictures of a job are shown besides its own message, so that all of it can be taken away."""

from __future__ import annotations

import aiosqlite

from bot.job import Copy
from bot.store.db import Database

_NEW = "INSERT INTO copy VALUES (:message_id, :channel_id, :guild_id, :job_id, :user_id, :now) ON CONFLICT"


async def note(connection: aiosqlite.Connection, copy: Copy, *, now: float) -> None:
    """Inside the transaction of what made it; one that is known already stays as it is."""
    await connection.execute_fetchall(f"{_NEW} DO NOTHING", _values(copy, now))


class Copies:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def put(self, copy: Copy, *, now: float) -> None:
        """Notes it, or what a message that is known already shows by now."""
        await self._db.write(f"{_NEW} DO UPDATE SET job_id = excluded.job_id", _values(copy, now))

    async def of(self, job_id: int) -> list[Copy]:
        rows = await self._db.read(f"SELECT {_COLUMNS} FROM copy WHERE job_id = :id", {"id": job_id})
        return [Copy(**dict(row)) for row in rows]

    async def in_message(self, message_id: int) -> Copy | None:
        sql = f"SELECT {_COLUMNS} FROM copy WHERE message_id = :id"
        rows = await self._db.read(sql, {"id": message_id})
        return Copy(**dict(rows[0])) if rows else None

    async def forget(self, message_id: int) -> None:
        await self._db.write("DELETE FROM copy WHERE message_id = :id", {"id": message_id})


def _values(copy: Copy, now: float) -> dict[str, float]:
    return {**{name: getattr(copy, name) for name in _FIELDS}, "now": now}


_FIELDS = ("message_id", "channel_id", "guild_id", "job_id", "user_id")
_COLUMNS = ", ".join(_FIELDS)

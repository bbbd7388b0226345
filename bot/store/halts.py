"""What admins and the operator have stopped, for a server or for all: kept through restarts. Knows no line."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bot.store.audit import AuditEntry, Deed, record, write_recorded
from bot.store.db import Database

EVERYWHERE = 0
"""In place of a server's number: the whole bot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Nothing new is taken."""

    guild_id: int
    reason: str
    """As typed by who did it, for whoever asks."""
    is_draining: bool = False
    """What waits is drawn all the same; else it keeps its place and isn't begun."""
    by_user_id: int
    at: float

    @property
    def is_everywhere(self) -> bool:
        return self.guild_id == EVERYWHERE


class Halts:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def all(self) -> list[Halt]:
        return [_halt_of(row) for row in await self._db.read("SELECT * FROM halt", {})]

    async def put(self, halt: Halt) -> None:
        """In place of the one there is."""
        sql = """INSERT INTO halt VALUES (:guild_id, :reason, :is_draining, :by_user_id, :at)
                 ON CONFLICT DO UPDATE SET reason = excluded.reason, is_draining = excluded.is_draining,
                                           by_user_id = excluded.by_user_id, at = excluded.at"""
        entry = AuditEntry(
            at=halt.at,
            guild_id=halt.guild_id,
            by_user_id=halt.by_user_id,
            deed=Deed.DRAINED if halt.is_draining else Deed.PAUSED,
            details={"reason": halt.reason},
        )
        params = {
            "guild_id": halt.guild_id,
            "reason": halt.reason,
            "is_draining": int(halt.is_draining),
            "by_user_id": halt.by_user_id,
            "at": halt.at,
        }
        async with self._db.tx() as connection:
            await connection.execute_fetchall(sql, params)
            await record(connection, entry)

    async def lift(self, guild_id: int, *, by_user_id: int, now: float) -> bool:
        """False where there is none."""
        entry = AuditEntry(at=now, guild_id=guild_id, by_user_id=by_user_id, deed=Deed.RESUMED)
        sql = "DELETE FROM halt WHERE guild_id = :guild_id RETURNING guild_id"
        return bool(await write_recorded(self._db, sql, {"guild_id": guild_id}, entry))


def _halt_of(row: sqlite3.Row) -> Halt:
    values = {name: row[name] for name in ("guild_id", "reason", "by_user_id", "at")}
    return Halt(**values, is_draining=bool(row["is_draining"]))

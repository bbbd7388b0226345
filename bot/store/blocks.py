"""Whom a server's moderators keep from asking for anything, until when and why. Knows no clock: what is over is over."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass

from bot.store.audit import AuditEntry, Deed, record
from bot.store.db import Database
from bot.store.reports import SHOW_ANEW

_HOLDS = "(until IS NULL OR until > :now)"
BLOCKED = f"""(SELECT 1 FROM block
               WHERE block.guild_id = {{guild}} AND block.user_id = {{user}} AND {_HOLDS})"""
"""Of the person and the server that are filled in, at `:now`."""
_TOLD = f"""{SHOW_ANEW} WHERE guild_id = :guild_id AND message_id IS NOT NULL AND verdict IS NOT 'approved'
              AND (SELECT user_id FROM job WHERE job.id = reported_job.job_id) = :user_id"""
"""What moderators read of a person's reported pictures says whether they are blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    guild_id: int
    user_id: int
    by_user_id: int
    reason: str
    """What the person is told; may be empty."""
    at: float
    until: float | None
    """None: for ever."""


class Blocks:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def put(self, block: Block, *, job_id: int | None = None) -> None:
        """In the place of one that holds already. `job_id`: the reported job for which it was done."""
        given = asdict(block)
        entry = AuditEntry(
            at=block.at,
            guild_id=block.guild_id,
            by_user_id=block.by_user_id,
            deed=Deed.BLOCKED,
            user_id=block.user_id,
            job_id=job_id,
            details={"reason": block.reason, "until": block.until},
        )
        async with self._db.tx() as connection:
            await connection.execute_fetchall(
                "DELETE FROM block WHERE guild_id = :guild_id AND until <= :at", given
            )
            await connection.execute_fetchall(
                """INSERT INTO block (guild_id, user_id, by_user_id, reason, at, until)
                   VALUES (:guild_id, :user_id, :by_user_id, :reason, :at, :until)
                   ON CONFLICT DO UPDATE SET by_user_id = excluded.by_user_id, reason = excluded.reason,
                                             at = excluded.at, until = excluded.until""",
                given,
            )
            await connection.execute_fetchall(_TOLD, given)
            await record(connection, entry)

    async def lift(self, guild_id: int, user_id: int, *, by_user_id: int, now: float) -> bool:
        """False where none holds."""
        sql = f"DELETE FROM block WHERE guild_id = :guild_id AND user_id = :user_id AND {_HOLDS} RETURNING user_id"
        entry = AuditEntry(
            at=now, guild_id=guild_id, by_user_id=by_user_id, deed=Deed.UNBLOCKED, user_id=user_id
        )
        given = {"guild_id": guild_id, "user_id": user_id, "now": now}
        async with self._db.tx() as connection:
            if not await connection.execute_fetchall(sql, given):
                return False
            await connection.execute_fetchall(_TOLD, given)
            await record(connection, entry)
        return True

    async def of(self, guild_id: int, user_id: int, *, now: float) -> Block | None:
        """The one that holds."""
        sql = f"SELECT * FROM block WHERE guild_id = :guild_id AND user_id = :user_id AND {_HOLDS}"
        rows = await self._db.read(sql, {"guild_id": guild_id, "user_id": user_id, "now": now})
        return _block(rows[0]) if rows else None

    async def page(self, guild_id: int, *, now: float, offset: int, count: int) -> tuple[list[Block], int]:
        """(those that hold, how many there are), the newest first."""
        where = f"FROM block WHERE guild_id = :guild_id AND {_HOLDS}"
        given = {"guild_id": guild_id, "now": now, "offset": offset, "count": count}
        rows = await self._db.read(
            f"SELECT * {where} ORDER BY at DESC, user_id LIMIT :count OFFSET :offset", given
        )
        (total,) = await self._db.read(f"SELECT COUNT(*) {where}", given)
        return [_block(row) for row in rows], int(total[0])


def _block(row: sqlite3.Row) -> Block:
    return Block(**dict(row))

"""Who changed, cancelled, deleted, blocked or approved what, and when: a line is written in the change's own transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiosqlite

from bot.store.db import Database, Params

FORGOTTEN_AT_ONCE = 500


class Deed(StrEnum):
    LIMITS = "limits"
    TIME_ZONE = "time_zone"
    NIGHT = "night"
    PERMITS = "permits"
    """Lists of what people may draw with, do and where."""
    WORDS = "words"
    """The lists of what a server's rules forbid and allow."""
    PREFERENCES = "preferences"
    """Of a channel, or of a server."""
    STYLES = "styles"
    APPROVED = "approved"
    """Pictures that were reported, or that a safety checker had flagged; and the contrary of the latter."""
    WITHHELD = "withheld"
    CANCELLED = "cancelled"
    DELETED = "deleted"
    PAUSED = "paused"
    DRAINED = "drained"
    """Nothing new is taken, and what waits is drawn."""
    RESUMED = "resumed"
    FREED = "freed"
    """All models gave their memory back."""
    MODEL_LOADED = "model_loaded"
    MODEL_UNLOADED = "model_unloaded"
    DEFAULT_MODEL = "default_model"
    ENGINE_PAUSED = "engine_paused"
    ENGINE_RESUMED = "engine_resumed"
    ENGINES_RESTARTED = "engines_restarted"
    """One, or, by the number 0, all of them."""
    MOVED = "moved"
    """Within the line."""
    ANNOUNCED = "announced"
    BLOCKED = "blocked"
    """For a time or for ever; with a job, for what was reported."""
    UNBLOCKED = "unblocked"
    REPORTED = "reported"
    TRAINING_SHARED = "training_shared"
    """Who may draw with what came of it."""
    TRAINING_DELETED = "training_deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    at: float
    guild_id: int
    """0: it concerns the whole bot."""
    by_user_id: int
    deed: str
    """A word of `Deed`, or of another version."""
    user_id: int | None = None
    """Whom it concerns."""
    job_id: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What JSON can hold; its names are the deed's own."""


async def record(connection: aiosqlite.Connection, entry: AuditEntry) -> None:
    """Inside the transaction that makes the change."""
    await connection.execute_fetchall(
        """INSERT INTO audit (at, guild_id, by_user_id, deed, user_id, job_id, details)
           VALUES (:at, :guild_id, :by_user_id, :deed, :user_id, :job_id, :details)""",
        {
            "at": entry.at,
            "guild_id": entry.guild_id,
            "by_user_id": entry.by_user_id,
            "deed": entry.deed,
            "user_id": entry.user_id,
            "job_id": entry.job_id,
            "details": json.dumps(entry.details),
        },
    )


async def write_recorded(
    database: Database, sql: str, params: Params, entry: AuditEntry | None
) -> list[sqlite3.Row]:
    """One statement that returns what it changed; where it changed something, the entry is written with it."""
    if entry is None:
        return await database.write(sql, params)
    async with database.tx() as connection:
        rows = list(await connection.execute_fetchall(sql, params))
        if rows:
            await record(connection, entry)
    return rows


class Audit:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def write(self, entry: AuditEntry) -> None:
        """Of what changes no row."""
        async with self._db.tx() as connection:
            await record(connection, entry)

    async def page(
        self, guild_id: int, *, offset: int, count: int, deed: str | None = None
    ) -> tuple[list[AuditEntry], int]:
        """(entries, how many there are), the newest first; of one deed, or of all."""
        where = "guild_id = :guild_id" if deed is None else "guild_id = :guild_id AND deed = :deed"
        params = {"guild_id": guild_id, "deed": deed, "offset": offset, "count": count}
        rows = await self._db.read_at_leisure(
            f"SELECT * FROM audit WHERE {where} ORDER BY id DESC LIMIT :count OFFSET :offset", params
        )
        (total,) = await self._db.read_at_leisure(f"SELECT COUNT(*) FROM audit WHERE {where}", params)
        return [entry_of(row) for row in rows], int(total[0])

    async def forget(self, *, before: float) -> int:
        """How many lines went; a piece at a time, the oldest first."""
        sql = """DELETE FROM audit WHERE at < :before AND id IN (SELECT id FROM audit ORDER BY id LIMIT :rows) RETURNING id"""
        gone = 0
        while rows := await self._db.write(sql, {"before": before, "rows": FORGOTTEN_AT_ONCE}):
            gone += len(rows)
        return gone


def entry_of(row: sqlite3.Row) -> AuditEntry:
    values = {name: row[name] for name in ("at", "guild_id", "by_user_id", "deed", "user_id", "job_id")}
    return AuditEntry(**values, details=json.loads(row["details"]))

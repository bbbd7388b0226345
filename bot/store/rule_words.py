"""The words that a server's admins forbid in prompts, and those that they allow all the same. Knows no word's meaning."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from bot.store.audit import AuditEntry, Deed, record
from bot.store.db import Database


class WordKind(StrEnum):
    FORBIDDEN = "forbidden"
    ALLOWED = "allowed"


NAMED_MAX = 20
"""So many entries of a change are named in the audit."""


class RuleWords:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def of(self, guild_id: int) -> Mapping[WordKind, tuple[str, ...]]:
        """Every entry of a server, by name."""
        sql = "SELECT kind, entry FROM rule_word WHERE guild_id = :guild ORDER BY entry"
        found: dict[WordKind, list[str]] = {kind: [] for kind in WordKind}
        for row in await self._db.read(sql, {"guild": guild_id}):
            found[WordKind(row["kind"])].append(row["entry"])
        return {kind: tuple(entries) for kind, entries in found.items()}

    async def add(
        self,
        guild_id: int,
        kind: WordKind,
        entries: Iterable[str],
        *,
        by_user_id: int,
        now: float,
        most: int,
        instead: bool = False,
    ) -> int | None:
        """How many are new; None, and nothing is changed, where the list would have more than `most`. `instead`: all others go."""
        given = {
            "guild": guild_id,
            "kind": kind,
            "by": by_user_id,
            "now": now,
            "entries": json.dumps([*entries]),
        }
        count = "SELECT COUNT(*) FROM rule_word WHERE guild_id = :guild AND kind = :kind"
        new = """SELECT DISTINCT value FROM json_each(:entries) WHERE value NOT IN
                   (SELECT entry FROM rule_word WHERE guild_id = :guild AND kind = :kind)"""
        async with self._db.tx() as connection:
            ((there,),) = await connection.execute_fetchall(count, given)
            added = _names(await connection.execute_fetchall(new, given))
            if len(added) > most or (not instead and there + len(added) > most):
                return None
            gone: tuple[str, ...] = ()
            if instead:
                others = "AND entry NOT IN (SELECT value FROM json_each(:entries)) RETURNING entry"
                gone = _names(
                    await connection.execute_fetchall(
                        f"DELETE FROM rule_word WHERE guild_id = :guild AND kind = :kind {others}", given
                    )
                )
            await connection.execute_fetchall(
                """INSERT INTO rule_word SELECT :guild, :kind, value, :by, :now FROM json_each(:entries)
                   WHERE true ON CONFLICT DO NOTHING""",
                given,
            )
            if added or gone:
                await record(connection, _changed(guild_id, kind, by_user_id, now, added=added, gone=gone))
        return len(added)

    async def remove(
        self,
        guild_id: int,
        kind: WordKind,
        entries: Iterable[str] | None,
        *,
        by_user_id: int,
        now: float,
    ) -> tuple[str, ...]:
        """Those that were there; None: all of them."""
        sql = "DELETE FROM rule_word WHERE guild_id = :guild AND kind = :kind"
        given: dict[str, int | str] = {"guild": guild_id, "kind": kind}
        if entries is not None:
            sql += " AND entry IN (SELECT value FROM json_each(:entries))"
            given["entries"] = json.dumps([*entries])
        async with self._db.tx() as connection:
            gone = _names(await connection.execute_fetchall(f"{sql} RETURNING entry", given))
            if gone:
                await record(connection, _changed(guild_id, kind, by_user_id, now, added=(), gone=gone))
        return gone


def _names(rows: Iterable[sqlite3.Row]) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in rows)


def _changed(
    guild_id: int,
    kind: WordKind,
    by_user_id: int,
    now: float,
    *,
    added: Sequence[str],
    gone: Sequence[str],
) -> AuditEntry:
    """Names what changed alone, not what had been there."""
    named = [*added, *gone][:NAMED_MAX]
    return AuditEntry(
        at=now,
        guild_id=guild_id,
        by_user_id=by_user_id,
        deed=Deed.WORDS,
        details={"kind": kind, "added": len(added), "removed": len(gone), "entries": named},
    )

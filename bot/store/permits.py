"""Lists of what people of a server may draw with, do and where. Knows no model and no person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.limits import PermitEntry, PermitKind, Subject
from bot.store.audit import AuditEntry, record
from bot.store.db import Database


class PermitLists:
    """Every admission and every letter of a suggestion asks for them, and admins change them now and then: they are kept."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._kept: dict[int, tuple[PermitEntry, ...]] = {}
        self._changes = 0

    async def of(self, guild_id: int) -> tuple[PermitEntry, ...]:
        """Every entry of a guild."""
        if (kept := self._kept.get(guild_id)) is not None:
            return kept
        changes = self._changes
        sql = "SELECT kind, subject, subject_id, name FROM permit WHERE guild_id = :guild"
        rows = await self._db.read(sql, {"guild": guild_id})
        kinds, subjects = set(PermitKind), set(Subject)
        entries = tuple(
            PermitEntry(
                kind=PermitKind(row["kind"]),
                subject=Subject(row["subject"]),
                subject_id=row["subject_id"],
                name=row["name"],
            )
            for row in rows
            if row["kind"] in kinds and row["subject"] in subjects  # another version may know more
        )
        if changes == self._changes:  # else somebody changed them meanwhile
            self._kept[guild_id] = entries
        return entries

    async def add(self, guild_id: int, entries: Sequence[PermitEntry], entry: AuditEntry) -> bool:
        """False where all of them were there, and nothing is done. The log names those that were not."""
        sql = """INSERT INTO permit VALUES (:guild, :kind, :subject, :subject_id, :name)
                 ON CONFLICT DO NOTHING RETURNING name"""
        return await self._change(sql, guild_id, entries, entry)

    async def remove(self, guild_id: int, entries: Sequence[PermitEntry], entry: AuditEntry) -> bool:
        """False where none of them was there, and nothing is done."""
        sql = """DELETE FROM permit WHERE guild_id = :guild AND kind = :kind AND subject = :subject
                 AND subject_id = :subject_id AND name = :name RETURNING name"""
        return await self._change(sql, guild_id, entries, entry)

    async def _change(
        self, sql: str, guild_id: int, entries: Sequence[PermitEntry], entry: AuditEntry
    ) -> bool:
        changed: list[str] = []
        async with self._db.tx() as connection:
            for each in entries:
                params = {
                    "guild": guild_id,
                    "kind": each.kind,
                    "subject": each.subject,
                    "subject_id": each.subject_id,
                    "name": each.name,
                }
                changed += [row[0] for row in await connection.execute_fetchall(sql, params)]
            if changed:
                await record(connection, replace(entry, details={**entry.details, "names": changed}))
        self._changes += 1
        self._kept.pop(guild_id, None)
        return bool(changed)

"""What admins set and the bot remembers: limits with their log, a guild's time zone and night, small notes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bot.limits import LimitEntry, Night, Subject
from bot.store.audit import Audit, AuditEntry, Deed, record, write_recorded
from bot.store.db import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChange:
    """One line of the log of limits; None stands for "not set"."""

    at: float
    by_user_id: int
    subject: Subject
    subject_id: int
    field: str
    old_value: int | None
    new_value: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """What a guild's days are like; None where nobody said so."""

    time_zone: str | None
    night: Night | None


class ServerSettings:
    def __init__(self, database: Database) -> None:
        self._db = database
        self._audit = Audit(database)

    # -------------------------------------------------------------- limits

    async def limits(self, guild_id: int) -> list[LimitEntry]:
        """Every entry of a guild, one per subject."""
        sql = "SELECT subject, subject_id, field, value FROM limits WHERE guild_id = :guild_id"
        entries: dict[tuple[str, int], dict[str, int | None]] = {}
        for row in await self._db.read(sql, {"guild_id": guild_id}):
            entries.setdefault((row["subject"], row["subject_id"]), {})[row["field"]] = row["value"]
        known = ((_subject(kind), number, values) for (kind, number), values in entries.items())
        return [LimitEntry.of(kind, number, values) for kind, number, values in known if kind is not None]

    async def set_limits(
        self, guild_id: int, entry: LimitEntry, *, by_user_id: int, now: float
    ) -> list[LimitChange]:
        """Sets the fields of the entry, leaves the others, logs what really changed."""
        return await self._change(guild_id, entry.subject, entry.subject_id, entry.values, by_user_id, now)

    async def reset_limits(
        self, guild_id: int, subject: Subject, subject_id: int, *, by_user_id: int, now: float
    ) -> list[LimitChange]:
        """Removes a subject's entry, so that the wider ones hold again."""
        old = [entry for entry in await self.limits(guild_id) if entry.subject is subject]
        fields = {name for entry in old if entry.subject_id == subject_id for name in entry.values}
        gone: dict[str, int | None] = dict.fromkeys(fields)
        return await self._change(guild_id, subject, subject_id, gone, by_user_id, now)

    async def _change(
        self,
        guild_id: int,
        subject: Subject,
        subject_id: int,
        values: Mapping[str, int | None],
        by_user_id: int,
        now: float,
    ) -> list[LimitChange]:
        changes: list[LimitChange] = []
        key = {"guild_id": guild_id, "subject": subject, "subject_id": subject_id}
        where = "guild_id = :guild_id AND subject = :subject AND subject_id = :subject_id AND field = :field"
        async with self._db.tx() as connection:
            for name, value in values.items():
                params = {**key, "field": name, "new": value, "at": now, "by": by_user_id}
                rows = await connection.execute_fetchall(f"SELECT value FROM limits WHERE {where}", params)
                old = next((int(row[0]) for row in rows), None)
                if old == value:
                    continue
                if value is None:
                    await connection.execute_fetchall(f"DELETE FROM limits WHERE {where}", params)
                else:
                    await connection.execute_fetchall(
                        """INSERT INTO limits VALUES (:guild_id, :subject, :subject_id, :field, :new)
                           ON CONFLICT DO UPDATE SET value = excluded.value""",
                        params,
                    )
                change = LimitChange(
                    at=now,
                    by_user_id=by_user_id,
                    subject=subject,
                    subject_id=subject_id,
                    field=name,
                    old_value=old,
                    new_value=value,
                )
                await record(connection, _entry(guild_id, change))
                changes.append(change)
        return changes

    async def limits_log(self, guild_id: int, *, count: int) -> list[LimitChange]:
        """The newest changes first."""
        entries, _ = await self._audit.page(guild_id, offset=0, count=count, deed=Deed.LIMITS)
        return [change for entry in entries if (change := change_of(entry)) is not None]

    # -------------------------------------------------------------- guilds and notes

    async def days(self, guild_id: int) -> Days:
        sql = """SELECT (SELECT time_zone FROM guild WHERE id = :id) AS time_zone,
                        (SELECT begins FROM night WHERE guild_id = :id) AS begins,
                        (SELECT ends FROM night WHERE guild_id = :id) AS ends"""
        (row,) = await self._db.read(sql, {"id": guild_id})
        night = None if row["begins"] is None else Night(begins=row["begins"], ends=row["ends"])
        return Days(time_zone=row["time_zone"], night=night)

    async def set_time_zone(self, guild_id: int, time_zone: str, entry: AuditEntry) -> None:
        sql = """INSERT INTO guild VALUES (:id, :zone)
                 ON CONFLICT DO UPDATE SET time_zone = excluded.time_zone RETURNING id"""
        await write_recorded(self._db, sql, {"id": guild_id, "zone": time_zone}, entry)

    async def set_night(self, guild_id: int, night: Night | None, entry: AuditEntry) -> None:
        """None: the server has none, and credits are counted from midnight to midnight."""
        params: dict[str, int] = {"id": guild_id}
        if night is None:
            sql = "DELETE FROM night WHERE guild_id = :id RETURNING guild_id"
        else:
            params |= {"begins": night.begins, "ends": night.ends}
            sql = """INSERT INTO night VALUES (:id, :begins, :ends)
                     ON CONFLICT DO UPDATE SET begins = excluded.begins, ends = excluded.ends RETURNING guild_id"""
        await write_recorded(self._db, sql, params, entry)

    async def note(self, key: str) -> str | None:
        rows = await self._db.read("SELECT value FROM note WHERE key = :key", {"key": key})
        return str(rows[0]["value"]) if rows else None

    async def set_note(self, key: str, value: str, entry: AuditEntry | None = None) -> None:
        sql = """INSERT INTO note VALUES (:key, :value)
                 ON CONFLICT DO UPDATE SET value = excluded.value RETURNING key"""
        await write_recorded(self._db, sql, {"key": key, "value": value}, entry)

    async def first_time(self, key: str, *, now: float, again_after_s: float = math.inf) -> bool:
        """Notes that something is done now; False where it was done before, and not so long ago. Of two at once one is first."""
        sql = """INSERT INTO note VALUES (:key, :now)
                 ON CONFLICT DO UPDATE SET value = excluded.value
                     WHERE CAST(note.value AS REAL) <= :before
                 RETURNING key"""
        params = {"key": key, "now": repr(now), "before": now - again_after_s}
        return bool(await self._db.write(sql, params))


def _entry(guild_id: int, change: LimitChange) -> AuditEntry:
    return AuditEntry(
        at=change.at,
        guild_id=guild_id,
        by_user_id=change.by_user_id,
        deed=Deed.LIMITS,
        user_id=change.subject_id if change.subject is Subject.MEMBER else None,
        details={
            "subject": change.subject,
            "subject_id": change.subject_id,
            "field": change.field,
            "old": change.old_value,
            "new": change.new_value,
        },
    )


def change_of(entry: AuditEntry) -> LimitChange | None:
    """What a line of the log says of limits; None for one of another version."""
    told = entry.details
    if (subject := _subject(told["subject"])) is None:
        return None
    return LimitChange(
        at=entry.at,
        by_user_id=entry.by_user_id,
        subject=subject,
        subject_id=told["subject_id"],
        field=told["field"],
        old_value=told["old"],
        new_value=told["new"],
    )


def _subject(word: str) -> Subject | None:
    """None for one of another version: whom its limits are for can't be told."""
    return Subject(word) if word in set(Subject) else None

"""What people reported, what moderators decided, and which message shows it. Knows no channel that admins named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiosqlite

from bot.store.audit import AuditEntry, Deed, record, write_recorded
from bot.store.db import Database

SHOW_ANEW = "UPDATE reported_job SET version = version + 1"
"""Their messages have to tell something more."""
CLOSED = f"""{SHOW_ANEW}, verdict = COALESCE(verdict, 'removed'), decided_at = COALESCE(decided_at, :now),
                          decided_by = COALESCE(decided_by, {{by}})"""
"""What was reported is gone; what a moderator had decided before stands."""
DAY_S = 24 * 3600.0


class Verdict(StrEnum):
    APPROVED = "approved"
    """It may stay, whoever reports it."""
    REMOVED = "removed"
    """It was deleted, by whomever."""


class Filed(StrEnum):
    """What became of a report."""

    TAKEN = "taken"
    BEFORE = "before"
    """This person reported it already."""
    APPROVED = "approved"
    """Moderators looked at it before."""
    DELETED = "deleted"
    TOO_MANY = "too_many"
    """This person reported as much within a day as one may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One person's word."""

    job_id: int
    user_id: int
    guild_id: int
    image: int | None
    """Which of the job's, counted from 0; None for all of it."""
    reason: str
    """May be empty."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A reported job, as moderators see it: all reports of it in one message."""

    job_id: int
    guild_id: int
    version: int
    """Grows with all that its message has to tell."""
    channel_id: int | None
    message_id: int | None
    """None: there is no message yet."""
    tries: int
    """How often it was begun to post one."""
    verdict: Verdict | None
    decided_at: float | None
    decided_by: int | None
    reports: tuple[Report, ...]
    """The first ones first."""


class Reports:
    def __init__(self, database: Database) -> None:
        self._db = database

    # -------------------------------------------------------------- people

    async def add(self, report: Report, *, most_a_day: int) -> Filed:
        """Stores it, or says why it is none."""
        given = {
            "job_id": report.job_id,
            "user_id": report.user_id,
            "guild_id": report.guild_id,
            "image": report.image,
            "reason": report.reason,
            "at": report.at,
            "since": report.at - DAY_S,
        }
        async with self._db.tx() as connection:
            if (refused := await _why_not(connection, given, most_a_day)) is not None:
                return refused
            await connection.execute_fetchall(
                """INSERT INTO reported_job (job_id, guild_id, version) VALUES (:job_id, :guild_id, 1)
                   ON CONFLICT DO UPDATE SET version = version + 1""",
                given,
            )
            await connection.execute_fetchall(
                """INSERT INTO report (job_id, user_id, guild_id, image, reason, at)
                   VALUES (:job_id, :user_id, :guild_id, :image, :reason, :at)""",
                given,
            )
            entry = AuditEntry(
                at=report.at,
                guild_id=report.guild_id,
                by_user_id=report.user_id,
                deed=Deed.REPORTED,
                job_id=report.job_id,
                details={"reason": report.reason},
            )
            await record(connection, entry)
        return Filed.TAKEN

    # -------------------------------------------------------------- moderators

    async def approve(self, case: Case, *, by_user_id: int, now: float) -> bool:
        """False where it was decided in this moment."""
        sql = f"""{SHOW_ANEW}, verdict = 'approved', decided_at = :now, decided_by = :by
                  WHERE job_id = :job_id AND verdict IS NULL RETURNING job_id"""
        given = {"job_id": case.job_id, "by": by_user_id, "now": now}
        entry = AuditEntry(
            at=now, guild_id=case.guild_id, by_user_id=by_user_id, deed=Deed.APPROVED, job_id=case.job_id
        )
        return bool(await write_recorded(self._db, sql, given, entry))

    async def case(self, job_id: int) -> Case | None:
        cases = await self._cases("WHERE job_id = :job_id", {"job_id": job_id})
        return cases[0] if cases else None

    # -------------------------------------------------------------- messages

    async def owed(self, guild_id: int) -> list[Case]:
        """Those whose messages do not tell everything, or are not there."""
        where = "INDEXED BY reported_job_to_tell WHERE told < version AND guild_id = :guild_id"
        return await self._cases(where, {"guild_id": guild_id})

    async def guilds_owed(self) -> list[int]:
        sql = """SELECT DISTINCT guild_id FROM reported_job INDEXED BY reported_job_to_tell
                 WHERE told < version"""
        return [row["guild_id"] for row in await self._db.read(sql, {})]

    async def waiting(self, guild_id: int) -> int:
        """How many no moderator was told of."""
        sql = """SELECT COUNT(*) AS n FROM reported_job INDEXED BY reported_job_open
                 WHERE verdict IS NULL AND message_id IS NULL AND guild_id = :guild_id"""
        return int((await self._db.read(sql, {"guild_id": guild_id}))[0]["n"])

    async def tried(self, job_id: int) -> None:
        """A message is about to be posted."""
        sql = "UPDATE reported_job SET tries = tries + 1 WHERE job_id = :job_id"
        await self._db.write(sql, {"job_id": job_id})

    async def told(self, case: Case, *, channel_id: int | None, message_id: int | None) -> None:
        """This message tells all that the case had; None: nobody needs one any more."""
        sql = """UPDATE reported_job SET told = :version, channel_id = :channel_id, message_id = :message_id
                 WHERE job_id = :job_id"""
        given = {"channel_id": channel_id, "message_id": message_id}
        await self._db.write(sql, {"job_id": case.job_id, "version": case.version, **given})

    async def move(self, guild_id: int, *, channel_id: int) -> list[tuple[int, int]]:
        """Open ones are to be posted there: (channel, message) of what shows them elsewhere so far."""
        where = """WHERE verdict IS NULL AND guild_id = :guild_id
                     AND message_id IS NOT NULL AND channel_id <> :channel_id"""
        given = {"guild_id": guild_id, "channel_id": channel_id}
        async with self._db.tx() as connection:
            rows = await connection.execute_fetchall(
                f"SELECT channel_id, message_id FROM reported_job INDEXED BY reported_job_open {where}", given
            )
            gone = f"{SHOW_ANEW}, channel_id = NULL, message_id = NULL {where}"
            await connection.execute_fetchall(gone, given)
        return [(row[0], row[1]) for row in rows]

    async def _cases(self, where: str, given: dict[str, Any]) -> list[Case]:
        rows = await self._db.read(f"SELECT * FROM reported_job {where} ORDER BY job_id", given)
        of_these = (
            "SELECT * FROM report WHERE job_id IN (SELECT value FROM json_each(:ids)) ORDER BY at, user_id"
        )
        ids = json.dumps([row["job_id"] for row in rows])
        found = [Report(**dict(row)) for row in await self._db.read(of_these, {"ids": ids})]
        return [_case(row, [each for each in found if each.job_id == row["job_id"]]) for row in rows]


async def _why_not(connection: aiosqlite.Connection, given: dict[str, Any], most_a_day: int) -> Filed | None:
    async def asked(sql: str) -> Any:
        rows = [*await connection.execute_fetchall(sql, given)]
        return rows[0][0] if rows else None

    if await asked("SELECT deleted_at FROM job WHERE id = :job_id") is not None:
        return Filed.DELETED
    if await asked("SELECT 1 FROM report WHERE job_id = :job_id AND user_id = :user_id"):
        return Filed.BEFORE
    if await asked("SELECT verdict FROM reported_job WHERE job_id = :job_id") is not None:
        return Filed.APPROVED
    count = "SELECT COUNT(*) FROM report WHERE guild_id = :guild_id AND user_id = :user_id AND at > :since"
    return Filed.TOO_MANY if await asked(count) >= most_a_day else None


async def close(connection: aiosqlite.Connection, job_id: int, *, by_user_id: int, now: float) -> None:
    """Inside the transaction that deletes the job: what was reported is gone."""
    await connection.execute_fetchall(
        f"{CLOSED.format(by=':by')} WHERE job_id = :job_id",
        {"job_id": job_id, "by": by_user_id, "now": now},
    )


async def reopen(connection: aiosqlite.Connection, job_id: int) -> None:
    """Inside the transaction that takes a deletion back."""
    await connection.execute_fetchall(
        f"""{SHOW_ANEW}, verdict = NULL, decided_at = NULL, decided_by = NULL
            WHERE job_id = :job_id AND verdict = 'removed'""",
        {"job_id": job_id},
    )


def _case(row: sqlite3.Row, reports: Sequence[Report]) -> Case:
    names = ("job_id", "guild_id", "version", "channel_id", "message_id", "tries", "decided_at", "decided_by")
    verdict = None if row["verdict"] is None else Verdict(row["verdict"])
    return Case(**{name: row[name] for name in names}, verdict=verdict, reports=tuple(reports))

"""What is asked of finished jobs: pages of a person's images, speeds for estimates, the audit. Reads only."""

from __future__ import annotations

from bot.jobs import Job, JobState
from bot.store.db import Database
from bot.store.health import AUDIT, audit_sql
from bot.store.jobs import job_of


class History:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(self, *, guild_id: int, user_id: int, offset: int, count: int) -> tuple[list[Job], int]:
        """(`count` jobs with images from `offset`, newest first; how many there are in all).

        Delivered ones, and those that failed with finished images because nobody would take them.
        """
        where = """guild_id = :guild_id AND user_id = :user_id AND deleted_at IS NULL
                   AND (state = 'delivered' OR state = 'failed' AND EXISTS (
                       SELECT 1 FROM json_each(images) WHERE json_extract(value, '$.path') IS NOT NULL))"""
        params = {"guild_id": guild_id, "user_id": user_id, "offset": offset, "count": count}
        (total,) = await self._db.read(f"SELECT COUNT(*) AS n FROM job WHERE {where}", params)
        rows = await self._db.read(
            f"SELECT * FROM job WHERE {where} ORDER BY created_at DESC LIMIT :count OFFSET :offset", params
        )
        return [job_of(row) for row in rows], int(total["n"])

    async def recent(self, *, count: int) -> list[Job]:
        """The newest delivered jobs, oldest first: what estimates learn from."""
        sql = """SELECT * FROM job WHERE id > (SELECT COALESCE(MAX(id), 0) FROM job) - :span
                 AND state = :state ORDER BY id DESC LIMIT :count"""
        params = {"state": JobState.DELIVERED, "count": count, "span": 10 * count}
        return [job_of(row) for row in await self._db.read(sql, params)][::-1]

    async def audit(self) -> list[str]:
        """Sentences about rows that contradict the books; empty when all is well."""
        problems: list[str] = []
        for sentence, condition in AUDIT.items():
            rows = await self._db.read(audit_sql(condition), {})
            problems += [f"Job {row['id']} {sentence}." for row in rows]
        return problems

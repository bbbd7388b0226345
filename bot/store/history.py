"""What is asked of finished jobs: pages of a person's images, speeds for estimates, the audit. Reads only, and holds up nobody."""

from __future__ import annotations

import asyncio

from bot.job import Job, JobState
from bot.store.checks import audit
from bot.store.db import Database
from bot.store.errors import plain_errors
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
        source = f"FROM job INDEXED BY job_by_person_and_day WHERE {where}"
        (total,) = await self._db.read_at_leisure(f"SELECT COUNT(*) AS n {source}", params)
        order = "ORDER BY created_at DESC, id DESC LIMIT :count OFFSET :offset"
        rows = await self._db.read_at_leisure(f"SELECT * {source} {order}", params)
        return [job_of(row) for row in rows], int(total["n"])

    async def recent(self, *, count: int) -> list[Job]:
        """The newest delivered jobs, oldest first: what estimates learn from."""
        sql = """SELECT * FROM job WHERE id > (SELECT COALESCE(MAX(id), 0) FROM job) - :span
                 AND state = :state ORDER BY id DESC LIMIT :count"""
        params = {"state": JobState.DELIVERED, "count": count, "span": 10 * count}
        return [job_of(row) for row in await self._db.read(sql, params)][::-1]

    async def audit(self) -> list[str]:
        """Sentences about rows that contradict the books; empty when all is well."""
        return await asyncio.to_thread(self._audit)

    def _audit(self) -> list[str]:
        with plain_errors():
            return audit(self._db.path)

"""What people keep: their ⭐, and who may post the one copy that a ⭐ puts into the gallery. Knows no message and no search."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from bot.job import Claim, Copy
from bot.store import copies
from bot.store.db import Database

ALL = -1
"""Stands in a row for all of a job's images."""
CLAIM_S = 60.0
"""So long a claim is believed to be somebody's who is posting; an older one was left behind."""


class Favourites:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def toggle(self, job_id: int, image: int | None, *, user_id: int, now: float) -> bool:
        """Stars it for that person, or takes their star away; True where it has one now."""
        key = {"job_id": job_id, "image": _stored(image), "user_id": user_id}
        gone = """DELETE FROM favourite WHERE user_id = :user_id AND job_id = :job_id AND image = :image
                  RETURNING image"""
        async with self._db.tx() as connection:
            if list(await connection.execute_fetchall(gone, key)):
                return False
            await connection.execute_fetchall(
                """INSERT INTO favourite (user_id, job_id, image, at)
                   VALUES (:user_id, :job_id, :image, :now)""",
                {**key, "now": now},
            )
        return True

    # -------------------------------------------------------------- the gallery

    async def claim(
        self, job_id: int, image: int | None, *, channel_id: int, user_id: int, now: float
    ) -> Claim | None:
        """The right to post this picture's copy, once ever. None where it was posted, is being posted, or is deleted."""
        sql = f"""INSERT INTO gallery_claim (job_id, image, channel_id, user_id, claimed_at)
                  SELECT id, :image, :channel_id, :user_id, :now FROM job
                  WHERE id = :job_id AND deleted_at IS NULL
                  ON CONFLICT DO UPDATE SET claimed_at = excluded.claimed_at, tries = tries + 1
                    WHERE message_id IS NULL AND claimed_at < :now - :patience
                  RETURNING *, {_GUILD} AS guild_id"""
        params = {
            "job_id": job_id,
            "image": _stored(image),
            "channel_id": channel_id,
            "user_id": user_id,
            "now": now,
            "patience": CLAIM_S,
        }
        rows = await self._db.write(sql, params)
        return _claim(rows[0]) if rows else None

    async def posted(self, claim: Claim, *, channel_id: int, message_id: int, now: float) -> bool:
        """The copy stands there and goes with its job; False where that was deleted meanwhile: it has to go again."""
        params = {**_key(claim), "channel_id": channel_id, "message_id": message_id}
        copy = Copy(
            message_id=message_id,
            channel_id=channel_id,
            guild_id=claim.guild_id,
            job_id=claim.job_id,
            user_id=claim.user_id,
        )
        async with self._db.tx() as connection:
            await connection.execute_fetchall(
                """UPDATE gallery_claim SET channel_id = :channel_id, message_id = :message_id
                   WHERE job_id = :job_id AND image = :image""",
                params,
            )
            await copies.note(connection, copy, now=now)
            (row,) = await connection.execute_fetchall(
                "SELECT deleted_at IS NULL FROM job WHERE id = :job_id", params
            )
        return bool(row[0])

    async def released(self, claim: Claim) -> None:
        """The copy was refused and stands nowhere: the next star tries anew."""
        sql = "DELETE FROM gallery_claim WHERE job_id = :job_id AND image = :image AND message_id IS NULL"
        await self._db.write(sql, _key(claim))

    async def unsettled(self, job_id: int) -> list[Claim]:
        """Claims of which nobody knows whether a copy came of them."""
        sql = f"""SELECT *, {_GUILD} AS guild_id FROM gallery_claim
                  WHERE job_id = :job_id AND message_id IS NULL"""
        return [_claim(row) for row in await self._db.read(sql, {"job_id": job_id})]

    async def has_copies(self, job_id: int) -> bool:
        """Whether something may show the job besides its own message."""
        sql = f"SELECT 1 FROM ({_SHOWN_ELSEWHERE}) WHERE job_id = :job_id LIMIT 1"
        return bool(await self._db.read(sql, {"job_id": job_id}))

    async def owed(self) -> list[int]:
        """Jobs that are gone, but for copies that may still stand somewhere."""
        sql = f"""SELECT DISTINCT job_id FROM ({_SHOWN_ELSEWHERE}) JOIN job ON job.id = job_id
                  WHERE removed_at IS NOT NULL ORDER BY job_id"""
        return [row["job_id"] for row in await self._db.read(sql, {})]


_GUILD = "(SELECT guild_id FROM job WHERE job.id = job_id)"
_SHOWN_ELSEWHERE = """SELECT job_id FROM copy
                      UNION ALL SELECT job_id FROM gallery_claim WHERE message_id IS NULL"""


def _stored(image: int | None) -> int:
    return ALL if image is None else image


def _key(claim: Claim) -> Mapping[str, Any]:
    return {"job_id": claim.job_id, "image": _stored(claim.image)}


def _claim(row: sqlite3.Row) -> Claim:
    return Claim(
        job_id=row["job_id"],
        image=None if row["image"] == ALL else row["image"],
        guild_id=row["guild_id"],
        channel_id=row["channel_id"],
        user_id=row["user_id"],
        claimed_at=row["claimed_at"],
        tries=row["tries"],
    )

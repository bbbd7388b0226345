"""What people keep: their ⭐, and the one copy that a ⭐ puts into the gallery. Knows no message and no search."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bot.job import Copy
from bot.store.db import Database

ALL = -1
"""Stands in a row for all of a job's images."""
CLAIM_S = 60.0
"""So long a claim is believed to be somebody's who is posting; an older one was left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Somebody's right to post the copy, which nobody else has."""

    copy: Copy
    was_tried: bool
    """Somebody began before and never told how it ended: a copy may stand in the channel that it names."""


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

    async def claim(self, job_id: int, image: int | None, *, channel_id: int, now: float) -> Claim | None:
        """The right to post this picture's copy, once ever. None where it was posted, is being posted, or is deleted."""
        sql = """INSERT INTO gallery_copy (job_id, image, channel_id, claimed_at)
                 SELECT id, :image, :channel_id, :now FROM job WHERE id = :job_id AND deleted_at IS NULL
                 ON CONFLICT DO UPDATE SET claimed_at = excluded.claimed_at, tries = tries + 1
                   WHERE message_id IS NULL AND removed_at IS NULL AND claimed_at < :now - :patience
                 RETURNING *"""
        params = {
            "job_id": job_id,
            "image": _stored(image),
            "channel_id": channel_id,
            "now": now,
            "patience": CLAIM_S,
        }
        rows = await self._db.write(sql, params)
        return Claim(copy=_copy(rows[0]), was_tried=rows[0]["tries"] > 1) if rows else None

    async def posted(self, copy: Copy, *, channel_id: int, message_id: int) -> bool:
        """The claimed copy stands there; False where its job was deleted meanwhile, so that it has to go again."""
        sql = """UPDATE gallery_copy SET channel_id = :channel_id, message_id = :message_id
                 WHERE job_id = :job_id AND image = :image
                 RETURNING (SELECT deleted_at FROM job WHERE job.id = job_id) IS NULL AS is_wanted"""
        params = {**_key(copy), "channel_id": channel_id, "message_id": message_id}
        rows = await self._db.write(sql, params)
        return bool(rows) and bool(rows[0]["is_wanted"])

    async def released(self, copy: Copy) -> None:
        """The copy was refused and stands nowhere: the next star tries anew."""
        sql = "DELETE FROM gallery_copy WHERE job_id = :job_id AND image = :image AND message_id IS NULL"
        await self._db.write(sql, _key(copy))

    async def copies(self, job_id: int) -> list[Copy]:
        """All that may stand in a gallery of a job's pictures; what has to be looked for comes last."""
        sql = """SELECT * FROM gallery_copy WHERE job_id = :job_id AND removed_at IS NULL
                 ORDER BY message_id IS NULL, image"""
        return [_copy(row) for row in await self._db.read(sql, {"job_id": job_id})]

    async def taken_down(self, copy: Copy, *, now: float) -> None:
        sql = "UPDATE gallery_copy SET removed_at = :now WHERE job_id = :job_id AND image = :image"
        await self._db.write(sql, {**_key(copy), "now": now})

    async def owed(self) -> list[int]:
        """Deleted jobs of which copies may still stand in a gallery."""
        sql = """SELECT DISTINCT job_id FROM gallery_copy
                 JOIN job ON job.id = job_id WHERE gallery_copy.removed_at IS NULL AND deleted_at IS NOT NULL
                 ORDER BY job_id"""
        return [row["job_id"] for row in await self._db.read(sql, {})]


def _stored(image: int | None) -> int:
    return ALL if image is None else image


def _key(copy: Copy) -> dict[str, int]:
    return {"job_id": copy.job_id, "image": _stored(copy.image)}


def _copy(row: sqlite3.Row) -> Copy:
    return Copy(
        job_id=row["job_id"],
        image=None if row["image"] == ALL else row["image"],
        channel_id=row["channel_id"],
        message_id=row["message_id"],
        claimed_at=row["claimed_at"],
    )

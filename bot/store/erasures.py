"""Taking a person out of the books: who wants it, and each of its steps, of which none holds up an answer. Knows no file.

What the books count stays: that a row was there, what it cost and when. Its words, its pictures and, once no day's credits
depend on it, whose it was, go.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import aiosqlite

from bot.job import Job
from bot.store.audit import AuditEntry, Deed, record
from bot.store.db import Database, Params
from bot.store.jobs import job_of
from bot.store.personal import OF_PERSON, SERVERS, STILL_THERE
from bot.store.reports import CLOSED, SHOW_ANEW
from bot.store.trainings import training_of
from bot.store.undated import UNDATED
from bot.training import Training

NAMED_FOR_S = 48 * 3600.0
"""So long a row says whose it was: a day's credits are counted by that, wherever its day begins."""
ROWS = 50
"""Changed in one transaction: some ten milliseconds, for which who asks for a picture may have to wait."""
LOOKED_AT_ONCE = 10_000
"""Rows, so that no long look keeps the log from being moved into the file."""
NAMELESS = "–"
"""In the log, for the name of a style that went."""
_KEPT = (
    "width",
    "height",
    "steps",
    "guidance_scale",
    "sampler",
    "schedule",
    "guidance_until",
    "seed",
    "images",
    "model",
    "loras",
    "upscale",
    "tile",
)
"""Of a request: no words, and no picture that it started from."""
_THESE = "id IN (SELECT value FROM json_each(:ids))"
_IS_OVER = "state IN ('delivered', 'failed', 'cancelled') AND shown_at IS NOT NULL"
_EMPTIED = f"""
UPDATE job SET
  request = json_object('prompt', '', 'negative_prompt', '', {", ".join(f"'{n}', request -> '$.{n}'" for n in _KEPT)}),
  wish = NULL, notes = '[]', token = NULL, locale = NULL,
  reason_values = iif(reason_code IS NULL, NULL, '{{}}'), erased_at = COALESCE(erased_at, :now)"""
_OLD = f"{_EMPTIED} WHERE {_THESE} AND {_IS_OVER} AND erased_at IS NULL"
_HERS = f"""{_EMPTIED}, images = (SELECT json_group_array(json_set(value, '$.sha256', '')) FROM json_each(images)),
                        deleted_at = COALESCE(deleted_at, :now)
            WHERE {_THESE} AND {_IS_OVER} AND {STILL_THERE}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    user_id: int
    asked_at: float
    """What was asked for later is none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A job of theirs that can be emptied."""

    id: int
    inputs: tuple[str, ...]
    """Digests of what was attached to it."""


class Erasures:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def ask(self, user_id: int, *, now: float) -> bool:
        """Writes it down; False where it is under way already. What no row dates goes in the same moment."""
        params = {"user_id": user_id, "now": now}
        async with self._db.tx() as connection:
            under_way = await connection.execute_fetchall(
                "SELECT 1 FROM erasure WHERE user_id = :user_id AND emptied_at IS NULL", params
            )
            await connection.execute_fetchall(
                """INSERT INTO erasure (user_id, asked_at) VALUES (:user_id, :now)
                   ON CONFLICT DO UPDATE SET asked_at = excluded.asked_at, emptied_at = NULL""",
                params,
            )
            for sql in UNDATED:
                await connection.execute_fetchall(sql, params)
        return not list(under_way)

    async def under_way(self) -> list[Erasure]:
        """Those of which something can still be read, the oldest first."""
        sql = "SELECT user_id, asked_at FROM erasure WHERE emptied_at IS NULL ORDER BY asked_at"
        return [Erasure(**dict(row)) for row in await self._db.read(sql, {})]

    async def forget_words(self, *, before: float, now: float) -> int:
        """Of everybody's requests that are older; their pictures and messages stay. How many there were."""
        (newest,) = await self._db.read("SELECT COALESCE(MAX(id), 0) AS id FROM job", {})
        old = f"""SELECT id FROM job WHERE id > :after AND id <= :after + :span AND created_at < :before
                  AND {_IS_OVER} AND erased_at IS NULL"""
        gone = 0
        for after in range(0, newest["id"], LOOKED_AT_ONCE):
            params = {"after": after, "span": LOOKED_AT_ONCE, "before": before}
            ids = [row["id"] for row in await self._db.read_at_leisure(old, params)]
            for first in range(0, len(ids), ROWS):
                await self._db.write(_OLD, {"ids": json.dumps(ids[first : first + ROWS]), "now": now})
            gone += len(ids)
        return gone

    # -------------------------------------------------------------- one step after the other

    async def take_little(self, erasure: Erasure) -> None:
        """What is no picture and has a time: searches, styles, reports. Done again, it finds nothing."""
        async with self._db.tx() as connection:
            for sql in _LITTLE:
                await connection.execute_fetchall(sql, _of(erasure))
            await _without_words(connection, erasure)

    async def live(self, erasure: Erasure) -> list[int]:
        """Numbers of what of theirs can still be cancelled."""
        sql = """SELECT id FROM job INDEXED BY job_live
                 WHERE state IN ('accepted', 'queued', 'running', 'rendered') AND state <> 'rendered'
                   AND user_id = :user_id AND created_at <= :asked_at ORDER BY id"""
        return [row["id"] for row in await self._db.read(sql, _of(erasure))]

    async def held(self, erasure: Erasure) -> list[Job]:
        """Those that wait for a moderator's word."""
        sql = """SELECT * FROM job INDEXED BY job_live
                 WHERE state IN ('accepted', 'queued', 'running', 'rendered') AND state = 'rendered'
                   AND review = 'waiting' AND user_id = :user_id AND created_at <= :asked_at ORDER BY id"""
        return [job_of(row) for row in await self._db.read(sql, _of(erasure))]

    async def jobs(self, erasure: Erasure) -> list[int]:
        """Numbers of all that still says something."""
        sql = f"""{SERVERS} SELECT job.id FROM server JOIN {OF_PERSON}
                  WHERE created_at <= :asked_at AND {STILL_THERE}"""
        return [row["id"] for row in await self._db.read_at_leisure(sql, _of(erasure))]

    async def settled(self, ids: Collection[int]) -> list[Settled]:
        """Those of these that are over, and whose messages say so."""
        sql = f"""SELECT id, request ->> '$.image' AS image, request ->> '$.mask' AS mask,
                         COALESCE(request -> '$.references', '[]') AS refs
                  FROM job WHERE {_THESE} AND {_IS_OVER} AND {STILL_THERE}"""
        return [_settled(row) for row in await self._db.read_at_leisure(sql, {"ids": json.dumps([*ids])})]

    async def empty(self, ids: Sequence[int], *, now: float) -> None:
        """Nobody reads or finds anything of these any more; others' stars on them go."""
        params = {"ids": json.dumps(ids), "now": now}
        # a star that goes first would have the index learn the row anew
        async with self._db.tx() as connection:
            await connection.execute_fetchall(_HERS, params)
            await connection.execute_fetchall(
                f"{_GONE} WHERE job_id IN (SELECT value FROM json_each(:ids))", params
            )
            await connection.execute_fetchall(
                """DELETE FROM favourite WHERE job_id IN (SELECT id FROM job
                   WHERE id IN (SELECT value FROM json_each(:ids)) AND erased_at IS NOT NULL)""",
                params,
            )

    async def trainings(self, erasure: Erasure) -> list[Training]:
        """Theirs that still say something, the oldest first."""
        sql = """SELECT * FROM training WHERE user_id = :user_id AND created_at <= :asked_at AND deleted_at IS NULL
                 ORDER BY id"""
        return [training_of(row) for row in await self._db.read(sql, _of(erasure))]

    async def unstar(self, erasure: Erasure) -> bool:
        """Some of their favourites go; False where none was left."""
        sql = """DELETE FROM favourite WHERE (user_id, job_id, image) IN (
                   SELECT user_id, job_id, image FROM favourite
                   WHERE user_id = :user_id AND at <= :asked_at LIMIT :rows) RETURNING job_id"""
        return bool(await self._db.write(sql, {**_of(erasure), "rows": ROWS // 2}))

    async def leave_nameless(self, erasure: Erasure) -> None:
        """Others' pictures that they had posted again stay, without their name."""
        found = "SELECT message_id FROM copy WHERE user_id = :user_id AND at <= :asked_at"
        copies = [row[0] for row in await self._db.read_at_leisure(found, _of(erasure))]
        for first in range(0, len(copies), ROWS):
            await self._db.write(
                "UPDATE copy SET user_id = 0 WHERE message_id IN (SELECT value FROM json_each(:ids))",
                {"ids": json.dumps(copies[first : first + ROWS])},
            )
        found = "SELECT job_id FROM gallery_claim WHERE user_id = :user_id AND claimed_at <= :asked_at"
        claims = [row[0] for row in await self._db.read_at_leisure(found, _of(erasure))]
        for first in range(0, len(claims), ROWS):
            await self._db.write(
                """UPDATE gallery_claim SET user_id = 0
                   WHERE user_id = :user_id AND job_id IN (SELECT value FROM json_each(:ids))""",
                {**_of(erasure), "ids": json.dumps(claims[first : first + ROWS])},
            )

    async def emptied(self, erasure: Erasure, *, now: float) -> None:
        """Nothing can be read any more; unless they asked once more meanwhile."""
        sql = "UPDATE erasure SET emptied_at = :now WHERE user_id = :user_id AND asked_at = :asked_at"
        await self._db.write(sql, {**_of(erasure), "now": now})

    async def unremoved(self, *, count: int) -> list[Job]:
        """Emptied ones whose messages may still stand there."""
        sql = """SELECT job.* FROM erasure JOIN job INDEXED BY job_erased USING (user_id)
                 WHERE removed_at IS NULL AND job.erased_at IS NOT NULL AND deleted_at IS NOT NULL AND job.user_id <> 0
                 ORDER BY asked_at, id LIMIT :count"""
        return [job_of(row) for row in await self._db.read(sql, {"count": count})]

    async def forget_names(self, *, now: float, backed_up_s: float = 0) -> None:
        """Whose a row was is forgotten once no day's credits depend on it, and who wanted that when none is left.

        `backed_up_s`: so long a backup may still be put back, which has all of it: `restore` takes along who wanted it gone.
        """
        before = {"before": now - NAMED_FOR_S, "forgotten": now - max(NAMED_FOR_S, backed_up_s), "rows": ROWS}
        for row in await self._db.read("SELECT user_id FROM erasure", {}):
            while await self._without_name({**before, "user_id": row["user_id"]}):
                pass
            await self._db.write(_NAMELESS_TRAININGS, {**before, "user_id": row["user_id"]})
        left = """SELECT 1 FROM job INDEXED BY job_erased
                  WHERE user_id = erasure.user_id AND erased_at IS NOT NULL AND deleted_at IS NOT NULL AND user_id <> 0"""
        trained = "SELECT 1 FROM training WHERE user_id = erasure.user_id AND deleted_at IS NOT NULL AND created_at <= asked_at"
        sql = f"DELETE FROM erasure WHERE emptied_at IS NOT NULL AND asked_at < :forgotten AND NOT EXISTS ({left}) AND NOT EXISTS ({trained})"
        await self._db.write(sql, before)

    async def _without_name(self, params: Params) -> bool:
        """Some rows; False where none was left."""
        async with self._db.tx() as connection:
            ids = [row[0] for row in await connection.execute_fetchall(_NAMELESS, params)]
            await connection.execute_fetchall(_UNDECIDED, {**params, "ids": json.dumps(ids)})
        return bool(ids)


_GONE = CLOSED.format(by="(SELECT user_id FROM job WHERE job.id = job_id)")
"""What was reported went by its own person's doing."""
_REPORTED_BY_THEM = "SELECT job_id FROM report WHERE user_id = :user_id AND at <= :asked_at"
_LITTLE = (
    f"{SHOW_ANEW} WHERE job_id IN ({_REPORTED_BY_THEM})",
    "DELETE FROM report WHERE user_id = :user_id AND at <= :asked_at",
    "DELETE FROM search WHERE user_id = :user_id AND at <= :asked_at",
    "UPDATE rule_word SET by_user_id = 0 WHERE by_user_id = :user_id AND at <= :asked_at",
)
_LINES = """
WITH RECURSIVE server (id) AS (
  SELECT MIN(guild_id) FROM audit
  UNION ALL
  SELECT (SELECT MIN(guild_id) FROM audit WHERE guild_id > server.id) FROM server WHERE server.id IS NOT NULL)
UPDATE audit SET details = {told}
WHERE id IN (SELECT audit.id FROM server JOIN audit INDEXED BY audit_by_deed ON guild_id = server.id AND deed = :deed
             WHERE by_user_id = :user_id AND at <= :asked_at AND details <> {told})"""
"""Of the log, that tell of a person's own words: by the index, whose first column is the server."""
_UNDECIDED = """UPDATE reported_job SET decided_by = 0
                WHERE decided_by = :user_id AND job_id IN (SELECT value FROM json_each(:ids))"""
_NAMELESS = """
UPDATE job SET user_id = 0, interaction_id = -interaction_id, message_id = iif(message_id IS NULL, NULL, 0),
               channel_id = iif(private OR guild_id = 0, 0, channel_id)
WHERE id IN (SELECT id FROM job INDEXED BY job_erased
             WHERE user_id = :user_id AND removed_at IS NOT NULL AND created_at < :before
               AND erased_at IS NOT NULL AND deleted_at IS NOT NULL AND user_id <> 0 LIMIT :rows)
RETURNING id"""
"""Direct messages are one person's, and so is the number of their channel."""

_NAMELESS_TRAININGS = """
UPDATE training SET user_id = 0, message_id = NULL, role_id = NULL
WHERE user_id = :user_id AND deleted_at IS NOT NULL AND COALESCE(paid_at, created_at) < :before"""
"""Few, so that they go at once."""


async def _without_words(connection: aiosqlite.Connection, erasure: Erasure) -> None:
    """Styles that they added go. The log says that they went, and neither what they were called nor what was written in a report."""
    params = {**_of(erasure), "nameless": NAMELESS}
    sql = "DELETE FROM style WHERE by_user_id = :user_id AND at <= :asked_at RETURNING guild_id"
    for (guild_id,) in await connection.execute_fetchall(sql, params):
        entry = AuditEntry(
            at=erasure.asked_at,
            guild_id=guild_id,
            by_user_id=erasure.user_id,
            deed=Deed.STYLES,
            details={"name": NAMELESS, "is_there": False},
        )
        await record(connection, entry)
    for deed, told in (
        (Deed.STYLES, "json_set(details, '$.name', :nameless)"),
        (Deed.REPORTED, "json_remove(details, '$.reason')"),
    ):
        await connection.execute_fetchall(_LINES.format(told=told), {**params, "deed": deed})


def _settled(row: sqlite3.Row) -> Settled:
    digests = (row["image"], row["mask"], *json.loads(row["refs"]))
    return Settled(id=row["id"], inputs=tuple(digest for digest in digests if isinstance(digest, str)))


def _of(erasure: Erasure) -> dict[str, float]:
    return {"user_id": erasure.user_id, "asked_at": erasure.asked_at}

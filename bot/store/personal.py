"""All that is kept of one person, counted and read for them. Changes nothing; knows no file but the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bot.job import Job
from bot.store import checks
from bot.store.database_errors import plain_errors
from bot.store.db import Database
from bot.store.jobs import job_of
from bot.store.preferences import Scope

PAGE = 200
"""Rows in one look, so that no long one keeps the log from being moved into the file."""
SERVERS = """WITH RECURSIVE server (id) AS (
  SELECT MIN(guild_id) FROM job
  UNION ALL
  SELECT (SELECT MIN(guild_id) FROM job WHERE guild_id > server.id) FROM server WHERE server.id IS NOT NULL)"""
"""Every server that has jobs: the index by person begins with it, and so a person's rows are found without any others."""
STILL_THERE = "(erased_at IS NULL OR deleted_at IS NULL)"
"""Of a person's job: words that are too old go alone, its pictures and whose it was stay."""
OF_PERSON = "job INDEXED BY job_by_person_and_day ON guild_id = server.id AND user_id = :user_id"
_REST = {
    "settings": "SELECT name, value FROM preference WHERE scope = :person AND scope_id = :user_id",
    "favourites": """SELECT job_id AS number, iif(image < 0, NULL, image + 1) AS image, at FROM favourite
                     WHERE user_id = :user_id ORDER BY at DESC""",
    "searches": "SELECT guild_id AS server, query, at FROM search WHERE user_id = :user_id ORDER BY at DESC",
    "styles": """SELECT guild_id AS server, name, prompt, negative_prompt, at FROM style
                 WHERE by_user_id = :user_id ORDER BY at DESC""",
    "plans": "SELECT guild_id AS server, requests, expires_at FROM plan WHERE user_id = :user_id",
    "limits": """SELECT guild_id AS server, field, value FROM limits
                 WHERE subject = 'member' AND subject_id = :user_id""",
    "permits": """SELECT guild_id AS server, kind, name FROM permit
                  WHERE subject = 'member' AND subject_id = :user_id""",
    "blocks": "SELECT guild_id AS server, reason, at, until FROM block WHERE user_id = :user_id",
    "reports": """SELECT guild_id AS server, job_id AS number, reason, at FROM report
                  WHERE user_id = :user_id ORDER BY at DESC""",
    "trainings": """SELECT id AS number, guild_id AS server, name, trigger_words AS trigger, model, steps, state, done, cost, charged,
                           sharing, role_id AS role, created_at, finished_at,
                           (SELECT json_group_array(json_object('number', number, 'sha256', digest, 'caption', caption))
                            FROM training_picture WHERE training_id = training.id) AS pictures
                    FROM training WHERE user_id = :user_id AND deleted_at IS NULL ORDER BY id DESC""",
    "log": """SELECT at, guild_id AS server, deed, job_id AS number, by_user_id = :user_id AS by_you, details FROM audit
              WHERE by_user_id = :user_id OR user_id = :user_id ORDER BY id DESC""",
}
"""Besides jobs. Of the log not who else it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How much there is of each kind."""

    jobs: int
    settings: int
    favourites: int
    searches: int
    styles: int
    plans: int
    limits: int
    permits: int
    blocks: int
    reports: int
    trainings: int
    log: int
    asked_at: float | None = None
    """When they wanted all of it to be gone, while that goes on."""

    @property
    def can_be_exported(self) -> bool:
        """The log of a server stays when all else is gone, and is sent with that."""
        told = self.jobs, self.settings, self.favourites, self.searches, self.styles, self.plans
        return any((*told, self.limits, self.permits, self.blocks, self.reports, self.trainings))


class Personal:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def kept(self, user_id: int) -> Kept:
        params = {"user_id": user_id, "person": Scope.PERSON}
        jobs = f"{SERVERS} SELECT COUNT(*) AS n FROM server JOIN {OF_PERSON} WHERE {STILL_THERE}"
        (row,) = await self._db.read_at_leisure(jobs, params)
        counts = {"jobs": int(row["n"])}
        for name, sql in _REST.items():
            (row,) = await self._db.read_at_leisure(f"SELECT COUNT(*) AS n FROM ({sql})", params)
            counts[name] = int(row["n"])
        sql = "SELECT asked_at FROM erasure WHERE user_id = :user_id AND emptied_at IS NULL"
        asked = await self._db.read(sql, params)
        return Kept(**counts, asked_at=asked[0]["asked_at"] if asked else None)

    @contextmanager
    def reading(self, user_id: int) -> Generator[Reading]:
        """For a thread of its own: a connection that nobody else reads through."""
        with plain_errors(), checks.look(self._db.path) as connection:
            connection.row_factory = sqlite3.Row
            yield Reading(connection, user_id)


class Reading:
    """What is kept of a person, page by page. Blocking."""

    def __init__(self, connection: sqlite3.Connection, user_id: int) -> None:
        self._connection = connection
        self._user_id = user_id

    def jobs(self) -> Iterator[list[Job]]:
        """Pages of all that was asked for, of each server the newest first; what they had deleted is left out."""
        servers = f"{SERVERS} SELECT id FROM server WHERE id IS NOT NULL"
        page = """SELECT * FROM job INDEXED BY job_by_person_and_day
                  WHERE guild_id = ? AND user_id = ? AND (created_at, id) < (?, ?)
                  ORDER BY created_at DESC, id DESC LIMIT ?"""
        for (server,) in self._connection.execute(servers).fetchall():
            last = (float("inf"), 0)
            while rows := self._connection.execute(page, (server, self._user_id, *last, PAGE)).fetchall():
                last = (rows[-1]["created_at"], rows[-1]["id"])
                yield [job_of(row) for row in rows if row["erased_at"] is None or row["deleted_at"] is None]

    def rest(self) -> dict[str, list[dict[str, Any]]]:
        """By kind."""
        params = {"user_id": self._user_id, "person": Scope.PERSON}
        return {
            name: [_told(row) for row in self._connection.execute(sql, params)] for name, sql in _REST.items()
        }


def _told(row: sqlite3.Row) -> dict[str, Any]:
    """What is stored as JSON is told as what it says."""
    values = dict(row)
    return values | {
        name: json.loads(values[name])
        for name in ("query", "requests", "details", "pictures")
        if name in values
    }

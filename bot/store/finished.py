"""What is asked of finished jobs: pages of images, whole or searched, speeds for estimates, the audit. Holds up nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from bot.job import Job, JobState
from bot.store.checks import audit
from bot.store.database_errors import plain_errors
from bot.store.db import Database
from bot.store.jobs import job_of
from bot.store.stars import ALL
from bot.store.words import as_indexed, beginnings_of, match_of, parts_of

FOUND_MAX = 1000
"""So many of the newest are found; more are not counted."""
_OF_PERSON = """FROM job INDEXED BY job_by_person_and_day
                WHERE guild_id = :guild_id AND user_id = :user_id AND deleted_at IS NULL
                  AND (state = 'delivered' OR state = 'failed' AND EXISTS (
                      SELECT 1 FROM json_each(images) WHERE json_extract(value, '$.path') IS NOT NULL))"""
BEGUN_MAX = 200
"""So many words that begin as typed are looked for by name."""
_VOCABULARY = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.job_vocabulary USING fts5vocab(main, job_words, instance)"
)
# A word that another one begins follows it at once, and nothing in a word is smaller than "0".
_BEGUN = """
WITH RECURSIVE word (term) AS (
  SELECT (SELECT term FROM job_vocabulary WHERE term >= :beginning LIMIT 1)
  UNION ALL
  SELECT (SELECT term FROM job_vocabulary WHERE term >= word.term || '0' LIMIT 1) FROM word
  WHERE substr(term, 1, length(:beginning)) = :beginning
  LIMIT :most)
SELECT term FROM word WHERE substr(term, 1, length(:beginning)) = :beginning"""
_NAMES = "{prompt negative_prompt model}"
"""The columns that hold people's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What somebody wants to see of the past."""

    words: str = ""
    """As typed."""
    model: str | None = None
    favourites: bool = False
    """Only what they starred, whoever asked for it."""
    everybody: bool = False
    """Not only their own."""

    @property
    def can_be_searched(self) -> bool:
        """False where words were typed, none of which has a letter or digit."""
        return not self.words.strip() or bool(parts_of(self.words))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    jobs: list[Job]
    """Those of one page, newest first."""
    total: int
    is_more: bool = False
    """There are more, and nobody counted how many."""
    starred: Mapping[int, int] = field(default_factory=dict[int, int])
    """Which image of a job was starred, where not all of it was."""


class History:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(self, *, guild_id: int, user_id: int, offset: int, count: int) -> tuple[list[Job], int]:
        """(`count` jobs with images from `offset`, newest first; how many there are in all).

        Delivered ones, and those that failed with finished images because nobody would take them.
        """
        params = {"guild_id": guild_id, "user_id": user_id, "offset": offset, "count": count}
        (total,) = await self._db.read_at_leisure(f"SELECT COUNT(*) AS n {_OF_PERSON}", params)
        order = "ORDER BY created_at DESC, id DESC LIMIT :count OFFSET :offset"
        rows = await self._db.read_at_leisure(f"SELECT * {_OF_PERSON} {order}", params)
        return [job_of(row) for row in rows], int(total["n"])

    async def prompts(self, *, guild_id: int, user_id: int, count: int) -> list[tuple[int, str]]:
        """(number, prompt) of their newest delivered jobs: quick enough for every letter that they type."""
        sql = """SELECT id, json_extract(request, '$.prompt') AS prompt FROM job INDEXED BY job_by_person_and_day
                 WHERE guild_id = :guild_id AND user_id = :user_id AND state = 'delivered' AND deleted_at IS NULL
                   AND erased_at IS NULL
                 ORDER BY created_at DESC, id DESC LIMIT :count"""
        params = {"guild_id": guild_id, "user_id": user_id, "count": count}
        return [(row["id"], str(row["prompt"])) for row in await self._db.read(sql, params)]

    async def search(
        self,
        search: Search,
        *,
        guild_id: int,
        user_id: int,
        channels: Sequence[int],
        offset: int,
        count: int,
    ) -> Found:
        """A page of what is found, the newest jobs first; `channels`: where everybody's may be looked through.

        Words are whole words. Where none is found, they may be beginnings. No row is read but those of the page.
        """
        parts = parts_of(search.words)
        if not search.favourites and search.everybody and not channels:
            return Found(jobs=[], total=0)
        scope = _scope(search, guild_id=guild_id, user_id=user_id, channels=channels)
        ids = await self._found([*scope, *_words(parts)])
        if not ids and (beginnings := beginnings_of(parts)):
            begun = {text: await self._begun(text) for text in beginnings}
            ids = await self._found([*scope, *_words(parts, begun)])
        shown = ids[:FOUND_MAX][offset : offset + count]
        rows = await self._db.read_at_leisure(
            "SELECT * FROM job WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id DESC",
            {"ids": json.dumps(shown)},
        )
        return Found(
            jobs=[job_of(row) for row in rows],
            total=min(len(ids), FOUND_MAX),
            is_more=len(ids) > FOUND_MAX,
            starred=await self._starred(shown, user_id) if search.favourites else {},
        )

    async def _found(self, match: Sequence[str]) -> list[int]:
        """Numbers of jobs, newest first."""
        sql = "SELECT rowid FROM job_words WHERE job_words MATCH :match ORDER BY rowid DESC LIMIT :most"
        params = {"match": " AND ".join(match), "most": FOUND_MAX + 1}
        return [row["rowid"] for row in await self._db.read_at_leisure(sql, params)]

    async def _begun(self, text: str) -> list[str] | None:
        """The index's words that begin so; None where they are too many, or the index alone can tell."""
        word = as_indexed(text)
        if word is None:
            return None
        await self._db.read_at_leisure(_VOCABULARY, {})
        rows = await self._db.read_at_leisure(_BEGUN, {"beginning": word, "most": BEGUN_MAX + 1})
        return [row["term"] for row in rows] if len(rows) <= BEGUN_MAX else None

    async def _starred(self, job_ids: Sequence[int], user_id: int) -> dict[int, int]:
        """Which image of each was starred, the first of several; jobs that were starred as a whole are left out."""
        sql = """SELECT job_id, MIN(image) AS image FROM favourite
                 WHERE user_id = :user_id AND job_id IN (SELECT value FROM json_each(:ids)) GROUP BY job_id"""
        rows = await self._db.read_at_leisure(sql, {"user_id": user_id, "ids": json.dumps([*job_ids])})
        return {row["job_id"]: row["image"] for row in rows if row["image"] != ALL}

    async def remember(self, search: Search, *, guild_id: int, user_id: int, now: float) -> int:
        """Its number, for the buttons of its pages: the same for the same search."""
        params = {
            "guild_id": guild_id,
            "user_id": user_id,
            "query": json.dumps(asdict(search)),
            "now": now,
        }
        sql = """INSERT INTO search (guild_id, user_id, query, at) VALUES (:guild_id, :user_id, :query, :now)
                 ON CONFLICT DO UPDATE SET at = excluded.at RETURNING id"""
        (row,) = await self._db.write(sql, params)
        return int(row["id"])

    async def forget_searches(self, *, before: float) -> None:
        """The buttons of their pages say that they are not known any more."""
        await self._db.write("DELETE FROM search WHERE at < :before", {"before": before})

    async def remembered(self, search_id: int, *, guild_id: int, user_id: int) -> Search | None:
        """None where it is forgotten, or another person's."""
        sql = "SELECT query FROM search WHERE id = :id AND guild_id = :guild_id AND user_id = :user_id"
        rows = await self._db.read(sql, {"id": search_id, "guild_id": guild_id, "user_id": user_id})
        return Search(**json.loads(rows[0]["query"])) if rows else None

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


def _scope(search: Search, *, guild_id: int, user_id: int, channels: Sequence[int]) -> list[str]:
    """Whose, where and by which model, as the words of the index's `tags` say it."""
    scope: list[str] = []
    if search.favourites:  # which may be anybody's
        scope.append(f"tags : f{guild_id}x{user_id}")
    elif search.everybody:
        scope.append(f"tags : ({' OR '.join(f'c{channel}' for channel in channels)})")
    else:
        scope.append(f"tags : u{guild_id}x{user_id}")
    if search.model is not None:
        scope.append(f"tags : m{search.model.encode(errors='surrogatepass').hex()}")
    return scope


def _words(
    parts: Sequence[tuple[str, bool]], begun: Mapping[str, Sequence[str] | None] = MappingProxyType({})
) -> list[str]:
    return [f"{_NAMES} : ({match_of(parts, begun)})"] if parts else []

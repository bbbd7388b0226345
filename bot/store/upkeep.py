"""What the database needs now and then, behind the answers: the index's parts merged, the log moved. Knows of tables only that index."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import aiosqlite

from bot.store.database_errors import busy, plain_errors

DUE_AFTER = 100
"""Changes. SQLite by itself has one of them wait for all of this, and whoever asked for it."""
LOG_PAGES_MAX = 20_000
"""Where the log can't be moved for so long that it has grown to this, SQLite does so."""

PAGES = 8
"""So many are written in one piece of a merge, which may keep one change waiting: about a millisecond, but for a word that
stands in so many rows that it fills more of them, which can't be cut."""
PIECES_MAX = 32
"""In a row; what is left is for the next time."""
_MERGE = "INSERT INTO job_words (job_words, rank) VALUES ('merge', :pages)"


class Upkeep:
    """Merges in turn with everybody else who writes; moves the log whoever writes meanwhile."""

    def __init__(self, connection: aiosqlite.Connection, turns: asyncio.Lock) -> None:
        """`connection`: its own, which waits for nobody's lock and moves no log by itself; `turns`: whoever holds it writes."""
        self._connection = connection
        self._turns = turns
        self._changes = 0
        self._running: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """To be called after each change."""
        self._changes += 1
        if self._changes >= DUE_AFTER and (self._running is None or self._running.done()):
            self._changes = 0
            self._running = asyncio.create_task(self._run())

    async def ended(self) -> None:
        """Waits for what is under way, which ends early once the connection is closed."""
        if self._running is not None:
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        """Where a stranger's lock or a slow reader stands in the way, what is left is for the next time."""
        with contextlib.suppress(sqlite3.Error, ValueError):  # or it is closed by now
            for _ in range(PIECES_MAX):
                if not await self._merge_a_piece():
                    break
        with contextlib.suppress(sqlite3.Error, ValueError):
            await self._connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")

    async def clean(self) -> None:
        """What was deleted before stands in no file any more. Raises DatabaseError where somebody is in the way.

        The index keeps words of rows that it has forgotten until its last two parts are merged; then the log is emptied, which
        takes those who write as long as what was written in between, since all else is moved before.
        """
        with plain_errors():
            pages = -PAGES  # from all parts one; then what was begun goes on
            while await self._merge_a_piece(pages):
                pages = PAGES
            await self._connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
            async with self._turns:
                ((is_busy, *_),) = await self._connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        if is_busy:
            raise busy()  # somebody still reads what was deleted

    async def _merge_a_piece(self, pages: int = PAGES) -> bool:
        """False where nothing was left to merge: then nothing has changed but for the statement itself."""
        async with self._turns:
            before = self._connection.total_changes
            await self._connection.execute_fetchall(_MERGE, {"pages": pages})
            return self._connection.total_changes - before > 1

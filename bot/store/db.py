"""The one read-write connection and its transactions; what must hold before it is opened. Knows no table."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiosqlite

from bot.store import backup, checks, schema
from bot.store.database_errors import DatabaseError, Unusable, plain_errors, readable_errors
from bot.store.threads import unawaited
from bot.store.upkeep import LOG_PAGES_MAX, Upkeep

__all__ = ["Database", "DatabaseError", "Unusable"]

BUSY_TIMEOUT_S = 1.5
"""Answers to Discord are due within 3 s, so a stranger's lock must not hold us longer."""

Params = Mapping[str, Any]


class Database:
    """One writer, and two readers: an answer to a person never waits for a query that looks at many rows.

    Nor does it for what the file needs now and then (`upkeep.py`), for which there is a connection more.
    Every write goes through `write` or `tx`, so statements never interleave.
    """

    def __init__(
        self,
        path: Path,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        leisurely: aiosqlite.Connection,
        upkeep: aiosqlite.Connection,
    ) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._leisurely = leisurely
        self._all = (upkeep, reader, leisurely, writer)
        self._lock = asyncio.Lock()
        self._upkeep = Upkeep(upkeep, self._lock)
        self._is_closed = False

    @classmethod
    async def open(
        cls, path: Path, *, backups: Path | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> Self:
        """Opens or creates the file and brings it to the newest schema; a copy of the older one goes to `backups`.

        Raises DatabaseError; a damaged file is left as it is.
        """
        opened: list[aiosqlite.Connection] = []
        try:
            with readable_errors():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if path.is_dir():
                    raise Unusable("a folder of that name is in its place")
                await unawaited(lambda: _prepare(path, backups or path.parent / "backups"))
                writer = await _connect(path, isolation_level=None, timeout=busy_timeout_s)
                opened.append(writer)
                log = f"wal_autocheckpoint={LOG_PAGES_MAX}"
                for pragma in (
                    "journal_mode=WAL",
                    "synchronous=FULL",
                    "foreign_keys=ON",
                    schema.OVERWRITTEN,
                    log,
                ):
                    await writer.execute_fetchall(f"PRAGMA {pragma}")
                writer.row_factory = sqlite3.Row
                await schema.migrate(writer)
                for _ in range(2):
                    reader = await _connect(
                        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=busy_timeout_s
                    )
                    opened.append(reader)
                    reader.row_factory = sqlite3.Row
                    # reads the schema now
                    await reader.execute_fetchall("SELECT 1 FROM sqlite_master LIMIT 0")
                upkeep = await _connect(path, isolation_level=None, timeout=0)
                opened.append(upkeep)
                for pragma in ("wal_autocheckpoint=0", schema.OVERWRITTEN):
                    await upkeep.execute_fetchall(f"PRAGMA {pragma}")
        except BaseException as error:
            for connection in opened:  # their threads would keep a process alive that was told to stop
                await connection.close()
            if not isinstance(error, sqlite3.Error | OSError | DatabaseError):
                raise
            kind = Unusable if isinstance(error, Unusable) else DatabaseError
            raise kind(f"The database {path} can't be opened: {_words(error)}.") from error
        writer, reader, leisurely, upkeep = opened
        return cls(path, writer, reader, leisurely, upkeep)

    async def close(self) -> None:
        self._is_closed = True
        async with self._lock:
            for connection in self._all:
                await connection.close()
        await self._upkeep.ended()

    def _check_open(self) -> None:
        if self._is_closed:  # somebody asks in our last moment
            raise DatabaseError("Easel is ending: ask again in a minute")

    async def write(self, sql: str, params: Params) -> list[sqlite3.Row]:
        """One statement, its own transaction; the rows of its RETURNING clause."""
        async with self._lock:
            self._check_open()
            with plain_errors():
                rows = list(await self._writer.execute_fetchall(sql, params))
            self._upkeep.changed()
            return rows

    @asynccontextmanager
    async def tx(self) -> AsyncGenerator[aiosqlite.Connection]:
        """Several statements at once. Never await anything but the connection inside."""
        async with self._lock:
            self._check_open()
            try:
                with plain_errors():
                    await self._writer.execute_fetchall("BEGIN IMMEDIATE")
                    yield self._writer
                    await self._writer.execute_fetchall("COMMIT")
                self._upkeep.changed()
            except BaseException:
                # A cancelled task too must not leave its transaction to the next one. Its last statement, be it BEGIN
                # or COMMIT, may still be on its way: rollback() runs behind it and is harmless without a transaction.
                await self._writer.rollback()
                raise

    async def read(self, sql: str, params: Params) -> list[sqlite3.Row]:
        """One quick query; sees everything committed before."""
        self._check_open()
        with plain_errors():
            return list(await self._reader.execute_fetchall(sql, params))

    async def read_at_leisure(self, sql: str, params: Params) -> list[sqlite3.Row]:
        """The same for a query that may take long; only others of its kind wait for it."""
        self._check_open()
        with plain_errors():
            return list(await self._leisurely.execute_fetchall(sql, params))

    async def clean(self) -> None:
        """What was deleted before stands in no file any more; takes long, and holds up nobody. Raises DatabaseError: try again."""
        self._check_open()
        await self._upkeep.clean()


async def _connect(database: Path | str, **options: Any) -> aiosqlite.Connection:
    """Told to stop meanwhile, it is opened all the same, and closed: its thread must not report to a loop that is gone."""

    async def opened() -> aiosqlite.Connection:
        return await aiosqlite.connect(database, **options)

    opening = asyncio.create_task(opened())
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(sqlite3.Error):
            await (await opening).close()
        raise


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).removesuffix(".")


def _prepare(path: Path, backups: Path) -> None:
    """Looks before anything is written, and keeps a copy of what a migration is going to change."""
    backup.check_whole(path)
    for folder in (path.parent, backups):
        backup.sweep(folder, at_start=True)
    if not path.exists():
        path.touch(mode=0o600)
        return
    if problems := checks.damage(path):
        raise Unusable(
            f"it is damaged ({problems[0]}) and was left as it is; "
            "`easel restore` puts the newest backup in its place"
        )
    found, newest = checks.version(path), schema.newest()
    if found > newest:
        raise Unusable(f"its schema {found} is newer than this program's {newest}: install the newer Easel")
    if 0 < found < newest:
        made = backup.back_up(path, backups / backup.name_for(time.time(), before_schema=newest))
        backup.drop_twins(made)

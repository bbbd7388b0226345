"""The one read-write connection, its transactions and migrations. Knows no table but SQLite's own bookkeeping."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Self

import aiosqlite

BUSY_TIMEOUT_S = 1.5
"""Answers to Discord are due within 3 s, so a stranger's lock must not hold us longer."""

Params = Mapping[str, Any]


class DatabaseError(Exception):
    """The database can't be used; its text is a sentence for the owner."""


class Database:
    """One writer, one reader. Every write goes through `write` or `tx`, so statements never interleave."""

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Opens or creates the file and brings it to the newest schema. Raises DatabaseError."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        writer: aiosqlite.Connection | None = None
        try:
            writer = await aiosqlite.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                await writer.execute_fetchall(f"PRAGMA {pragma}")
            writer.row_factory = sqlite3.Row
            await _migrate(writer)
            reader = await aiosqlite.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S
            )
            reader.row_factory = sqlite3.Row
        except (sqlite3.Error, DatabaseError) as error:
            if writer is not None:
                await writer.close()
            raise DatabaseError(f"The database {path} can't be opened: {error}.") from error
        return cls(writer, reader)

    async def close(self) -> None:
        async with self._lock:
            await self._reader.close()
            await self._writer.close()

    async def write(self, sql: str, params: Params) -> list[sqlite3.Row]:
        """One statement, its own transaction; the rows of its RETURNING clause."""
        async with self._lock:
            with _plain_errors():
                return list(await self._writer.execute_fetchall(sql, params))

    @asynccontextmanager
    async def tx(self) -> AsyncGenerator[aiosqlite.Connection]:
        """Several statements at once. Never await anything but the connection inside."""
        async with self._lock:
            try:
                with _plain_errors():
                    await self._writer.execute_fetchall("BEGIN IMMEDIATE")
                    yield self._writer
                    await self._writer.execute_fetchall("COMMIT")
            except BaseException:
                # A cancelled task too must not leave its transaction to the next one. Its last statement, be it BEGIN
                # or COMMIT, may still be on its way: rollback() runs behind it and is harmless without a transaction.
                await self._writer.rollback()
                raise

    async def read(self, sql: str, params: Params) -> list[sqlite3.Row]:
        """One query on the reader; sees everything committed before."""
        return list(await self._reader.execute_fetchall(sql, params))


@contextmanager
def _plain_errors() -> Generator[None]:
    """What a stranger's lock or a full disk does to us, as a sentence; anything else is a bug and passes."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DatabaseError(f"the database is busy or out of space ({error})") from error


def migrations() -> list[tuple[int, str]]:
    """(version, script) of every numbered file, in order."""
    folder = resources.files("bot.store") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), (folder / name).read_text(encoding="utf-8")) for name in names]


async def _migrate(connection: aiosqlite.Connection) -> None:
    version = await _version(connection)
    known = migrations()
    if version > known[-1][0]:
        raise DatabaseError(
            f"its schema {version} is newer than this program's {known[-1][0]}: install the newer Easel"
        )
    for number, script in known:
        if number > version:
            await connection.execute_fetchall("BEGIN IMMEDIATE")
            try:
                for statement in statements(script):
                    await connection.execute_fetchall(statement)
                await connection.execute_fetchall(f"PRAGMA user_version={number}")
                await connection.execute_fetchall("COMMIT")
            except BaseException:
                await connection.rollback()
                raise


async def _version(connection: aiosqlite.Connection) -> int:
    (row,) = await connection.execute_fetchall("PRAGMA user_version")
    return int(row[0])


def statements(script: str) -> Iterable[str]:
    """The statements of a script one by one: `executescript` would commit behind our back."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _looking_at(path: Path) -> str:
    """A URI for reading that leaves no files behind: without a log beside it, nobody is writing."""
    idle = not path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro" + ("&immutable=1" if idle else "")


def check(path: Path) -> list[str]:
    """What is wrong with the database file, as sentences; reads only. For `easel doctor`."""
    if not path.exists():
        return []
    try:
        connection = sqlite3.connect(_looking_at(path), uri=True, timeout=BUSY_TIMEOUT_S)
        try:
            answers = [str(row[0]) for row in connection.execute("PRAGMA quick_check")]
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error as error:
        return [f"{path} can't be read: {error}."]
    problems = [f"{path}: {answer}." for answer in answers if answer != "ok"]
    newest = migrations()[-1][0]
    if version > newest:
        problems.append(f"{path} has schema {version}, newer than this program's {newest}.")
    return problems

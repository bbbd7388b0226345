"""The numbered migrations, each of which happens completely or not at all. Knows no table.

A new database gets the first schema, FIRST, at once; one of the versions before it, which only checkouts had, steps aside
for the same script and gives it its rows (`migrations/early/`), in one migration.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable

import aiosqlite

from bot.store.database_errors import Unusable

FIRST = 4
SEARCH = "fts5"
"""The part of SQLite that some builds of it lack."""

OVERWRITTEN = "secure_delete=ON"
"""What is deleted is overwritten with zeros, whichever way this SQLite was built (Debian's does so of itself)."""


def migrations() -> list[tuple[int, str]]:
    """(version, script) of every numbered file, in order."""
    return _scripts(_folder())


def newest() -> int:
    """The version that this program works with."""
    return migrations()[-1][0]


async def migrate(connection: aiosqlite.Connection) -> None:
    """Brings the database to the newest version, one transaction per migration; raises Unusable where one breaks references.

    A table that others refer to can be rebuilt only without foreign keys, which a transaction can't switch: they rest
    meanwhile, and all are checked before the commit. Nor must SQLite ask views and triggers of the old table about the
    new one's renaming: they mean whichever has its name afterwards.
    """
    (row,) = await connection.execute_fetchall("PRAGMA user_version")
    version = int(row[0])
    found = await connection.execute_fetchall("SELECT 1 FROM pragma_module_list WHERE name = ?", (SEARCH,))
    if not list(found):
        raise Unusable(
            "this Python's SQLite has no full-text search (FTS5): run Easel with a Python that brings it, "
            "such as python.org's, Debian's or that of the container"
        )
    for pragma in ("foreign_keys=OFF", "legacy_alter_table=ON"):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    for number, script in migrations():
        if number > version:
            is_early = number == FIRST and version > 0
            await _apply(connection, number, _from_early(version, script) if is_early else script)
    for pragma in ("legacy_alter_table=OFF", "foreign_keys=ON"):
        await connection.execute_fetchall(f"PRAGMA {pragma}")


async def _apply(connection: aiosqlite.Connection, number: int, script: str) -> None:
    await connection.execute_fetchall("BEGIN IMMEDIATE")
    try:
        for statement in statements(script):
            await connection.execute_fetchall(statement)
        await _check_references(connection, number)
        await connection.execute_fetchall(f"PRAGMA user_version={number}")
        await connection.execute_fetchall("COMMIT")
    except BaseException:
        await connection.interrupt()  # told to stop: a statement that takes minutes is not waited for
        await connection.rollback()
        raise


async def _check_references(connection: aiosqlite.Connection, number: int) -> None:
    broken = list(await connection.execute_fetchall("PRAGMA foreign_key_check"))
    if broken:
        table, row, parent, _ = broken[0]
        which = "a row" if row is None else f"row {row}"  # one that is known by more than a number
        raise Unusable(
            f"the change to schema {number} was undone, since {which} of {table} would refer to none of {parent}: "
            "`easel restore` puts the newest backup in its place"
        )


def _from_early(version: int, first: str) -> str:
    """What brings an unreleased version to FIRST: what it lacks, aside with it, the first schema, its rows."""
    early = dict(_scripts(_folder() / "early"))
    return "".join([*(early[number] for number in range(version, FIRST)), first, early[FIRST]])


def _folder() -> Traversable:
    return resources.files("bot.store") / "migrations"


def _scripts(folder: Traversable) -> list[tuple[int, str]]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), (folder / name).read_text(encoding="utf-8")) for name in names]


def statements(script: str) -> Iterable[str]:
    """The statements of a script one by one: `executescript` would commit behind our back."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""

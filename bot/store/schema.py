"""The numbered migrations, each of which happens completely or not at all. Knows no table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from importlib import resources

import aiosqlite


def migrations() -> list[tuple[int, str]]:
    """(version, script) of every numbered file, in order."""
    folder = resources.files("bot.store") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), (folder / name).read_text(encoding="utf-8")) for name in names]


def newest() -> int:
    """The version that this program works with."""
    return migrations()[-1][0]


async def migrate(connection: aiosqlite.Connection) -> None:
    """Brings the database to the newest version, one transaction per migration."""
    (row,) = await connection.execute_fetchall("PRAGMA user_version")
    version = int(row[0])
    for number, script in migrations():
        if number > version:
            await connection.execute_fetchall("BEGIN IMMEDIATE")
            try:
                for statement in statements(script):
                    await connection.execute_fetchall(statement)
                await connection.execute_fetchall(f"PRAGMA user_version={number}")
                await connection.execute_fetchall("COMMIT")
            except BaseException:
                await connection.interrupt()  # told to stop: a statement that takes minutes is not waited for
                await connection.rollback()
                raise


def statements(script: str) -> Iterable[str]:
    """The statements of a script one by one: `executescript` would commit behind our back."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""

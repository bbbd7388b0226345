"""Looks at a database file and changes nothing: is it sound, do its books agree. Knows no running bot."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bot.store import schema
from bot.store.database_errors import is_damage, readable_errors

BUSY_TIMEOUT_S = 1.5

AUDIT: Mapping[str, str] = {
    "was cancelled before it ran but costs credits": "state = 'cancelled' AND attempt = 0 AND charged > 0",
    "is alive but holds less than its cost": """state IN ('accepted', 'queued', 'running')
        AND charged <> cost""",
    "shows another number of images than was asked for": """state IN ('rendered', 'delivered')
        AND json_array_length(images) <> json_extract(request, '$.images')""",
    "costs more than the images it delivered": """state = 'delivered' AND charged * json_array_length(images)
        > cost * (SELECT COUNT(*) FROM json_each(images) WHERE json_extract(value, '$.path') IS NOT NULL)""",
    "is shown but can't be searched for, or the other way round": """
        (deleted_at IS NULL AND (state = 'delivered' OR state = 'failed' AND EXISTS (
            SELECT 1 FROM json_each(images) WHERE json_extract(value, '$.path') IS NOT NULL)))
        <> EXISTS (SELECT 1 FROM job_words_docsize WHERE job_words_docsize.id = job.id)""",
}
"""What must hold of every job besides the schema's own constraints: a sentence, and the condition that breaks it."""

TRAININGS: Mapping[str, str] = {
    "costs credits before it was begun": "state = 'collecting' AND (charged > 0 OR cost > 0)",
    "is under way but holds less than its cost": "state IN ('waiting', 'running') AND charged <> cost",
    "is done but not with all of its steps": "state = 'done' AND done <> steps",
    "costs more than the steps that it did": """state IN ('failed', 'cancelled')
        AND charged > (cost * done + steps - 1) / steps""",
    "is deleted but still says something": """deleted_at IS NOT NULL AND (name <> '' OR trigger_words <> ''
        OR EXISTS (SELECT 1 FROM training_picture WHERE training_id = training.id))""",
}
"""The same of every training."""

AUDITED_AT_ONCE = 10_000
"""Rows in one look, so that no long one keeps the log from being moved into the file."""
TOLD_MAX = 20
"""Of each sentence."""

Error = sqlite3.Error
SQLITE_VERSION: tuple[int, ...] = sqlite3.sqlite_version_info
"""Of the library that Python brings."""


@contextmanager
def look(path: Path) -> Generator[sqlite3.Connection]:
    """A read-only connection that leaves no files behind: without a log beside it, nobody is writing."""
    idle = not path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro" + ("&immutable=1" if idle else "")
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)
    try:
        with readable_errors():
            yield connection
    finally:
        connection.close()


def version(path: Path) -> int:
    """The schema's number, 0 for an empty file. Raises sqlite3.Error."""
    with look(path) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def damage(path: Path, *, thorough: bool = False) -> list[str]:
    """What is broken in the file, in SQLite's words; `thorough` also compares indexes with their tables.

    Raises sqlite3.Error where it can't be told, as while a stranger holds the file.
    """
    pragmas = ("integrity_check", "foreign_key_check") if thorough else ("quick_check",)
    try:
        with look(path) as connection:
            answers = [
                " ".join(str(value) for value in row)
                for pragma in pragmas
                for row in connection.execute(f"PRAGMA {pragma}")
            ]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return [str(error)]
    return [" ".join(answer.split()) for answer in answers if answer != "ok"]


def audit(path: Path) -> list[str]:
    """Sentences about rows that contradict the books of the newest schema; every row is read once. Raises sqlite3.Error."""
    with look(path) as connection:
        return [
            f"{noun} {number} {sentence}."
            for noun, table, conditions in (("Job", "job", AUDIT), ("Training", "training", TRAININGS))
            for sentence, numbers in _broken(connection, table, conditions).items()
            for number in numbers[:TOLD_MAX]
        ]


def _broken(
    connection: sqlite3.Connection, table: str, conditions: Mapping[str, str]
) -> dict[str, list[int]]:
    """Numbers of rows, by the sentence that is not kept."""
    broken: dict[str, list[int]] = {sentence: [] for sentence in conditions}
    columns = [f"({condition})" for condition in conditions.values()]
    sql = (
        f"SELECT id, {', '.join(columns)} FROM {table} WHERE id > ? AND id <= ? AND ({' OR '.join(columns)})"
    )
    (last,) = connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}").fetchone()
    for after in range(0, last, AUDITED_AT_ONCE):
        for number, *found in connection.execute(sql, (after, after + AUDITED_AT_ONCE)).fetchall():
            for sentence, is_broken in zip(conditions, found, strict=True):
                if is_broken:
                    broken[sentence].append(number)
    return broken


def check(path: Path) -> list[str]:
    """What is wrong with the database file, as sentences. For `easel doctor`."""
    if not path.exists():
        return []
    try:
        problems = [f"{path}: {problem.removesuffix('.')}." for problem in damage(path)]
        if not problems and (found := version(path)) > schema.newest():
            problems.append(f"{path} has schema {found}, newer than this program's {schema.newest()}.")
    except sqlite3.Error as error:
        return [f"{path} can't be read: {error}."]
    return problems


def verify(copy: Path) -> list[str]:
    """What speaks against using this file as the database. The books of an older schema are audited after migration."""
    try:
        if problems := damage(copy):
            return problems
        found = version(copy)
        if found > schema.newest():
            return [f"its schema {found} is newer than this program's {schema.newest()}"]
        if found == 0:
            return ["it is empty"]
        return audit(copy) if found == schema.newest() else []
    except sqlite3.Error as error:
        return [str(error)]

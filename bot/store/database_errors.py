"""What SQLite reports, as sentences for people. Knows no statement: a mistake in one of those stays an exception."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager


class DatabaseError(Exception):
    """The database can't be used; its text is a sentence for the owner."""


class Unusable(DatabaseError):
    """Trying again can't help: the owner has to do what the text says."""


_WORDS = {
    sqlite3.SQLITE_BUSY: "the database is busy",
    sqlite3.SQLITE_LOCKED: "the database is busy",
    sqlite3.SQLITE_FULL: "the database's disk is full",
    sqlite3.SQLITE_IOERR: "the database's disk failed",
    sqlite3.SQLITE_READONLY: "the database can't be written to",
    sqlite3.SQLITE_CANTOPEN: "the database's files can't be opened",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_PROTOCOL: "the database is busy",
}


_OWNERS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}


def is_the_owners(error: BaseException | None) -> bool:
    """Whether only a person can help, who gives us another folder or its rights: no moment later will do."""
    match error:
        case sqlite3.Error():
            return _primary(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
        case OSError():
            return error.errno in _OWNERS
        case _:
            return False


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault, not the moment."""
    return _primary(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


def busy() -> DatabaseError:
    """Where SQLite says so without an error."""
    return DatabaseError(_WORDS[sqlite3.SQLITE_BUSY])


@contextmanager
def readable_errors() -> Generator[None]:
    """What SQLite says of a damaged schema quotes it, and need be no text: Python then has no error but that it can't read this."""
    try:
        yield
    except UnicodeDecodeError as error:
        damage = sqlite3.DatabaseError("its schema can't be read")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage from error


@contextmanager
def plain_errors() -> Generator[None]:
    """What a stranger's lock, a full disk or a damaged file does to us, as a sentence; anything else is a bug and passes."""
    try:
        with readable_errors():
            yield
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise Unusable(
                f"the database is damaged ({error}): stop Easel and run `easel restore`"
            ) from error
        if (words := _WORDS.get(_primary(error))) is None:
            raise
        raise DatabaseError(f"{words} ({error})") from error

"""Verified copies of the database and the way back. Blocking; knows files, and of what is in them only the checks."""

from __future__ import annotations

import contextlib
import filecmp
import itertools
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.store import checks, schema
from bot.store.database_errors import DatabaseError, Unusable
from bot.store.undated import UNDATED

PATIENCE_S = 30.0
"""How long a copy waits for a stranger who holds the whole file."""
IDS_SKIPPED = 1_000_000
_FORMAT = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"easel-(\d{8}T\d{6}Z)(-before-schema-\d+)?\.sqlite3")
_BESIDE = ("-wal", "-shm", "-journal")
_PART = re.compile(r"\..+\.(\d+)\.part(-wal|-shm|-journal)?")
"""What a program of that number is making, or has left behind half-made."""
_ABANDONED_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    path: Path
    made_at: float
    """Seconds since 1970, by its name."""
    is_regular: bool
    """Whether newer ones replace it; one made before a migration is left to the owner."""


def backups(folder: Path) -> list[Backup]:
    """The backups in a folder, newest first."""
    found = ((path, _NAME.fullmatch(path.name)) for path in folder.glob("easel-*.sqlite3"))
    made = [
        Backup(path=path, made_at=_moment(match[1]), is_regular=match[2] is None)
        for path, match in found
        if match
    ]
    return sorted(made, key=lambda backup: backup.path.name, reverse=True)


def _stamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime(_FORMAT)


def _moment(stamp: str) -> float:
    try:
        return datetime.strptime(stamp, _FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:  # digits, but no date
        return 0.0


def name_for(now: float, *, before_schema: int | None = None) -> str:
    reason = "" if before_schema is None else f"-before-schema-{before_schema}"
    return f"easel-{_stamp(now)}{reason}.sqlite3"


def back_up(database: Path, target: Path, *, patience_s: float = PATIENCE_S) -> Path:
    """Copies the database, in use or not; the copy counts only once it has been opened, checked and audited.

    It reads through a read-only connection of its own: that sees one moment whatever is written meanwhile, holds up
    nobody's write (as a copy through the one writer would, and answers are due in 3 s), and never writes or checkpoints,
    which two connections at once must not do (SQLite's WAL-reset bug). Raises DatabaseError, also where a stranger holds
    the whole file for longer than `patience_s`.
    """
    if not database.exists():
        raise DatabaseError(f"There is no database {database} yet: nothing to back up.")
    _check_target(database, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _partial(target) as partial:
            _copy(database, partial, patience_s)
            if problems := checks.verify(partial):
                raise DatabaseError(f"The copy of {database} does not hold: {'; '.join(problems[:3])}.")
            partial.replace(target)
            sync_folder(target.parent)
    except (sqlite3.Error, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise DatabaseError(f"{database} could not be copied to {target}: {why}.") from error
    return target


def _check_target(database: Path, target: Path) -> None:
    """A copy takes the place of an earlier copy, and of nothing else. Raises DatabaseError."""
    if target.is_dir():
        raise DatabaseError(f"{target} is a folder: name a file in it.")
    if not target.exists():
        return
    own = (database.with_name(f"{database.name}{suffix}") for suffix in ("", *_BESIDE))
    if any(target.samefile(each) for each in own if each.exists()):
        raise DatabaseError(f"{target} belongs to the database itself: name another file for the copy.")
    if checks.verify(target):
        raise DatabaseError(
            f"{target} is there, and no good copy of Easel's: name another file, or remove it first."
        )


@contextlib.contextmanager
def _partial(target: Path) -> Generator[Path]:
    """A private file beside the target that is gone afterwards unless it was renamed."""
    path = target.with_name(f".{target.name}.{os.getpid()}.part")
    all_of_it = (path, *(path.with_name(f"{path.name}{suffix}") for suffix in _BESIDE))
    for leftover in all_of_it:
        leftover.unlink(missing_ok=True)
    path.touch(mode=0o600)
    try:
        yield path
    finally:
        for leftover in all_of_it:
            leftover.unlink(missing_ok=True)


def sweep(folder: Path, *, at_start: bool = False) -> int:
    """Removes what programs that died have left half-made in it, copies and their logs; how many files went.

    `at_start`: we make none yet, so one with our own number is another's, as in a container, where it is always 1.
    """
    gone = 0
    for path in folder.glob(".*.part*"):
        with contextlib.suppress(OSError):  # renamed in this moment, or not ours to remove
            if _is_abandoned(path, at_start=at_start):
                path.unlink()
                gone += 1
    return gone


def _is_abandoned(path: Path, *, at_start: bool) -> bool:
    if (match := _PART.fullmatch(path.name)) is None or not path.is_file():
        return False
    maker = int(match[1])
    if maker == os.getpid():
        return at_start
    return not _runs(maker) or path.stat().st_mtime < time.time() - _ABANDONED_S


def _runs(process: int) -> bool:
    if os.name == "nt":  # there the question would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


def drop_twins(made: Path) -> None:
    """Removes earlier copies before the same migration that hold the same, bit for bit: it was killed, and began anew."""
    kind = made.name.partition("-before-")[2]
    for twin in made.parent.glob(f"easel-*-before-{kind}"):
        with contextlib.suppress(OSError):
            if twin != made and filecmp.cmp(twin, made, shallow=False):
                twin.unlink()


def _copy(database: Path, target: Path, patience_s: float) -> None:
    """One moment of a database as one file. Not `health.look`: somebody may begin to write while we read."""
    deadline = time.monotonic() + patience_s

    def patiently(status: int, _remaining: int, _total: int) -> None:
        if status not in (sqlite3.SQLITE_OK, sqlite3.SQLITE_DONE) and time.monotonic() > deadline:
            raise DatabaseError(f"{database} is in use by another program: try again later.")

    uri = f"{database.absolute().as_uri()}?mode=ro"
    with (
        contextlib.closing(
            sqlite3.connect(uri, uri=True, timeout=min(checks.BUSY_TIMEOUT_S, patience_s))
        ) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy, progress=patiently)


def sync_folder(folder: Path) -> None:
    """Makes a rename in it survive a power cut."""
    if os.name == "nt":  # Windows can't open folders; its renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prune(folder: Path, *, keep: int) -> int:
    """Removes the oldest regular backups beyond `keep`, and half-made ones of programs that died; how many went."""
    regular = [backup.path for backup in backups(folder) if backup.is_regular]
    for path in regular[keep:]:
        path.unlink(missing_ok=True)
    sweep(folder)
    return len(regular[keep:])


# ------------------------------------------------------------------ the way back


def _arriving(database: Path) -> Path:
    return database.with_name(f"{database.name}.restoring")


def check_whole(database: Path) -> None:
    """Raises Unusable where a restore was interrupted: what lies there belongs to two databases."""
    if _arriving(database).exists():
        raise Unusable(f"A restore of {database} was interrupted: run `easel restore` again.")


def restore(database: Path, source: Path, *, now: float) -> Path | None:
    """Puts a backup in the database's place; the caller holds the lock of the data folder.

    What it replaces is kept, with its log: the result is its new path, None where there was none. Killed at any
    moment, either nothing has changed, or `check_whole` refuses until it is repeated. Raises DatabaseError.
    """
    if not source.is_file():
        raise DatabaseError(
            f"{source} is {'a folder' if source.is_dir() else 'not there'}: name the file of a backup."
        )
    try:
        database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _partial(database) as partial:
            shutil.copyfile(source, partial)
            if problems := checks.verify(partial):
                raise DatabaseError(f"{source} can't be used: {'; '.join(problems[:3])}.")
            was_interrupted = _arriving(database).exists()
            _skip_ids(partial, last_used=None if was_interrupted else _last_id(database))
            _carry_erasures(partial, [] if was_interrupted else _erasures(database))
            replaced = _keep(database, now)
            arriving = partial.replace(_arriving(database))
        sync_folder(database.parent)  # from here on there is no way but to the end
        for suffix in _BESIDE:  # a log of the old database must not be applied to the new one
            database.with_name(f"{database.name}{suffix}").unlink(missing_ok=True)
        sync_folder(database.parent)
        arriving.replace(database)
        sync_folder(database.parent)
    except (sqlite3.Error, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise DatabaseError(f"{source} could not be put in the place of {database}: {why}.") from error
    return replaced


def _keep(database: Path, now: float) -> Path | None:
    """A second name for the database and its log, or a copy where the file system knows no second names."""
    if not database.exists():
        return None
    names = (f"replaced-{_stamp(now + second)}-{database.name}" for second in itertools.count())
    kept = next(path for name in names if not (path := database.with_name(name)).exists())
    for suffix in ("", "-wal", "-journal"):
        old, new = (path.with_name(f"{path.name}{suffix}") for path in (database, kept))
        if old.exists():
            try:
                new.hardlink_to(old)
            except OSError:
                shutil.copy2(old, new)
    return kept


def _last_id(database: Path) -> int | None:
    """The newest job's number, None where it can't be read any more."""
    try:
        with checks.look(database) as connection:
            row = connection.execute("SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'job'").fetchone()
            return int(row[0] or 0)
    except sqlite3.Error:
        return None


def _erasures(database: Path) -> list[tuple[int, float]]:
    """(person, when) of those who wanted all of theirs to be gone; none where it can't be read any more, or is older."""
    try:
        with checks.look(database) as connection:
            return connection.execute("SELECT user_id, asked_at FROM erasure").fetchall()
    except sqlite3.Error:
        return []


def _carry_erasures(copy: Path, erasures: Sequence[tuple[int, float]]) -> None:
    """What they had deleted stands in the backup: the next start deletes it again. One of an older schema can't be told so."""
    if not erasures or checks.version(copy) < schema.newest():
        return
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA {schema.OVERWRITTEN}")
        for user_id, asked_at in erasures:
            told = connection.execute(
                """INSERT INTO erasure (user_id, asked_at) VALUES (?, ?)
                   ON CONFLICT DO UPDATE SET asked_at = excluded.asked_at, emptied_at = NULL
                   WHERE asked_at < excluded.asked_at RETURNING user_id""",
                (user_id, asked_at),
            ).fetchall()
            for sql in UNDATED if told else ():  # else the backup was made after they had asked
                connection.execute(sql, {"user_id": user_id})


def _skip_ids(copy: Path, *, last_used: int | None) -> None:
    """Buttons and files carry numbers of jobs that the backup has not seen: those are never given to others."""
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # one file: the store makes it a log again
        (own,) = connection.execute("SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'job'").fetchone()
        first = max(own or 0, last_used if last_used is not None else (own or 0) + IDS_SKIPPED)
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'job'")
        connection.execute("INSERT INTO sqlite_sequence VALUES ('job', ?)", (first,))

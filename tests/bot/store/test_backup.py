"""Backups that hold and a way back that is never half gone: under load, on damaged files, killed at every call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.job import JobState
from bot.store import Store, backup, checks, schema
from bot.store.backup import back_up, backups, name_for, prune, restore
from bot.store.db import Database, DatabaseError, Unusable
from tests.kit import forked
from tests.kit.books import NOON, admitted, delivered, rendered, running, sure

NEWEST = schema.newest()


async def filled(file: Path, *, jobs: int = 20) -> None:
    store = await Store.open(file)
    for user in range(jobs):
        await delivered(store, user=user)
    await store.close()


def ids(file: Path) -> list[int]:
    with checks.look(file) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM job ORDER BY id")]


def damaged(file: Path) -> bytes:
    """Overwrites the middle of every page but the first; returns what lies there now."""
    content = bytearray(file.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start + 100 : start + 3000] = b"\xa5" * 2900
    file.write_bytes(content)
    return bytes(content)


# ------------------------------------------------------------------ the copy


async def test_a_backup_made_under_load_is_one_moment(store: Store, file: Path, tmp_path: Path) -> None:
    """Copies made while jobs come and go hold, each job up to some number and none beyond, and nobody's write waits."""
    stop, longest = asyncio.Event(), 0.0

    async def traffic() -> None:
        nonlocal longest
        while not stop.is_set():
            begun = time.monotonic()
            await delivered(store)
            longest = max(longest, time.monotonic() - begun)

    busy = asyncio.ensure_future(traffic())
    copies = [tmp_path / f"copy-{number}.sqlite3" for number in range(5)]
    for copy in copies:
        await store.back_up(copy)
    stop.set()
    await busy
    counts = []
    for copy in copies:
        assert checks.verify(copy) == []
        assert ids(copy) == list(range(1, len(ids(copy)) + 1))
        counts.append(len(ids(copy)))
    assert counts == sorted(counts)
    assert counts[-1] > 0
    assert list(tmp_path.glob(".*.part*")) == []


async def test_a_copy_replaces_nothing_but_a_copy(store: Store, file: Path, tmp_path: Path) -> None:
    """The database itself, its log, other people's files and folders stay what they are; an older copy is renewed."""
    await delivered(store)
    notes, copy, folder = tmp_path / "notes.txt", tmp_path / "copy.sqlite3", tmp_path / "folder"
    notes.write_text("my notes", encoding="utf-8")
    folder.mkdir()
    wal = file.with_name(f"{file.name}-wal")
    own = [path for path in (file, wal) if path.exists()]
    before = [(path.stat().st_ino, path.read_bytes()) for path in own]
    for target in (*own, notes, folder):
        with pytest.raises(DatabaseError, match=r"name another file|name a file"):
            back_up(file, target)
    assert [(path.stat().st_ino, path.read_bytes()) for path in own] == before
    assert notes.read_text(encoding="utf-8") == "my notes"
    for _ in range(2):
        back_up(file, copy)
        await delivered(store)
    assert ids(copy) == [1, 2]
    for source in (tmp_path / "nothing", folder):
        with pytest.raises(DatabaseError, match="name the file of a backup"):
            restore(tmp_path / "other.sqlite3", source, now=NOON)


async def test_a_backup_is_a_database_to_start_from(store: Store, tmp_path: Path) -> None:
    """A store opened on a copy knows every job in its state, and admits the next one."""
    made = [await admitted(store), await running(store), await rendered(store), await delivered(store)]
    await store.back_up(tmp_path / "copy.sqlite3")
    again = await Store.open(tmp_path / "copy.sqlite3")
    try:
        assert [await again.jobs.get(job.id) for job in made] == made
        assert (await admitted(again)).id == made[-1].id + 1
    finally:
        await again.close()


async def test_a_backup_is_private(store: Store, tmp_path: Path) -> None:
    """Prompts and names of people are their owner's alone to read."""
    await store.back_up(tmp_path / "new" / "copy.sqlite3")
    assert (tmp_path / "new" / "copy.sqlite3").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


async def test_a_damaged_database_makes_no_backup(file: Path, tmp_path: Path) -> None:
    """What does not hold never takes the place of what does, and leaves nothing half-made behind."""
    await filled(file)
    back_up(file, tmp_path / "copy.sqlite3")
    good = (tmp_path / "copy.sqlite3").read_bytes()
    damaged(file)
    with pytest.raises(DatabaseError, match="copy"):
        back_up(file, tmp_path / "copy.sqlite3")
    assert (tmp_path / "copy.sqlite3").read_bytes() == good
    assert list(tmp_path.glob(".*.part*")) == []


async def test_books_that_disagree_make_no_backup(store: Store, file: Path, tmp_path: Path) -> None:
    """A copy is audited before it counts: the job that contradicts the books is named."""
    job = await running(store, images=2)
    await store.database.write("UPDATE job SET charged = 1", {})
    with pytest.raises(DatabaseError, match=f"Job {job.id} is alive but holds less than its cost"):
        await store.back_up(tmp_path / "copy.sqlite3")
    assert not (tmp_path / "copy.sqlite3").exists()


async def test_no_room_for_a_backup_is_a_sentence(store: Store, tmp_path: Path) -> None:
    """A target that can't be written to is told in a sentence."""
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DatabaseError, match="could not be copied"):
        await store.back_up(tmp_path / "folder" / "copy.sqlite3")


def test_nothing_to_back_up_is_a_sentence(file: Path, tmp_path: Path) -> None:
    """Without a database there is no empty backup, and no database is made by asking."""
    with pytest.raises(DatabaseError, match="no database"):
        back_up(file, tmp_path / "copy.sqlite3")
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_go_first_and_those_of_migrations_stay(tmp_path: Path) -> None:
    """Beyond the number to keep the oldest regular ones are removed; the owner's other files are left alone."""
    regular = [tmp_path / name_for(NOON + day * 86_400) for day in range(5)]
    others = [
        tmp_path / name_for(NOON - 1, before_schema=2),
        tmp_path / "easel-mine.sqlite3",
        tmp_path / "a.txt",
    ]
    half_made = tmp_path / f".{regular[0].name}.77.part"
    for path in (*regular, *others, half_made):
        path.touch()
    os.utime(half_made, (1, 1))
    assert prune(tmp_path, keep=2) == 3
    assert sorted(tmp_path.iterdir()) == sorted([*regular[3:], *others])
    assert [found.path for found in backups(tmp_path)] == [regular[4], regular[3], others[0]]
    assert backups(tmp_path)[0].made_at == NOON + 4 * 86_400


# ------------------------------------------------------------------ the start


async def test_a_damaged_database_is_not_opened(file: Path) -> None:
    """Not one byte of a damaged file is changed; the sentence names the command that helps."""
    await filled(file)
    content = damaged(file)
    with pytest.raises(
        Unusable, match=r"is damaged .* `easel restore` puts the newest backup in its place\.$"
    ):
        await Store.open(file)
    assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == [file.name]


async def test_damage_that_shows_while_the_bot_runs_is_a_sentence(file: Path) -> None:
    """A page that goes bad under the running bot stops writes and reads with the sentence, and is no endless bug."""
    await filled(file, jobs=200)
    store = await Store.open(file)
    try:
        damaged(file)
        await store.database._reader.execute_fetchall("PRAGMA cache_size=1")
        with pytest.raises(Unusable, match="`easel restore`"):
            await store.history.audit()
        with pytest.raises(Unusable, match="`easel restore`"):
            await store.jobs.purge_tokens(before=NOON + 1)
    finally:
        await store.close()


# ------------------------------------------------------------------ migrations


LATER = [
    *schema.migrations(),
    (NEWEST + 1, "CREATE TABLE extra (x);\nINSERT INTO extra VALUES (1);\nDROP TABLE audit;\n"),
]


async def test_a_migration_keeps_a_verified_copy_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an existing database changes its schema, a copy of the old one lies among the backups."""
    await filled(file)
    monkeypatch.setattr(schema, "migrations", lambda: LATER)
    await (await Database.open(file)).close()
    (kept,) = backups(file.parent / "backups")
    assert kept.path.name.endswith(f"-before-schema-{NEWEST + 1}.sqlite3")
    assert not kept.is_regular
    assert (checks.version(kept.path), checks.version(file)) == (NEWEST, NEWEST + 1)
    assert checks.damage(kept.path, thorough=True) == []
    assert ids(kept.path) == ids(file)
    await (await Database.open(file)).close()
    assert len(backups(file.parent / "backups")) == 1


async def test_without_a_copy_there_is_no_migration(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the copy can't be made the schema stays as it was."""
    await filled(file)
    (file.parent / "backups").write_text("a file in the folder's place")
    monkeypatch.setattr(schema, "migrations", lambda: LATER)
    with pytest.raises(DatabaseError, match="could not be copied"):
        await Database.open(file)
    assert checks.version(file) == NEWEST


async def test_killed_migrations_leave_one_copy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try makes a copy first; those that hold the same, bit for bit, are one. Others are left to the owner."""
    await filled(file)
    folder = file.parent / "backups"
    older = back_up(file, folder / name_for(NOON, before_schema=NEWEST + 1))
    await filled(file, jobs=1)
    for number, after in enumerate((0, 1, 3, 2), 1):
        await forked.dying_store(file, after, json.dumps(LATER[-1:]))
        made = backups(folder)[0].path  # as if it had been some time ago: these all come within a second
        made.rename(folder / name_for(NOON + number, before_schema=NEWEST + 1))
    monkeypatch.setattr(schema, "migrations", lambda: LATER)
    await (await Database.open(file)).close()
    kept = [found.path for found in backups(folder)]
    assert len(kept) == 2
    assert kept[-1] == older
    assert [checks.verify(path) for path in kept] == [[], []]
    assert len(ids(kept[0])) == len(ids(file)) == 21


# ------------------------------------------------------------------ what was left half-made


def left_behind(folder: Path, maker: int | str, *, age_s: float = 0.0) -> list[Path]:
    """A half-made copy and its logs, as a killed program leaves them."""
    folder.mkdir(exist_ok=True)
    names = [
        f".easel-20261129T041903Z.sqlite3.{maker}.part{suffix}" for suffix in ("", "-journal", "-wal", "-shm")
    ]
    for name in names:
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age_s, time.time() - age_s))
    return [folder / name for name in names]


def a_dead_one() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


async def test_a_start_takes_half_made_copies_away(file: Path) -> None:
    """Those of programs that died, beside the database (a restore's) and among the backups; no living program's."""
    await filled(file)
    dead, alive = a_dead_one(), os.getppid()
    gone = [
        path
        for folder in (file.parent, file.parent / "backups")
        for maker in (dead, os.getpid(), "2147483646")
        for path in left_behind(folder, maker)
    ]
    kept = [
        *left_behind(file.parent / "backups", alive),
        file.parent / ".easel.part",
        file.parent / ".x.part",
    ]
    for path in kept:
        path.touch()
    await (await Store.open(file)).close()
    assert [path for path in gone if path.exists()] == []
    assert all(path.exists() for path in kept)


def test_a_copy_that_takes_more_than_an_hour_is_none(tmp_path: Path) -> None:
    """A number that was given to another program keeps nothing for ever; what we make now stays."""
    old, ours = left_behind(tmp_path, os.getppid(), age_s=3700), left_behind(tmp_path, os.getpid())
    assert backup.sweep(tmp_path) == len(old)
    assert sorted(tmp_path.iterdir()) == sorted(ours)


async def test_a_new_database_needs_no_copy(file: Path) -> None:
    """Nothing is backed up before there is anything."""
    await (await Store.open(file)).close()
    assert not (file.parent / "backups").exists()


@pytest.mark.parametrize("after", range(4))
async def test_an_existing_database_survives_kill_9_at_every_statement(
    file: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after any statement of a migration: the old schema with every row, a good copy, and a next start that works."""
    await filled(file)
    before = ids(file)
    assert await forked.dying_store(file, after, json.dumps(LATER[-1:])) == -signal.SIGKILL
    assert checks.version(file) == NEWEST
    assert checks.damage(file, thorough=True) == []
    assert ids(file) == before
    assert [checks.verify(kept.path) for kept in backups(file.parent / "backups")] == [[]]
    monkeypatch.setattr(schema, "migrations", lambda: LATER)
    await (await Database.open(file)).close()
    assert checks.version(file) == NEWEST + 1
    assert ids(file) == before


# ------------------------------------------------------------------ the way back


async def test_a_restore_brings_back_what_was_and_keeps_what_it_replaces(file: Path, tmp_path: Path) -> None:
    """After it the store knows the backup's jobs; the replaced database lies beside it, complete with its log."""
    await filled(file, jobs=3)
    copy = back_up(file, tmp_path / "copy.sqlite3")
    store = await Store.open(file)
    later = await admitted(store)
    # as after kill -9: what came later is only in the log
    for suffix in ("", "-wal"):
        (tmp_path / f"left{suffix}").write_bytes(file.with_name(file.name + suffix).read_bytes())
    await store.close()
    for suffix in ("", "-wal"):
        (tmp_path / f"left{suffix}").replace(file.with_name(file.name + suffix))

    kept = restore(file, copy, now=NOON)

    assert ids(file) == [1, 2, 3]
    assert not file.with_name(f"{file.name}-wal").exists()
    assert kept is not None
    assert kept == file.with_name(f"replaced-20231114T221320Z-{file.name}")
    assert ids(kept) == [1, 2, 3, later.id]
    again = await Store.open(file)
    try:
        assert await again.history.audit() == []
        assert (await admitted(again)).id == later.id + 1
    finally:
        await again.close()


async def test_numbers_are_not_given_twice(file: Path, tmp_path: Path) -> None:
    """Where the replaced file can't even tell its last number, new jobs get numbers far beyond any button's."""
    await filled(file, jobs=3)
    copy = back_up(file, tmp_path / "copy.sqlite3")
    file.write_bytes(b"no database any more" * 300)
    assert restore(file, copy, now=NOON) is not None
    again = await Store.open(file)
    try:
        assert (await admitted(again)).id == 3 + backup.IDS_SKIPPED + 1
    finally:
        await again.close()


async def test_a_bad_backup_replaces_nothing(file: Path, tmp_path: Path) -> None:
    """A copy that does not hold is refused, and the database stays as it was, byte for byte."""
    await filled(file)
    copy = back_up(file, tmp_path / "copy.sqlite3")
    before = file.read_bytes()
    damaged(copy)
    with pytest.raises(DatabaseError, match=r"copy\.sqlite3 can't be used"):
        restore(file, copy, now=NOON)
    assert file.read_bytes() == before
    with pytest.raises(DatabaseError, match="is not there"):
        restore(file, tmp_path / "nothing", now=NOON)
    (tmp_path / "empty").touch()
    with pytest.raises(DatabaseError, match="it is empty"):
        restore(file, tmp_path / "empty", now=NOON)
    assert file.read_bytes() == before
    assert {path.name.removesuffix("-wal").removesuffix("-shm") for path in tmp_path.iterdir()} == {
        *("copy.sqlite3", "easel.sqlite3", "empty")
    }


KILLED_RESTORE = """
import os, signal, sys
from pathlib import Path
from bot.store import backup

file, copy, at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
count = 0


def deadly(name):
    real = getattr(Path, name)

    def call(*arguments, **options):
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(Path, name, call)


for name in ("touch", "replace", "unlink", "hardlink_to"):
    deadly(name)
backup.restore(file, copy, now=1_700_000_000.0)
"""


async def killed_restore(file: Path, copy: Path, at: int) -> bool:
    """A restore in a process of its own that dies before its at-th change of a file; whether it died."""
    command = [sys.executable, "-c", KILLED_RESTORE, str(file), str(copy), str(at)]
    ended = await asyncio.to_thread(subprocess.run, command, check=False)
    assert ended.returncode in (0, -signal.SIGKILL)
    return ended.returncode != 0


async def test_a_restore_killed_anywhere_is_whole_or_refused(file: Path, tmp_path: Path) -> None:
    """Killed before each change of a file: the old database works as before, or no start until it is repeated."""
    await filled(file, jobs=3)
    copy = back_up(file, tmp_path / "copy.sqlite3")
    await filled(file, jobs=1)
    log = file.with_name(f"{file.name}-wal")
    log.touch()
    ends: list[str] = []
    while await killed_restore(file, copy, len(ends) + 1):
        try:
            await (await Store.open(file)).close()
            assert ids(file) == [1, 2, 3, 4]
            ends.append("as before")
        except Unusable as problem:
            ends.append(str(problem))
        log.touch()
    refused = {end for end in ends if end != "as before"}
    assert refused == {
        f"The database {file} can't be opened: A restore of {file} was interrupted: run `easel restore` again."
    }
    assert ends.count("as before") >= 4
    assert len(ends) - ends.count("as before") >= 4
    assert ids(file) == [1, 2, 3]
    await (await Store.open(file)).close()
    assert any(ids(path) == [1, 2, 3, 4] for path in file.parent.glob("replaced-*.sqlite3"))


async def test_jobs_of_a_backup_are_taken_up(file: Path, tmp_path: Path) -> None:
    """A job that was in line when the backup was made is in line again, and can end as any other."""
    store = await Store.open(file)
    job = await running(store)
    copy = tmp_path / "copy.sqlite3"
    await store.back_up(copy)
    await store.close()
    restore(file, copy, now=NOON)
    again = await Store.open(file)
    try:
        assert await again.jobs.live() == [job]
        assert sure(await again.jobs.requeued(job, faults=0)).state is JobState.QUEUED
    finally:
        await again.close()


async def test_a_stranger_who_holds_the_whole_file_is_not_waited_for_for_ever(
    file: Path, tmp_path: Path
) -> None:
    """A copy gives up with a sentence instead of hanging in its thread."""
    await filled(file, jobs=1)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as stranger:
        stranger.execute("PRAGMA locking_mode=EXCLUSIVE")
        stranger.execute("BEGIN IMMEDIATE")
        stranger.execute("INSERT INTO note VALUES ('a', 'b')")
        stranger.execute("COMMIT")
        with pytest.raises(DatabaseError):
            await asyncio.to_thread(back_up, file, tmp_path / "copy.sqlite3", patience_s=0.3)
    assert not (tmp_path / "copy.sqlite3").exists()

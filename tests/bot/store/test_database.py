"""The one connection: nothing interleaves, nothing stays open, strangers and half-made schemas do no harm."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from bot.limits import LimitEntry, Subject
from bot.store import Store, schema, upkeep
from bot.store import db as database_module
from bot.store.checks import check
from bot.store.db import Database, DatabaseError
from bot.store.finished import Search
from bot.store.schema import migrations, statements
from tests.kit import forked
from tests.kit.books import GUILD, NOON, admission, admitted, delivered

NEWEST = migrations()[-1][0]


async def add_note(connection: aiosqlite.Connection, key: str, value: str = "x") -> None:
    await connection.execute_fetchall("INSERT INTO note VALUES (?, ?)", (key, value))


@contextlib.contextmanager
def stranger(file: Path) -> Iterator[sqlite3.Connection]:
    """Another program that holds the write lock."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def writer_held(store: Store) -> Iterator[None]:
    """Keeps the writing thread from executing anything, so that a test decides how far a statement came."""
    gate = threading.Event()
    waiting = asyncio.ensure_future(store.database._writer._execute(gate.wait))
    try:
        yield
    finally:
        gate.set()
        waiting.add_done_callback(lambda done: done.exception())


async def hops(count: int = 10) -> None:
    """Lets every task come as far as it can without the writing thread."""
    for _ in range(count):
        await asyncio.sleep(0)


# ------------------------------------------------------------------ one writer


async def test_nothing_is_written_between_the_statements_of_a_transaction(store: Store) -> None:
    """Among two hundred concurrent writes and ten transactions each transaction's statements stay together."""
    seen: list[str] = []
    await store.database._writer.set_trace_callback(seen.append)

    async def transaction(number: int) -> None:
        async with store.database.tx() as connection:
            for part in range(3):
                await add_note(connection, f"tx-{number}-{part}")
                await asyncio.sleep(0)

    writes = [store.settings.set_note(f"note-{number}", "x") for number in range(200)]
    work = [*writes, *(transaction(number) for number in range(10))]
    await asyncio.gather(*work[::7], *(each for index, each in enumerate(work) if index % 7))

    blocks = "\n".join(seen).split("BEGIN IMMEDIATE\n")[1:]
    inside = [block.split("COMMIT")[0].splitlines() for block in blocks]
    assert len(inside) == 10
    for number, lines in enumerate(inside):
        assert len(lines) == 3, lines
        assert len({line.split("tx-")[1].split("-")[0] for line in lines}) == 1, (number, lines)
    (row,) = await store.database.read("SELECT COUNT(*) AS n FROM note", {})
    assert row["n"] == 230


async def test_concurrent_read_modify_write_loses_nothing(store: Store) -> None:
    """Fifty transactions that each read a number and write it back plus one add up to fifty."""
    await store.settings.set_note("n", "0")

    async def increment() -> None:
        async with store.database.tx() as connection:
            ((value,),) = await connection.execute_fetchall("SELECT value FROM note WHERE key = 'n'")
            await connection.execute_fetchall("UPDATE note SET value = ?", (str(int(value) + 1),))

    await asyncio.gather(*(increment() for _ in range(50)))
    assert await store.settings.note("n") == "50"


async def test_a_reader_sees_no_half_of_a_transaction(store: Store) -> None:
    """Reads go on while a transaction is open and see only what is committed."""
    async with store.database.tx() as connection:
        await add_note(connection, "a")
        assert await store.settings.note("a") is None
    assert await store.settings.note("a") == "x"


async def test_the_reader_cannot_write(store: Store) -> None:
    """The connection for history and audits is read-only, whatever is asked of it."""
    with pytest.raises(DatabaseError, match="readonly"):
        await store.database.read("DELETE FROM note", {})


async def test_an_error_inside_a_transaction_undoes_all_of_it(store: Store) -> None:
    """What the failing transaction wrote is gone, and the next one starts clean."""

    async def work() -> None:
        async with store.database.tx() as connection:
            await add_note(connection, "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert await store.settings.note("a") is None
    await store.settings.set_note("b", "x")
    assert await store.settings.note("b") == "x"


# ------------------------------------------------------------------ cancelled tasks


async def _two_notes(store: Store, reached: asyncio.Event) -> None:
    async with store.database.tx() as connection:
        await add_note(connection, "a")
        reached.set()
        await asyncio.sleep(3600)


async def is_in_transaction(store: Store) -> bool:
    """Whether one is open once the writing thread has done all it was given."""
    connection = store.database._writer
    return await connection._execute(lambda: connection._conn.in_transaction)


async def _usable_and_empty(store: Store) -> None:
    """No transaction is open, nothing of the cancelled one is stored, and the next ones work."""
    assert not await is_in_transaction(store)
    assert await store.settings.note("a") is None
    await store.settings.set_note("next", "x")
    async with store.database.tx() as connection:
        await add_note(connection, "after")
    assert (await store.settings.note("next"), await store.settings.note("after")) == ("x", "x")


async def test_a_task_cancelled_inside_a_transaction_leaves_none_open(store: Store) -> None:
    """A cancelled task's transaction is undone before anybody else writes."""
    reached = asyncio.Event()
    task = asyncio.ensure_future(_two_notes(store, reached))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _usable_and_empty(store)


async def test_a_task_cancelled_while_its_transaction_begins_leaves_none_open(store: Store) -> None:
    """A BEGIN that was on its way to the writing thread when its task was cancelled is undone."""
    with writer_held(store):
        task = asyncio.ensure_future(_two_notes(store, asyncio.Event()))
        await hops()
        task.cancel()
        await hops()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _usable_and_empty(store)


async def test_a_task_cancelled_while_it_commits_is_cancelled_and_leaves_none_open(store: Store) -> None:
    """A task cancelled at its COMMIT ends as cancelled, not with an error; all or nothing is stored."""
    entered, go = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with store.database.tx() as connection:
            await add_note(connection, "a")
            await add_note(connection, "b")
            entered.set()
            await go.wait()

    task = asyncio.ensure_future(work())
    await entered.wait()
    with writer_held(store):
        go.set()
        await hops()
        task.cancel()
        await hops()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not await is_in_transaction(store)
    assert (await store.settings.note("a"), await store.settings.note("b")) in ((None, None), ("x", "x"))
    await store.settings.set_note("next", "x")


async def test_a_cancelled_write_is_whole_or_absent(store: Store) -> None:
    """A write whose task was cancelled holds nobody up and leaves no transaction."""
    with writer_held(store):
        task = asyncio.ensure_future(store.settings.set_note("a", "x"))
        await hops()
        task.cancel()
        await hops()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.settings.set_note("b", "x")
    assert not await is_in_transaction(store)
    assert await store.settings.note("a") in (None, "x")
    assert await store.settings.note("b") == "x"


# ------------------------------------------------------------------ strangers


async def test_a_strangers_lock_is_told_in_time_and_stores_nothing(store: Store, file: Path) -> None:
    """While another program holds the lock, every kind of write gives DatabaseError before Discord has waited for 3 s; reads go on."""
    entry = LimitEntry.of(Subject.EVERYONE, 0, {"pending": 1})
    with stranger(file):
        for write in (
            lambda: store.jobs.admit(admission(), NOON),
            lambda: store.settings.set_limits(GUILD, entry, by_user_id=1, now=NOON),
        ):
            begun = time.monotonic()
            with pytest.raises(DatabaseError, match="busy"):
                await write()
            assert 0.5 < time.monotonic() - begun < 2.8
        assert await store.jobs.live() == []
    assert await store.jobs.live() == []
    assert await store.settings.limits(GUILD) == []
    assert await admitted(store)
    assert await store.settings.set_limits(GUILD, entry, by_user_id=1, now=NOON)


async def test_the_loop_turns_while_a_write_waits_for_a_stranger(store: Store, file: Path) -> None:
    """Waiting for a lock happens on the writing thread: the event loop never stands still for it."""
    with stranger(file):
        task = asyncio.ensure_future(store.settings.set_note("a", "x"))
        longest, last = 0.0, time.monotonic()
        while not task.done():
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        with pytest.raises(DatabaseError):
            await task
    assert longest < 0.8


async def test_a_short_lock_is_waited_for(store: Store, file: Path) -> None:
    """A stranger who lets go within the timeout costs a moment, not the write."""
    with stranger(file) as other:
        task = asyncio.ensure_future(store.settings.set_note("a", "x"))
        await asyncio.sleep(0.2)
        assert not task.done()
        other.execute("COMMIT")
        await task
    assert await store.settings.note("a") == "x"


async def test_an_open_transaction_of_ours_is_not_a_stranger(store: Store) -> None:
    """Our own writers wait for each other as long as it takes, well over the timeout for strangers."""
    async with store.database.tx() as connection:
        other = asyncio.ensure_future(store.settings.set_note("b", "x"))
        await asyncio.sleep(database_module.BUSY_TIMEOUT_S + 0.3)
        await add_note(connection, "a")
        assert not other.done()
    await other
    assert (await store.settings.note("a"), await store.settings.note("b")) == ("x", "x")


# ------------------------------------------------------------------ opening


async def test_the_files_settings_are_those_of_the_design(store: Store) -> None:
    """The journal is a WAL, every commit reaches the disk, foreign keys hold."""
    connection = store.database._writer
    values = {
        name: next(row[0] for row in await connection.execute_fetchall(f"PRAGMA {name}"))
        for name in ("journal_mode", "synchronous", "foreign_keys", "user_version")
    }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "user_version": NEWEST}


async def test_a_second_open_changes_nothing(store: Store, file: Path) -> None:
    """Migrations run once: opening again keeps every row and the schema, word for word."""
    await delivered(store)
    sql = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    before = [tuple(row) for row in await store.database.read(sql, {})]
    again = await Store.open(file)
    try:
        assert [tuple(row) for row in await again.database.read(sql, {})] == before
        assert len((await again.history.page(guild_id=GUILD, user_id=1, offset=0, count=5))[0]) == 1
    finally:
        await again.close()


async def test_missing_folders_are_made_private(tmp_path: Path) -> None:
    """The data folder is created where it is missing and is nobody else's to read."""
    store = await Store.open(tmp_path / "new" / "easel.sqlite3")
    await store.close()
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


async def test_a_newer_schema_is_refused_in_a_sentence(file: Path) -> None:
    """A database of a later Easel is left alone, and the owner is told what to do."""
    await (await Store.open(file)).close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version={NEWEST + 1}")
    with pytest.raises(DatabaseError, match=rf"schema {NEWEST + 1} is newer .* install the newer Easel"):
        await Store.open(file)
    assert [f"schema {NEWEST + 1}" in problem for problem in check(file)] == [True]


@pytest.mark.parametrize("content", [b"this is no database " * 100, bytes(range(256)) * 32])
async def test_another_kind_of_file_is_refused_in_a_sentence(file: Path, content: bytes) -> None:
    """A file that is no database is named in a sentence and is not overwritten."""
    file.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"easel\.sqlite3 can't be opened"):
        await Store.open(file)
    assert file.read_bytes() == content
    assert check(file)


async def test_a_folder_in_the_files_place_is_refused_in_a_sentence(file: Path) -> None:
    """An impossible path is a sentence too."""
    file.mkdir()
    with pytest.raises(DatabaseError, match="can't be opened"):
        await Store.open(file)


async def test_a_closed_store_can_be_opened_again(file: Path) -> None:
    """What was written is there after a close, in the file itself."""
    store = await Store.open(file)
    job = await admitted(store)
    await store.close()
    again = await Store.open(file)
    try:
        assert await again.jobs.live() == [job]
    finally:
        await again.close()


# ------------------------------------------------------------------ migrations


def test_migrations_are_numbered_without_a_gap() -> None:
    """The first is that of the first schema and each next one follows: a version says which scripts have run."""
    assert [number for number, _ in migrations()] == list(range(schema.FIRST, NEWEST + 1))


def test_statements_are_cut_where_they_end() -> None:
    """Semicolons in comments, texts and triggers end no statement."""
    script = textwrap.dedent("""\
        -- one; two
        CREATE TABLE a (x TEXT DEFAULT ';');
        CREATE TRIGGER t AFTER INSERT ON a BEGIN
          UPDATE a SET x = 'y';
        END;
        INSERT INTO a VALUES ('--');
        """)
    pieces = list(statements(script))
    assert [piece.split()[-1] for piece in pieces] == ["';');", "END;", "('--');"]
    assert "".join(pieces) == script
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for piece in pieces:
            connection.execute(piece)


SCRIPT = [
    (1, "CREATE TABLE a (x);\nCREATE TABLE b (x);\n"),
    (2, "CREATE TABLE c (x);\nDROP TABLE nothing;\n"),
]


async def test_a_migration_that_fails_is_undone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version before the failing migration stays, complete; the owner gets a sentence."""
    monkeypatch.setattr(schema, "migrations", lambda: SCRIPT)
    with pytest.raises(DatabaseError, match="nothing"):
        await Database.open(file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert tables == {"a", "b"}


STATEMENTS = [number for number, script in migrations() for _ in statements(script)]
"""For each statement of them all the migration that it belongs to."""


@pytest.mark.parametrize("after", range(len(STATEMENTS) + 1))
async def test_kill_in_the_middle_of_a_migration(file: Path, after: int) -> None:
    """Killed by SIGKILL after any statement of it, a migration has happened completely or not at all."""
    assert await forked.dying_store(file, after) == -signal.SIGKILL
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert version in (0, STATEMENTS[max(0, after - 1)] - 1)
    assert version >= schema.FIRST or STATEMENTS[max(0, after - 1)] == schema.FIRST
    assert bool(tables) == bool(version)
    store = await Store.open(file)
    try:
        assert await admitted(store)
    finally:
        await store.close()
    assert check(file) == []


# ------------------------------------------------------------------ the check of a file


async def _filled(file: Path) -> None:
    store = await Store.open(file)
    for number in range(60):
        await admitted(store, user=number)
    await store.close()


async def test_a_good_file_passes_the_check(file: Path) -> None:
    """Nothing is said about a sound database, open or closed, nor about one that is not there yet."""
    assert check(file) == []
    assert not file.exists()
    await _filled(file)
    assert check(file) == []
    store = await Store.open(file)
    await admitted(store)
    assert check(file) == []
    await store.close()


async def test_a_damaged_page_is_found(file: Path) -> None:
    """Bytes flipped in the middle of a page of the job table are found and told in sentences."""
    await _filled(file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(file.read_bytes())
    damaged = [
        page for page in range(1, len(content) // size) if b"a red circle" in _page(content, page, size)
    ]
    assert damaged
    start = damaged[len(damaged) // 2] * size + size // 2
    content[start : start + size // 4] = bytes(255 - byte for byte in content[start : start + size // 4])
    file.write_bytes(content)
    problems = check(file)
    assert problems
    assert all(problem.startswith(str(file)) and problem.endswith(".") for problem in problems)


def _page(content: bytearray, page: int, size: int) -> bytearray:
    return content[page * size : (page + 1) * size]


async def test_a_cut_file_is_found(file: Path) -> None:
    """A database that lost its end, as after a full disk, is found."""
    await _filled(file)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert check(file)


async def test_the_check_writes_nothing(file: Path) -> None:
    """Checking leaves the file as it was, byte for byte."""
    await _filled(file)
    before = file.read_bytes()
    check(file)
    assert file.read_bytes() == before


def test_told_to_stop_while_it_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while SQLite opens the file: no thread is left that reports to a loop which is closed by then."""
    begun, may_go, unhandled = threading.Event(), threading.Event(), list[object]()
    connect = sqlite3.connect

    def slow_disk(*arguments: Any, **options: Any) -> sqlite3.Connection:
        begun.set()
        may_go.wait(20)
        return connect(*arguments, **options)

    async def told_to_stop() -> None:
        opening = asyncio.create_task(Database.open(tmp_path / "easel.sqlite3"))
        await asyncio.to_thread(begun.wait, 20)
        opening.cancel()
        asyncio.get_running_loop().call_later(0.05, may_go.set)
        with pytest.raises(asyncio.CancelledError):
            await opening

    before = set(threading.enumerate())
    monkeypatch.setattr(sqlite3, "connect", slow_disk)
    monkeypatch.setattr(threading, "excepthook", unhandled.append)
    asyncio.run(told_to_stop())
    may_go.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(20)

    assert unhandled == []


# ------------------------------------------------------------------ upkeep


async def index_parts(store: Store) -> int:
    rows = await store.database.read("SELECT COUNT(DISTINCT segid) AS parts FROM job_words_idx", {})
    return int(rows[0]["parts"])


async def test_no_delivery_waits_for_the_index_to_merge_its_parts(store: Store) -> None:
    """Each picture that becomes searchable adds a part; SQLite by itself would have every fourth one merge them."""
    for number in range(16):
        await delivered(store)
        assert await index_parts(store) == number + 1


async def test_the_index_is_merged_behind_the_answers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many changes, a piece at a time; nothing is lost, and what is found stays found."""
    jobs = [await delivered(store) for _ in range(12)]
    monkeypatch.setattr(upkeep, "DUE_AFTER", 1)
    await store.settings.set_note("last", "x")
    await store.database._upkeep.ended()
    assert await index_parts(store) == 1
    found = await store.history.search(
        Search(words="circle"), guild_id=GUILD, user_id=1, channels=(), offset=0, count=99
    )
    assert {job.id for job in found.jobs} == {job.id for job in jobs}
    await store.database.write(
        "INSERT INTO job_words (job_words) VALUES (:check)", {"check": "integrity-check"}
    )


async def test_an_answer_waits_for_one_piece_of_a_merge(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks while many pieces are merged is next; what is left is merged later."""
    monkeypatch.setattr(upkeep, "PAGES", 1)
    for number in range(60):
        words = " ".join(f"word{number}x{each}" for each in range(200))
        await store.database.write(
            "INSERT INTO job_words (rowid, prompt) VALUES (:id, :words)", {"id": number, "words": words}
        )
    seen: list[str] = []
    await store.database._upkeep._connection.set_trace_callback(seen.append)

    def pieces() -> int:
        return sum(statement.startswith("INSERT INTO job_words (job_words, rank)") for statement in seen)

    monkeypatch.setattr(upkeep, "DUE_AFTER", 1)
    await store.settings.set_note("first", "x")
    monkeypatch.setattr(upkeep, "DUE_AFTER", 100)
    while not (before := pieces()):
        await hops(1)
    await store.settings.set_note("second", "x")
    assert pieces() - before <= 1
    await store.database._upkeep.ended()
    assert pieces() > 3


async def test_a_strangers_lock_puts_merges_off_and_holds_up_nobody(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece that can't be written at once is left to the next time: nobody waits behind it."""
    for _ in range(5):
        await delivered(store)
    monkeypatch.setattr(upkeep, "DUE_AFTER", 1)
    with stranger(file):
        store.database._upkeep.changed()
        await asyncio.wait_for(store.database._upkeep.ended(), database_module.BUSY_TIMEOUT_S / 2)
    assert await index_parts(store) == 5
    await store.settings.set_note("last", "x")
    await store.database._upkeep.ended()
    assert await index_parts(store) == 1


async def test_the_log_is_moved_into_the_file_beside_the_answers(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many changes, by a connection of its own; who still reads what was before only puts it off."""
    monkeypatch.setattr(upkeep, "DUE_AFTER", 5)

    def moved() -> int:
        """Notes in the file itself."""
        with contextlib.closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)
        ) as alone:
            return int(alone.execute("SELECT COUNT(*) FROM note").fetchone()[0])

    async def noted(*numbers: int) -> None:
        for number in numbers:
            await store.settings.set_note(f"key-{number}", "x")
        await store.database._upkeep.ended()

    await noted(*range(5))
    assert moved() == 5
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as slow:
        slow.execute("BEGIN")
        assert slow.execute("SELECT COUNT(*) FROM note").fetchone() == (5,)
        await noted(*range(5, 10))
        assert moved() == 5
        assert await store.settings.note("key-9") == "x"
    await noted(*range(10, 15))
    assert moved() == 15

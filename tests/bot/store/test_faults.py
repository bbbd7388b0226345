"""A disk that fails at the n-th write, for every n: each change of a job happens completely or not at all.

After every single fault the live database, and a copy of its files as a power cut would leave them, are sound, and
the rows agree with the books.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.job import Job, JobState, Reason, Refusal
from bot.limits import LimitEntry, Subject
from bot.store import Store, checks, schema, upkeep
from bot.store.db import Database, DatabaseError
from tests.kit import books
from tests.kit.books import GUILD, NOON, admission, images_of
from tests.kit.faulty_disk import FaultyDisk, faulty_disk

Make = Callable[[Store], Awaitable[Job | None]]
Act = Callable[[Store, Job | None], Awaitable[object]]


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    with faulty_disk() as disk:
        yield disk


@pytest.fixture
async def faulty(disk: FaultyDisk, file: Path) -> AsyncIterator[Store]:
    """A store on the faulty disk that moves its log into the file at every commit, so that this fails too."""
    opened = await Store.open(file)
    await opened.database._writer.execute_fetchall("PRAGMA wal_autocheckpoint=1")
    yield opened
    disk.disarm()
    await opened.close()


async def _nothing(_store: Store) -> None:
    return None


def _move(name: str, **values: Any) -> Act:
    async def act(store: Store, job: Job | None) -> object:
        assert job is not None
        given = {key: value(job) if callable(value) else value for key, value in values.items()}
        return await getattr(store.jobs, name)(job, **given)

    return act


async def _admit(store: Store, _job: Job | None) -> object:
    return await store.jobs.admit(admission(interaction=INTERACTION), NOON)


async def _limits(store: Store, _job: Job | None) -> object:
    entry = LimitEntry.of(Subject.EVERYONE, 0, {"pending": 2, "max_steps": 20, "max_images": 2})
    return await store.settings.set_limits(GUILD, entry, by_user_id=1, now=NOON)


INTERACTION = 10**9
CHANGES: dict[str, tuple[Make, Act]] = {
    "admit": (_nothing, _admit),
    "queued": (books.admitted, _move("queued", message_id=1, now=NOON)),
    "running": (books.queued, _move("running", now=NOON)),
    "requeued": (books.running, _move("requeued", faults=1)),
    "rendered": (books.running, _move("rendered", images=images_of, seconds=1.0, notes=(), charged=1)),
    "delivered": (books.rendered, _move("delivered", message_id=1, now=NOON)),
    "failed": (books.running, _move("failed", reason=Reason.told("It broke."), now=NOON)),
    "cancelled": (books.running, _move("cancelled", reason=Reason.told("No."), charged=1, now=NOON)),
    "purge_tokens": (books.delivered, lambda store, _: store.jobs.purge_tokens(before=NOON + 1)),
    "set_limits": (_nothing, _limits),
}


def rows(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is stored, whoever reads it; row numbers of the log of limits do not matter."""
    tables = ("job", "limits", "guild", "note")
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        content = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables
        }
        content["log"] = connection.execute("SELECT deed, details FROM audit").fetchall()
    return content


def power_cut(file: Path, folder: Path) -> Path:
    """The files as they lie on the disk in this moment, without those that only memory holds."""
    folder.mkdir()
    for suffix in ("", "-wal"):
        if (part := file.with_name(file.name + suffix)).exists():
            shutil.copyfile(part, folder / part.name)
    return folder / file.name


def assert_sound(file: Path) -> None:
    assert checks.damage(file, thorough=True) == []
    assert checks.audit(file) == []


@pytest.mark.parametrize(
    ("forever", "is_full"), [(False, False), (True, True)], ids=["io_error_once", "disk_full_from_then_on"]
)
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_whole_or_absent_at_whichever_write_the_disk_fails(
    change: str,
    forever: bool,
    is_full: bool,
    faulty: Store,
    disk: FaultyDisk,
    file: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """The n-th write fails, n = 1, 2, 3 …: an error means nothing is stored, and the same call repeated succeeds."""
    make, act = CHANGES[change]
    total = refused = at = 0
    while True:
        at += 1
        job = await make(faulty)
        before = rows(file)
        disk.arm(at, forever=forever, is_full=is_full)
        try:
            told = await act(faulty, job)
            error = None
        except DatabaseError as problem:
            told, error = None, problem
        cut = power_cut(file, tmp_path / f"cut-{at}")
        injected = disk.disarm()
        total += injected
        refused += error is not None

        assert_sound(file)
        assert_sound(cut)
        after = rows(file)
        if error is not None:
            assert injected
            assert after == before
            told = await act(faulty, job)  # whoever promised it repeats it
            after = rows(file)
            assert rows(cut) in (before, after)
        else:
            # only moving the log into the file may fail unseen: what was confirmed survives the power cut
            assert rows(cut) == after
        assert after != before
        assert not isinstance(told, Refusal)
        assert_sound(file)
        if not injected:
            break
        await _undo(faulty, change)
    print(f"{change}: {total} faults injected at {at - 1} places, {refused} of them refused the change")
    record_property("faults_injected", total)
    assert total >= at - 1 >= 3
    assert refused >= 3


async def _undo(store: Store, change: str) -> None:
    """Lets a change that has no job of its own be made again."""
    if change == "admit":
        await store.database.write("DELETE FROM job WHERE interaction_id = :number", {"number": INTERACTION})
    if change == "set_limits":
        await store.settings.reset_limits(GUILD, Subject.EVERYONE, 0, by_user_id=1, now=NOON)


async def test_a_disk_that_fills_up_holds_what_was_promised(store: Store, file: Path) -> None:
    """SQLite's own full disk (`max_page_count`): admissions are refused in a sentence, the jobs in line can all end.

    Whether a row that grows still fits into its page depends on the rows beside it, so all numbers are fixed here; what
    keeps the promise on a real disk is the room below which nothing new is taken (tests/bot/core/line/test_disk.py).
    """
    jobs = [await books.rendered(store, interaction=1000 + number) for number in range(20)]
    writer = store.database._writer
    await writer.execute_fetchall("PRAGMA max_page_count=1")  # it can't shrink: no page more than there are
    taken = 0

    async def fill() -> None:
        nonlocal taken
        while taken < 1000:
            assert isinstance(await store.jobs.admit(admission(interaction=2000 + taken), NOON), Job)
            taken += 1

    with pytest.raises(DatabaseError, match="disk is full"):
        await fill()
    assert len(await store.jobs.live()) == len(jobs) + taken
    for job in jobs:
        assert await store.jobs.delivered(job, message_id=1, now=NOON)
    assert_sound(file)
    await writer.execute_fetchall("PRAGMA max_page_count=1000000")
    assert isinstance(await store.jobs.admit(admission(), NOON), Job)
    assert_sound(file)


async def test_a_mistake_of_ours_is_no_failing_disk(store: Store) -> None:
    """A wrong statement stays an exception with its traceback: nobody repeats it for ever."""
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        await store.database.write("UPDATE job SET nonsense = 1", {})
    job = await books.admitted(store)
    with pytest.raises(sqlite3.IntegrityError):
        await store.jobs._move(job, JobState.QUEUED, message_id=None, queued_at=None)


async def test_a_disk_that_fails_during_upkeep_harms_nothing(
    disk: FaultyDisk,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """Whichever write of the index's merging or the log's moving fails: nobody hears of it, and all is found as before."""
    monkeypatch.setattr(upkeep, "DUE_AFTER", 10**9)
    store = await Store.open(file)
    at = total = jobs = places = 0
    while True:
        at += 1 + at // 8  # the last of a hundred pages that are moved is no other than the one before
        places += 1
        for _ in range(4):
            jobs += 1
            await books.delivered(store)
        disk.arm(at, forever=bool(at % 2), is_full=bool(at % 3))
        with monkeypatch.context() as due:
            due.setattr(upkeep, "DUE_AFTER", 1)
            store.database._upkeep.changed()
        await store.database._upkeep.ended()
        cut = power_cut(file, tmp_path / f"cut-{at}")
        injected = disk.disarm()
        total += injected
        for each in (file, cut):
            assert_sound(each)
            assert found_in(each) == jobs
        await store.database.write(
            "INSERT INTO job_words (job_words) VALUES (:check)", {"check": "integrity-check"}
        )
        if not injected:
            break
    await store.close()
    print(f"upkeep: {total} faults injected at {places - 1} places")
    record_property("faults_injected", total)
    assert places > 10


def found_in(file: Path) -> int:
    """Rows that are found by a word of all of them."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        match = "SELECT COUNT(*) FROM job_words WHERE job_words MATCH 'circle'"
        return int(connection.execute(match).fetchone()[0])


async def test_a_disk_that_fails_during_a_backup_leaves_the_last_one(
    disk: FaultyDisk, file: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """At whichever write the copy fails: a sentence, nothing half-made, the backup before and the database unharmed."""
    store = await Store.open(file)
    await books.delivered(store)
    copy = tmp_path / "backups" / "copy.sqlite3"
    await store.back_up(copy)
    good = copy.read_bytes()
    await books.delivered(store)
    at = total = 0
    while True:
        at += 1
        disk.arm(at, forever=bool(at % 2), is_full=bool(at % 3))
        with contextlib.suppress(DatabaseError):
            await store.back_up(copy)
        if not (injected := disk.disarm()):
            break
        total += injected
        assert copy.read_bytes() == good
        assert list(copy.parent.iterdir()) == [copy]
    await store.close()
    print(f"backup: {total} faults injected at {at - 1} places")
    record_property("faults_injected", total)
    assert at > 5
    assert copy.read_bytes() != good
    assert_sound(copy)
    assert_sound(file)


async def test_a_disk_that_fails_during_a_start_harms_nothing(
    disk: FaultyDisk,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """At whichever write of a start with a migration: old schema or new, never between, every job there."""
    store = await Store.open(file)
    job = await books.delivered(store)
    await store.close()
    newest = schema.newest()
    later = [*schema.migrations(), (newest + 1, "CREATE TABLE extra (x);\nDROP TABLE audit;\n")]
    monkeypatch.setattr(schema, "migrations", lambda: later)
    pristine = file.read_bytes()
    at = total = failed = 0
    while True:
        at += 1
        for leftover in file.parent.glob(f"{file.name}*"):
            leftover.unlink()
        file.write_bytes(pristine)
        disk.arm(at, forever=bool(at % 2), is_full=bool(at % 3))
        try:
            opened = await Database.open(file)
        except DatabaseError:
            failed += 1
        else:
            injected_so_far = disk.injected
            disk.disarm()
            await opened.close()
            disk.injected = injected_so_far
        injected = disk.disarm()
        total += injected
        assert checks.damage(file, thorough=True) == []
        assert checks.version(file) in (newest, newest + 1)
        if not injected:
            break
        again = await Database.open(file)
        assert [row["id"] for row in await again.read("SELECT id FROM job", {})] == [job.id]
        await again.close()
        assert checks.version(file) == newest + 1
    print(f"start: {total} faults injected at {at - 1} places, {failed} of them stopped the start")
    record_property("faults_injected", total)
    assert failed > 5

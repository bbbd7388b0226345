"""What any version ever wrote is opened, read and understood by this one."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from bot.chat import ids
from bot.chat.tree import FEATURES
from bot.job import Job, JobState
from bot.limits import Night, Subject
from bot.store import Store, checks, db, schema
from bot.store.backup import backups
from bot.store.db import Database, Unusable
from bot.store.finished import Search
from bot.store.rule_words import WordKind
from bot.store.server_settings import Days
from engine.contract import GenerationRequest
from tests.kit import forked, new_databases, said
from tests.kit.books import NOON, admission

GOLDEN = Path(__file__).parent
VERSIONS = sorted(int(path.stem.removeprefix("schema-")) for path in GOLDEN.glob("schema-*.sqlite3"))
NEWEST = schema.newest()
GUILD, ADA, BEN = 810000000000000007, 820000000000000001, 820000000000000002
CLEO = 820000000000000003


@pytest.fixture(autouse=True)
def made_by_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "_prepare", new_databases.AS_IT_IS)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def file(version: int, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(GOLDEN / f"schema-{version}.sqlite3", tmp_path / "easel.sqlite3"))


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    opened = await Store.open(file)
    yield opened
    await opened.close()


def ask(file: Path, sql: str) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]


def table(file: Path, name: str) -> list[dict[str, Any]]:
    return ask(file, f"SELECT * FROM {name} ORDER BY 1")


# ------------------------------------------------------------------ the databases


def test_there_is_a_database_of_every_version() -> None:
    """Whoever adds a schema adds a database that it made."""
    assert list(range(1, NEWEST + 1)) == VERSIONS


async def test_an_old_database_is_migrated_once_with_a_backup(file: Path, version: int) -> None:
    """The first start keeps a copy of what it changes, a second one finds nothing to do; the checks are content."""
    before = table(file, "job")
    for _ in range(2):
        await (await Store.open(file)).close()
        kept = backups(file.parent / "backups")
        assert [checks.version(copy.path) for copy in kept] == ([version] if version < NEWEST else [])
        assert all(table(copy.path, "job") == before for copy in kept)
    assert checks.version(file) == NEWEST
    assert checks.check(file) == checks.damage(file, thorough=True) == checks.audit(file) == []


async def test_a_migrated_schema_is_the_new_one_word_for_word(file: Path, tmp_path: Path) -> None:
    """However it came to be, a database of this version has the tables and indexes of a new one."""
    for each in (file, tmp_path / "new.sqlite3"):
        await (await Store.open(each)).close()
    sql = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    assert ask(file, sql) == ask(tmp_path / "new.sqlite3", sql)


LIMITS_LOG = (
    "SELECT at, guild_id, by_user_id, subject, subject_id, field, old_value, new_value FROM limits_log"
)
LIMITS_AUDIT = """SELECT at, guild_id, by_user_id, details ->> 'subject' AS subject,
                         details ->> 'subject_id' AS subject_id, details ->> 'field' AS field,
                         details ->> 'old' AS old_value, details ->> 'new' AS new_value
                  FROM audit WHERE deed = 'limits' ORDER BY id"""


async def test_nothing_is_lost(file: Path) -> None:
    """Every value of every row is there afterwards; a reason that was a sentence is told as that sentence."""
    names = ["job", "limits", "guild", "note", "sqlite_sequence"]
    names += (
        ["copy", "preference", "favourite", "gallery_claim", "search"] if checks.version(file) >= 5 else []
    )
    before = {name: ask(file, f"SELECT * FROM {name}") for name in names}
    log = ask(file, LIMITS_LOG if checks.version(file) < 7 else LIMITS_AUDIT)
    store = await Store.open(file)
    try:
        for old in before.pop("job"):
            job = await store.jobs.get(old["id"])
            assert job is not None
            (new,) = ask(file, f"SELECT * FROM job WHERE id = {old['id']}")
            if "reason" in old:
                assert (said.why(job.reason) if job.reason else None) == old.pop("reason")
            if job.message_id is None and job.state is JobState.CANCELLED:
                old.pop("shown_at", None)
            assert {name: new[name] for name in old} == old
    finally:
        await store.close()
    assert len(before["limits"]) == len(log) == 3
    assert ask(file, LIMITS_AUDIT) == log
    assert {name: ask(file, f"SELECT * FROM {name}") for name in before} == before


async def test_every_row_is_read_as_it_always_was(store: Store, version: int) -> None:
    """What a row means, from its prompt to its end, is written down once and never changes."""
    told = json.loads((GOLDEN / "rows.json").read_text("utf-8"))[str(version)]
    assert told
    for row in told:
        job = await store.jobs.get(row["id"])
        assert job is not None
        read = facts(job)
        drawn = zip(row.pop("images"), read["images"], strict=True) if "images" in row else ()
        assert all({name: new[name] for name in old} == old for old, new in drawn)
        old, now = row.pop("request"), read.pop("request")
        assert {name: read[name] for name in row} == row
        assert {name: now[name] for name in old} == old
        since = {entry.name: entry.default for entry in fields(GenerationRequest) if entry.name not in old}
        assert {name: now[name] for name in since} == json.loads(json.dumps(since))


def facts(job: Job) -> dict[str, Any]:
    """A job as JSON has it, its reason as the sentence that is shown."""
    return json.loads(json.dumps({**asdict(job), "reason": said.why(job.reason) if job.reason else None}))


async def test_an_old_database_lives_on(store: Store, version: int) -> None:
    """Limits and zone hold, no number is given twice, history shows what it showed, and only what was owed is owed."""
    limits = await store.settings.limits(GUILD)
    assert {(entry.subject, tuple(entry.values.items())) for entry in limits} == {
        (Subject.EVERYONE, (("pending", 3),)),
        (Subject.ROLE, (("credits_per_day", 50),)),
        (Subject.MEMBER, (("credits_per_day", 0),)),
    }
    night = Night(begins=22, ends=6) if version >= 7 else None
    assert await store.settings.days(GUILD) == Days(time_zone="Europe/Rome", night=night)
    permits = {(entry.kind, entry.subject, entry.name) for entry in await store.permits.of(GUILD)}
    of_seven = {("model", "everyone", "fake"), ("model", "member", "other")}
    assert permits == (of_seven if version >= 7 else set())
    assert await store.settings.note("commands") == "digest-of-commands"
    assert {job.state for job in await store.jobs.live()} == {
        JobState.ACCEPTED,
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.RENDERED,
    }
    assert await store.jobs.blocked(now=1_800_000_000.0) == [(GUILD, BEN)]
    new = await store.jobs.admit(admission(parent=1), 1_800_000_000.0)
    assert isinstance(new, Job)
    assert new.id == 501


async def test_trainings_are_what_they_were(store: Store, version: int) -> None:
    """With their pictures; of one that is gone nothing is said, and yet it is paid for."""
    found = {each.name: each for each in await store.trainings.listed(GUILD, None)}
    if version < 8:
        assert not found
        return
    told = {
        name: (each.state, each.cost, each.charged, each.done, each.sharing) for name, each in found.items()
    }
    assert told == {
        "collects": ("collecting", 0, 0, 0, "maker"),
        "runs": ("running", 10, 10, 50, "maker"),
        "snail": ("done", 10, 10, 100, "role"),
        "half": ("cancelled", 10, 5, 50, "maker"),
    }
    pictures = await store.trainings.pictures(found["snail"].id)
    assert [(each.number, each.digest, each.caption) for each in pictures] == [
        (1, "1" * 64, "“déjà vu” 🎈"),
        (2, "2" * 64, "“déjà vu” 🎈"),
    ]


async def test_only_what_was_owed_is_owed(store: Store, version: int) -> None:
    """Nobody looks for the message of a job that nobody was told of; what was cancelled before its answer is looked for."""
    found = [job.id for job in await store.jobs.ends_to_find()]
    assert found == {1: [], 2: [], 3: [12], 4: [23], 5: [24], 6: [24], 7: [24], 8: [24]}[version]
    shown = [job.id for job in await store.jobs.ends_to_show()]
    assert (
        shown
        == {1: [], 2: [11], 3: [11], 4: [24, 25], 5: [25, 26], 6: [25, 26], 7: [25, 26], 8: [25, 26]}[version]
    )
    removed = [job.id for job in await store.jobs.removals_owed()]
    assert removed == {1: [], 2: [], 3: [13], 4: [31], 5: [32], 6: [32], 7: [34], 8: [34]}[version]


async def test_old_pictures_are_searched_and_starred(store: Store, version: int) -> None:
    """The words of every row that history shows are known at the first start; what was kept and looked for is kept."""
    where: dict[str, Any] = {"guild_id": GUILD, "user_id": ADA, "channels": (), "offset": 0, "count": 99}
    found = await store.history.search(Search(words='red "deja vu" fake'), **where)
    shown, _ = await store.history.page(guild_id=GUILD, user_id=ADA, offset=0, count=99)
    assert {job.id for job in found.jobs} == {job.id for job in shown} != set()
    starred = await store.history.search(Search(favourites=True), **where)
    assert [job.id for job in starred.jobs] == ([1] if version >= 5 else [])
    assert starred.starred == ({1: 1} if version >= 5 else {})
    words = Search(words='red "déjà vu"', model="fake", favourites=True)
    remembered = await store.history.remembered(1, guild_id=GUILD, user_id=ADA)
    assert remembered == (words if version >= 5 else None)


@pytest.mark.parametrize("version", [3], indirect=True)
async def test_version_3_may_have_an_index_more(file: Path) -> None:
    """The last checkouts of version 3 made one for ends to find, the others did not: both are brought here."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(
            """CREATE INDEX job_end_to_find ON job (id)
               WHERE state = 'cancelled' AND message_id IS NULL AND shown_at IS NULL"""
        )
    await (await Store.open(file)).close()
    assert (checks.version(file), checks.damage(file, thorough=True)) == (NEWEST, [])


@pytest.mark.parametrize("version", [1], indirect=True)
@pytest.mark.parametrize("after", [0, 1, 4, 7, 14, 17, 20, 30, 36, 1000])
async def test_kill_9_while_an_old_database_is_migrated(file: Path, version: int, after: int) -> None:
    """Killed after any statement, it is the old database, whole; the next start migrates it."""
    before = table(file, "job")
    script = schema._from_early(version, dict(schema.migrations())[schema.FIRST])
    after = min(after, len(list(schema.statements(script))))
    assert await forked.dying_store(file, after) == -signal.SIGKILL
    assert checks.version(file) == version
    assert table(file, "job") == before
    await (await Store.open(file)).close()
    assert checks.version(file) == NEWEST
    assert len(backups(file.parent / "backups")) <= 2


# ------------------------------------------------------------------ foreign keys

REBUILT = (
    schema.migrations()[0][1]
    .partition(") STRICT;")[0]
    .replace("CREATE TABLE job ", "CREATE TABLE new_job ")
    .replace(
        "removed_at     REAL,",
        "removed_at     REAL,\n  spoiler INTEGER NOT NULL DEFAULT 0, parts INTEGER NOT NULL DEFAULT 1,"
        " private INTEGER NOT NULL DEFAULT 0, weight INTEGER NOT NULL DEFAULT 1,"
        " flagged TEXT NOT NULL DEFAULT 'withhold', review TEXT, review_message_id INTEGER,"
        " erased_at REAL,",
    )
)
TRIGGERS = "".join(
    statement
    for statement in schema.statements(dict(schema.migrations())[5])
    if re.search(r"^CREATE TRIGGER [^;]* ON job$", statement, re.MULTILINE)
)
REBUILD = f"""{REBUILT}) STRICT;
INSERT INTO new_job SELECT * FROM job;
DROP TABLE job;
ALTER TABLE new_job RENAME TO job;
{TRIGGERS}"""


async def test_a_table_that_others_refer_to_can_be_rebuilt(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual rebuild of `job`, with rows that descend from rows: all are kept, and foreign keys hold again."""
    await (await Store.open(file)).close()
    before = table(file, "job")
    assert any(row["parent_id"] for row in before)
    later = [*schema.migrations(), (NEWEST + 1, REBUILD)]
    monkeypatch.setattr(schema, "migrations", lambda: later)
    database = await Database.open(file)
    try:
        assert table(file, "job") == before
        await database.write("UPDATE job SET deleted_at = 1 WHERE id = 1", {})
        await database.write("DELETE FROM favourite", {})
        assert checks.audit(file) == []
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            await database.write("UPDATE job SET parent_id = 12345 WHERE id = 2", {})
    finally:
        await database.close()


async def test_a_migration_that_loses_a_parent_is_undone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that would refer to nothing are noticed before the commit: nothing has changed, and one sentence says so."""
    await (await Store.open(file)).close()
    before = table(file, "job")
    loss = "DELETE FROM report;\nDELETE FROM reported_job;\nDELETE FROM favourite;\nDELETE FROM gallery_claim;\nDELETE FROM copy;\nDELETE FROM job WHERE id = 1;\n"
    later = [*schema.migrations(), (NEWEST + 1, loss)]
    monkeypatch.setattr(schema, "migrations", lambda: later)
    with pytest.raises(
        Unusable, match=rf"schema {NEWEST + 1} was undone, since row 2 of job would refer to none"
    ):
        await Database.open(file)
    assert (checks.version(file), table(file, "job")) == (NEWEST, before)


# ------------------------------------------------------------------ ids

VERBS = {verb for each in FEATURES for verb in (*each.FEATURE.presses, *each.FEATURE.numbers)}
LISTS = {pages for feature in FEATURES for pages in feature.FEATURE.pages}
IDS: list[list[Any]] = json.loads((GOLDEN / "ids.json").read_text("utf-8"))


@pytest.mark.parametrize(("custom_id", "meaning"), IDS, ids=[entry[0] for entry in IDS])
def test_every_id_ever_posted_means_what_it_meant(custom_id: str, meaning: dict[str, Any] | None) -> None:
    """Buttons of both generations are understood; what never was an id is nobody's."""
    match ids.read(custom_id):
        case ids.OfJob(verb=verb, job=job, image=image):
            told = {"press": verb, "job": str(job), "image": None if image is None else str(image)}
            assert verb in VERBS
        case ids.OfPage(pages=pages, way=way, offset=offset, search=search):
            told = {"way": way, "offset": str(offset)} | ({} if search is None else {"search": str(search)})
            assert pages in LISTS
        case None:
            told = None
    assert told == meaning


async def test_old_blocks_and_reports_hold(store: Store, version: int) -> None:
    """Who was blocked is blocked until that ends, and what moderators were not told of yet is owed to them."""
    block = await store.blocks.of(GUILD, BEN, now=NOON)
    assert (block and (block.reason, block.until)) == (("asked thrice", NOON + 600) if version >= 7 else None)
    assert await store.blocks.of(GUILD, BEN, now=NOON + 600) is None
    owed = [
        (case.job_id, case.reports[0].image, case.reports[0].reason)
        for case in await store.reports.owed(GUILD)
    ]
    assert owed == ([(1, 1, "“ugly” 🎈")] if version >= 7 else [])


async def test_old_rules_forbid(store: Store, version: int) -> None:
    """The words of each schema's lists are read as they were meant."""
    forbidden = (await store.rule_words.of(GUILD))[WordKind.FORBIDDEN]
    assert forbidden == (("nud*",) if version >= 6 else ())


async def test_what_was_paused_is_paused(store: Store, version: int) -> None:
    """In the server in which an admin did it, with their reason."""
    halts = [(halt.guild_id, halt.reason, halt.is_draining) for halt in await store.halts.all()]
    assert halts == ([(GUILD, "maintenance", False)] if version >= 7 else [])


async def test_a_person_who_wanted_all_of_it_gone_is_not_forgotten(store: Store, version: int) -> None:
    """What a bot of that schema was told is done by one of this: the rows say what is left of it."""
    asked = [erasure.user_id for erasure in await store.erasures.under_way()]
    assert asked == ([CLEO] if version >= 7 else [])
    assert [job.id for job in await store.erasures.unremoved(count=9)] == ([35] if version >= 7 else [])

"""Nobody waits for what looks at many rows: slow readers have connections of their own, quick queries have indexes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from bot.job import Job, Reason
from bot.store import Store, checks
from bot.store.blocks import Block
from bot.store.reports import Report
from tests.kit.books import GUILD, NOON, admission, delivered, queued, rendered, running, sure

PATIENCE_S = 10.0


async def first_answer(store: Store) -> None:
    """All that an admission reads and writes."""
    await store.settings.limits(GUILD)
    await store.settings.days(GUILD)
    await store.jobs.usage(guild_id=GUILD, user_id=1, window_start=0)
    assert isinstance(await store.jobs.admit(admission(), NOON), Job)


async def test_an_answer_does_not_wait_for_the_audit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the audit is in the middle of its rows, an admission reads and writes all that it needs."""
    await delivered(store)
    entered, go = threading.Event(), threading.Event()

    def wait() -> int:
        entered.set()
        go.wait(PATIENCE_S)
        return 0

    real = sqlite3.connect

    def connect(*args: Any, **values: Any) -> sqlite3.Connection:
        connection = real(*args, **values)
        connection.create_function("wait", 0, wait)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    monkeypatch.setattr(checks, "AUDIT", {"waits": "wait()"})
    auditing = asyncio.ensure_future(store.history.audit())
    try:
        await asyncio.to_thread(entered.wait, PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S / 2):
            await first_answer(store)
        assert not auditing.done()
    finally:
        go.set()
        await auditing


async def test_an_answer_does_not_wait_for_a_page_of_history(store: Store) -> None:
    """However long somebody's page takes, an admission reads and writes all that it needs."""
    await delivered(store)
    gate = threading.Event()
    leisurely = store.database._leisurely
    held = asyncio.ensure_future(leisurely._execute(gate.wait))
    paging = asyncio.ensure_future(store.history.page(guild_id=GUILD, user_id=1, offset=0, count=8))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await first_answer(store)
        assert not paging.done()
    finally:
        gate.set()
        await held
    assert (await paging)[1] == 1


async def test_no_query_that_somebody_waits_for_looks_at_every_row(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement of a job's life, of a start and of the chores finds its rows by an index, whatever the planner thinks."""
    asked: list[tuple[str, Any]] = []
    database = store.database
    for name in ("read", "read_at_leisure", "write"):
        real = getattr(database, name)

        async def noted(sql: str, params: Any, real: Any = real) -> Any:
            asked.append((sql, params))
            return await real(sql, params)

        monkeypatch.setattr(database, name, noted)
    await a_day(store)
    plans = {sql: await plan(store, sql, params) for sql, params in asked}
    assert len(plans) > 20
    assert {
        sql: scans for sql, steps in plans.items() if (scans := [step for step in steps if is_scan(step)])
    } == {}


async def a_day(store: Store) -> None:
    """Everything that the bot asks its store for, but for the audit."""
    jobs, history = store.jobs, store.history
    parent = await delivered(store)
    for refused in (
        {"pending": 0},
        {"queue_max": 0},
        {"credits_per_day": 0},
        {"interaction": parent.interaction_id},
    ):
        await jobs.admit(admission(parent=parent.id, **refused), NOON)  # pyright: ignore[reportArgumentType]
    lost = await rendered(store)
    failed = sure(await jobs.failed(lost, reason=Reason.told("It is gone."), now=NOON))
    await jobs.fetched(failed, charged=1, window=(0, NOON + 1), most=9)
    await jobs.requeued(await running(store), faults=1)
    cancelled = sure(
        await jobs.cancelled(await queued(store), reason=Reason.told("No."), charged=0, now=NOON)
    )
    await jobs.mark_shown(cancelled.id, now=NOON)
    await jobs.answered_late(cancelled.id, message_id=1)
    await jobs.withdrawn(guild_id=GUILD, user_id=1, reason=Reason.told("No."), now=NOON)
    await jobs.abandoned(guild_id=GUILD, reason=Reason.told("No."), now=NOON)
    await jobs.mark_deleted(parent.id, now=NOON, by_user_id=1)
    await jobs.unmark_deleted(parent.id)
    await jobs.mark_removed(parent.id, now=NOON)
    await jobs.purge_tokens(before=NOON + 1)
    for read in (jobs.live, jobs.ends_to_show, jobs.ends_to_find, jobs.removals_owed):
        await read()
    await jobs.blocked(now=NOON)
    await moderated(store, parent)
    await jobs.get(parent.id)
    await history.recent(count=50)
    await history.page(guild_id=GUILD, user_id=1, offset=0, count=8)
    await history.prompts(guild_id=GUILD, user_id=1, count=8)
    await store.settings.limits(GUILD)
    await store.settings.limits_log(GUILD, count=8)
    await store.settings.days(GUILD)
    await store.settings.note("x")


async def moderated(store: Store, job: Job) -> None:
    block = Block(guild_id=GUILD, user_id=1, by_user_id=9, reason="", at=NOON, until=NOON + 9)
    report = Report(job_id=job.id, user_id=2, guild_id=GUILD, image=None, reason="", at=NOON)
    await store.reports.add(report, most_a_day=9)
    await store.blocks.put(block, job_id=job.id)
    await store.jobs.admit(admission(), NOON)
    await store.blocks.of(GUILD, 1, now=NOON)
    await store.blocks.page(GUILD, now=NOON, offset=0, count=8)
    assert await store.reports.guilds_owed() == [GUILD]
    (case,) = await store.reports.owed(GUILD)
    await store.reports.tried(case.job_id)
    await store.reports.told(case, channel_id=5, message_id=6)
    await store.reports.move(GUILD, channel_id=7)
    assert await store.reports.waiting(GUILD) == 1
    await store.reports.approve(case, by_user_id=9, now=NOON)
    await store.reports.case(case.job_id)
    await store.blocks.lift(GUILD, 1, by_user_id=9, now=NOON)


async def plan(store: Store, sql: str, params: Any) -> list[str]:
    rows = await store.database._reader.execute_fetchall(f"EXPLAIN QUERY PLAN {sql}", params)
    return [str(row["detail"]) for row in rows]


def is_scan(step: str) -> bool:
    """A look at every row of a table: one at all that an index of the few living or owed holds is none."""
    owed = ("job_live", "job_end_to_show", "job_end_to_find", "job_to_remove", "reported_job_to_tell")
    of_few = (*owed, "job_with_token", "json_each", "CONSTANT ROW")
    return step.startswith("SCAN") and not any(name in step for name in of_few)


async def test_the_audit_reads_every_row_once_in_small_looks(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong rows are found in whichever look they fall, each sentence twenty times at most."""
    monkeypatch.setattr(checks, "AUDITED_AT_ONCE", 7)
    wrong = [(await queued(store, user=number)).id for number in range(30)][::3]
    for job_id in wrong:
        await store.database.write("UPDATE job SET charged = 0 WHERE id = :id", {"id": job_id})
    told = [f"Job {job_id} is alive but holds less than its cost." for job_id in wrong]
    assert await store.history.audit() == told == checks.audit(file)
    await store.database.write("UPDATE job SET charged = 0", {})
    assert len(await store.history.audit()) == 20

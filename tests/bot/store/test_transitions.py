"""What a job may become: one table, told to Python and to SQL; stale writers change nothing."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from bot.job import LIVE, TRANSITIONS, WAITING, Job, JobState, Reason
from bot.store import Store
from bot.store.schema import migrations
from tests.kit.books import NOON, admitted, delivered, images_of, queued, rendered, running, sure

SCHEMA = "\n".join(script for _, script in migrations())
Move = Callable[[Store, Job], Awaitable[Job | None]]

MOVES: dict[JobState, Move] = {
    JobState.QUEUED: lambda store, job: (
        store.jobs.queued(job, message_id=1, now=NOON)
        if job.state is JobState.ACCEPTED
        else store.jobs.requeued(job, faults=job.faults)
    ),
    JobState.RUNNING: lambda store, job: store.jobs.running(job, now=NOON),
    JobState.RENDERED: lambda store, job: store.jobs.rendered(
        job, images=images_of(job), seconds=1.0, notes=(), charged=job.cost
    ),
    JobState.DELIVERED: lambda store, job: store.jobs.delivered(job, message_id=1, now=NOON),
    JobState.FAILED: lambda store, job: store.jobs.failed(job, reason=Reason.told("no"), now=NOON),
    JobState.CANCELLED: lambda store, job: store.jobs.cancelled(
        job, reason=Reason.told("no"), charged=0, now=NOON
    ),
}
"""How the store makes a job that state."""


async def _failed(store: Store) -> Job:
    return sure(await store.jobs.failed(await queued(store), reason=Reason.told("no"), now=NOON))


async def _cancelled(store: Store) -> Job:
    return sure(
        await store.jobs.cancelled(await queued(store), reason=Reason.told("no"), charged=0, now=NOON)
    )


MAKERS: dict[JobState, Callable[[Store], Awaitable[Job]]] = {
    JobState.ACCEPTED: admitted,
    JobState.QUEUED: queued,
    JobState.RUNNING: running,
    JobState.RENDERED: rendered,
    JobState.DELIVERED: delivered,
    JobState.FAILED: _failed,
    JobState.CANCELLED: _cancelled,
}
PAIRS = list(itertools.product(JobState, MOVES))
ALLOWED = [(old, new) for old, new in PAIRS if new in TRANSITIONS[old]]
FORBIDDEN = [(old, new) for old, new in PAIRS if new not in TRANSITIONS[old]]


def _words_in_check(constraint: str) -> set[str]:
    """The quoted words of one CHECK of the schema."""
    found = re.search(rf"CONSTRAINT {constraint} CHECK \((.*?)\)[,)]", SCHEMA, re.DOTALL)
    assert found, constraint
    return set(re.findall(r"'(\w+)'", found[1]))


def test_sql_and_python_know_the_same_states() -> None:
    """The states of the schema's CHECK, of JobState and of the table of transitions are the same ones."""
    assert _words_in_check("job_state_is_known") == set(JobState) == set(TRANSITIONS)


async def test_the_code_alone_knows_the_verbs(store: Store) -> None:
    """A verb of a version to come is stored without a change of the schema."""
    job = await queued(store)
    await store.database.write("UPDATE job SET action = 'dream' WHERE id = :id", {"id": job.id})
    assert sure(await store.jobs.get(job.id)).action == "dream"


def test_live_states_are_those_that_can_change() -> None:
    """The jobs' partial indexes of the schema name exactly the states that are not final."""
    assert set(LIVE) == {state for state in JobState if not state.is_final}
    assert set(WAITING) < set(LIVE)
    conditions = re.findall(r"ON job[^;]*state IN \(([^)]*)\);", SCHEMA)
    assert len(conditions) == 2
    for condition in conditions:
        assert set(re.findall(r"'(\w+)'", condition)) == set(LIVE)


@pytest.mark.parametrize(("old", "new"), ALLOWED, ids=lambda state: str(state))
async def test_every_allowed_transition_happens_once(store: Store, old: JobState, new: JobState) -> None:
    """A listed transition gives the new row; the same one again, from the old picture of the job, gives None."""
    job = await MAKERS[old](store)
    moved = sure(await MOVES[new](store, job))
    assert moved.state is new
    assert await store.jobs.get(job.id) == moved
    assert await MOVES[new](store, job) is None
    assert await store.jobs.get(job.id) == moved


@pytest.mark.parametrize(("old", "new"), FORBIDDEN, ids=lambda state: str(state))
async def test_every_other_transition_is_a_bug_of_the_caller(
    store: Store, old: JobState, new: JobState
) -> None:
    """A transition that is not in the table trips an assert before any SQL and leaves the row alone."""
    job = await MAKERS[old](store)
    with pytest.raises(AssertionError, match="never becomes"):
        await MOVES[new](store, job)
    assert await store.jobs.get(job.id) == job


@pytest.mark.parametrize("new", sorted(TRANSITIONS[JobState.RUNNING]), ids=str)
async def test_an_older_attempt_changes_nothing(store: Store, new: JobState) -> None:
    """Whatever a messenger of attempt 1 wants, attempt 2 of the same job goes on undisturbed."""
    first = await running(store)
    again = sure(await store.jobs.requeued(first, faults=1))
    second = sure(await store.jobs.running(again, now=NOON))
    assert second.attempt == first.attempt + 1
    assert await MOVES[new](store, first) is None
    assert await store.jobs.get(first.id) == second


async def test_a_job_that_is_not_there_changes_nothing(store: Store) -> None:
    """A transition of an unknown id touches no other row."""
    job = await running(store)
    assert await store.jobs.failed(replace(job, id=job.id + 1), reason=Reason.told("no"), now=NOON) is None
    assert await store.jobs.get(job.id) == job


async def test_back_in_line_takes_back_what_was_drawn(store: Store) -> None:
    """A job whose files were lost waits again at its full cost, without images, and keeps its message and faults."""
    job = await rendered(store, images=4, shown=1)
    again = sure(await store.jobs.requeued(job, faults=1))
    assert (again.state, again.images, again.render_seconds, again.started_at) == (
        JobState.QUEUED,
        (),
        None,
        None,
    )
    assert (again.charged, again.faults, again.attempt) == (job.cost, 1, job.attempt)
    assert (again.message_id, again.queued_at) == (job.message_id, job.queued_at)


async def test_an_end_settles_the_bill(store: Store) -> None:
    """A failure is free, a cancelled job costs the share already done, a delivered one what was delivered."""
    failed = sure(await store.jobs.failed(await running(store, images=4), reason=Reason.told("no"), now=NOON))
    assert failed.charged == 0
    cancelled = await store.jobs.cancelled(
        await running(store, images=4), reason=Reason.told("no"), charged=3, now=NOON
    )
    assert sure(cancelled).charged == 3
    assert (await delivered(store, images=4, shown=1)).charged == 1


async def test_pictures_go_once(store: Store) -> None:
    """Only the first of several deletions is the one that removes files, and deleting refunds nothing."""
    job = await delivered(store, images=2)
    assert await store.jobs.mark_deleted(job.id, now=NOON + 1, by_user_id=1)
    assert not await store.jobs.mark_deleted(job.id, now=NOON + 2, by_user_id=1)
    after = await store.jobs.get(job.id)
    assert after == replace(job, deleted_at=NOON + 1)


# ------------------------------------------------------------------ rows that can't be

IMPOSSIBLE: list[tuple[str, JobState, str]] = [
    ("job_state_is_known", JobState.QUEUED, "state = 'paused'"),
    ("job_json_is_valid", JobState.QUEUED, "request = 'a red circle'"),
    ("job_json_is_valid", JobState.QUEUED, "notes = '['"),
    ("job_json_is_valid", JobState.QUEUED, "images = ''"),
    ("job_json_is_valid", JobState.QUEUED, "wish = 'a red circle'"),
    ("job_json_is_valid", JobState.FAILED, "reason_values = '{'"),
    ("job_charge_is_within_cost", JobState.QUEUED, "charged = cost + 1"),
    ("job_charge_is_within_cost", JobState.QUEUED, "charged = -1"),
    ("job_charge_is_within_cost", JobState.QUEUED, "cost = 0, charged = 0"),
    ("job_counts_are_positive", JobState.QUEUED, "attempt = -1"),
    ("job_counts_are_positive", JobState.QUEUED, "faults = -1"),
    ("job_counts_are_positive", JobState.QUEUED, "part = -1"),
    ("job_image_is_one_of_a_parent", JobState.QUEUED, "parent_image = 0"),
    ("job_image_is_one_of_a_parent", JobState.QUEUED, "parent_id = id, parent_image = -1"),
    ("job_reason_is_whole", JobState.FAILED, "reason_values = NULL"),
    ("job_reason_is_whole", JobState.CANCELLED, "reason_code = NULL"),
    ("job_reason_is_whole", JobState.QUEUED, "reason_code = 'told'"),
    ("job_was_answered_before_it_waits", JobState.ACCEPTED, "state = 'queued'"),
    ("job_was_answered_before_it_waits", JobState.QUEUED, "message_id = NULL"),
    ("job_was_answered_before_it_waits", JobState.RUNNING, "queued_at = NULL"),
    ("job_was_answered_before_it_waits", JobState.RENDERED, "message_id = NULL"),
    ("job_was_answered_before_it_waits", JobState.DELIVERED, "message_id = NULL"),
    ("job_runs_under_an_attempt", JobState.QUEUED, "state = 'running', started_at = 1.0"),
    ("job_runs_under_an_attempt", JobState.RUNNING, "started_at = NULL"),
    ("job_runs_under_an_attempt", JobState.RENDERED, "attempt = 0"),
    ("job_end_has_a_time", JobState.DELIVERED, "finished_at = NULL"),
    ("job_end_has_a_time", JobState.CANCELLED, "finished_at = NULL"),
    ("job_end_has_a_time", JobState.RUNNING, "finished_at = 1.0"),
    (
        "job_end_has_a_time",
        JobState.RUNNING,
        "state = 'failed', charged = 0, reason_code = 'told', reason_values = '{}'",
    ),
    ("job_failure_is_free_and_explained", JobState.FAILED, "charged = 1"),
    ("job_failure_is_free_and_explained", JobState.FAILED, "reason_code = NULL, reason_values = NULL"),
    ("job_rendered_has_images", JobState.RENDERED, "images = '[]'"),
    ("job_rendered_has_images", JobState.DELIVERED, "images = '[]'"),
]


@pytest.mark.parametrize(("constraint", "state", "change"), IMPOSSIBLE)
async def test_impossible_rows_are_refused_by_name(
    store: Store, constraint: str, state: JobState, change: str
) -> None:
    """A row that contradicts itself is refused by the constraint that says why, and stays as it was."""
    job = await MAKERS[state](store)
    with pytest.raises(sqlite3.IntegrityError, match=constraint):
        await store.database.write(f"UPDATE job SET {change} WHERE id = :id", {"id": job.id})
    assert await store.jobs.get(job.id) == job


def test_every_constraint_of_the_job_table_is_tried() -> None:
    """A new constraint needs an impossible row above that it refuses."""
    (table,) = re.findall(r"CREATE TABLE job \((.*?)\) STRICT;", SCHEMA, re.DOTALL)
    assert set(re.findall(r"CONSTRAINT (\w+) CHECK", table)) == {
        constraint for constraint, _, _ in IMPOSSIBLE
    }


@pytest.mark.parametrize(
    "change", ["cost = 'much'", "created_at = 'noon'", "message_id = 1.5", "user_id = NULL"]
)
async def test_values_have_the_type_of_their_column(store: Store, change: str) -> None:
    """The tables are STRICT and ids NOT NULL: a wrong type is an error, not a surprise later."""
    job = await queued(store)
    with pytest.raises(sqlite3.IntegrityError):
        await store.database.write(f"UPDATE job SET {change} WHERE id = :id", {"id": job.id})


async def test_two_jobs_of_one_interaction_are_refused_by_the_schema_itself(store: Store) -> None:
    """Not only the admitting statement: no way of writing makes a second row of one interaction."""
    first, second = await queued(store), await queued(store)
    with pytest.raises(sqlite3.IntegrityError, match=r"job\.interaction_id"):
        await store.database.write(
            "UPDATE job SET interaction_id = :other WHERE id = :id",
            {"other": first.interaction_id, "id": second.id},
        )


async def test_a_parent_must_exist(store: Store) -> None:
    """Foreign keys are on: a job can't descend from a job that never was."""
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await admitted(store, parent=12345)


# ------------------------------------------------------------------ ends that must be shown


async def test_an_end_is_owed_until_it_is_shown(store: Store) -> None:
    """A failed or cancelled job's message must still be written, a delivered one's shows its end already."""
    await delivered(store)
    failed, cancelled = await _failed(store), await _cancelled(store)
    assert [job.id for job in await store.jobs.ends_to_show()] == [failed.id, cancelled.id]
    await store.jobs.mark_shown(failed.id, now=NOON)
    assert [job.id for job in await store.jobs.ends_to_show()] == [cancelled.id]


async def test_nothing_is_owed_to_somebody_who_saw_no_message(store: Store) -> None:
    """A job whose answer Discord never took has no message to write to."""
    sure(await store.jobs.cancelled(await admitted(store), reason=Reason.told("no"), charged=0, now=NOON))
    assert await store.jobs.ends_to_show() == []


async def test_a_live_job_is_never_marked(store: Store) -> None:
    """Only an end can be shown."""
    job = await running(store)
    await store.jobs.mark_shown(job.id, now=NOON)
    assert sure(await store.jobs.get(job.id)).shown_at is None

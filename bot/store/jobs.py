"""Job rows: the admitting statement and the guarded transitions. Knows no policy: only what a row may become."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from bot.job import DIRECT, LIVE, TRANSITIONS, WAITING, Copy, Job, JobState, NewJob, Reason, Refusal, Review
from bot.limits import Usage
from bot.store import copies
from bot.store.audit import AuditEntry, Deed, record, write_recorded
from bot.store.blocks import BLOCKED
from bot.store.charged import USED, USED_BETWEEN
from bot.store.db import Database
from bot.store.reports import close, reopen
from engine.contract import GenerationRequest, SpooledImage


def _in(states: Sequence[JobState]) -> str:
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"


_PENDING = f"""(SELECT COUNT(DISTINCT interaction_id) FROM job INDEXED BY job_live
               WHERE state IN {_in(LIVE)} AND state IN {_in(WAITING)}
                 AND guild_id = :guild_id AND user_id = :user_id AND interaction_id IS NOT :interaction_id)"""
"""Requests, however many jobs one of them is, besides the one that is being asked for."""
_WAITING = f"""(SELECT COUNT(*) FROM job INDEXED BY job_live
               WHERE state IN {_in(LIVE)} AND state IN {_in(WAITING)})"""

_BLOCKED = BLOCKED.format(guild=":guild_id", user=":user_id")
_ASKED_BEFORE = """job WHERE guild_id = :guild_id AND user_id = :user_id AND created_at <= :now
               AND state <> 'failed' AND (message_id IS NOT NULL OR state = 'accepted')
               AND interaction_id IS NOT :interaction_id"""
"""Requests that a pause follows: not what was refunded since it could not be drawn, nor what nobody was told of. A clock that
was set back forgets what lies before it."""

_ADMIT = f"""
INSERT INTO job (state, wish, request, action, parent_id, parent_image, user_id, guild_id, channel_id, interaction_id,
                 part, parts, application_id, token, locale, spoiler, private, flagged, cost, weight,
                 charged, created_at)
SELECT 'accepted', :wish, :request, :action, :parent_id, :parent_image, :user_id, :guild_id, :channel_id, :interaction_id,
       :part, :parts, :application_id, :token, :locale, :spoiler, :private, :flagged, :cost, :weight,
       :cost, :now
WHERE {USED} + :cost <= :credits
  AND {_PENDING} < :pending
  AND (:seconds_between = 0
       OR NOT EXISTS (SELECT 1 FROM {_ASKED_BEFORE} AND created_at > :now - :seconds_between))
  AND {_WAITING} < :queue_max
  AND NOT EXISTS {_BLOCKED}
ON CONFLICT DO NOTHING
RETURNING *
"""


_IN_REVIEW = "id = :id AND state = 'rendered' AND attempt = :attempt AND review = 'waiting'"
_THESE = "id IN (SELECT value FROM json_each(:ids))"


class _NotAdmitted(Exception):
    """Something keeps all of it from being stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """What of a job's files in the spool is still wanted."""

    names: frozenset[str]
    withheld: frozenset[str]
    """Those that nobody may be shown, and that go sooner."""
    attempt: int | None
    """The one that is under way, whose files the row does not name yet."""


class Jobs:
    """The job table. Every change is one guarded statement; None means that somebody was faster."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -------------------------------------------------------------- admission

    async def admit(self, new: NewJob, now: float) -> Job | Refusal:
        """Stores and charges the job if every limit allows it, in one statement."""
        params = _params_of(new, now)
        rows = await self._db.write(_ADMIT, params)
        return job_of(rows[0]) if rows else await self._why_not(new, params)

    async def admit_all(self, news: Sequence[NewJob], *, plan_id: int, now: float) -> list[Job] | Refusal:
        """Stores and charges all jobs of a plan, which is gone with that, or changes nothing."""
        jobs: list[Job] = []
        try:
            async with self._db.tx() as connection:
                claim = "DELETE FROM plan WHERE id = :id AND expires_at > :now RETURNING id"
                if not [*await connection.execute_fetchall(claim, {"id": plan_id, "now": now})]:
                    raise _NotAdmitted
                for new in news:
                    rows = [*await connection.execute_fetchall(_ADMIT, _params_of(new, now))]
                    if not rows:
                        raise _NotAdmitted
                    jobs.append(job_of(rows[0]))
        except _NotAdmitted:
            refusal = await self._why_not(news[0], _params_of(news[0], now))
            lives = "SELECT 1 FROM plan WHERE id = :id AND expires_at > :now"
            is_there = await self._db.read(lives, {"id": plan_id, "now": now})
            return refusal if is_there or refusal is Refusal.DUPLICATE else Refusal.PLAN
        return jobs

    async def _why_not(self, new: NewJob, params: dict[str, Any]) -> Refusal:
        """Which limit refused: read afterwards, so it explains and decides nothing."""
        if await self._db.read(
            "SELECT 1 FROM job WHERE interaction_id = :interaction_id AND part = :part", params
        ):
            return Refusal.DUPLICATE
        button = f"""SELECT 1 FROM job WHERE parent_id = :parent_id AND action = :action
                     AND COALESCE(parent_image, -1) = COALESCE(:parent_image, -1)
                     AND user_id = :user_id AND state IN {_in(LIVE)}"""
        if await self._db.read(button, params):
            return Refusal.BUTTON
        if await self._db.read(_BLOCKED[1:-1], params):
            return Refusal.BLOCKED
        (row,) = await self._db.read(f"SELECT {_PENDING} AS pending, {_WAITING} AS waiting", params)
        if row["pending"] >= new.limits.pending:
            return Refusal.PENDING
        soon = f"SELECT 1 FROM {_ASKED_BEFORE} AND created_at > :now - :seconds_between LIMIT 1"
        if new.limits.seconds_between and await self._db.read(soon, params):
            return Refusal.PAUSE
        if row["waiting"] + new.origin.parts > new.queue_max:
            return Refusal.QUEUE
        return Refusal.CREDITS

    # -------------------------------------------------------------- transitions

    async def queued(self, job: Job, *, message_id: int, now: float) -> Job | None:
        """The person has been answered with a message: accepted -> queued."""
        return await self._move(job, JobState.QUEUED, message_id=message_id, queued_at=now)

    async def running(self, job: Job, *, now: float) -> Job | None:
        """queued -> running under the next attempt number."""
        return await self._move(job, JobState.RUNNING, attempt=job.attempt + 1, started_at=now)

    async def requeued(self, job: Job, *, faults: int) -> Job | None:
        """running (or rendered with a lost file) -> queued again, same place in line."""
        return await self._move(
            job,
            JobState.QUEUED,
            faults=faults,
            charged=job.cost,
            started_at=None,
            images="[]",
            review=None,
            review_message_id=None,
            render_seconds=None,
            engine_seconds=None,
        )

    async def rendered(
        self,
        job: Job,
        *,
        images: tuple[SpooledImage, ...],
        seconds: float,
        engine_seconds: float | None = None,
        notes: tuple[str, ...],
        charged: int,
        review: Review | None = None,
    ) -> Job | None:
        """`review`: whether moderators look at it before it is delivered."""
        return await self._move(
            job,
            JobState.RENDERED,
            review=review,
            images=_images(images),
            render_seconds=seconds,
            engine_seconds=engine_seconds,
            notes=json.dumps(notes),
            charged=charged,
        )

    async def asked(self, job: Job, *, message_id: int, channel_id: int) -> None:
        """Moderators see it in that message, which goes with the job."""
        params = {**_review_guard(job), "message_id": message_id}
        copy = Copy(
            message_id=message_id, channel_id=channel_id, guild_id=job.guild_id, job_id=job.id, user_id=0
        )
        async with self._db.tx() as connection:
            await connection.execute_fetchall(
                f"UPDATE job SET review_message_id = :message_id WHERE {_IN_REVIEW}", params
            )
            await copies.note(connection, copy, now=job.created_at)

    async def reviewed(
        self,
        job: Job,
        *,
        review: Review,
        images: tuple[SpooledImage, ...],
        charged: int,
        entry: AuditEntry | None = None,
    ) -> Job | None:
        """What becomes of what waits for a moderator's word is decided, once."""
        sql = f"UPDATE job SET review = :review, images = :images, charged = :charged WHERE {_IN_REVIEW} RETURNING *"
        params = {**_review_guard(job), "review": review, "images": _images(images), "charged": charged}
        rows = await write_recorded(self._db, sql, params, entry)
        return job_of(rows[0]) if rows else None

    async def delivered(self, job: Job, *, message_id: int, now: float) -> Job | None:
        return await self._move(job, JobState.DELIVERED, message_id=message_id, finished_at=now, shown_at=now)

    async def failed(self, job: Job, *, reason: Reason, now: float) -> Job | None:
        """Any live state -> failed, with the whole cost given back."""
        return await self._move(job, JobState.FAILED, **_stored(reason), charged=0, finished_at=now)

    async def cancelled(
        self,
        job: Job,
        *,
        reason: Reason,
        charged: int,
        now: float,
        message_id: int | None = None,
        by_user_id: int | None = None,
    ) -> Job | None:
        """`message_id`: that of an accepted job, whose answer was found only now. `by_user_id`: who wanted it, for the audit."""
        ended = {"charged": charged, "finished_at": now, "message_id": message_id or job.message_id}
        entry = None if by_user_id is None else _deed(Deed.CANCELLED, job, by_user_id, now)
        return await self._move(job, JobState.CANCELLED, entry, **_stored(reason), **ended)

    async def unanswered(self, job: Job, *, reason: Reason, now: float) -> Job | None:
        """accepted -> cancelled for a job that nobody was told of: there is no message to show the end."""
        ended = {"charged": 0, "finished_at": now, "shown_at": now}
        return await self._move(job, JobState.CANCELLED, **_stored(reason), **ended)

    async def _move(
        self, job: Job, state: JobState, entry: AuditEntry | None = None, /, **values: Any
    ) -> Job | None:
        assert state in TRANSITIONS[job.state], f"{job.state} never becomes {state}"
        changes = ", ".join(f"{name} = :{name}" for name in values)
        sql = f"""UPDATE job SET state = :new_state, {changes}
                  WHERE id = :guard_id AND state = :guard_state AND attempt = :guard_attempt RETURNING *"""
        guard = {"guard_id": job.id, "guard_state": job.state, "guard_attempt": job.attempt}
        rows = await write_recorded(self._db, sql, {**values, **guard, "new_state": state}, entry)
        return job_of(rows[0]) if rows else None

    async def withdrawn(self, *, guild_id: int, user_id: int, reason: Reason, now: float) -> list[Job]:
        """Cancels all that a person has waiting, in one statement; what is drawn already goes on."""
        sql = f"""UPDATE job INDEXED BY job_live
                  SET state = 'cancelled', reason_code = :reason_code, reason_values = :reason_values, charged = 0,
                      finished_at = :now
                  WHERE state IN {_in(LIVE)} AND state IN ('accepted', 'queued')
                    AND guild_id = :guild_id AND user_id = :user_id RETURNING *"""
        params = {"guild_id": guild_id, "user_id": user_id, "now": now, **_stored(reason)}
        return _in_order(await self._db.write(sql, params))

    async def abandoned(self, *, guild_id: int, reason: Reason, now: float) -> list[Job]:
        """Ends all that lives in a server, free of charge, in one statement; no message there can be written any more."""
        sql = f"""UPDATE job INDEXED BY job_live
                  SET state = CASE state WHEN 'rendered' THEN 'failed' ELSE 'cancelled' END,
                      reason_code = :reason_code, reason_values = :reason_values, charged = 0,
                      finished_at = :now, shown_at = :now
                  WHERE state IN {_in(LIVE)} AND guild_id = :guild_id RETURNING *"""
        return _in_order(await self._db.write(sql, {"guild_id": guild_id, "now": now, **_stored(reason)}))

    async def fetched(self, job: Job, *, charged: int, window: tuple[float, float], most: int) -> Job | None:
        """failed -> delivered for pictures that nobody would take: their person pays for them, once, and has them.

        None where somebody was faster, or the credits of the window in which they were asked for do not suffice.
        """
        sql = f"""UPDATE job SET state = 'delivered', charged = :charged
                  WHERE id = :id AND state = 'failed' AND deleted_at IS NULL AND :charged + {USED_BETWEEN} <= :most
                  RETURNING *"""
        params = {
            "id": job.id,
            "charged": charged,
            "guild_id": job.guild_id,
            "user_id": job.user_id,
            "first": window[0],
            "last": window[1],
            "most": most,
        }
        rows = await self._db.write(sql, params)
        return job_of(rows[0]) if rows else None

    async def answered_late(self, job_id: int, *, message_id: int) -> Job | None:
        """A job that was cancelled while its answer was under way gets its message, which has to show the end."""
        sql = """UPDATE job SET message_id = :message_id
                 WHERE id = :id AND state = 'cancelled' AND message_id IS NULL AND shown_at IS NULL RETURNING *"""
        rows = await self._db.write(sql, {"id": job_id, "message_id": message_id})
        return job_of(rows[0]) if rows else None

    async def mark_shown(self, job_id: int, *, now: float) -> None:
        """The end of a failed or cancelled job stands in its message, or never will."""
        sql = "UPDATE job SET shown_at = :now WHERE id = :id AND finished_at IS NOT NULL AND shown_at IS NULL"
        await self._db.write(sql, {"id": job_id, "now": now})

    async def mark_deleted(self, *job_ids: int, now: float, by_user_id: int) -> bool:
        """True for the first call only: nobody is shown the pictures of these jobs any more."""
        sql = f"UPDATE job SET deleted_at = :now WHERE {_THESE} AND deleted_at IS NULL RETURNING *"
        async with self._db.tx() as connection:
            rows = await connection.execute_fetchall(sql, {"ids": json.dumps(job_ids), "now": now})
            gone = [job_of(row) for row in rows]
            for job in gone:
                if (entry := _deed(Deed.DELETED, job, by_user_id, now)) is not None:
                    await record(connection, entry)
                await close(connection, job.id, by_user_id=by_user_id, now=now)
        return bool(gone)

    async def unmark_deleted(self, *job_ids: int) -> None:
        """Their message can't be taken away: everything stays what it was, unless it is gone by now."""
        sql = f"UPDATE job SET deleted_at = NULL WHERE {_THESE} AND removed_at IS NULL RETURNING id, guild_id"
        undone = "DELETE FROM audit WHERE guild_id = :guild_id AND deed = :deed AND job_id = :id"
        async with self._db.tx() as connection:
            for row in await connection.execute_fetchall(sql, {"ids": json.dumps(job_ids)}):
                await connection.execute_fetchall(undone, {**dict(row), "deed": Deed.DELETED})
                await reopen(connection, row["id"])

    async def mark_removed(self, job_id: int, *, now: float) -> None:
        """Message and files of a deleted job are gone."""
        sql = "UPDATE job SET removed_at = :now WHERE id = :id AND deleted_at IS NOT NULL AND removed_at IS NULL"
        await self._db.write(sql, {"id": job_id, "now": now})

    async def purge_tokens(self, *, before: float) -> None:
        """Forgets interaction tokens that have expired."""
        sql = "UPDATE job INDEXED BY job_with_token SET token = NULL WHERE token IS NOT NULL AND created_at < :before"
        await self._db.write(sql, {"before": before})

    # -------------------------------------------------------------- reading

    async def get(self, job_id: int) -> Job | None:
        rows = await self._db.read("SELECT * FROM job WHERE id = :id", {"id": job_id})
        return job_of(rows[0]) if rows and rows[0]["state"] in set(JobState) else None

    async def gathered(self, job: Job) -> list[Job]:
        """Those of its interaction that stand in the same message, or in none yet; in the order of their parts."""
        sql = """SELECT * FROM job WHERE interaction_id = :interaction AND (message_id IS NULL OR message_id = :message)
                 ORDER BY part"""
        params = {"interaction": job.interaction_id, "message": job.message_id}
        return [job_of(row) for row in await self._db.read(sql, params)]

    async def made_from(self, job_id: int, *, count: int) -> list[Job]:
        """The newest jobs that were asked for under this one's pictures, and have pictures themselves."""
        sql = """SELECT * FROM job INDEXED BY job_by_parent
                 WHERE parent_id = :id AND state = 'delivered' AND deleted_at IS NULL ORDER BY id DESC LIMIT :count"""
        return [job_of(row) for row in await self._db.read(sql, {"id": job_id, "count": count})]

    async def live(self) -> list[Job]:
        """Everything that has not ended, in the order in which it was asked for."""
        sql = f"SELECT * FROM job INDEXED BY job_live WHERE state IN {_in(LIVE)} ORDER BY id"
        return [job_of(row) for row in await self._db.read(sql, {})]

    async def ends_to_show(self) -> list[Job]:
        """Jobs that have ended without their messages saying so."""
        sql = """SELECT * FROM job INDEXED BY job_end_to_show
                 WHERE finished_at IS NOT NULL AND shown_at IS NULL AND message_id IS NOT NULL ORDER BY id"""
        return [job_of(row) for row in await self._db.read(sql, {})]

    async def ends_to_find(self) -> list[Job]:
        """Jobs that were cancelled while their answer was under way: a message may stand there as if they waited."""
        sql = """SELECT * FROM job INDEXED BY job_end_to_find
                 WHERE state = 'cancelled' AND message_id IS NULL AND shown_at IS NULL ORDER BY id"""
        return [job_of(row) for row in await self._db.read(sql, {})]

    async def removals_owed(self) -> list[Job]:
        """Deleted jobs whose message or files may still be there; not those of a person whom `erasures` takes out."""
        sql = """SELECT * FROM job INDEXED BY job_to_remove
                 WHERE deleted_at IS NOT NULL AND removed_at IS NULL
                   AND NOT (erased_at IS NOT NULL AND user_id IN (SELECT user_id FROM erasure)) ORDER BY id"""
        return [job_of(row) for row in await self._db.read(sql, {})]

    async def blocked(self, *, now: float) -> list[tuple[int, int]]:
        """(guild, person) of members who may ask for nothing, and yet have something waiting."""
        sql = f"""SELECT DISTINCT job.guild_id, job.user_id FROM job INDEXED BY job_live
                  WHERE state IN {_in(LIVE)} AND state IN ('accepted', 'queued')
                    AND (EXISTS {BLOCKED.format(guild="job.guild_id", user="job.user_id")}
                         OR EXISTS (SELECT 1 FROM limits
                                    WHERE limits.guild_id = job.guild_id
                                      AND subject = 'member' AND subject_id = job.user_id
                                      AND field IN ('credits_per_day', 'pending') AND value = 0))"""
        return [(row["guild_id"], row["user_id"]) for row in await self._db.read(sql, {"now": now})]

    async def spooled(self, job_ids: Collection[int]) -> dict[int, Spooled]:
        """What is still wanted of the files that these jobs have in the spool; jobs that are not known are left out."""
        sql = """SELECT id, state, attempt, images, deleted_at FROM job
                 WHERE id IN (SELECT value FROM json_each(:ids))"""
        rows = await self._db.read(sql, {"ids": json.dumps([*job_ids])})
        return {row["id"]: _spooled(row) for row in rows}

    async def usage(self, *, guild_id: int, user_id: int, window_start: float) -> Usage:
        sql = f"SELECT {USED} AS used, {_PENDING} AS pending"
        params = {
            "guild_id": guild_id,
            "user_id": user_id,
            "window_start": window_start,
            "interaction_id": None,
        }
        (row,) = await self._db.read(sql, params)
        return Usage(used=row["used"], pending=row["pending"])

    async def last_asked(self, *, guild_id: int, user_id: int, now: float) -> float | None:
        """When they last asked for what a pause follows."""
        sql = f"SELECT created_at FROM {_ASKED_BEFORE} ORDER BY created_at DESC LIMIT 1"
        params = {"guild_id": guild_id, "user_id": user_id, "now": now, "interaction_id": None}
        rows = await self._db.read(sql, params)
        return float(rows[0]["created_at"]) if rows else None


def _spooled(row: sqlite3.Row) -> Spooled:
    images: list[Mapping[str, Any]] = json.loads(row["images"]) if row["deleted_at"] is None else []

    def names(key: str) -> frozenset[str]:
        return frozenset(Path(image[key]).name for image in images if image.get(key) is not None)

    return Spooled(
        names=names("path"),
        withheld=names("aside"),
        attempt=row["attempt"] if row["state"] == JobState.RUNNING else None,
    )


def _review_guard(job: Job) -> dict[str, Any]:
    return {"id": job.id, "attempt": job.attempt}


def _images(images: Sequence[SpooledImage]) -> str:
    return json.dumps([asdict(image) for image in images])


def _params_of(new: NewJob, now: float) -> dict[str, Any]:
    return {
        "wish": None if new.wish is None else json.dumps(dict(new.wish)),
        "request": json.dumps(new.request.to_dict(), ensure_ascii=False),
        "action": new.action,
        "parent_id": new.parent_id,
        "parent_image": new.parent_image,
        "user_id": new.asker.user_id,
        "guild_id": new.asker.guild_id,
        "channel_id": new.origin.channel_id,
        "interaction_id": new.origin.interaction_id,
        "part": new.origin.part,
        "parts": new.origin.parts,
        "application_id": new.origin.application_id,
        "token": new.origin.token,
        "locale": new.origin.locale,
        "spoiler": int(new.origin.spoiler),
        "private": int(new.origin.private),
        "flagged": new.origin.flagged,
        "cost": new.cost,
        "weight": new.limits.weight,
        "now": now,
        "window_start": new.window_start,
        "credits": new.credits,
        "pending": new.limits.pending,
        "seconds_between": new.limits.seconds_between,
        "queue_max": new.queue_max,
    }


def job_of(row: sqlite3.Row) -> Job:
    """The row of any version: what it asks for is judged where it is drawn, not where it is read."""
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - iterating a Row gives its values
    values["state"] = JobState(values["state"])
    values["wish"] = None if values["wish"] is None else _mapping(values["wish"])
    values["reason"] = _reason(values.pop("reason_code"), values.pop("reason_values"))
    values["request"] = GenerationRequest.stored(json.loads(values["request"]))
    values["notes"] = tuple(note for note in _entries(values["notes"]) if isinstance(note, str))
    values["spoiler"], values["private"] = bool(values["spoiler"]), bool(values["private"])
    values["images"] = tuple(map(SpooledImage.stored, _entries(values["images"])))
    return Job(**values)


def _reason(code: str | None, values: str | None) -> Reason | None:
    if code is None:
        return None
    told = {name: value for name, value in _mapping(values or "{}").items() if isinstance(value, str)}
    return Reason(code=code, values=told)


def _stored(reason: Reason) -> dict[str, str]:
    """The columns of a reason."""
    return {"reason_code": reason.code, "reason_values": json.dumps(dict(reason.values))}


def _deed(deed: Deed, job: Job, by_user_id: int, now: float) -> AuditEntry | None:
    """What people do about their own in direct messages concerns nobody else: no log has it."""
    if job.guild_id == DIRECT and by_user_id == job.user_id:
        return None
    return AuditEntry(
        at=now, guild_id=job.guild_id, by_user_id=by_user_id, deed=deed, user_id=job.user_id, job_id=job.id
    )


def _mapping(text: str) -> dict[str, Any]:
    """A stored object; empty where it is something else."""
    found: Any = json.loads(text)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _entries(text: str) -> list[Any]:
    """A stored list; empty where it is something else."""
    found: Any = json.loads(text)
    return cast("list[Any]", found) if isinstance(found, list) else []


def _in_order(rows: Sequence[sqlite3.Row]) -> list[Job]:
    """Jobs in the order in which they were asked for, which RETURNING does not keep."""
    return sorted((job_of(row) for row in rows), key=lambda job: job.id)

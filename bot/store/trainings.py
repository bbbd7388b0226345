"""Rows of trainings and their pictures: the admitting statements and the guarded transitions. Knows no file and no process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, cast

from bot.job import Reason
from bot.store.audit import AuditEntry, record
from bot.store.blocks import BLOCKED
from bot.store.charged import USED
from bot.store.db import Database
from bot.training import UNDER_WAY, Sharing, Training, TrainingPicture, TrainingState

_UNDER_WAY = "(" + ", ".join(f"'{state}'" for state in UNDER_WAY) + ")"
_OPEN = "deleted_at IS NULL AND state IN ('collecting', 'waiting', 'running')"
_BLOCKED = BLOCKED.format(guild=":guild_id", user=":user_id")
_NEXT = "(SELECT COALESCE(MAX(number), 0) FROM training_picture WHERE training_id = :training_id)"


class Barred(StrEnum):
    """Why a statement changed nothing."""

    NAME = "name"
    """Another one has it, in whatever server."""
    MOST = "most"
    """They have as many as they may; of pictures, this one has."""
    BYTES = "bytes"
    """Their pictures would take more than they may keep."""
    TWICE = "twice"
    """The same picture is among them."""
    STATE = "state"
    """It is not being collected any more, or is gone."""
    CREDITS = "credits"
    BLOCKED = "blocked"


class Trainings:
    """Every admission and every letter of a suggestion asks which LoRAs are taught, which changes now and then: those are kept."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._teaching: tuple[Training, ...] | None = None
        self._changes = 0

    # -------------------------------------------------------------- what people collect

    async def new(self, training: Training, *, most: int) -> Training | Barred:
        """Stores it where its person has fewer than `most` that have not ended, and the name is free. Its number is ignored."""
        params = _params(training) | {"most": most}
        sql = f"""INSERT INTO training (guild_id, user_id, name, trigger_words, model, steps, channel_id, locale, created_at)
                  SELECT :guild_id, :user_id, :name, :trigger, :model, :steps, :channel_id, :locale, :created_at
                  WHERE (SELECT COUNT(*) FROM training
                         WHERE guild_id = :guild_id AND user_id = :user_id AND {_OPEN}) < :most
                  ON CONFLICT DO NOTHING RETURNING *"""
        if rows := await self._db.write(sql, params):
            return training_of(rows[0])
        return Barred.NAME if await self._is_taken(training.name) else Barred.MOST

    async def _is_taken(self, name: str) -> bool:
        sql = """SELECT 1 FROM training WHERE lower(name) = lower(:name)
                 AND deleted_at IS NULL AND state NOT IN ('failed', 'cancelled')"""
        return bool(await self._db.read(sql, {"name": name}))

    async def add_picture(
        self, picture: TrainingPicture, *, user_id: int, most: int, most_bytes: int
    ) -> TrainingPicture | Barred:
        """Under the next number; its own is ignored. `most_bytes`: of all that this person's trainings keep."""
        params = {
            "training_id": picture.training_id, "digest": picture.digest, "caption": picture.caption, "size": picture.size_bytes,
            "width": picture.width, "height": picture.height, "user_id": user_id, "most": most, "most_bytes": most_bytes,
        }  # fmt: skip
        count = "(SELECT COUNT(*) FROM training_picture WHERE training_id = :training_id)"
        kept = """(SELECT COALESCE(SUM(size_bytes), 0) FROM training_picture JOIN training ON id = training_id
                   WHERE user_id = :user_id)"""
        twice = (
            "EXISTS (SELECT 1 FROM training_picture WHERE training_id = :training_id AND digest = :digest)"
        )
        state = f"EXISTS (SELECT 1 FROM training WHERE id = :training_id AND {_COLLECTING})"
        sql = f"""INSERT INTO training_picture
                  SELECT :training_id, {_NEXT} + 1, :digest, :caption, :size, :width, :height
                  WHERE {state} AND NOT {twice} AND {count} < :most AND {kept} + :size <= :most_bytes
                  RETURNING *"""
        if rows := await self._db.write(sql, params):
            return _picture(rows[0])
        (row,) = await self._db.read(
            f"SELECT {state} AS open, {twice} AS twice, {count} < :most AS room", params
        )
        if not row["open"]:
            return Barred.STATE
        return Barred.TWICE if row["twice"] else Barred.BYTES if row["room"] else Barred.MOST

    async def remove_picture(self, training_id: int, number: int) -> TrainingPicture | None:
        """What is gone; None where there is none of that number, or nothing may be changed any more."""
        sql = f"""DELETE FROM training_picture WHERE training_id = :id AND number = :number
                  AND EXISTS (SELECT 1 FROM training WHERE id = :id AND {_COLLECTING}) RETURNING *"""
        rows = await self._db.write(sql, {"id": training_id, "number": number})
        return _picture(rows[0]) if rows else None

    async def set_captions(self, training_id: int, captions: Mapping[int, str]) -> bool:
        """By pictures' numbers. False where nothing may be changed any more."""
        async with self._db.tx() as connection:
            sql = f"SELECT 1 FROM training WHERE id = :id AND {_COLLECTING}"
            if not [*await connection.execute_fetchall(sql, {"id": training_id})]:
                return False
            for number, caption in captions.items():
                await connection.execute_fetchall(
                    "UPDATE training_picture SET caption = :caption WHERE training_id = :id AND number = :number",
                    {"id": training_id, "number": number, "caption": caption},
                )
        return True

    # -------------------------------------------------------------- paid for, taught, ended

    async def start(
        self, training_id: int, *, cost: int, credits_most: int, window_start: float, now: float
    ) -> Training | Barred:
        """Collecting -> waiting, if what they used since `window_start` and its cost stay within their credits."""
        there = await self.get(training_id)
        if there is None:
            return Barred.STATE
        params = {
            "id": training_id, "guild_id": there.guild_id, "user_id": there.user_id, "cost": cost, "credits": credits_most,
            "window_start": window_start, "now": now,
        }  # fmt: skip
        sql = f"""UPDATE training SET state = 'waiting', cost = :cost, charged = :cost, paid_at = :now
                  WHERE id = :id AND {_COLLECTING} AND {USED} + :cost <= :credits AND NOT EXISTS {_BLOCKED}
                  RETURNING *"""
        if (started := await self._moved(sql, params)) is not None:
            return started
        there = await self.get(training_id)
        if there is None or there.state is not TrainingState.COLLECTING:
            return Barred.STATE
        return Barred.BLOCKED if await self._db.read(_BLOCKED[1:-1], params) else Barred.CREDITS

    async def stands(self, training_id: int, *, channel_id: int, message_id: int) -> None:
        """The message that says how it stands."""
        sql = "UPDATE training SET channel_id = :channel, message_id = :message WHERE id = :id"
        await self._db.write(sql, {"id": training_id, "channel": channel_id, "message": message_id})

    async def run(self, training_id: int, *, now: float) -> Training | None:
        """Waiting -> running."""
        sql = """UPDATE training SET state = 'running', started_at = COALESCE(started_at, :now)
                 WHERE id = :id AND state = 'waiting' RETURNING *"""
        return await self._moved(sql, {"id": training_id, "now": now})

    async def progress(self, training_id: int, done: int) -> None:
        """So many steps are kept."""
        sql = f"""UPDATE training SET done = MIN(steps, MAX(done, :done))
                  WHERE id = :id AND state IN {_UNDER_WAY}"""
        await self._db.write(sql, {"id": training_id, "done": done})

    async def finish(self, training_id: int, *, now: float) -> Training | None:
        """Running -> done."""
        sql = """UPDATE training SET state = 'done', done = steps, finished_at = :now
                 WHERE id = :id AND state = 'running' RETURNING *"""
        return await self._moved(sql, {"id": training_id, "now": now})

    async def fail(self, training_id: int, *, reason: Reason, now: float) -> Training | None:
        """All of it is given back: no LoRA came of it."""
        return await self._end(training_id, TrainingState.FAILED, reason, charged="0", now=now)

    async def cancel(self, training_id: int, *, reason: Reason, now: float) -> Training | None:
        """What was not done of it is given back."""
        charged = "(charged * done + steps - 1) / steps"
        return await self._end(training_id, TrainingState.CANCELLED, reason, charged=charged, now=now)

    async def _end(
        self, training_id: int, state: TrainingState, reason: Reason, *, charged: str, now: float
    ) -> Training | None:
        sql = f"""UPDATE training SET state = :state, charged = {charged}, finished_at = :now,
                    reason_code = :code, reason_values = :values
                  WHERE id = :id AND state IN {_UNDER_WAY} RETURNING *"""
        params = {
            "id": training_id, "state": state, "now": now, "code": reason.code, "values": json.dumps(dict(reason.values)),
        }  # fmt: skip
        return await self._moved(sql, params)

    async def _moved(self, sql: str, params: dict[str, Any]) -> Training | None:
        rows = await self._db.write(sql, params)
        self._changed()
        return training_of(rows[0]) if rows else None

    def _changed(self) -> None:
        self._changes += 1
        self._teaching = None

    async def recover(self) -> None:
        """What was being taught when the bot ended waits again."""
        await self._db.write("UPDATE training SET state = 'waiting' WHERE state = 'running'", {})
        self._changed()

    async def shown(self, training_id: int, *, now: float) -> None:
        """Its message says that it is over."""
        await self._db.write(
            "UPDATE training SET shown_at = :now WHERE id = :id AND finished_at IS NOT NULL",
            {"id": training_id, "now": now},
        )

    # -------------------------------------------------------------- what came of it

    async def share(
        self, training: Training, sharing: Sharing, role_id: int | None, entry: AuditEntry
    ) -> bool:
        """False where it is gone, or said so already."""
        sql = """UPDATE training SET sharing = :sharing, role_id = :role
                 WHERE id = :id AND deleted_at IS NULL AND (sharing, role_id) IS NOT (:sharing, :role) RETURNING id"""
        params = {"id": training.id, "sharing": sharing, "role": role_id}
        async with self._db.tx() as connection:
            changed = [*await connection.execute_fetchall(sql, params)]
            if changed:
                await record(connection, entry)
        self._changed()
        return bool(changed)

    async def close(self, training_id: int, *, now: float) -> Training | None:
        """Nothing can be started of it any more. None while it is under way, or where it is gone."""
        sql = f"""UPDATE training SET {_CLOSED}
                  WHERE id = :id AND deleted_at IS NULL AND state NOT IN {_UNDER_WAY} RETURNING *"""
        return await self._moved(sql, {"id": training_id, "now": now})

    async def delete(self, training_id: int, *, now: float, entry: AuditEntry | None = None) -> bool:
        """Its words and pictures; what it cost still counts. False while it is under way, or where it is gone."""
        sql = f"""UPDATE training SET deleted_at = :now, name = '', trigger_words = '', reason_values = NULL, reason_code = NULL, {_CLOSED}
                  WHERE id = :id AND deleted_at IS NULL AND state NOT IN {_UNDER_WAY} RETURNING id"""
        async with self._db.tx() as connection:
            gone = [*await connection.execute_fetchall(sql, {"id": training_id, "now": now})]
            if gone:
                await connection.execute_fetchall(
                    "DELETE FROM training_picture WHERE training_id = :id", {"id": training_id}
                )
                if entry is not None:
                    await record(connection, entry)
        self._changed()
        return bool(gone)

    # -------------------------------------------------------------- reading

    async def get(self, training_id: int) -> Training | None:
        return await self._first("id = :id", {"id": training_id})

    async def by_name(self, guild_id: int, name: str) -> Training | None:
        """The newest of that name which has not failed, else the newest."""
        where = "guild_id = :guild AND lower(name) = lower(:name)"
        order = "state IN ('failed', 'cancelled'), id DESC"
        return await self._first(where, {"guild": guild_id, "name": name}, order)

    async def listed(self, guild_id: int, user_id: int | None) -> list[Training]:
        """Of one person, or of all; the newest first."""
        where = "guild_id = :guild AND (:user IS NULL OR user_id = :user)"
        return await self._all(where, {"guild": guild_id, "user": user_id}, "id DESC")

    async def teaching(self) -> tuple[Training, ...]:
        """Those of which a LoRA came, or comes: its file may lie there a moment before the row says so."""
        if self._teaching is not None:
            return self._teaching
        changes = self._changes
        found = (*await self._all(f"(state = 'done' OR state IN {_UNDER_WAY})", {}),)
        if changes == self._changes:  # else somebody changed them meanwhile
            self._teaching = found
        return found

    async def waiting(self) -> list[Training]:
        """In their order."""
        return await self._all("state = 'waiting'", {})

    async def next_waiting(self) -> Training | None:
        return await self._first("state = 'waiting'", {})

    async def unshown(self) -> list[Training]:
        """Those that ended while nobody could be told."""
        return await self._all("finished_at IS NOT NULL AND shown_at IS NULL AND message_id IS NOT NULL", {})

    async def pictures(self, training_id: int) -> list[TrainingPicture]:
        sql = "SELECT * FROM training_picture WHERE training_id = :id ORDER BY number"
        return [_picture(row) for row in await self._db.read(sql, {"id": training_id})]

    async def sizes(self, guild_id: int) -> Mapping[int, int]:
        """How many pictures each training of a guild has, by its number; those without any are left out."""
        sql = """SELECT training_id, COUNT(*) AS pictures FROM training_picture JOIN training ON id = training_id
                 WHERE guild_id = :guild GROUP BY training_id"""
        rows = await self._db.read(sql, {"guild": guild_id})
        return {row["training_id"]: row["pictures"] for row in rows}

    async def _all(self, where: str, params: dict[str, Any], order: str = "id") -> list[Training]:
        sql = f"SELECT * FROM training WHERE deleted_at IS NULL AND {where} ORDER BY {order}"
        return [training_of(row) for row in await self._db.read(sql, params)]

    async def _first(self, where: str, params: dict[str, Any], order: str = "id") -> Training | None:
        found = await self._all(where, params, f"{order} LIMIT 1")
        return found[0] if found else None


_COLLECTING = "state = 'collecting' AND deleted_at IS NULL"
_CLOSED = """state = CASE state WHEN 'collecting' THEN 'cancelled' ELSE state END,
             finished_at = COALESCE(finished_at, :now), paid_at = COALESCE(paid_at, created_at)"""


def _params(training: Training) -> dict[str, Any]:
    return {
        "guild_id": training.guild_id, "user_id": training.user_id, "name": training.name, "trigger": training.trigger,
        "model": training.model, "steps": training.steps, "channel_id": training.channel_id, "locale": training.locale,
        "created_at": training.created_at,
    }  # fmt: skip


def training_of(row: sqlite3.Row) -> Training:
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - iterating a Row gives its values
    code, told = values.pop("reason_code"), values.pop("reason_values")
    for name in ("paid_at", "shown_at", "deleted_at"):
        del values[name]
    found: Any = json.loads(told or "{}")
    named = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    values["reason"] = (
        None if code is None else Reason(code=code, values={k: str(v) for k, v in named.items()})
    )
    values["trigger"] = values.pop("trigger_words")
    values["state"] = TrainingState(values["state"])
    if values["sharing"] not in set(Sharing):  # another version may know more
        values["sharing"] = Sharing.MAKER
    values["sharing"] = Sharing(values["sharing"])
    return Training(**values)


def _picture(row: sqlite3.Row) -> TrainingPicture:
    return TrainingPicture(**{name: row[name] for name in row.keys()})  # noqa: SIM118

"""What waits for its person's word before it is drawn. Knows no limit: admission takes a plan away as it stores its jobs."""

from __future__ import annotations

import json
import sqlite3

from bot.job import Plan, Planned
from bot.store.db import Database
from engine.contract import GenerationRequest


class Plans:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def put(self, plan: Plan, *, expires_at: float) -> int:
        """Its number, by which its buttons know it."""
        sql = """INSERT INTO plan (guild_id, user_id, channel_id, token, requests, expires_at)
                 VALUES (:guild_id, :user_id, :channel_id, :token, :requests, :expires_at) RETURNING id"""
        requests = [{"wish": dict(each.wish), "request": each.request.to_dict()} for each in plan.requests]
        params = {
            "guild_id": plan.guild_id,
            "user_id": plan.user_id,
            "channel_id": plan.channel_id,
            "token": plan.token,
            "requests": json.dumps(requests, ensure_ascii=False),
            "expires_at": expires_at,
        }
        (row,) = await self._db.write(sql, params)
        return int(row["id"])

    async def get(self, plan_id: int, *, now: float) -> Plan | None:
        """None for one that was drawn or dropped, or that is too old."""
        sql = "SELECT * FROM plan WHERE id = :id AND expires_at > :now"
        rows = await self._db.read(sql, {"id": plan_id, "now": now})
        return _plan_of(rows[0]) if rows else None

    async def drop(self, plan_id: int) -> bool:
        """False where somebody was faster."""
        return bool(await self._db.write("DELETE FROM plan WHERE id = :id RETURNING id", {"id": plan_id}))

    async def forget(self, *, now: float) -> None:
        """Those that are too old."""
        await self._db.write("DELETE FROM plan WHERE expires_at <= :now", {"now": now})


def _plan_of(row: sqlite3.Row) -> Plan:
    return Plan(
        guild_id=row["guild_id"],
        user_id=row["user_id"],
        channel_id=row["channel_id"],
        token=row["token"],
        requests=tuple(
            Planned(wish=each["wish"], request=GenerationRequest.stored(each["request"]))
            for each in json.loads(row["requests"])
        ),
    )

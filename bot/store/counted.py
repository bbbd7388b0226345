"""What was drawn of late, counted: when, by which model, and how long people waited. Reads beside everything else.

No index has a server's days, and none is to be kept for this alone: numbers of jobs grow with the time, so that the first of
some days ago is found by halving, and from there rows are read some thousand at a time.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bot.store.db import Database

QUARTER_S = 900
"""In every time zone hours and days begin with one."""
DAY_S = 86_400.0
ROWS_AT_ONCE = 4000
"""So long others wait who look at many rows: some 20 ms."""
_PICTURES = f"""
SELECT CAST(created_at / {QUARTER_S} AS INTEGER) AS quarter, COALESCE(json_extract(request, '$.model'), '') AS model,
       SUM(json_array_length(images)) AS pictures"""
_WAITED = "SELECT MAX(0, CAST(10 * (finished_at - created_at) AS INTEGER)) AS waited"
_ROUNDED = """CASE WHEN waited < 100 THEN waited WHEN waited < 1000 THEN waited / 10 * 10 ELSE waited / 100 * 100 END"""
"""To two digits or so, that few different ones come into Python, whatever people waited."""
_OF_PERSON = """FROM job INDEXED BY job_by_person_and_day
  WHERE guild_id = :guild_id AND user_id = :user_id AND created_at >= :first AND created_at < :last AND state = 'delivered'"""
_OF_SERVER = """FROM job NOT INDEXED
  WHERE id >= :first AND id < :last AND guild_id = :guild_id AND created_at >= :since AND state = 'delivered'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Of what was shown, deleted pictures included."""

    quarters: Counter[int] = field(default_factory=Counter[int])
    """Pictures by the quarter of an hour, counted since 1970, in which they were asked for."""
    models: Counter[str] = field(default_factory=Counter[str])
    """Pictures by the ids of models."""
    waits: Counter[int] = field(default_factory=Counter[int])
    """Requests by the tenths of a second, cut to about two digits, from being asked to being shown."""

    @property
    def pictures(self) -> int:
        return self.quarters.total()

    def by_day(self, zone: ZoneInfo, *, now: float, days: int) -> Mapping[date, int]:
        """The last one is that of `now`."""
        last = datetime.fromtimestamp(now, zone).date()
        told = {last - timedelta(days=ago): 0 for ago in reversed(range(days))}
        for quarter, count in self.quarters.items():
            day = datetime.fromtimestamp(quarter * QUARTER_S, zone).date()
            if day in told:  # else it is the rest of the day before them
                told[day] += count
        return told

    def by_hour(self, zone: ZoneInfo) -> Mapping[int, int]:
        """Of the day."""
        told = dict.fromkeys(range(24), 0)
        for quarter, count in self.quarters.items():
            told[datetime.fromtimestamp(quarter * QUARTER_S, zone).hour] += count
        return told

    def wait_s(self, share: float) -> float:
        """Within so many seconds this share of them was there."""
        tenths, sums = sorted(self.waits), list[int]()
        for wait in tenths:
            sums.append(self.waits[wait] + (sums[-1] if sums else 0))
        return tenths[bisect.bisect_left(sums, share * sums[-1])] / 10 if sums else 0.0


class Counts:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def of_person(self, *, guild_id: int, user_id: int, now: float, days: int) -> Counted:
        counted, since = Counted(), now - days * DAY_S
        for day in range(days + 1):
            span = {"first": since + day * DAY_S, "last": since + (day + 1) * DAY_S}
            await self._add(counted, _OF_PERSON, {"guild_id": guild_id, "user_id": user_id, **span})
        return counted

    async def of_server(self, *, guild_id: int, now: float, days: int) -> Counted:
        counted, since = Counted(), now - days * DAY_S
        end = await self._end()
        for first in range(await self._first(since, end), end, ROWS_AT_ONCE):
            span = {"first": first, "last": min(end, first + ROWS_AT_ONCE), "since": since}
            await self._add(counted, _OF_SERVER, {"guild_id": guild_id, **span})
        return counted

    async def _add(self, counted: Counted, rows: str, params: Mapping[str, Any]) -> None:
        for row in await self._db.read_at_leisure(f"{_PICTURES} {rows} GROUP BY quarter, model", params):
            counted.quarters[row["quarter"]] += row["pictures"]
            counted.models[row["model"]] += row["pictures"]
        waits = f"SELECT {_ROUNDED} AS tenths, COUNT(*) AS jobs FROM ({_WAITED} {rows}) GROUP BY tenths"
        for row in await self._db.read_at_leisure(waits, params):
            counted.waits[row["tenths"]] += row["jobs"]

    async def _end(self) -> int:
        (row,) = await self._db.read_at_leisure("SELECT COALESCE(MAX(id), 0) + 1 AS n FROM job", {})
        return int(row["n"])

    async def _first(self, since: float, end: int) -> int:
        """The number of the first job since then; `end` where there is none."""
        sql = "SELECT created_at FROM job WHERE id >= :id ORDER BY id LIMIT 1"
        low, high = 1, end
        while low < high:
            middle = (low + high) // 2
            rows = await self._db.read_at_leisure(sql, {"id": middle})
            if rows and rows[0]["created_at"] < since:
                low = middle + 1
            else:
                high = middle
        return low

"""The only place that speaks SQL: one SQLite file, one writer, opened and closed as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bot.store.db import Database
from bot.store.history import History
from bot.store.jobs import Jobs
from bot.store.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    database: Database
    jobs: Jobs
    settings: Settings
    history: History

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Opens or creates the database and migrates it; raises `bot.store.db.DatabaseError`."""
        database = await Database.open(path)
        return cls(
            database=database, jobs=Jobs(database), settings=Settings(database), history=History(database)
        )

    async def close(self) -> None:
        await self.database.close()

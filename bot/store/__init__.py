"""The only place that speaks SQL: one SQLite file, one writer, opened and closed as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bot.store.audit import Audit
from bot.store.backup import back_up
from bot.store.blocks import Blocks
from bot.store.copies import Copies
from bot.store.counted import Counts
from bot.store.db import BUSY_TIMEOUT_S, Database
from bot.store.erasures import Erasures
from bot.store.finished import History
from bot.store.halts import Halts
from bot.store.jobs import Jobs
from bot.store.permits import PermitLists
from bot.store.personal import Personal
from bot.store.plans import Plans
from bot.store.preferences import Taste
from bot.store.reports import Reports
from bot.store.rule_words import RuleWords
from bot.store.server_settings import ServerSettings
from bot.store.stars import Favourites
from bot.store.threads import unawaited
from bot.store.trainings import Trainings


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    database: Database
    jobs: Jobs
    settings: ServerSettings
    history: History
    copies: Copies
    taste: Taste
    plans: Plans
    favourites: Favourites
    rule_words: RuleWords
    permits: PermitLists
    audit: Audit
    counts: Counts
    halts: Halts
    blocks: Blocks
    reports: Reports
    personal: Personal
    erasures: Erasures
    trainings: Trainings

    @classmethod
    async def open(
        cls, path: Path, *, backups: Path | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> Self:
        """Opens or creates the database and migrates it; raises `bot.store.db.DatabaseError`.

        What a migration changes is copied to `backups` before it, else to that folder beside the file.
        """
        database = await Database.open(path, backups=backups, busy_timeout_s=busy_timeout_s)
        return cls.on(database)

    @classmethod
    def on(cls, database: Database) -> Self:
        """All that is asked of an open database."""
        return cls(
            database=database,
            jobs=Jobs(database),
            settings=ServerSettings(database),
            history=History(database),
            copies=Copies(database),
            taste=Taste(database),
            plans=Plans(database),
            favourites=Favourites(database),
            rule_words=RuleWords(database),
            permits=PermitLists(database),
            audit=Audit(database),
            counts=Counts(database),
            halts=Halts(database),
            blocks=Blocks(database),
            reports=Reports(database),
            personal=Personal(database),
            erasures=Erasures(database),
            trainings=Trainings(database),
        )

    async def back_up(self, target: Path) -> None:
        """A verified copy of what is committed now, while everything goes on; raises DatabaseError."""
        await unawaited(lambda: back_up(self.database.path, target))

    async def close(self) -> None:
        await self.database.close()

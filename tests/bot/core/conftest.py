"""Rigs that are stopped whatever happens, with short pauses."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bot.core.engines import client as client_module
from bot.core.engines.watch import Deadlines
from bot.core.line import endings
from bot.store import db as database_module
from engine.contract import FakeSettings
from tests.kit.rig import QUICK, MakeRig, Rig, settings_for


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarts and repeated writes come soon."""
    monkeypatch.setattr(client_module, "BACKOFF_S", (0.02,))
    monkeypatch.setattr(client_module, "PAUSE_S", 0.02)
    monkeypatch.setattr(endings, "BUSY_RETRY_S", 0.02)
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.05)


@pytest.fixture
async def rig_of(tmp_path: Path, short_pauses: None) -> AsyncIterator[MakeRig]:
    """Makes rigs, started and with a ready engine unless told otherwise, and stops them all."""
    rigs: list[Rig] = []

    async def make(
        *,
        fake: FakeSettings = QUICK,
        deadlines: Deadlines | None = None,
        ready: bool = True,
        start: bool = True,
        **limits: int,
    ) -> Rig:
        folder = tmp_path / f"bot-{len(rigs)}"
        rig = Rig(
            folder, fake=fake, deadlines=deadlines or Deadlines(), settings=settings_for(folder, **limits)
        )
        rigs.append(rig)
        if start:
            await rig.start(ready=ready)
        return rig

    try:
        yield make
    finally:
        for rig in rigs:
            await rig.stop()


@pytest.fixture
def stranger() -> Callable[[Rig], AbstractContextManager[sqlite3.Connection]]:
    """Another program that holds the database's write lock."""

    @contextlib.contextmanager
    def hold(rig: Rig) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(rig.file, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
        finally:
            connection.close()

    return hold

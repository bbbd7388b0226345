"""A real SQLite file per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.store import Store, db
from tests.kit import new_databases


@pytest.fixture(autouse=True)
def made_by_migrations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is told how a database is made, moved, damaged and copied, it is made as people's are."""
    if request.path.stem in ("test_database", "test_faults", "test_backup"):
        monkeypatch.setattr(db, "_prepare", new_databases.AS_IT_IS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "easel.sqlite3"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    opened = await Store.open(file)
    yield opened
    await opened.close()

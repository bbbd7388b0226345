"""Rigs that are stopped whatever happens, with short pauses. Tests marked `virtual` run in the simulation's loop."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bot.app import Timings
from engine.contract import FakeSettings
from tests.kit.rig import QUICK, SHORT, MakeRig, Rig, settings_for
from workshop.rehearsal.simulation.loop import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual") is not None:
        return {"virtual": VirtualLoop}
    return {"usual": asyncio.new_event_loop}


@pytest.fixture
async def rig_of(tmp_path: Path) -> AsyncIterator[MakeRig]:
    """Makes rigs, started and with a ready engine unless told otherwise, and stops them all."""
    rigs: list[Rig] = []

    async def make(
        *,
        fake: FakeSettings = QUICK,
        timings: Timings = SHORT,
        ready: bool = True,
        start: bool = True,
        **limits: int,
    ) -> Rig:
        folder = tmp_path / f"bot-{len(rigs)}"
        rig = Rig(folder, fake=fake, timings=timings, settings=settings_for(folder, **limits))
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

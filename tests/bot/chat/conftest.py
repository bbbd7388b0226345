"""A running world per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.contract import FakeSettings
from tests.kit.world import World

StartWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def start_world(tmp_path: Path) -> AsyncIterator[StartWorld]:
    """Starts a world with chosen settings; it is stopped after the test."""
    worlds: list[World] = []

    async def start(*, fake: FakeSettings | None = None, **changes: dict[str, Any]) -> World:
        world = await World.start(tmp_path, fake=fake or FakeSettings(step_s=0.01), **changes)
        worlds.append(world)
        return world

    yield start
    for world in worlds:
        await world.stop()


@pytest.fixture
async def world(start_world: StartWorld) -> World:
    return await start_world()

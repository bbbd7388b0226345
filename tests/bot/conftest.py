"""Fixtures for the tests of the loopback Discord itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.studio import Studio, open_studio
from tests.kit.toybot import Evening, running
from workshop.rehearsal.loopback.driver import LoopbackDiscord


@pytest.fixture
async def evening() -> AsyncIterator[Evening]:
    async with LoopbackDiscord() as server:
        guild = server.add_guild()
        channel, alice = server.add_channel(guild), server.add_user("alice")
        async with running(server) as bot:
            yield Evening(discord=server, bot=bot, guild=guild, channel=channel, alice=alice)


@pytest.fixture
async def studio(evening: Evening, tmp_path: Path) -> Studio:
    return await open_studio(evening, tmp_path)

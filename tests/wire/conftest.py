"""Fixtures for the tests of the loopback Discord itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.wire.loopback import LoopbackDiscord
from tests.wire.toybot import Evening, running


@pytest.fixture
async def evening() -> AsyncIterator[Evening]:
    async with LoopbackDiscord() as server:
        guild = server.add_guild()
        channel, alice = server.add_channel(guild), server.add_user("alice")
        async with running(server) as bot:
            yield Evening(discord=server, bot=bot, guild=guild, channel=channel, alice=alice)

"""How large a file may be in a server, which Discord tells only after a start. Sends nothing and looks into no file."""

from __future__ import annotations

import asyncio

import discord
import structlog

log = structlog.get_logger(__name__)

FILE_BYTES_DEFAULT = 10 * 1024 * 1024
"""What every server takes."""
TOLD_WITHIN_S = 60.0
"""The gateway may be away, and results go out without it."""


class Room:
    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def bytes_in(self, guild_id: int, *, wanted: int) -> int:
        """The most bytes a file may have there; waits for Discord to tell where that makes a difference to `wanted`."""
        if wanted > FILE_BYTES_DEFAULT and self._known(guild_id) is None and not self._client.is_ready():
            await self._told(guild_id)
        return self._known(guild_id) or FILE_BYTES_DEFAULT

    def _known(self, guild_id: int) -> int | None:
        """None too for a server in an outage, of which nothing but its number is known."""
        guild = self._client.get_guild(guild_id)
        return None if guild is None or guild.unavailable else guild.filesize_limit

    async def _told(self, guild_id: int) -> None:
        try:
            async with asyncio.timeout(TOLD_WITHIN_S):
                await self._client.wait_until_ready()
        except TimeoutError:
            log.info("limit_not_told", guild=guild_id)

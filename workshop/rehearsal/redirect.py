"""Points an unmodified discord.py client at the loopback Discord: public API only, for any process."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

ADDRESS_VARIABLE, CA_VARIABLE = "LOOPBACK_DISCORD_ADDRESS", "LOOPBACK_DISCORD_CA"
HOSTS = frozenset({"discord.com", "cdn.discordapp.com", "media.discordapp.net"})


class OnlyLoopback(AbstractResolver):
    """Resolves Discord's names to the loopback server and refuses every other host."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in HOSTS and not host.endswith(".discord.gg"):
            raise OSError(f"the loopback Discord does not know the host {host!r}")
        result = ResolveResult(
            hostname=host,
            host=self._host,
            port=self._port,
            family=socket.AF_INET,
            proto=socket.IPPROTO_TCP,
            flags=int(socket.AI_NUMERICHOST),
        )
        return [result]

    async def close(self) -> None:
        """Nothing is held."""


def client_options(address: str, ca_pem: str | Path, *, guild_ready_timeout: float = 0.05) -> dict[str, Any]:
    """Options for `discord.Client(...)`; call it inside the running loop of the bot's process.

    `address` is "127.0.0.1:port", `ca_pem` the path of the server's certificate. The client that gets the
    connector closes it.
    """
    trusted = ssl.create_default_context(cafile=str(ca_pem))
    connector = aiohttp.TCPConnector(limit=0, resolver=OnlyLoopback(address), ssl=trusted)
    return {"connector": connector, "guild_ready_timeout": guild_ready_timeout}


def client_options_from_environment(*, guild_ready_timeout: float = 0.05) -> dict[str, Any]:
    """The same for a child process that was started with `LoopbackDiscord.environment`."""
    address, ca_pem = os.environ[ADDRESS_VARIABLE], os.environ[CA_VARIABLE]
    return client_options(address, ca_pem, guild_ready_timeout=guild_ready_timeout)

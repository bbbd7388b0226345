"""Keeps the bot from connecting to Discord's gateway in a hot loop: discord.py reconnects at once after most close codes.

More than 1,000 sessions a day, and Discord takes the token away. Knows no events.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import aiohttp
import structlog
from yarl import URL

log = structlog.get_logger(__name__)

LIVED_S = 100.0
"""A connection that lasted so long was a good one; shorter ones would be up to 864 a day."""
FREE = 4
"""So many short ones in a row are followed by the next one at once: Discord asks for a new one now and then."""
PAUSE_MAX_S = 600.0


class TooSoon(ConnectionError):
    """discord.py answers it with a pause of its own, which grows."""


class GatewayPace:
    """Sees every connection being made, through aiohttp."""

    def __init__(self) -> None:
        self._short = 0
        self._opened_at = float("-inf")
        self._is_counted = True

    def watch(self, trace: aiohttp.TraceConfig) -> None:
        trace.on_request_start.append(self._starts)
        trace.on_request_end.append(self._ended)

    async def _starts(
        self,
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        about: aiohttp.TraceRequestStartParams,
    ) -> None:
        if _is_gateway(about.url):
            self.check(time.monotonic())

    async def _ended(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, about: aiohttp.TraceRequestEndParams
    ) -> None:
        if _is_gateway(about.url) and about.response.status == 101:
            self.opened(time.monotonic())

    def opened(self, now: float) -> None:
        self._opened_at, self._is_counted = now, False

    def check(self, now: float) -> None:
        """Raises TooSoon while the next connection has to wait."""
        lived_s = now - self._opened_at
        if not self._is_counted:  # it is over: we are asked for another one
            self._is_counted = True
            self._short = self._short + 1 if lived_s < LIVED_S else 0
        pause = min(PAUSE_MAX_S, 2.0 ** (self._short - FREE)) if self._short > FREE else 0.0
        if lived_s < pause:
            raise TooSoon(f"the gateway ended {self._short} connections in a row, so the next one waits")


def _is_gateway(url: URL) -> bool:
    return (url.host or "").endswith(".discord.gg")

"""Time, snowflakes and "something changed" for the loopback Discord; knows no sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

DISCORD_EPOCH_MS = 1_420_070_400_000


class Clock:
    """Wall time in seconds that a test may move forward."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._offset_s = 0.0
        self._started = time.monotonic()
        self._last_snowflake = 0

    def now(self) -> float:
        return self._now() + self._offset_s

    def advance(self, seconds: float) -> None:
        self._offset_s += seconds

    def uptime_ms(self) -> float:
        """Real milliseconds since the server was made; `advance` does not touch it."""
        return (time.monotonic() - self._started) * 1000

    def snowflake(self) -> int:
        """A fresh id whose upper bits say when it was made, as Discord's do."""
        made = (int(self.now() * 1000) - DISCORD_EPOCH_MS) << 22
        self._last_snowflake = max(made, self._last_snowflake + 1)
        return self._last_snowflake

    def iso(self, at_s: float | None = None) -> str:
        stamp = self.now() if at_s is None else at_s
        millis = int(stamp * 1000) % 1000
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp)) + f".{millis:03d}000+00:00"


class Changes:
    """Wakes everybody who waits for the world to change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Return after the next change, or after `timeout_s`, whichever comes first."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return

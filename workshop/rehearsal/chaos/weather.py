"""A Discord that loses replies at random and hands files over slowly; knows the loopback's faults, no bot."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from workshop.rehearsal.loopback.faults import Fault, Hold, Request

LOSABLE = ("/callback", "/webhooks/", "/channels/", "attachments/")
STATUSES = (500, 502, 503, 504)


@dataclass(eq=False, kw_only=True, slots=True)
class Weather(Fault):
    """A share of all requests about messages is cut or answered with an error, half of them after being applied."""

    random: Random
    share: float

    def matches(self, request: Request) -> bool:
        about_messages = any(part in request.path for part in LOSABLE)
        if self.times <= 0 or not about_messages or self.random.random() >= self.share:
            return False
        self.apply, self.reset = self.random.random() < 0.5, self.random.random() < 0.5
        self.status = self.random.choice(STATUSES)
        return True


def weather(random: Random, share: float) -> Weather:
    """Bad until its `times` are set to 0."""
    return Weather(
        method="*",
        path_part="",
        status=500,
        code=0,
        times=1_000_000,
        apply=False,
        retry_after=0.1,
        via=True,
        reset=False,
        scope=None,
        random=random,
        share=share,
    )


class SlowFiles(Hold):
    """Each file that somebody attached takes its time to come."""

    def __init__(self, random: Random) -> None:
        super().__init__("GET", "ephemeral-attachments/", apply=False)
        self._random = random

    def matches(self, request: Request) -> bool:
        return self.method == request.method and self.path_part in request.path

    async def wait(self) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.6))

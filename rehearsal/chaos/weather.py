"""A Discord that loses replies at random; knows the loopback's faults, no bot."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from rehearsal.discordd.faults import Fault, Request

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

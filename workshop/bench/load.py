"""How requests come in and what became of them: by a schedule, or by people who wait for their picture; knows no model."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.contract import GenerationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request of the workload, due so many seconds after the start."""

    number: int
    request: GenerationRequest
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of it, in seconds after the start."""

    number: int
    at: float
    """When it was due, whenever somebody had time to look: a busy server can't hide its line this way."""
    seen: float
    """When there was something to look at: a preview, or else the finished picture."""
    done: float
    """When the PNG was on the disk."""
    path: str | None = None
    """None where the safety checker withheld the picture."""

    @property
    def latency(self) -> float:
        return self.done - self.at

    @property
    def blind(self) -> float:
        """Seconds with nothing to look at."""
        return self.seen - self.at


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    def now(self) -> float:
        return time.perf_counter() - self._begin

    def sleep_until(self, at: float | None) -> None:
        assert at is not None  # nobody is drawing, so something must still come
        time.sleep(max(0.0, at - self.now()))


class Arrivals(Protocol):
    """Hands out requests when they are due."""

    def due(self, now: float) -> list[Ask]:
        """Those that have become due since the last call."""
        ...

    def next_at(self) -> float | None:
        """When the next one is due, as far as is known."""
        ...

    def finished(self, number: int, now: float) -> None:
        """This one has its picture."""
        ...

    @property
    def is_over(self) -> bool:
        """Nothing is to come and nobody waits."""
        ...


class Schedule:
    """Open loop: they come when they come, whether there is time for them or not."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        self._to_come = deque(sorted(asks, key=lambda ask: ask.at))
        self._open = len(asks)

    def due(self, now: float) -> list[Ask]:
        asks: list[Ask] = []
        while self._to_come and self._to_come[0].at <= now:
            asks.append(self._to_come.popleft())
        return asks

    def next_at(self) -> float | None:
        return self._to_come[0].at if self._to_come else None

    def finished(self, number: int, now: float) -> None:
        del number, now
        self._open -= 1

    @property
    def is_over(self) -> bool:
        return not self._open


class Users:
    """Closed loop: so many people, each of whom asks again as soon as the last picture is there."""

    def __init__(self, users: int, requests: Sequence[GenerationRequest]) -> None:
        self._to_come = deque(enumerate(requests))
        self._due: list[Ask] = []
        self._open = len(requests)
        for _ in range(min(users, len(requests))):
            self._send(0.0)

    def _send(self, at: float) -> None:
        if self._to_come:
            number, request = self._to_come.popleft()
            self._due.append(Ask(number=number, request=request, at=at))

    def due(self, now: float) -> list[Ask]:
        del now
        asks, self._due = self._due, []
        return asks

    def next_at(self) -> float | None:
        return self._due[0].at if self._due else None

    def finished(self, number: int, now: float) -> None:
        del number
        self._open -= 1
        self._send(now)

    @property
    def is_over(self) -> bool:
        return not self._open

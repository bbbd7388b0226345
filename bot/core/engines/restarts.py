"""When the next engine comes after one has died, and when that is enough for a while. Pure; knows no clock, no process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often an engine may die, and the pauses before the next one."""

    backoff_s: tuple[float, ...] = (1.0, 2.0, 5.0)
    """Before the next engine, by the deaths that count; the last one for all further ones."""
    deaths_max: int = 3
    """So many deaths within `window_s`, and the engine is paused."""
    window_s: float = 600.0
    """Seconds of work: what loading and waiting took does not count, or an engine that loads slowly could die for ever."""
    pause_s: float = 600.0
    """Then one engine is tried; until one has worked for `window_s`, its death is the next pause."""


class Restarts:
    """The deaths of one engine's generations that count. `now` is any clock that is never set back."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._deaths: list[float] = []
        """When it died, by the seconds that it had worked until then."""
        self._worked_s = 0.0
        self._ready_at: float | None = None
        self._forgiving = True

    # -------------------------------------------------------------- what happens

    def started(self) -> None:
        """A new generation: it has to get ready first."""
        self._ready_at = None

    def ready(self, now: float) -> None:
        self._ready_at = now

    def finished(self) -> None:
        """A job was drawn to its end: whatever dies next may have died of another one."""
        self._forgiving = True

    def died(self, now: float) -> None:
        if self._ready_at is not None:
            self._worked_s += now - self._ready_at
        window_s = self._patience.window_s
        self._deaths = [worked for worked in self._deaths if self._worked_s - worked < window_s]
        self._deaths.append(self._worked_s)

    def blame_a_job(self, deaths: int) -> None:
        """A job has killed engines alone, and is out: so many of the last deaths were not the device's.

        Once only until a job is finished again: a device that kills every job would find a culprit each time.
        """
        if self._forgiving:
            self._forgiving = False
            self.forgive(deaths)

    def forgive(self, deaths: int) -> None:
        """So many of the last ones had another cause than the device."""
        del self._deaths[-deaths:]

    # -------------------------------------------------------------- what follows from it

    @property
    def deaths(self) -> int:
        return len(self._deaths)

    @property
    def breath_s(self) -> float:
        """The pause before the next generation is thought of."""
        backoff_s = self._patience.backoff_s
        return backoff_s[min(len(self._deaths), len(backoff_s)) - 1]

    @property
    def are_too_many(self) -> bool:
        return len(self._deaths) >= self._patience.deaths_max

    @property
    def were_too_many_before(self) -> bool:
        """The engine that was tried after the last pause died as well."""
        return len(self._deaths) > self._patience.deaths_max

"""What a person may use: limits, whom they are set for, and what was used of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Self

WEIGHT_MAX = 10
PAUSES = frozenset({"seconds_between"})
"""Fields of which less is more generous."""
PAUSE_MAX_S = 24 * 3600


class Period(StrEnum):
    """In which credits are counted."""

    DAY = "day"
    """From midnight to midnight, where a server has no night."""
    DAYTIME = "daytime"
    """From one night to the next."""
    NIGHT = "night"


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """Full hours of a server's clock, 0 to 23; it may go over midnight."""

    begins: int
    ends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one person may use. Credits are per calendar day in the guild's time zone, or, where a server has a night, per
    night, and per time from one night to the next.
    """

    credits_per_day: int
    credits_per_night: int
    pending: int
    max_pixels: int
    max_steps: int
    max_images: int
    weight: int = 1
    """Under backlog somebody of weight 2 is served twice as much as somebody of weight 1."""
    seconds_between: int = 0
    """From one request to the next; all parts of one are one."""
    trainings: int = 0
    """That have not ended; 0: they may teach nothing."""
    training_pictures: int = 30
    training_steps: int = 1000
    training_mb: int = 100
    """Of pictures, over all of their trainings."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(entry.name for entry in fields(cls))

    @property
    def is_blocked(self) -> bool:
        """An admin who sets either to 0 means that nothing is to be drawn at all."""
        return self.credits_per_day == 0 or self.pending == 0

    def credits_in(self, period: Period) -> int:
        return self.credits_per_night if period is Period.NIGHT else self.credits_per_day


def most_generous(name: str, *values: int) -> int:
    """Of a pause that is the shortest, of all else the most."""
    return min(values) if name in PAUSES else max(values)


def strictest(name: str, *values: int) -> int:
    return max(values) if name in PAUSES else min(values)


class Subject(StrEnum):
    EVERYONE = "everyone"
    ROLE = "role"
    MEMBER = "member"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitEntry:
    """What an admin set for everyone (id 0), a role or a member; None leaves a field to the wider entries."""

    subject: Subject
    subject_id: int = 0
    values: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def of(cls, subject: Subject, subject_id: int, values: Mapping[str, int | None]) -> Self:
        known = {name: value for name in Limits.names() if (value := values.get(name)) is not None}
        return cls(subject=subject, subject_id=subject_id, values=known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one person used in the current window."""

    used: int
    pending: int
    again_at: float | None = None
    """When the next may be asked for, where there is a pause between requests; it may be over."""


# ------------------------------------------------------------------ allow lists


class PermitKind(StrEnum):
    """Of what admins may list what is allowed."""

    MODEL = "model"
    LORA = "lora"
    FEATURE = "feature"
    CHANNEL = "channel"
    """By its id; threads are part of theirs."""


class Use(StrEnum):
    """What people do besides drawing from words: the names of a list of features."""

    IMAGES = "images"
    """To draw from what they attach."""
    SEVERAL = "several"
    """Requests at once, such as alternatives."""
    REROLL = "reroll"
    VARY = "vary"
    UPSCALE = "upscale"
    REMIX = "remix"
    EDIT = "edit"


NOTHING = ""
"""The name that stands for a list without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitEntry:
    """One name that an admin allows to everyone (id 0), a role or a member."""

    kind: PermitKind
    subject: Subject
    subject_id: int = 0
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Permits:
    """What one person may draw with, do and where: of a kind that is not there all of it."""

    names: Mapping[PermitKind, frozenset[str]] = field(default_factory=dict[PermitKind, frozenset[str]])
    closed: frozenset[str] = frozenset()
    """LoRAs, casefolded, that somebody taught and does not share with this person, whatever is listed."""

    def allows(self, kind: PermitKind, *names: str) -> bool:
        """Any of these."""
        open_ = [name for name in names if kind is not PermitKind.LORA or not self.is_closed(name)]
        return bool(open_) and (kind not in self.names or not self.names[kind].isdisjoint(open_))

    def is_closed(self, lora: str) -> bool:
        return lora.casefold() in self.closed

    def allows_model(self, name: str, *, scale: int) -> bool:
        """Upscalers are a matter of the feature."""
        return scale > 1 or self.allows(PermitKind.MODEL, name)

    def listed(self, kind: PermitKind) -> tuple[str, ...]:
        """Empty where nothing is allowed."""
        return tuple(sorted(self.names.get(kind, frozenset()) - {NOTHING}))

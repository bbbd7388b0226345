"""Why a person gets no picture: facts with their numbers, a closed union. Pure; `bot.texts.refusals` has the sentences."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.held_up import Closing, Halted, NotOffered
from bot.limits import Period, PermitKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A moderator or their limits let them make nothing: nothing that they change about the picture would help."""

    until: float | None = None
    """Seconds since 1970; None where no time is set."""
    reason: str = ""
    """A moderator's own words."""
    appeal: str = ""
    """What the server's admins tell those who are blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingAtNight:
    """An admin lets them make nothing as long as it is night."""

    until: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForbiddenByRules:
    """The server's admins forbid something in its words."""

    entry: str | None
    """Of their list; None where nobody is to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPermitted:
    """The server's admins keep a list of what is allowed, and this is not on it for this person."""

    kind: PermitKind
    name: str
    allowed: tuple[str, ...]
    """What is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotShared:
    """A LoRA that somebody taught, and not for this person, or not on this server."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFull:
    """There is no room for what is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputGone:
    """The picture it starts from is no longer kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchModel:
    name: str
    """As it was asked for."""
    offered: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchStyle:
    name: str
    """As it was asked for."""
    offered: tuple[str, ...]


# ------------------------------------------------------------------ what was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeAndAspect:
    """One of them is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeIsKept:
    """Who upscales gives neither size nor aspect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeUnknown:
    """Discord can't tell how large the image is that is to be upscaled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityAndSteps:
    """A quality other than the standard one chooses the steps."""

    quality: str
    steps: int


# ------------------------------------------------------------------ inside the prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownFlag:
    typed: str
    """As typed, such as "--weird"."""
    nearest: str | None
    """The flag that is spelled most like it."""
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagWithoutValue:
    typed: str
    example: str
    """Such as "--seed 7"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagOutOfForm:
    typed: str
    """With its value."""
    example: str
    least: float | None = None
    most: float | None = None
    """Bounds of a number; None for what is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Both can't hold: two flags, or a flag and an option, each as typed with its value."""

    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfASize:
    typed: str
    missing: str
    """The flag that says the other side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyAtOnce:
    """Alternatives and repeats make so many requests."""

    count: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyTogether:
    """So many images don't fit into the one message that shows them all."""

    images: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOfSeveral:
    """What is said of one request among several."""

    prompt: str
    """By which it is told from the others."""
    refused: Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGone:
    """It was drawn or dropped before, or it is too old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchWildcard:
    name: str
    offered: tuple[str, ...]
    """The nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WildcardInCircle:
    """A file that includes itself, at once or through others."""

    names: tuple[str, ...]
    """The way round, which ends where it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WildcardTooDeep:
    name: str
    most: int
    """Files within one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WildcardUnusable:
    """The file is empty, can't be read, or is larger than what is read."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WildcardsTooLong:
    """With the words filled in, the text has more characters than a prompt may have."""

    most: int


FlagProblem = UnknownFlag | FlagWithoutValue | FlagOutOfForm | Contradiction | HalfASize
WildcardProblem = NoSuchWildcard | WildcardInCircle | WildcardTooDeep | WildcardUnusable | WildcardsTooLong
ProblemOfSeveral = TooManyTogether | OneOfSeveral | PlanGone
PromptProblem = FlagProblem | TooManyAtOnce | WildcardProblem

# ------------------------------------------------------------------ the picture itself


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyPixels:
    size: str
    most: int
    side: int
    """A square that is allowed, and that the model takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSizeOfModel:
    """It has too many pixels, and its model draws no picture that has so few."""

    size: str
    most: int
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFarUpscaled:
    size: str
    most: int
    times: int | None
    """How many times is allowed; None where the image itself is too large for any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManySteps:
    steps: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyImages:
    images: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TooDear:
    """All credits of the period would not pay for it."""

    cost: int
    most: int
    period: Period


# ------------------------------------------------------------------ what else is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """Discord delivered an event twice: the first one answers, and only one answer is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PressedBefore:
    """What this button makes for them is still being made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyWaiting:
    waiting: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TooSoon:
    """After what they asked for before."""

    again_at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFull:
    """For everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditsSpent:
    cost: int
    left: int
    most: int
    period: Period
    ends_at: float
    """When others hold, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySpent:
    """The credits of the day on which it was asked for don't pay for it any more."""

    price: int


Refused = (
    Blocked
    | NothingAtNight
    | ForbiddenByRules
    | NotPermitted
    | NotShared
    | DiskFull
    | InputGone
    | NoSuchModel
    | NoSuchStyle
    | SizeAndAspect
    | ShapeIsKept
    | ShapeUnknown
    | QualityAndSteps
    | PromptProblem
    | ProblemOfSeveral
    | TooManyPixels
    | NoSizeOfModel
    | TooFarUpscaled
    | TooManySteps
    | TooManyImages
    | TooDear
    | Repeated
    | PressedBefore
    | TooManyWaiting
    | TooSoon
    | LineFull
    | CreditsSpent
    | DaySpent
    | Closing
    | Halted
    | NotOffered
)
"""One of these is the answer to whoever asked."""


class Unmet(Exception):
    """What a request can't even be read without is not there."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(repr(refused))
        self.refused: Refused = refused

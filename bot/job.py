"""The nouns of the bot: jobs, their states, askers and limits. Knows neither Discord, SQL nor the engine's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from bot.limits import Limits
from engine.contract import GenerationRequest, SpooledImage

TOKEN_LIFE_S = 15 * 60.0
"""How long Discord lets an interaction's token edit the answer."""


class JobState(StrEnum):
    ACCEPTED = "accepted"
    """Stored and paid for; the person has not been answered yet."""
    QUEUED = "queued"
    """Answered with a message; waits for a free slot."""
    RUNNING = "running"
    """Handed to an engine, under the row's attempt number."""
    RENDERED = "rendered"
    """All images lie in the spool; the message does not show them yet."""
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.ACCEPTED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.RENDERED, JobState.FAILED, JobState.CANCELLED}),
    JobState.RENDERED: frozenset({JobState.DELIVERED, JobState.FAILED, JobState.QUEUED}),
    JobState.DELIVERED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
LIVE = tuple(state for state in JobState if TRANSITIONS[state])
WAITING = (JobState.ACCEPTED, JobState.QUEUED, JobState.RUNNING)
"""States that count against a person's pending limit."""


class Action(StrEnum):
    """What a job was asked for by: a command, or what was pressed under another job's picture."""

    IMAGINE = "imagine"
    REROLL = "reroll"
    VARY_SUBTLE = "vary_subtle"
    VARY_STRONG = "vary_strong"
    UPSCALE_2 = "upscale_2"
    UPSCALE_4 = "upscale_4"
    REMIX = "remix"
    EDIT = "edit"
    REDRAW = "redraw"
    """From its seed, since the picture itself is kept no more."""


class Flagged(StrEnum):
    """What becomes of a picture that a safety checker flagged."""

    POST = "post"
    SPOILER = "spoiler"
    """Posted, covered until somebody looks."""
    HOLD = "hold"
    """Kept until a moderator approves it."""
    WITHHOLD = "withhold"


class Review(StrEnum):
    """How far moderators are with a job's flagged pictures."""

    WAITING = "waiting"
    APPROVED = "approved"
    REMOVED = "removed"
    UNASKED = "unasked"
    """There was no channel in which to ask."""
    UNREACHED = "unreached"
    """The channel took no question."""
    EXPIRED = "expired"
    """Nobody answered for days."""


class ReasonCode(StrEnum):
    """Why a job failed or was cancelled; `bot.texts.reasons` has the sentence for each, made when it is shown."""

    TOLD = "told"
    """`text` is the sentence: an engine's own, or an earlier version's."""
    NOT_ANSWERED = "not_answered"
    TOO_LATE = "too_late"
    CANCELLED = "cancelled"
    """By whom is `by`, a mention or a name."""
    WITHDRAWN = "withdrawn"
    REMOVED = "removed"
    OTHER_NUMBER = "other_number"
    GIVEN_UP = "given_up"
    DIED_TWICE = "died_twice"
    SET_ASIDE = "set_aside"
    """`model` killed engines while it was loaded."""
    BLOCKED = "blocked"
    CHANNEL_GONE = "channel_gone"
    THREAD_ARCHIVED = "thread_archived"
    THREAD_LOCKED = "thread_locked"
    SHUT_OUT = "shut_out"
    MESSAGE_GONE = "message_gone"
    UNREACHABLE = "unreachable"
    OUT_OF_ORDER = "out_of_order"
    NOT_TAKEN = "not_taken"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    code: str
    """A word of `ReasonCode`, or of another version."""
    values: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, code: ReasonCode, **values: str) -> Self:
        return cls(code=code, values=values)

    @classmethod
    def told(cls, text: str) -> Self:
        return cls.of(ReasonCode.TOLD, text=text)

    def __str__(self) -> str:
        """For the log."""
        return ": ".join([self.code, *self.values.values()])


Options = Mapping[str, Any]
"""What a person gave, as typed: options by their names, what was left out is not there."""


DIRECT = 0
"""The guild of what is asked for in direct messages with the bot: none of Discord's has this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks, and with which standing in the guild at that moment."""

    user_id: int
    guild_id: int
    role_ids: tuple[int, ...] = ()
    channel_ids: tuple[int, ...] = ()
    """Where they ask: of a thread also the channel that it belongs to. Empty in direct messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a job comes from: one Discord interaction, whose token lives for 15 minutes."""

    interaction_id: int
    application_id: int
    token: str
    channel_id: int
    part: int = 0
    """Which of the jobs that the interaction asks for."""
    parts: int = 1
    """How many those are."""
    locale: str | None = None
    """The language in which the person has their Discord, such as "en-GB"."""
    spoiler: bool = False
    """Whether pictures are covered there until somebody looks."""
    flagged: str = Flagged.WITHHOLD
    """What becomes there of pictures that a safety checker flags."""
    private: bool = False
    """For the person's eyes only: the channel is that of their direct messages, and the interaction's answer is not the
    job's message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One durable row. Times are seconds since 1970 (UTC)."""

    id: int
    state: JobState
    attempt: int
    """Fencing number of the current try: messages of an older attempt change nothing."""
    faults: int
    """How often an engine died with this job as its only guest."""
    wish: Options | None = None
    """What its person gave, as typed; None where that is not known."""
    request: GenerationRequest
    action: str
    """A word of `Action`, or of another version."""
    parent_id: int | None
    """The job whose button asked for this one."""
    parent_image: int | None = None
    """Which of its images, counted from 0; None for all of it."""
    user_id: int
    guild_id: int
    channel_id: int
    message_id: int | None
    interaction_id: int
    part: int = 0
    """Which of the jobs that the interaction asked for."""
    parts: int = 1
    """How many those are: with several, one message gathers them."""
    application_id: int
    token: str | None
    """The interaction's token; purged when it has expired."""
    locale: str | None = None
    """The language in which its person had their Discord."""
    cost: int
    weight: int = 1
    """In the line, of its person as they were when they asked for it."""
    charged: int
    created_at: float
    queued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    shown_at: float | None = None
    """When its message showed the end, or could not."""
    render_seconds: float | None = None
    """From its first step to its last image, others' turns included."""
    engine_seconds: float | None = None
    """The engine's time for this job alone."""
    reason: Reason | None = None
    """Why it failed or was cancelled."""
    notes: tuple[str, ...] = ()
    deleted_at: float | None = None
    """When somebody asked to take its pictures away: nobody is shown them from then on."""
    removed_at: float | None = None
    """When its message and files were gone."""
    erased_at: float | None = None
    """When its words were emptied: nobody reads any more what it was."""
    images: tuple[SpooledImage, ...] = ()
    spoiler: bool = False
    """Its pictures are covered until somebody looks: its channel wants that."""
    private: bool = False
    """Nobody but its person sees it: its message stands in their direct messages, where the bot sent it."""
    flagged: str = Flagged.WITHHOLD
    """What becomes of its pictures that a safety checker flags: a word of `Flagged`, or of another version."""
    review: str | None = None
    """A word of `Review`, or of another version; None where nobody was to be asked."""
    review_message_id: int | None = None
    """Where moderators are asked."""

    @property
    def is_in_review(self) -> bool:
        """Whether it is drawn, and shown to nobody before a moderator has decided."""
        return self.state is JobState.RENDERED and self.review == Review.WAITING

    def covers(self, image: SpooledImage) -> bool:
        """Whether this picture of its is covered until somebody looks."""
        return self.spoiler or (image.flagged and self.flagged == Flagged.SPOILER)

    @property
    def covered(self) -> tuple[bool, ...]:
        """The same of each of its images that may be posted."""
        return tuple(map(self.covers, self.shown_images))

    @property
    def shown_images(self) -> tuple[SpooledImage, ...]:
        """The images that may be posted."""
        return tuple(image for image in self.images if image.path is not None)

    @property
    def is_direct(self) -> bool:
        """Whether its message stands in direct messages, which are one person's."""
        return self.private or self.guild_id == DIRECT

    @property
    def is_gathered(self) -> bool:
        """Whether its message is also that of others."""
        return self.parts > 1

    @property
    def is_unpaid(self) -> bool:
        """Drawn, but refunded since nobody would take it: its person may still have it, for what it costs."""
        return self.state is JobState.FAILED and bool(self.shown_images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A message that shows pictures of a job besides its own."""

    message_id: int
    channel_id: int
    guild_id: int
    job_id: int
    user_id: int
    """Who had it posted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A request that waits for its person's word."""

    wish: Options
    """As typed."""
    request: GenerationRequest
    """What it was resolved to: what was shown is what is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Several requests at once, of which nothing is drawn before their person says so."""

    guild_id: int
    user_id: int
    channel_id: int
    token: str
    """Of the interaction that asked for them: takes the question away."""
    requests: tuple[Planned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Somebody's right to post the one copy of a picture in a gallery; what came of it is not known yet."""

    job_id: int
    image: int | None
    """Counted from 0; None for all of it."""
    guild_id: int
    channel_id: int
    user_id: int
    claimed_at: float
    tries: int
    """The first is 1; before a later one it may stand there already."""


PROMPT_HERE = "{prompt}"
STYLE_NAME_CHARS_MAX, STYLE_TEXT_CHARS_MAX = 40, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A template for prompts; `{prompt}` in it is where what was asked for goes, else it is put behind, after a comma."""

    name: str
    prompt: str
    negative_prompt: str = ""

    @property
    def is_named(self) -> bool:
        return 1 <= len(self.name) <= STYLE_NAME_CHARS_MAX and self.name.isprintable()

    @property
    def says_something(self) -> bool:
        texts = self.prompt, self.negative_prompt
        return any(texts) and max(map(len, texts)) <= STYLE_TEXT_CHARS_MAX

    def applied(self, prompt: str) -> str:
        if PROMPT_HERE in self.prompt:
            return self.prompt.replace(PROMPT_HERE, prompt)
        return ", ".join(part for part in (prompt, self.prompt) if part)

    def applied_negative(self, negative: str) -> str:
        if PROMPT_HERE in self.negative_prompt:
            return self.negative_prompt.replace(PROMPT_HERE, negative)
        return ", ".join(part for part in (negative, self.negative_prompt) if part)


# ------------------------------------------------------------------ limits


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """Everything the one admitting statement needs."""

    request: GenerationRequest
    asker: Asker
    origin: Origin
    action: Action
    parent_id: int | None
    parent_image: int | None = None
    wish: Options | None = None
    cost: int
    limits: Limits
    credits: int
    """Of its person in the window, used ones too."""
    window_start: float
    queue_max: int


class Refusal(StrEnum):
    """Why the admitting statement stored nothing."""

    DUPLICATE = "duplicate"
    BUTTON = "button"
    PENDING = "pending"
    CREDITS = "credits"
    PAUSE = "pause"
    """Too soon after the one before."""
    QUEUE = "queue"
    BLOCKED = "blocked"
    PLAN = "plan"
    """It was drawn or dropped before, or too long ago."""

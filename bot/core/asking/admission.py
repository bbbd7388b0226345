"""The one admission: what a person may use, and whether a request is stored and charged. Knows no Discord and no SQL."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

import structlog

from bot.config import Settings
from bot.core.asking.catalogue import Catalogue
from bot.core.asking.policy import (
    Admitted,
    Window,
    affordable,
    at_night,
    explain,
    foresee,
    judge,
    limits_for,
    not_permitted,
    permits_for,
    uses_of,
    window_of,
)
from bot.core.asking.price import price_of
from bot.core.asking.refused import (
    Blocked,
    DaySpent,
    DiskFull,
    ForbiddenByRules,
    InputGone,
    NothingAtNight,
    NotPermitted,
    OneOfSeveral,
    Refused,
    TooDear,
)
from bot.core.asking.wish import Wish
from bot.core.doors import Doors
from bot.core.happenings import JobAccepted, JobFetched, Listener
from bot.core.held_up import Closing, Halted
from bot.core.moderation.rules import Rules
from bot.core.ports import Clock
from bot.core.spool import hold_inputs
from bot.job import Action, Asker, Job, JobState, NewJob, Origin, Planned, Refusal
from bot.limits import Limits, PermitKind, Permits, Usage, Use
from bot.store import Store
from bot.store.blocks import Block
from bot.store.preferences import APPEAL, Scope
from engine.contract import GenerationRequest, ModelInfo
from engine.contract.failpoints import Failpoint, reach

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a person may use, and when."""

    limits: Limits
    window: Window
    permits: Permits = field(default_factory=Permits)
    barred: Blocked | NothingAtNight | None = None
    """Why it is nothing at all now."""

    @property
    def credits(self) -> int:
        """For the window, used ones too."""
        return self.limits.credits_in(self.window.period)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance(Terms):
    """With what they have used."""

    usage: Usage

    @property
    def left(self) -> int:
        """Credits."""
        return max(0, self.credits - self.usage.used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What several requests at once would cost, each of them, and of what that is taken."""

    costs: tuple[int, ...]
    allowance: Allowance

    @property
    def cost(self) -> int:
        return sum(self.costs)

    @property
    def verdict(self) -> Admitted:
        return Admitted(cost=self.cost)


class Admission:
    """Commands and buttons alike come through here."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Catalogue,
        clock: Clock,
        settings: Settings,
        doors: Doors,
        tell: Listener,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._settings = settings
        self._doors = doors
        self._tell = tell
        self.rules = Rules(store.rule_words, store.taste)

    async def why_not(
        self,
        request: GenerationRequest,
        *,
        asker: Asker,
        model: ModelInfo | None = None,
        action: Action = Action.IMAGINE,
    ) -> Refused | None:
        """Why `admit` would refuse now: for a request that is costly to complete, such as by a download.

        Promises nothing and stores nothing; what the request starts from need not be there yet.
        """
        if (closed := self._closed(asker)) is not None:
            return closed
        allowance = await self.allowance(asker)
        if allowance.barred is not None:
            return allowance.barred
        uses = uses_of(request, action, is_one_of_several=False)
        verdict = await self._judge(request, asker, allowance, model, uses)
        if isinstance(verdict, Refused):
            return verdict
        return self._foreseen(verdict, allowance)

    async def turned_away(self, asker: Asker) -> Refused | None:
        """Why a person could ask for nothing at all now, whatever it were."""
        if (closed := self._closed(asker)) is not None:
            return closed
        return (await self._terms(asker)).barred

    async def blocked(self, asker: Asker) -> Blocked | None:
        """Why this person may make nothing: said first, since nothing they change would help."""
        return await self._blocked(asker, *await asyncio.gather(self._limits(asker), self._block(asker)))

    async def _block(self, asker: Asker) -> Block | None:
        return await self._store.blocks.of(asker.guild_id, asker.user_id, now=self._clock.now())

    async def _blocked(self, asker: Asker, limits: Limits, block: Block | None) -> Blocked | None:
        """By a moderator, else by their limits."""
        if block is None and not limits.is_blocked:
            return None
        appeal = (await self._store.taste.of(Scope.SERVER, asker.guild_id)).get(APPEAL, "")
        if block is None:
            return Blocked(appeal=appeal)
        return Blocked(until=block.until, reason=block.reason, appeal=appeal)

    def _closed(self, asker: Asker) -> Refused | None:
        """Why nobody's request is taken there now."""
        if self._doors.is_closing:
            return Closing()
        if (halt := self._doors.halted(asker.guild_id)) is not None:
            return Halted.by(halt)
        if (problem := self._catalogue.why_nothing_is_drawn()) is not None:
            return problem
        if free_mb(self._settings) < self._settings.data.free_mb:
            return DiskFull()
        return None

    async def admit(
        self,
        request: GenerationRequest,
        *,
        asker: Asker,
        origin: Origin,
        model: ModelInfo | None = None,
        action: Action = Action.IMAGINE,
        parent_id: int | None = None,
        parent_image: int | None = None,
        wish: Wish | None = None,
    ) -> Job | Refused:
        """Stores and charges the job, or says why not. The caller answers next.

        `model` is the one that draws, where that is known: a refusal proposes what it takes.
        """
        if (closed := self._closed(asker)) is not None:
            return closed
        terms = await self._terms(asker)
        if terms.barred is not None:
            return terms.barred
        uses = uses_of(request, action, is_one_of_several=False)
        verdict = await self._judge(request, asker, terms, model, uses)
        if isinstance(verdict, Refused):
            return verdict
        if not hold_inputs(self._settings.inputs, request):
            return InputGone()
        new = NewJob(
            request=request,
            asker=asker,
            origin=origin,
            action=action,
            parent_id=parent_id,
            parent_image=parent_image,
            wish=None if wish is None else wish.options(),
            cost=verdict.cost,
            limits=terms.limits,
            credits=terms.credits,
            window_start=terms.window.start,
            queue_max=self._settings.queue.max,
        )
        admitted = await self._store.jobs.admit(new, self._clock.now())
        if isinstance(admitted, Refusal):
            return self._explained(admitted, verdict, await self.allowance(asker))
        reach(Failpoint.ADMITTED)
        self._tell(JobAccepted(job=admitted))
        return admitted

    async def quote(
        self, requests: Sequence[GenerationRequest], *, asker: Asker, models: Sequence[ModelInfo]
    ) -> Quote | Refused:
        """What these would cost together, or why `admit_all` would refuse them now. Promises and stores nothing.

        `models`: the one that draws each.
        """
        quote = await self._judged(requests, asker=asker, models=models)
        if not isinstance(quote, Quote):
            return quote
        return self._foreseen(quote.verdict, quote.allowance) or quote

    async def _judged(
        self, requests: Sequence[GenerationRequest], *, asker: Asker, models: Sequence[ModelInfo]
    ) -> Quote | Refused:
        if (closed := self._closed(asker)) is not None:
            return closed
        allowance = await self.allowance(asker)
        if allowance.barred is not None:
            return allowance.barred
        costs: list[int] = []
        for request, model in zip(requests, models, strict=True):
            uses = uses_of(request, Action.IMAGINE, is_one_of_several=len(requests) > 1)
            verdict = await self._judge(request, asker, allowance, model, uses)
            if isinstance(verdict, Refused):
                return OneOfSeveral(prompt=request.prompt, refused=verdict)
            costs.append(verdict.cost)
        quote = Quote(costs=tuple(costs), allowance=allowance)
        whole = affordable(quote.cost, allowance.limits, allowance.window.period)
        return whole if isinstance(whole, TooDear) else quote

    async def _judge(
        self,
        request: GenerationRequest,
        asker: Asker,
        terms: Terms,
        model: ModelInfo | None,
        uses: Iterable[Use],
    ) -> Admitted | Refused:
        """Whether this person may have this picture: by the server's lists and rules first."""
        if (kept := not_permitted(request, terms.permits, asker, model, uses)) is not None:
            return kept
        if (met := await self.rules.forbids(asker.guild_id, request)) is not None:
            log.info("forbidden_by_rules", guild=asker.guild_id, user=asker.user_id, entry=met.entry)
            return ForbiddenByRules(entry=met.entry if met.is_told else None)
        return judge(request, terms.limits, model=model, period=terms.window.period)

    async def admit_all(
        self,
        planned: Sequence[Planned],
        *,
        plan_id: int,
        asker: Asker,
        origin: Origin,
        models: Sequence[ModelInfo],
    ) -> list[Job] | Refused:
        """Stores and charges all that was planned, as the parts of one request, or nothing; a plan once."""
        quote = await self._judged([each.request for each in planned], asker=asker, models=models)
        if not isinstance(quote, Quote):
            return quote
        if not all(hold_inputs(self._settings.inputs, each.request) for each in planned):
            return InputGone()
        news = [
            NewJob(
                request=each.request,
                asker=asker,
                origin=replace(origin, part=part, parts=len(planned)),
                action=Action.IMAGINE,
                parent_id=None,
                wish=each.wish,
                cost=cost,
                limits=quote.allowance.limits,
                credits=quote.allowance.credits,
                window_start=quote.allowance.window.start,
                queue_max=self._settings.queue.max,
            )
            for part, (each, cost) in enumerate(zip(planned, quote.costs, strict=True))
        ]
        admitted = await self._store.jobs.admit_all(news, plan_id=plan_id, now=self._clock.now())
        if isinstance(admitted, Refusal):
            return self._explained(admitted, quote.verdict, await self.allowance(asker))
        reach(Failpoint.ADMITTED)
        for job in admitted:
            self._tell(JobAccepted(job=job))
        return admitted

    async def settle_fetch(self, job: Job, *, asker: Asker) -> Job | Refused:
        """The job whose person now gets what could not be posted, paid for by the day or night in which it was asked for.

        What was delivered is paid for, and so is what was fetched before.
        """
        if job.state is JobState.DELIVERED:
            return job
        terms, price = await self._terms(asker, job.created_at), price_of(job.cost, job.images)
        window = terms.window.start, terms.window.end
        paid = await self._store.jobs.fetched(job, charged=price, window=window, most=terms.credits)
        if paid is not None:
            self._tell(JobFetched(job=paid))
        now = paid or await self._store.jobs.get(job.id)
        if now is not None and now.state is JobState.DELIVERED:  # or by a second press in this moment
            return now
        return DaySpent(price=price)

    async def allowance(self, asker: Asker) -> Allowance:
        """The limits that hold for a person now, and what they used of them today, or this night."""
        terms = await self._terms(asker)
        jobs, person = self._store.jobs, {"guild_id": asker.guild_id, "user_id": asker.user_id}
        usage = await jobs.usage(**person, window_start=terms.window.start)
        if terms.limits.seconds_between:
            last = await jobs.last_asked(**person, now=self._clock.now())
            usage = replace(usage, again_at=None if last is None else last + terms.limits.seconds_between)
        return Allowance(
            limits=terms.limits,
            window=terms.window,
            permits=terms.permits,
            barred=terms.barred,
            usage=usage,
        )

    async def _terms(self, asker: Asker, at: float | None = None) -> Terms:
        """The limits that hold for a person, and for which day or night: now, or the one around `at`."""
        limits, block, days, permits = await asyncio.gather(
            self._limits(asker),
            self._block(asker),
            self._store.settings.days(asker.guild_id),
            self.permits(asker),
        )
        zone = self._zone(asker.guild_id, days.time_zone)
        window = window_of(self._clock.now() if at is None else at, zone, days.night)
        kept = await self._blocked(asker, limits, block) or at_night(limits, window)
        return Terms(limits=limits, window=window, permits=permits, barred=kept)

    async def permits(self, asker: Asker) -> Permits:
        """What a person may draw with, do and where."""
        trainings = await self._store.trainings.teaching()
        return permits_for(asker, await self._store.permits.of(asker.guild_id), trainings)

    async def keeps_from(self, asker: Asker, use: Use) -> Refused | None:
        """Why a person may not do that at all here: said before a form asks them for more."""
        permits = await self.permits(asker)
        if permits.allows(PermitKind.FEATURE, use):
            return None
        return NotPermitted(kind=PermitKind.FEATURE, name=use, allowed=permits.listed(PermitKind.FEATURE))

    async def zone(self, guild_id: int) -> ZoneInfo:
        """In which its days are."""
        return self._zone(guild_id, (await self._store.settings.days(guild_id)).time_zone)

    def _zone(self, guild_id: int, name: str | None) -> ZoneInfo:
        """The guild's own where it is still known: one of another machine's list may be gone."""
        try:
            return ZoneInfo(name or self._settings.server.time_zone)
        except (KeyError, ValueError, OSError) as error:
            log.warning("time_zone_unknown", guild=guild_id, zone=name, error=str(error))
            return ZoneInfo(self._settings.server.time_zone)

    async def _limits(self, asker: Asker) -> Limits:
        return limits_for(
            asker,
            await self._store.settings.limits(asker.guild_id),
            defaults=self._settings.limits.to_limits(),
            ceilings=self._settings.ceilings.to_limits(),
        )

    def _foreseen(self, verdict: Admitted, allowance: Allowance) -> Refused | None:
        """Why these would not be stored now."""
        refusal = foresee(
            verdict.cost,
            allowance.limits,
            allowance.usage,
            period=allowance.window.period,
            now=self._clock.now(),
        )
        return None if refusal is None else self._explained(refusal, verdict, allowance)

    def _explained(self, refusal: Refusal, verdict: Admitted, allowance: Allowance) -> Refused:
        return explain(
            refusal,
            cost=verdict.cost,
            limits=allowance.limits,
            usage=allowance.usage,
            window=allowance.window,
            now=self._clock.now(),
        )


def free_mb(settings: Settings) -> int:
    """MiB that are left where Easel keeps its data."""
    return shutil.disk_usage(settings.data_dir).free >> 20

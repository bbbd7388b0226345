"""The life of a job once it is admitted: queue, submit, track, settle. Knows no Discord and no SQL, and no single engine.

Every change of state is a guarded statement in the store; what is held in memory here (the line, who is
aboard the engine) is rebuilt from the rows when the bot starts. Events are handled one after the other by
`_drain`, which exists only while there is something to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import structlog

from bot.core.asking.derived import drawn_by
from bot.core.asking.price import price_of
from bot.core.doors import Doors
from bot.core.engines.fleet import Broke, Died, Drawn, Fleet, Rests, Told, Victim
from bot.core.happenings import (
    Actor,
    JobAbandoned,
    JobBegun,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobRendered,
    JobRequeued,
    JobUnanswered,
    JobWithdrawn,
    Listener,
)
from bot.core.held_up import HeldUp, held_up_by
from bot.core.line.aboard import Aboard
from bot.core.line.endings import REMOVED, Endings
from bot.core.line.errands import Errands
from bot.core.line.estimates import Pace
from bot.core.line.fairness import FairQueue
from bot.core.line.recovery import Recovery
from bot.core.line.retries import Retries
from bot.core.line.reviews import Reviews
from bot.core.line.told import LineTold
from bot.core.line.turn import next_sent
from bot.core.moderation.flagged import review_of, settled
from bot.core.news import EngineCantWork, GpuPaused, ModelNotLoaded, ModelSetAside
from bot.core.ports import Clock, Delivery, Progress
from bot.core.spool import Spool
from bot.job import TRANSITIONS, Flagged, Job, JobState, Reason, ReasonCode
from bot.store import Store
from bot.store.db import DatabaseError, Unusable
from bot.store.halts import EVERYWHERE
from engine.contract import (
    Broken,
    Cancel,
    Cancelled,
    Failed,
    Finished,
    InvalidRequest,
    Loading,
    NotLoaded,
    OfferChanged,
    Ready,
    Resident,
    Started,
    Stepped,
    Submit,
)
from engine.contract.failpoints import Failpoint, reach

log = structlog.get_logger(__name__)

FAULTS_MAX = 2
NOT_ANSWERED = Reason.of(ReasonCode.NOT_ANSWERED)
PLACES_SHOWN = 10
"""Only the front of the line sees its place move: a long line must not become a storm of edits."""
RECALLED = 200
"""So many of the newest pictures tell at a start how fast engines are."""
LINE_EVERY_S = 1.0
"""How often it is looked at while others are drawn."""


class Dispatcher:
    def __init__(
        self,
        *,
        store: Store,
        fleet: Fleet,
        delivery: Delivery,
        clock: Clock,
        spool: Spool,
        doors: Doors,
        retries: Retries | None = None,
        tell: Listener,
    ) -> None:
        """`tell` hears what happens to jobs."""
        self.fleet = fleet
        self._tell = tell
        self._doors = doors
        self._store = store
        self._delivery = delivery
        self._clock = clock
        self._retries = retries or Retries()
        self.errands = Errands(delivery=delivery, tell=tell)
        self.endings = Endings(
            store=store,
            delivery=delivery,
            clock=clock,
            spool=spool,
            retries=self._retries,
            errands=self.errands,
            tell=tell,
        )
        self.reviews = Reviews(
            store=store,
            delivery=delivery,
            retries=self._retries,
            errands=self.errands,
            endings=self.endings,
            tell=tell,
        )
        self._recovery = Recovery(
            self,
            reviews=self.reviews,
            store=store,
            delivery=delivery,
            clock=clock,
            spool=spool,
            endings=self.endings,
            errands=self.errands,
        )
        self._line = FairQueue()
        self._waiting: dict[int, Job] = {}
        self._aboard: dict[int, Aboard] = {}
        self._cancelled: set[int] = set()
        """Jobs that are (or just come) aboard, though their rows say that they are over."""
        self._asked_for_twins: set[int] = set()
        self._pace = Pace()
        self._last_step_by_engine: dict[int, float] = {}
        self._line_told = LineTold()
        self._line_looked_at = 0.0
        self._inbox: deque[Told | None] = deque()
        self._drainer: asyncio.Task[None] | None = None

    # -------------------------------------------------------------- answers

    async def answered(self, job: Job, message_id: int) -> None:
        """The person sees a message for the job: it joins the line."""
        queued: Job | None = None
        async for attempt in self._retries.persistent():
            with attempt:
                queued = await self._store.jobs.queued(job, message_id=message_id, now=self._clock.now())
        reach(Failpoint.QUEUED)
        if queued is None:
            await self.endings.show_late(job, message_id)
        else:
            self._tell(JobQueued(job=queued))
            self.enqueue(queued)
            if self.endings.is_out_of_reach(queued):  # removed in this moment
                await self.guild_left(queued.guild_id)
            self._post(None)

    async def unanswered(
        self, job: Job, *, reason: Reason = NOT_ANSWERED, message_id: int | None = None
    ) -> None:
        """The answer could not be given: a job that nobody was told of never runs and costs nothing.

        `message_id`: where somebody was told of it after all, but too long ago. That message gets an end.
        """
        ended: Job | None = None
        async for attempt in self._retries.persistent():
            with attempt:
                now = self._clock.now()
                if message_id is None:
                    ended = await self._store.jobs.unanswered(job, reason=reason, now=now)
                else:
                    ended = await self._store.jobs.cancelled(
                        job, reason=reason, charged=0, now=now, message_id=message_id
                    )
        if ended is None:  # it was cancelled while its answer was under way
            await self.endings.show_late(job, message_id)
            return
        self._tell(JobUnanswered(job=ended))
        if message_id is not None:
            self.errands.begin(self.endings.show(ended))

    def enqueue(self, job: Job) -> None:
        """Behind those who were served less."""
        if job.attempt:  # it was aboard when the bot ended, or came back from an engine that had died before
            self.fleet.suspect(job.id)
        self._waiting[job.id] = job
        self._line.add(job.id, user_id=job.user_id, cost=job.cost, weight=job.weight)

    # -------------------------------------------------------------- what people may ask

    def progress_of(self, job: Job) -> Progress:
        """Place, time left and step of a live job."""
        held_up = self.held_up(job.guild_id)
        if (aboard := self._aboard.get(job.id)) is not None:
            now = self._clock.now()
            return Progress(
                eta_s=self._seconds_left(aboard, now),
                step=aboard.step,
                elapsed_s=aboard.elapsed_s(now),
                is_overtaken=aboard.is_overtaken(self._beside(aboard), now),
                preview=aboard.preview,
                held_up=held_up,
            )
        ahead = self._ahead_of(job)
        work = sum(self._waiting[other].request.work for other in ahead)
        work += sum(other.work_left for other in self._aboard.values())
        hands = max(1, sum(engine.is_up for engine in self.fleet.engines))
        eta = None if held_up else self._pace.seconds_for(work / hands + job.request.work)
        return Progress(place=len(ahead) + 1, eta_s=eta, held_up=held_up)

    def _ahead_of(self, job: Job) -> list[int]:
        """Who is drawn before it: whoever waits where it's paused lets all others pass."""
        order = self._line.order()
        place = order.index(job.id) if job.id in self._line else self._line.place_for(job.user_id) - 1
        if self._doors.held(job.guild_id) is not None:
            return order[:place]
        return [other for other in order[:place] if not self._is_held(other)]

    def _is_held(self, job_id: int) -> bool:
        return self._doors.held(self._waiting[job_id].guild_id) is not None

    def held_up(self, guild_id: int) -> HeldUp | None:
        """What keeps the waiting jobs of a server waiting besides the line."""
        return held_up_by(
            self.fleet.status, is_closing=self._doors.is_closing, held=self._doors.held(guild_id)
        )

    @property
    def can_draw(self) -> bool:
        """Whether an engine is there."""
        return self.fleet.status.is_ready

    def line(self) -> list[Job]:
        """The waiting jobs in the order in which they will run; those that are held come last."""
        return [self._waiting[job_id] for job_id in sorted(self._line.order(), key=self._is_held)]

    def running(self) -> list[Job]:
        return [aboard.job for aboard in self._aboard.values()]

    @property
    def lengths(self) -> tuple[int, int]:
        """(how many wait, how many are in an engine's hands); may be asked by any thread."""
        return len(self._waiting), len(self._aboard)

    def _seconds_left(self, aboard: Aboard, now: float) -> float | None:
        """The engine's own word where it gave one, since it knows what else it draws; else what history says."""
        beside = self._beside(aboard)
        if aboard.is_overtaken(beside, now):  # its word is from before the others came
            return self._pace.seconds_for(sum(other.work_left for other in beside))
        if aboard.step is not None and aboard.step.seconds_left is not None:
            return aboard.step.seconds_left
        return self._pace.seconds_for(aboard.work_left * len(beside))

    def _beside(self, aboard: Aboard) -> list[Aboard]:
        """What the same engine draws, itself among them."""
        return [other for other in self._aboard.values() if other.engine == aboard.engine]

    async def cancel(self, job_id: int, *, by: Actor) -> bool:
        """Cancels a job before it is drawn; `by` is named in the message. False when it is over already.

        A running one costs the share already done. The row says so before anybody is told: from then on neither what
        the engine still sends nor a restart changes it.
        """
        while (job := await self._store.jobs.get(job_id)) is not None:
            if JobState.CANCELLED not in TRANSITIONS[job.state]:
                return False
            charged, now = math.ceil(job.cost * self._share_done(job)), self._clock.now()
            reason = Reason.of(ReasonCode.CANCELLED, by=by.name)
            ended = await self._store.jobs.cancelled(
                job, reason=reason, charged=charged, now=now, by_user_id=by.user_id
            )
            if ended is not None:  # else it went on in this moment
                self._tell(JobCancelled(job=ended, by=by))
                self._let_go(ended)
                return True
        return False

    def _share_done(self, job: Job) -> float:
        aboard = self._aboard.get(job.id)
        return aboard.step.fraction if aboard is not None and aboard.step is not None else 0.0

    def _let_go(self, ended: Job) -> None:
        """Its row says that it is over: line, engine and message follow."""
        if ended.id in self._aboard:
            self._cancelled.add(ended.id)
            self.fleet.send(Cancel(job_id=ended.id, attempt=ended.attempt))
        elif ended.id in self._waiting and ended.started_at is not None:  # just being taken
            self._cancelled.add(ended.id)
        else:
            self._forget(ended.id)
        if ended.message_id is not None and ended.shown_at is None:
            self.errands.begin(self.endings.show(ended))

    async def withdraw(self, *, guild_id: int, user_id: int) -> int:
        """Cancels what a person who was just blocked has waiting, refunded; what is drawn already goes on. How many."""
        reason = Reason.of(ReasonCode.WITHDRAWN)
        ended = await self._store.jobs.withdrawn(
            guild_id=guild_id, user_id=user_id, reason=reason, now=self._clock.now()
        )
        for job in ended:
            self._tell(JobWithdrawn(job=job))
            self._let_go(job)
        return len(ended)

    async def guild_left(self, guild_id: int) -> None:
        """Removed from a server: what waits is cancelled, what runs ends; none of it is posted or charged."""
        self.endings.guild_left(guild_id)
        ended: list[Job] = []
        try:
            async for attempt in self._retries.persistent():
                with attempt:
                    now = self._clock.now()
                    ended = await self._store.jobs.abandoned(guild_id=guild_id, reason=REMOVED, now=now)
        except Unusable as error:
            self.errands.meet_damage(error)
        for job in ended:
            self._tell(JobAbandoned(job=job))
            self._let_go(job)

    def move(self, job_id: int, *, guild_id: int, to_front: bool) -> bool:
        """Before or behind all that waits in a server, or everywhere. False where it doesn't wait in line."""
        if job_id not in self._line:
            return False
        self._line.move(job_id, (job.id for job in self._waiting_in(guild_id)), to_front=to_front)
        self._show_line()
        return True

    # -------------------------------------------------------------- halts

    def held(self, guild_id: int) -> None:
        """Nothing that waits there is begun any more, or what waits is drawn after all: those who wait read it."""
        for job in self._waiting_in(guild_id)[:PLACES_SHOWN]:
            self._show(job)
        self._post(None)

    def released(self, guild_id: int) -> None:
        self._line.released(job.id for job in self._waiting_in(guild_id))
        self.held(guild_id)

    def engines_changed(self) -> None:
        """Some are given jobs again, or are no more: who waits may read something else."""
        self._show_line()
        self._post(None)

    def _waiting_in(self, guild_id: int) -> list[Job]:
        return [job for job in self.line() if guild_id in (EVERYWHERE, job.guild_id)]

    # -------------------------------------------------------------- start and stop

    async def start(self) -> None:
        """Takes up everything that was alive when the bot ended, then starts the engine."""
        recent = await self._store.history.recent(count=RECALLED)
        self._pace = Pace(recent)
        self.fleet.recall(_drawn(recent))
        await self._recovery.take_up()
        self.fleet.start(self._post)

    def answer_unknown(self, job: Job) -> None:
        """Discord may or may not have taken the answer: it is looked for, and the job runs or is refunded."""
        self._recovery.look_for_answer(job)

    async def back_in_line(self, job: Job, *, faults: int) -> None:
        """It was in the hands of an engine that is gone."""
        queued = await self._store.jobs.requeued(job, faults=faults)
        was_aboard = self._aboard.pop(job.id, None) is not None
        if queued is None:  # cancelled in this moment
            self._forget(job.id)
            return
        self._tell(JobRequeued(job=queued))
        if was_aboard:
            self._waiting[job.id] = queued
            self._line.put_back(job.id)
        else:
            self.enqueue(queued)

    async def drain(self, *, limit_s: float) -> None:
        """Nothing new is taken or begun; returns when what was begun has ended and was told, or after `limit_s`."""
        self._doors.is_closing = True
        self._show_line()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                if self._drainer is not None:  # it may be about to begin one
                    await asyncio.wait({self._drainer})
                while self._aboard or self.errands:
                    self.errands.moved.clear()
                    await self.errands.moved.wait()

    async def stop(self) -> None:
        """Ends the engine and our own tasks. Rows keep their states, so that the next start resumes."""
        await self.fleet.stop()
        if self._drainer is not None:
            self._drainer.cancel()
            await asyncio.gather(self._drainer, return_exceptions=True)
        await self.errands.stop()
        self._inbox.clear()

    # -------------------------------------------------------------- events

    def _post(self, event: Told | None) -> None:
        """Queues an event (None: only look who may run) behind those that are being handled."""
        self._inbox.append(event)
        if self._drainer is None or self._drainer.done():
            self._drainer = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        refusals = 0
        while self._inbox:
            event = self._inbox[0]
            try:
                await (self._fill() if event is None else self._handle(event))
            except Unusable as error:  # it would never be handled, and must not hold up all others
                self.errands.meet_damage(error)
                self._drop(event)
            except DatabaseError as error:  # a stranger's lock, a full disk: the event waits, in order
                log.error("store_unavailable", error=str(error))
                refusals += 1
                if refusals % self._retries.refusals_max == 0:
                    self.errands.begin(self.errands.warn_of_damage(str(error), is_tried_on=True))
                await asyncio.sleep(self._retries.pause_s)
                continue
            except Exception:  # a bug in one event must not stop all others
                log.exception("event_failed", event_type=type(event).__name__)
            refusals = 0
            self._inbox.popleft()

    def _drop(self, event: Told | None) -> None:
        """What it tells of can't be written down: its jobs are in nobody's hands."""
        match event:
            case Finished() | Failed() | Cancelled():
                self._forget(event.job_id)
            case Died():
                for victim in event.victims:
                    self._forget(victim.job_id)
            case _:
                pass

    async def _handle(self, event: Told) -> None:
        match event:
            case Loading():
                self._show_line()
            case Broke(reason=reason, engine=engine):
                self._inbox.append(None)
                news = EngineCantWork(reason=reason, engine=engine)
                self.errands.begin(self._delivery.tell_operator(news))
            case Ready():
                self._inbox.append(None)
            case Resident() | OfferChanged() | Broken():
                pass
            case NotLoaded():
                news = ModelNotLoaded(model=event.model, reason=event.reason)
                self.errands.begin(self._delivery.tell_operator(news))
            case Died():
                await self._died(event)
            case Rests(paused=paused, engine=engine):
                self._show_line()
                if not paused.again:
                    news = GpuPaused(
                        end=paused.end,
                        deaths=paused.deaths,
                        within_s=paused.within_s,
                        again_s=paused.again_s,
                        waiting=len(self._waiting),
                        engine=engine,
                    )
                    self.errands.begin(self._delivery.tell_operator(news))
            case Started() | Stepped() | Finished() | Failed() | Cancelled():
                aboard = self._aboard.get(event.job_id)
                if aboard is not None and aboard.job.attempt == event.attempt:
                    await self._handle_job(aboard, event)

    async def _handle_job(
        self, aboard: Aboard, event: Started | Stepped | Finished | Failed | Cancelled
    ) -> None:
        now = self._clock.now()
        match event:
            case Started():
                aboard.since = self._last_step_by_engine[aboard.engine] = aboard.told_at = now
                reach(Failpoint.STARTED)
                self._show(aboard.job, now=True)
            case Stepped():
                reach(Failpoint.STEPPED)
                if event.stage != "waiting":  # till its turn the engine worked for others, or not at all
                    aboard.engine_s += max(0.0, now - self._last_step_by_engine.get(aboard.engine, now))
                    self._last_step_by_engine[aboard.engine] = now
                aboard.step = event
                if event.preview is not None and self._may_look_in(aboard.job):
                    aboard.preview = event.preview
                aboard.told_at = now
                self._show(aboard.job)
                self._show_overtaken(now)
                self._look_at_line(now)
            case Finished() if len(event.images) == aboard.job.request.images:
                await self._finished(aboard, event)
            case Finished():
                await self._fail(aboard.job, Reason.of(ReasonCode.OTHER_NUMBER))
            case Failed():
                await self._fail(aboard.job, Reason.told(event.reason))
            case Cancelled():
                if aboard.job.id in self._cancelled:
                    self._leave(aboard.job)
                else:
                    await self._fail(aboard.job, Reason.of(ReasonCode.GIVEN_UP))

    def _may_look_in(self, job: Job) -> bool:
        """Whether people see it while it is drawn: not where it is looked at first, and they may never see it then."""
        known = {model.id: model.safety_checker for model in self.fleet.status.models}
        return job.flagged == Flagged.POST or not known.get(job.request.model, True)

    async def _finished(self, aboard: Aboard, event: Finished) -> None:
        reach(Failpoint.FINISHED)
        job = aboard.job
        images = settled(event.images, job.flagged)
        review = review_of(images, job.flagged)
        rendered = await self._store.jobs.rendered(
            job,
            images=images,
            seconds=event.seconds,
            engine_seconds=aboard.engine_s,
            notes=event.notes,
            charged=job.cost if review else price_of(job.cost, images),
            review=review,
        )
        reach(Failpoint.RENDERED)
        self._pace.observe(job.request.work, aboard.engine_s)
        if rendered is None and job.id in self._cancelled:
            self._leave(replace(job, images=event.images))
            return
        self._forget(job.id)
        if rendered is not None:
            counts = {"forwards": event.forwards, "rows": event.rows}
            self._tell(JobRendered(job=rendered, seconds=event.seconds, **counts))
            if rendered.is_in_review:
                self.reviews.begin(rendered)
            else:
                self.errands.begin(self.endings.deliver(rendered))

    async def _fail(self, job: Job, reason: Reason) -> None:
        failed = await self._store.jobs.failed(job, reason=reason, now=self._clock.now())
        self._forget(job.id)
        if failed is not None:
            self._tell(JobFailed(job=failed, reason=reason))
            self.errands.begin(self.endings.show(failed))

    def _leave(self, job: Job) -> None:
        """The engine has let go of a job whose row was over before."""
        self._forget(job.id)
        self.errands.begin(self.endings.forget_files(job))

    async def _died(self, died: Died) -> None:
        """An engine died. A job that was alone carries a fault; of several, each must clear itself alone."""
        if died.set_aside is not None:
            await self._end_all_of(died.set_aside, died.victims)
        for victim in died.victims:
            for job in self._jobs_of([victim]):
                await self._take_back(job, victim)
        self._inbox.append(None)  # another engine may have room

    def _jobs_of(self, victims: Iterable[Victim]) -> list[Job]:
        """Those that were not dealt with before, should the store have been busy in between."""
        found = ((victim, self._aboard.get(victim.job_id)) for victim in victims)
        return [aboard.job for victim, aboard in found if aboard and aboard.job.attempt == victim.attempt]

    async def _end_all_of(self, model: str, victims: Iterable[Victim]) -> None:
        """Whoever wanted a model that kills its engines is refunded, and who runs the bot is told."""
        for job in [*self.line(), *self._jobs_of(victims)]:
            if job.request.model == model and job.id not in self._cancelled:
                await self._fail(job, Reason.of(ReasonCode.SET_ASIDE, model=model))
        self.errands.begin(self._delivery.tell_operator(ModelSetAside(model=model)))

    async def _take_back(self, job: Job, victim: Victim) -> None:
        faults = job.faults + victim.was_alone
        if job.id in self._cancelled:
            self._leave(job)
        elif faults >= FAULTS_MAX:
            self.fleet.blame(job.id)
            await self._fail(job, Reason.of(ReasonCode.DIED_TWICE))
        else:
            await self.back_in_line(job, faults=faults)

    # -------------------------------------------------------------- the line moves

    async def _fill(self) -> None:
        """Hands jobs to the engines while they have room."""
        while self._line and self.fleet.has_room and not self._doors.is_closing:
            await self._look_for_twins()
            job_id = next_sent(
                self._line, self.fleet, lambda job_id: self._waiting[job_id].request, self._is_held
            )
            if job_id is None:
                break
            running = await self._take(job_id)
            if running is None:
                continue
            reach(Failpoint.TAKEN)
            self._tell(JobBegun(job=running))
            aboard = self._aboard[job_id] = Aboard(job=running)
            self.fleet.send(Submit(job_id=job_id, attempt=running.attempt, request=running.request))
            aboard.engine = self.fleet.engine_of(job_id)
            reach(Failpoint.SUBMITTED)
        self._show_line()

    async def _look_for_twins(self) -> None:
        """What repeats pictures is to be drawn by an engine as theirs was: by which that was says their job's row."""
        fresh = self._waiting.keys() - self._asked_for_twins if self.fleet.is_mixed else set[int]()
        for job in [self._waiting[job_id] for job_id in fresh]:
            first = job if job.images or job.parent_id is None else await self._store.jobs.get(job.parent_id)
            if job.id not in self._waiting:  # cancelled in this moment
                continue
            self._asked_for_twins.add(job.id)
            if first is not None and (kind := drawn_by(job, first)):
                self.fleet.repeats(job.id, kind)

    async def _take(self, job_id: int) -> Job | None:
        """The job whose turn it is, now running; None where it was cancelled in this moment, or can't be drawn any more."""
        job = self._waiting[job_id]
        try:
            if (problem := _why_not_drawn(job)) is not None:
                await self._fail(job, Reason.told(problem))
                return None
            running = await self._store.jobs.running(job, now=self._clock.now())
        except Unusable:  # its turn will never come: the others' shall
            self._forget(job_id)
            raise
        except DatabaseError:
            if job_id in self._waiting:  # not cancelled in this moment: its turn will come again
                self._line.put_back(job_id)
            raise
        self._waiting.pop(job_id, None)
        if running is None or job_id in self._cancelled:
            self._forget(job_id)
            return None
        return running

    def _forget(self, job_id: int) -> None:
        """The engine and the line have nothing more to do with this job."""
        self._waiting.pop(job_id, None)
        self._aboard.pop(job_id, None)
        self.fleet.forget(job_id)
        self._cancelled.discard(job_id)
        self._asked_for_twins.discard(job_id)
        self._line.ended(job_id)
        self.errands.moved.set()
        self._post(None)

    # -------------------------------------------------------------- telling people

    def _show(self, job: Job, *, now: bool = False) -> None:
        if job.id not in self._cancelled:  # its message shows the end
            self._delivery.show(job, self.progress_of(job), now=now)

    def _show_overtaken(self, now: float) -> None:
        """Of them the engine says nothing, but their seconds go on, and why they stand still is to be read."""
        for aboard in self._aboard.values():
            if aboard.is_overtaken(self._beside(aboard), now):
                self._show(aboard.job)

    def _show_line(self, *, news_only: bool = False) -> None:
        """Tells the front of it, or those there who are misled by what they were told last."""
        front = self.line()[:PLACES_SHOWN]
        self._line_told.keep({job.id for job in front})
        for job in front:
            progress = self.progress_of(job)
            if job.id in self._cancelled or (news_only and not self._line_told.is_news(job.id, progress)):
                continue
            self._line_told.tells(job.id, progress)
            self._delivery.show(job, progress)

    def _look_at_line(self, now: float) -> None:
        """With every step of others there is less to wait for, or more than was thought."""
        if 0 <= now - self._line_looked_at < LINE_EVERY_S:
            return
        self._line_looked_at = now
        self._show_line(news_only=True)
        if self._waiting and self.fleet.has_room:  # somebody is kept for an engine that is full
            self._post(None)


def _drawn(jobs: Iterable[Job]) -> Iterator[Drawn]:
    """Those of which it was written down by what they were drawn."""
    for job in jobs:
        kind, work, seconds = job.images[0].drawn_by, job.request.work, job.engine_seconds
        if kind and work and seconds:
            yield Drawn(kind=kind, model=job.request.model, work=work, seconds=seconds)


def _why_not_drawn(job: Job) -> str | None:
    """What keeps a stored request, perhaps of another version, from being drawn today: a sentence."""
    try:
        job.request.check()
    except InvalidRequest as problem:
        return str(problem)
    return None

"""The engines that a bot has, behind one Protocol: room, sending, whose death, blame. Knows jobs by their numbers, no row.

A fleet decides by what its engines tell, in the moment in which they tell it: who was aboard when one died and which of
them may have been the cause is settled before anybody else hears of the death. Which engine gets a job is decided by
`bot.core.engines.placement`; each dies, hangs and is started anew by itself.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bot.core.engines.engine_client import EngineClient, Paused
from bot.core.engines.generation import Lost
from bot.core.engines.member import REMEMBERED, Guest, Member, pace_of
from bot.core.engines.placement import Round, Wanted
from bot.core.engines.status import EngineStatus, EngineView, Phase, of_all
from engine.contract import (
    Broken,
    Cancel,
    Cancelled,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    Load,
    Ready,
    Resident,
    Started,
    Stepped,
    Submit,
    Unload,
)

HELD_ENGINES = "held engines"
"""The note that keeps which ones are given nothing."""
DEATHS_MAX = 2
"""So many engines may die of loading one model before it is set aside."""
_COMES_SOON = frozenset({Phase.STARTING, Phase.LOADING, Phase.RESTARTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A job that was in the hands of an engine that died."""

    job_id: int
    attempt: int
    was_alone: bool
    """Whether the engine had begun it and nothing else, were it only by loading its model: nobody else can be to blame.

    A job that the engine never told of, or only to say that it waits, can't have been the cause, and was no company either.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """An engine died, or never was where something was sent to; its victims are in nobody's hands any more."""

    victims: tuple[Victim, ...]
    set_aside: str | None = None
    """The id of a model that is offered no more, since its loading has killed engines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rests:
    """None is started for a while in the place of an engine that died too often."""

    paused: Paused
    engine: int | None
    """Its number, None where it is the only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broke:
    """An engine can't work, and starting it again would not help."""

    reason: str
    """Its own sentence."""
    engine: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A job that was drawn before the bot started."""

    kind: str
    """Of the engine that drew it."""
    model: str
    work: float
    seconds: float
    """Of the engine's time; above 0, as `work` is."""


Told = Event | Died | Rests | Broke
Look = Callable[[int, GenerationRequest], bool]


class Fleet(Protocol):
    """What the line knows of engines."""

    @property
    def status(self) -> EngineStatus:
        """What people are told of all of them together, and which models are offered."""
        ...

    @property
    def engines(self) -> Sequence[EngineView]:
        """Each of them, in the order of their numbers, which count from 1."""
        ...

    @property
    def described(self) -> asyncio.Event:
        """Set once it is known what is offered, or that nothing will be."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether some engine would begin another job soon."""
        ...

    @property
    def is_mixed(self) -> bool:
        """Whether engines that are up draw other pixels than others."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether nothing is aboard, and nobody under suspicion."""
        ...

    def recall(self, drawn: Iterable[Drawn]) -> None:
        """What was drawn before, oldest first: engines are as fast as their kind was until they have shown it anew."""
        ...

    def start(self, tell: Callable[[Told], None]) -> None:
        """Starts the engines, which are told of from now on. Call it inside the loop that wants to hear of them."""
        ...

    async def stop(self) -> None:
        """Ends the engines; nothing is told any more."""
        ...

    def look(self, *, may_read: bool = False) -> Look:
        """Begins one look along the line: asked for the waiting jobs in their order, it says whether one is to be sent now.

        The first that is ends the look: it is sent, and then there may be another one. Where none is, `may_read` in a second
        look lets engines read other models though they have just read one: nobody waits for what they have.
        """
        ...

    def send(self, control: Submit | Cancel | Load | Unload) -> None:
        """Without waiting. What is submitted stays aboard until its job is forgotten, or is told of as a victim."""
        ...

    def engine_of(self, job_id: int) -> int:
        """The number of the engine that has it aboard, 0 where none has."""
        ...

    def suspect(self, job_id: int) -> None:
        """An engine may have died of this job: until it is forgotten, it is drawn alone."""
        ...

    def repeats(self, job_id: int, kind: str) -> None:
        """This job draws again what engines of that kind drew: it gets one of them where one is up."""
        ...

    def blame(self, job_id: int) -> None:
        """This job has killed engines alone, and is to be forgotten: those deaths were no device's fault."""
        ...

    def forget(self, job_id: int) -> None:
        """This job is over, or was never begun."""
        ...

    def hold(self, numbers: Collection[int]) -> None:
        """These engines are given nothing, all others are; what they draw is finished."""
        ...

    def renew(self, numbers: Collection[int]) -> None:
        """These are started anew, one after the other, each once what it draws is finished."""
        ...


class LocalFleet:
    """Engines on this machine, one or several, each with its own generations, deaths and rests."""

    def __init__(
        self, engines: Sequence[EngineClient], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """At least one engine."""
        self.members = tuple(Member(number, engine) for number, engine in enumerate(engines, 1))
        self.described = asyncio.Event()
        self._now = monotonic
        self._suspects: set[int] = set()
        self._killed: dict[int, Counter[Member]] = {}
        """How often each engine died of a job that was alone there."""
        self._kinds: dict[int, str] = {}
        """What jobs that repeat others are to be drawn by."""
        self._chosen: dict[int, int] = {}
        """The engine of a job that is about to be sent."""
        self._kept_since: dict[int, float] = {}
        """When jobs were first left waiting though an engine had room."""
        self._to_renew: list[Member] = []
        self._renewal: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        """Set whenever a job is forgotten or an engine tells something."""
        self._deadly, self._deadly_at_start = _Deadly(), {member: _Deadly() for member in self.members}
        self._tell: Callable[[Told], None] = lambda _told: None
        self._seen: tuple[EngineStatus, ...] = ()
        self._summary = EngineStatus()

    @property
    def engines(self) -> Sequence[EngineView]:
        return tuple(member.view for member in self.members)

    @property
    def status(self) -> EngineStatus:
        shown = [member for member in self.members if not member.is_held] or self.members
        seen = tuple(member.engine.status for member in shown)
        if len(seen) != len(self._seen) or any(
            new is not old for new, old in zip(seen, self._seen, strict=True)
        ):
            self._seen, self._summary = seen, of_all(seen, self._summary)
        return self._summary

    @property
    def has_room(self) -> bool:
        return any(self._rooms().values())

    @property
    def is_mixed(self) -> bool:
        return len({member.kind for member in self.members if member.is_open}) > 1

    @property
    def is_idle(self) -> bool:
        return not any(member.guests for member in self.members) and not self._suspects

    def recall(self, drawn: Iterable[Drawn]) -> None:
        seen: dict[tuple[str, str], deque[tuple[float, float]]] = {}
        for each in drawn:
            known = seen.setdefault((each.kind, each.model), deque(maxlen=REMEMBERED))
            known.append((each.work, each.seconds))
        paces: dict[str, dict[str, float]] = {}
        for (kind, model), known in seen.items():
            paces.setdefault(kind, {})[model] = pace_of(known)
        for member in self.members:
            member.recalled = paces

    def start(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell
        for member in self.members:
            member.engine.start(lambda event, member=member: self._receive(member, event))

    async def stop(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await asyncio.gather(*(member.engine.stop() for member in self.members))

    def suspect(self, job_id: int) -> None:
        self._suspects.add(job_id)

    def repeats(self, job_id: int, kind: str) -> None:
        self._kinds[job_id] = kind

    def blame(self, job_id: int) -> None:
        for member, deaths in self._killed.pop(job_id, Counter[Member]()).items():
            member.engine.blame_a_job(deaths)

    def forget(self, job_id: int) -> None:
        for member in self.members:
            member.guests.pop(job_id, None)
        self._suspects.discard(job_id)
        for known in (self._killed, self._kinds, self._chosen, self._kept_since):
            known.pop(job_id, None)
        self._moved.set()

    def engine_of(self, job_id: int) -> int:
        return next((member.number for member in self.members if job_id in member.guests), 0)

    # -------------------------------------------------------------- who gets what

    def look(self, *, may_read: bool = False) -> Look:
        rooms = self._rooms()
        has_other_room, look = any(rooms.values()), self._round(rooms, may_read=may_read)

        def is_sent_now(job_id: int, request: GenerationRequest) -> bool:
            kept_s = self._now() - self._kept_since.get(job_id, self._now())
            chosen = self._place(job_id, request, look, [*rooms], kept_s=kept_s)
            if chosen is not None:
                self._chosen[job_id] = chosen
            elif has_other_room:
                self._kept_since.setdefault(job_id, self._now())
            return chosen is not None

        return is_sent_now

    def _round(self, rooms: Mapping[Member, bool], *, may_read: bool = True) -> Round:
        now = self._now()
        return Round(
            (member.candidate(now, has_room=has_room) for member, has_room in rooms.items()),
            may_read=may_read,
        )

    def _place(
        self, job_id: int, request: GenerationRequest, look: Round, up: Sequence[Member], *, kept_s: float
    ) -> int | None:
        """Who may be the cause of deaths is for an empty engine alone; what only an engine offers that comes back waits."""
        able = [member for member in up if member.offers(request)]
        if not able and any(each.offers(request) for each in self.members if _comes_back(each)):
            return None
        able = able or up  # they say what keeps it from being drawn
        if job_id in self._suspects:
            able = [member for member in able if not member.guests]
        wanted = Wanted.of(request, kind=self._kinds.get(job_id, ""), kept_s=kept_s)
        return look.place(wanted, [member.number for member in able])

    def _rooms(self) -> dict[Member, bool]:
        """Of each engine that is up, whether it takes another job.

        One that may have been the cause of deaths is drawn alone. So that its turn comes, one engine, the emptiest, is
        given one job at a time for as long as such a one waits.
        """
        up = [member for member in self.members if member.is_open]
        waiting = self._suspects.difference(*(member.guests for member in self.members))
        quiet = min(up, key=lambda member: (member.images, member.number), default=None) if waiting else None
        return {
            member: member.has_room
            and not (member.guests and (member is quiet or self._suspects & member.guests.keys()))
            for member in up
        }

    def send(self, control: Submit | Cancel | Load | Unload) -> None:
        match control:
            case Submit():
                self._submit(control)
            case Cancel():
                for member in self.members:
                    if control.job_id in member.guests:
                        member.engine.send(control)
            case Load():
                self._load(control)
            case Unload():
                for member in self.members:
                    if member.engine.status.is_ready:
                        member.engine.send(control)

    def _submit(self, submit: Submit) -> None:
        """To whom it was meant for, or to another one if that has died or filled since."""
        rooms, chosen = self._rooms(), self._chosen.pop(submit.job_id, None)
        if chosen not in {member.number for member, has_room in rooms.items() if has_room}:
            chosen = self._place(submit.job_id, submit.request, self._round(rooms), [*rooms], kept_s=math.inf)
        self._kept_since.pop(submit.job_id, None)
        member = None if chosen is None else self.members[chosen - 1]
        if member is not None and member.engine.send(submit):
            member.guests[submit.job_id] = Guest(attempt=submit.attempt, request=submit.request)
        else:  # it died while this was on its way here
            victim = Victim(job_id=submit.job_id, attempt=submit.attempt, was_alone=False)
            self._tell(Died(victims=(victim,)))

    def _load(self, load: Load) -> None:
        """Where it keeps the fewest from drawing: where the least is aboard, and where little lies that may have to go."""
        up = [member for member in self.members if member.is_open]
        able = [member for member in up if member.knows(load.model)] or up
        if able:
            min(
                able, key=lambda each: (each.images, len(each.engine.status.loaded), each.number)
            ).engine.send(load)

    # -------------------------------------------------------------- by the word of an admin

    def hold(self, numbers: Collection[int]) -> None:
        for member in self.members:
            member.is_held = member.number in numbers

    def renew(self, numbers: Collection[int]) -> None:
        waiting = (member for member in self.members if member.number in numbers)
        self._to_renew += [member for member in waiting if member not in self._to_renew]
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._renew_all())

    async def _renew_all(self) -> None:
        """The next one leaves when as many draw as before, or one is known not to come: people are drawn for all the time.

        Where engines wait for places, another one may have taken this one's.
        """
        while self._to_renew:
            member, before = self._to_renew[0], self._up()
            member.is_leaving = True
            try:
                await self._until(lambda member=member: not member.guests)
                await member.engine.renew()
            finally:
                member.is_leaving = False
            await self._until(
                lambda member=member, before=before: (
                    self._up() >= before or member.engine.status.phase not in _COMES_SOON
                )
            )
            self._to_renew.pop(0)

    def _up(self) -> int:
        return sum(member.engine.status.is_ready for member in self.members)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._moved.clear()
            await self._moved.wait()

    # -------------------------------------------------------------- what the engines tell

    def _receive(self, member: Member, event: Event | Lost | Paused) -> None:
        self._moved.set()
        if self.status.models or self.status.phase is Phase.BROKEN:
            self.described.set()
        match event:
            case Lost():
                self._tell(self._died(member, event))
                return
            case Paused():
                self._tell(Rests(paused=event, engine=self._number_of(member)))
                return
            case Broken():
                self._tell(Broke(reason=event.reason, engine=self._number_of(member)))
                return
            case Ready():
                self._deadly_at_start[member] = _Deadly()
            case Resident():
                member.resident(event, self._now())
            case Started() | Stepped() | Finished() | Failed() | Cancelled():
                guest = member.guests.get(event.job_id)
                if guest is None or guest.attempt != event.attempt:  # an older attempt's: nobody waits for it
                    return
                member.follow(event.job_id, event, self._now())
                if isinstance(event, Finished):
                    images = (replace(image, drawn_by=member.kind) for image in event.images)
                    event = replace(event, images=tuple(images))
                if isinstance(event, Started):
                    self._deadly.acquit(guest.request.model)
            case _:
                pass
        self._tell(event)

    def _number_of(self, member: Member) -> int | None:
        """As people are told it."""
        return member.number if len(self.members) > 1 else None

    def _died(self, member: Member, lost: Lost) -> Died:
        guests = member.died()
        begun = {job_id for job_id, guest in guests.items() if guest.is_begun}
        self._suspects |= begun
        if len(begun) == 1:
            self._killed.setdefault(next(iter(begun)), Counter[Member]())[member] += 1
        victims = tuple(
            Victim(job_id=job_id, attempt=guest.attempt, was_alone=begun == {job_id})
            for job_id, guest in guests.items()
        )
        set_aside = self._set_aside(member, lost, [guests[job_id] for job_id in begun])
        return Died(victims=victims, set_aside=set_aside)

    def _set_aside(self, member: Member, lost: Lost, begun: Collection[Guest]) -> str | None:
        """The model that engines died of while they loaded it with nothing else to do, if none offers it any more.

        Where it lies in another engine's memory it is not its files' fault, and the others go on with it.
        """
        if lost.reading is not None:
            model, deadly = lost.reading, self._deadly_at_start[member]
        else:
            model = next(
                (guest.request.model for guest in begun if guest.is_loading and len(begun) == 1), None
            )
            deadly = self._deadly
        if model is None or not deadly.is_culprit(model):
            return None
        is_sound = any(model in other.engine.status.loaded for other in self.members if other is not member)
        left_out = [
            other.engine.set_aside(model)
            for other in ([member] if is_sound else self.members)
            if other is member or other.knows(model)
        ]
        is_offered = any(each.id == model for each in self.status.models)
        return model if all(left_out) and not is_offered else None


def _comes_back(member: Member) -> bool:
    """Whether it will be given jobs again, were it only when somebody resumes it."""
    phase = member.engine.status.phase
    return phase in _COMES_SOON or phase is Phase.PAUSED or (phase is Phase.READY and not member.is_open)


def written(numbers: Collection[int]) -> str:
    """As they stand in a note."""
    return " ".join(map(str, sorted(numbers)))


def numbers_in(note: str | None) -> frozenset[int]:
    return frozenset(int(word) for word in (note or "").split() if word.isdecimal())


class _Deadly:
    """Which models engines died of while they loaded them."""

    def __init__(self) -> None:
        self._deaths: dict[str, int] = {}

    def is_culprit(self, model: str) -> bool:
        """An engine has just died of that model: whether it was not the first."""
        self._deaths[model] = self._deaths.get(model, 0) + 1
        return self._deaths[model] >= DEATHS_MAX

    def acquit(self, model: str) -> None:
        """It was loaded."""
        self._deaths.pop(model, None)

"""People before the real line and the real fleet, in the loop's own time; engines only pretend to read models and to draw.

What `Dispatcher` does between line and fleet is done here without a row: thousands of people are drawn for within seconds.
An engine draws what it has aboard one after the other, as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from bot.core.asking.price import cost_of
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet, Told
from bot.core.engines.generation import Generation, Tell
from bot.core.engines.member import Member
from bot.core.engines.placement import Candidate, Round, Wanted
from bot.core.engines.watch import Watch
from bot.core.line.dispatcher import LINE_EVERY_S
from bot.core.line.fairness import FairQueue
from bot.core.line.turn import next_sent
from engine.contract import (
    Cancel,
    EngineSettings,
    Finished,
    GenerationRequest,
    Ready,
    Resident,
    SpooledImage,
    Started,
    Stepped,
    Submit,
)
from workshop.rehearsal.simulation.crowds import MODELS, Ask, Regular, seconds_of
from workshop.rehearsal.simulation.engine import SimGeneration
from workshop.rehearsal.simulation.loop import run

SLOTS, MEMORY, READ_S = 4, 3, 12.0
"""Pictures aboard an engine; models that its memory holds; seconds for reading one."""
STEPS_TOLD = 2
"""So often an engine tells how far a picture is."""


class Way(StrEnum):
    """Whose turn it is, and where it is drawn."""

    EASEL = "Easel"
    LEAST_LOADED = "least loaded"
    FIRST_COME = "first come, first served"


@dataclass(slots=True, kw_only=True)
class Waited:
    """A picture, from when it was asked for."""

    user_id: int
    asked_s: float
    begun_s: float = 0.0

    @property
    def waiting_s(self) -> float:
        """Until it was begun; its model was read by then."""
        return self.begun_s - self.asked_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    pictures: Sequence[Waited]
    """In the order in which they were asked for."""
    reads: int
    """How often an engine read a model that did not lie in its memory."""
    busy: float
    """Share of the time in which engines drew."""

    @property
    def turns_s(self) -> dict[int, list[float]]:
        """Of each person, how long each of theirs waited, since it was asked for or since the one before was begun.

        Whoever asks for thirty at once has nobody else to blame that the last one waits longer than the first.
        """
        turns: dict[int, list[float]] = {}
        before: dict[int, float] = {}
        for each in sorted(self.pictures, key=lambda each: each.begun_s):
            since_s = max(each.asked_s, before.get(each.user_id, 0.0))
            turns.setdefault(each.user_id, []).append(each.begun_s - since_s)
            before[each.user_id] = each.begun_s
        return turns


def visited(asks: Sequence[Ask], speeds: Sequence[float], way: Way) -> Outcome:
    """People who come and go, until all of them have theirs. `speeds`: of each engine, as a multiple of a usual one's."""

    async def life() -> Outcome:
        return await _Hall(speeds, way).serve_visitors(asks)

    return run(life())


def insisted(people: Sequence[Regular], speeds: Sequence[float], way: Way, hours: float) -> Outcome:
    """People who always have something in line; what is begun within those hours counts."""

    async def life() -> Outcome:
        return await _Hall(speeds, way).serve_regulars(people, 3600 * hours)

    return run(life())


class _Hall:
    def __init__(self, speeds: Sequence[float], way: Way) -> None:
        self._way, self._loop = way, asyncio.get_running_loop()
        self._numbers = count(1)
        self._line, self._requests = FairQueue(), dict[int, GenerationRequest]()
        self._waited: dict[int, Waited] = {}
        self._left, self._all_done = 0, asyncio.Event()
        self._looked_at = 0.0
        self._on_end: Callable[[Waited], None] = lambda _waited: None
        self._drawers: list[_Engine] = []
        kind = LocalFleet if way is Way.EASEL else _LeastLoaded
        self.fleet = kind([self._client(speed) for speed in speeds], monotonic=self._loop.time)

    def _client(self, speed: float) -> EngineClient:
        def start(_settings: EngineSettings, watch: Watch, tell: Tell) -> Generation:
            engine = _Engine(watch, tell, speed)
            self._drawers.append(engine)
            engine.begin()
            return engine

        settings = EngineSettings(model=MODELS[0].id, spool="/")
        return EngineClient(settings, start=start, monotonic=self._loop.time)

    # -------------------------------------------------------------- people

    async def serve_visitors(self, asks: Sequence[Ask]) -> Outcome:
        self.fleet.start(self._hear)
        self._left = len(asks)
        for ask in asks:
            await asyncio.sleep(max(0.0, ask.at_s - self._loop.time()))
            self._ask(ask.user_id, ask.request)
        await self._all_done.wait()
        return await self._outcome(self._waited.values())

    async def serve_regulars(self, people: Sequence[Regular], seconds: float) -> Outcome:
        self.fleet.start(self._hear)
        self._left = -1  # there is always one more
        self._on_end = lambda waited: self._ask(waited.user_id, people[waited.user_id].draw())
        for user_id, person in enumerate(people):
            for _ in range(person.pending):
                self._ask(user_id, person.draw())
        await asyncio.sleep(seconds)
        return await self._outcome(each for each in self._waited.values() if each.begun_s)

    async def _outcome(self, pictures: Iterable[Waited]) -> Outcome:
        whole_s = self._loop.time() * len(self._drawers)
        outcome = Outcome(
            pictures=[*pictures],
            reads=sum(engine.reads for engine in self._drawers),
            busy=sum(engine.drew_s for engine in self._drawers) / whole_s,
        )
        await self.fleet.stop()
        return outcome

    def _ask(self, user_id: int, request: GenerationRequest) -> None:
        """As one person who asks for all of it where whoever comes first is served first."""
        job_id, person = next(self._numbers), 0 if self._way is Way.FIRST_COME else user_id
        self._requests[job_id] = request
        self._waited[job_id] = Waited(user_id=user_id, asked_s=self._loop.time())
        self._line.add(job_id, user_id=person, cost=cost_of(request))
        self._fill()

    # -------------------------------------------------------------- between the line and the fleet

    def _fill(self) -> None:
        while self._line and self.fleet.has_room:
            job_id = next_sent(self._line, self.fleet, self._requests.__getitem__)
            if job_id is None:
                break
            self.fleet.send(Submit(job_id=job_id, attempt=1, request=self._requests[job_id]))

    def _hear(self, told: Told) -> None:
        match told:
            case Started():
                self._waited[told.job_id].begun_s = self._loop.time()
            case Stepped() if self._loop.time() - self._looked_at >= LINE_EVERY_S:
                self._looked_at = self._loop.time()
                self._fill()
            case Finished():
                self._finished(told.job_id)
            case Ready():
                self._fill()
            case Stepped() | Resident():
                pass
            case _:
                raise AssertionError(f"{told} was not expected")

    def _finished(self, job_id: int) -> None:
        del self._requests[job_id]
        self._line.ended(job_id)
        self.fleet.forget(job_id)
        self._on_end(self._waited[job_id])
        self._fill()
        self._left -= 1
        if self._left == 0:
            self._all_done.set()


class _LeastLoaded(LocalFleet):
    """Whoever's turn it is is drawn by the engine with the fewest pictures aboard, whatever lies in its memory."""

    def _round(self, rooms: Mapping[Member, bool], *, may_read: bool = True) -> Round:
        del may_read
        now = self._now()
        return _FewestAboard(member.candidate(now, has_room=room) for member, room in rooms.items())


class _FewestAboard(Round):
    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._free = [each for each in candidates if each.has_room]

    def place(self, wanted: Wanted, able: Iterable[int] | None = None) -> int | None:
        del wanted, able
        return min(self._free, key=lambda each: (len(each.aboard), each.number)).number


class _Engine(SimGeneration):
    """Reads a model where it lacks it, for which the one that it used longest ago has to go, and draws at its own pace."""

    def __init__(self, watch: Watch, tell: Tell, speed: float) -> None:
        super().__init__(watch, tell)
        self.reads, self.drew_s = 0, 0.0
        self._speed, self._turn = speed, asyncio.Lock()
        self._memory = [MODELS[0].id]
        """The one that was used last is the last."""

    async def load(self) -> None:
        fingerprint = {"engine": "simulated", "speed": f"{self._speed}"}
        self.emit(
            Ready(device="simulated", dtype="none", models=MODELS, slots=SLOTS, fingerprint=fingerprint)
        )

    async def draw(self, submit: Submit) -> None:
        job_id, attempt, request = submit.job_id, submit.attempt, submit.request
        async with self._turn:
            if request.model in self._memory:
                self._memory.remove(request.model)
            else:
                self.emit(
                    Stepped(job_id=job_id, attempt=attempt, step=0, steps=request.steps, stage="loading")
                )
                await asyncio.sleep(READ_S)
                self.reads += 1
                del self._memory[: len(self._memory) + 1 - MEMORY]
            self._memory.append(request.model)
            self.emit(Resident(models=(*self._memory,)))
            self.emit(Started(job_id=job_id, attempt=attempt))
            whole_s = seconds_of(request) / self._speed
            for step in range(1, STEPS_TOLD + 1):
                await asyncio.sleep(whole_s / STEPS_TOLD)
                self.emit(
                    Stepped(job_id=job_id, attempt=attempt, step=step, steps=STEPS_TOLD, stage="denoising")
                )
            self.drew_s += whole_s
            image = SpooledImage(path="", seed=request.seed)
            self.emit(Finished(job_id=job_id, attempt=attempt, images=(image,), seconds=whole_s))

    async def give_up(self, cancel: Cancel) -> float:
        raise NotImplementedError("nobody cancels anything here")

    async def lag(self) -> None:
        raise NotImplementedError("nobody dies here")

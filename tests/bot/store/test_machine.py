"""The whole job table against a model of the books in plain Python, under every order of events hypothesis thinks of."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from bot.job import LIVE, TRANSITIONS, WAITING, Job, JobState, Reason, Refusal
from bot.limits import Usage
from bot.store import Store
from tests.kit.books import NOON, admission, images_of

CREDITS, PENDING, QUEUE_MAX, DAY_S = 9, 3, 6, 86_400.0
USERS, GUILDS = (1, 2, 3), (7, 8)
MEMORY = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)
"""Thousands of commits that are synced to a disk only cost time here; None where there is no such file system."""
GOOD_LIFE = {
    JobState.ACCEPTED: JobState.QUEUED,
    JobState.QUEUED: JobState.RUNNING,
    JobState.RUNNING: JobState.RENDERED,
    JobState.RENDERED: JobState.DELIVERED,
}
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Line:
    """One line of the model's books."""

    user: int
    guild: int
    state: JobState
    attempt: int
    faults: int
    cost: int
    charged: int
    day: int
    parent: int | None
    interaction: int

    @property
    def is_live(self) -> bool:
        return self.state in LIVE


class Books(RuleBasedStateMachine):
    """Every rule does one thing to the store, foretells the outcome from the model and compares."""

    snapshots = Bundle("snapshots")
    """Pictures of jobs as somebody once saw them: most are out of date."""

    @initialize(target=snapshots)
    def open(self) -> Any:
        self.folder = Path(tempfile.mkdtemp(prefix="easel-books-", dir=MEMORY))
        self.runner = asyncio.Runner()
        self.store = self.run(Store.open(self.folder / "easel.sqlite3"))
        self.model: dict[int, Line] = {}
        self.interactions = 0
        self.day = 0
        return multiple(*(self.ask_anew(user, GUILDS[0], 1 + user, None) for user in USERS))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def now(self) -> float:
        return NOON + self.day * DAY_S + 1.0

    @property
    def window_start(self) -> float:
        return NOON + self.day * DAY_S

    # -------------------------------------------------------------- admission

    @rule(
        target=snapshots,
        user=st.sampled_from(USERS),
        guild=st.sampled_from(GUILDS),
        images=st.integers(1, 5),
        button=st.none() | st.none() | snapshots,
    )
    def admit(self, user: int, guild: int, images: int, button: Job | None) -> Any:
        return self.ask_anew(user, guild, images, button.id if button else None)

    def ask_anew(self, user: int, guild: int, images: int, parent: int | None) -> Any:
        self.interactions += 1
        return self.ask(user, guild, images, parent, self.interactions)

    @rule(target=snapshots, seen=snapshots)
    def replay(self, seen: Job) -> Any:
        """Discord hands an interaction in a second time."""
        return self.ask(seen.user_id, seen.guild_id, 1, seen.parent_id, seen.interaction_id)

    def ask(self, user: int, guild: int, images: int, parent: int | None, number: int) -> Any:
        expected = self.refusal(user, guild, images, parent, number)
        wish = admission(
            user=user,
            guild=guild,
            images=images,
            parent=parent,
            interaction=number,
            credits_per_day=CREDITS,
            pending=PENDING,
            queue_max=QUEUE_MAX,
            window_start=self.window_start,
        )
        answer = self.run(self.store.jobs.admit(wish, self.now))
        if not isinstance(answer, Job):
            assert answer is expected
            event(f"refused: {answer}")
            return multiple()
        assert expected is None
        self.model[answer.id] = Line(
            user=user,
            guild=guild,
            state=JobState.ACCEPTED,
            attempt=0,
            faults=0,
            cost=images,
            charged=images,
            day=self.day,
            parent=parent,
            interaction=number,
        )
        return answer

    def refusal(self, user: int, guild: int, cost: int, parent: int | None, number: int) -> Refusal | None:
        lines = list(self.model.values())
        if any(line.interaction == number for line in lines):
            return Refusal.DUPLICATE
        if parent and any(line.is_live and (line.parent, line.user) == (parent, user) for line in lines):
            return Refusal.BUTTON
        if self.pending(user, guild) >= PENDING:
            return Refusal.PENDING
        if sum(line.state in WAITING for line in lines) >= QUEUE_MAX:
            return Refusal.QUEUE
        return Refusal.CREDITS if self.used(user, guild) + cost > CREDITS else None

    def used(self, user: int, guild: int) -> int:
        return sum(
            line.charged
            for line in self.model.values()
            if (line.user, line.guild, line.day) == (user, guild, self.day)
        )

    def pending(self, user: int, guild: int) -> int:
        return sum(
            (line.user, line.guild) == (user, guild) and line.state in WAITING for line in self.model.values()
        )

    # -------------------------------------------------------------- transitions

    @rule(target=snapshots, pick=st.integers(0, QUEUE_MAX), shown=st.integers(0, 5))
    def go_on(self, pick: int, shown: int) -> Any:
        """One of the living takes the next step of a good life."""
        living = self.run(self.store.jobs.live())
        if not living:
            return multiple()
        job = living[pick % len(living)]
        return self.make(job, GOOD_LIFE[job.state], shown=shown)

    @rule(
        target=snapshots,
        seen=snapshots,
        choice=st.integers(0, 11),
        shown=st.integers(0, 5),
        share=st.floats(0, 1),
        fault=st.integers(0, 1),
    )
    def move(self, seen: Job, choice: int, shown: int, share: float, fault: int) -> Any:
        """Any transition that is possible from what somebody once saw, which may be long ago."""
        targets = sorted(TRANSITIONS[seen.state])
        if not targets:
            return multiple()
        return self.make(seen, targets[choice % len(targets)], shown=shown, share=share, fault=fault)

    def make(self, seen: Job, new: JobState, *, shown: int, share: float = 0.0, fault: int = 0) -> Any:
        jobs, now = self.store.jobs, self.now
        match new:
            case JobState.QUEUED if seen.state is JobState.ACCEPTED:
                return self.settle(seen, jobs.queued(seen, message_id=1000 + seen.id, now=now), new)
            case JobState.QUEUED:
                again = jobs.requeued(seen, faults=seen.faults + fault)
                return self.settle(seen, again, new, charged=seen.cost, faults=seen.faults + fault)
            case JobState.RUNNING:
                return self.settle(seen, jobs.running(seen, now=now), new, attempt=seen.attempt + 1)
            case JobState.RENDERED:
                images = images_of(seen, shown=shown)
                charged = sum(image.path is not None for image in images)
                done = jobs.rendered(seen, images=images, seconds=1.0, notes=(), charged=charged)
                return self.settle(seen, done, new, charged=charged)
            case JobState.DELIVERED:
                return self.settle(seen, jobs.delivered(seen, message_id=1000 + seen.id, now=now), new)
            case JobState.FAILED:
                return self.settle(
                    seen, jobs.failed(seen, reason=Reason.told("It failed."), now=now), new, charged=0
                )
            case JobState.CANCELLED:
                charged = int(seen.cost * share) if seen.state is JobState.RUNNING else 0
                done = jobs.cancelled(seen, reason=Reason.told("Cancelled."), charged=charged, now=now)
                return self.settle(seen, done, new, charged=charged)
            case JobState.ACCEPTED:
                raise AssertionError("nothing becomes accepted")

    def settle(self, seen: Job, work: Coroutine[Any, Any, Job | None], new: JobState, **changes: Any) -> Any:
        """A transition happens if, and only if, the job still is as its writer saw it."""
        line = self.model[seen.id]
        moved = self.run(work)
        if (seen.state, seen.attempt) != (line.state, line.attempt):
            assert moved is None
            event("a stale writer changed nothing")
            return multiple()
        assert moved is not None
        event(f"{line.state} -> {new}")
        self.model[seen.id] = replace(line, state=new, **changes)
        return moved

    # -------------------------------------------------------------- time

    @rule(restart=st.booleans())
    def a_new_day(self, restart: bool) -> None:
        self.day += 1
        if restart:
            self.run(self.store.close())
            self.store = self.run(Store.open(self.folder / "easel.sqlite3"))

    # -------------------------------------------------------------- what always holds

    @invariant()
    def rows_equal_the_model(self) -> None:
        sql = "SELECT * FROM job"
        rows = {row["id"]: row for row in self.run(self.store.database.read(sql, {}))}
        assert rows.keys() == self.model.keys()
        for job_id, line in self.model.items():
            row = rows[job_id]
            assert JobState(row["state"]) is line.state
            assert (row["attempt"], row["faults"], row["cost"], row["charged"]) == (
                line.attempt,
                line.faults,
                line.cost,
                line.charged,
            )

    @invariant()
    def use_equals_the_model(self) -> None:
        for (user, guild), usage in self.run(self.usages()).items():
            assert usage == Usage(used=self.used(user, guild), pending=self.pending(user, guild))
            assert usage.pending <= PENDING

    async def usages(self) -> dict[tuple[int, int], Usage]:
        return {
            (user, guild): await self.store.jobs.usage(
                guild_id=guild, user_id=user, window_start=self.window_start
            )
            for user in USERS
            for guild in GUILDS
        }

    @invariant()
    def the_audit_is_empty(self) -> None:
        assert self.run(self.store.history.audit()) == []

    @invariant()
    def the_living_are_the_living(self) -> None:
        living = [job.id for job in self.run(self.store.jobs.live())]
        assert living == [job_id for job_id, line in sorted(self.model.items()) if line.is_live]


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

"""What happens to jobs is told once, in order, to everybody who listens."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from bot.core.happenings import (
    DeletionAsked,
    EngineDied,
    EngineGotReady,
    Happening,
    Happenings,
    JobAbandoned,
    JobAccepted,
    JobBegun,
    JobCancelled,
    JobDeleted,
    JobDelivered,
    JobFailed,
    JobQueued,
    JobRendered,
    JobRequeued,
    JobUnanswered,
    JobUndeliverable,
    JobWithdrawn,
    StoreDamaged,
)
from bot.core.ports import Irremovable
from bot.job import Job, JobState
from engine.contract import FakeSettings
from tests.kit.rig import ADA, SLOW, MakeRig, RecordingDelivery, Rig, eventually
from workshop.rehearsal.props import GUILD


def of(rig: Rig, job: Job) -> list[Happening]:
    return [one for one in rig.happened if getattr(one, "job", None) and one.job.id == job.id]  # type: ignore[union-attr]


def kinds(rig: Rig, job: Job) -> list[type]:
    return [type(one) for one in of(rig, job)]


async def test_a_good_life(rig_of: MakeRig) -> None:
    """From admission to delivery, each step once, with the row as it was then; and then its deletion, with who asked."""
    rig = await rig_of()
    job = await rig.imagine()
    done = await rig.ended(job)
    told = [JobAccepted, JobQueued, JobBegun, JobRendered, JobDelivered]
    await eventually(lambda: kinds(rig, job) == told)
    states = [one.job.state for one in of(rig, job)]  # type: ignore[union-attr]
    assert states == [
        JobState.ACCEPTED,
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.RENDERED,
        JobState.DELIVERED,
    ]
    await rig.dispatcher.endings.delete(done, by=ADA)
    assert kinds(rig, job) == [*told, DeletionAsked, JobDeleted]
    asked = of(rig, job)[-2]
    assert isinstance(asked, DeletionAsked)
    assert asked.by == ADA


async def test_a_deletion_that_is_refused_is_none(rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the message can't go everything stays what it was, and nothing is told."""
    rig = await rig_of()
    done = await rig.ended(await rig.imagine())

    async def remove(_delivery: RecordingDelivery, _job: Job) -> None:
        raise Irremovable(is_forbidden=True)

    monkeypatch.setattr(RecordingDelivery, "remove", remove)
    with pytest.raises(Irremovable):
        await rig.dispatcher.endings.delete(done, by=ADA)
    assert DeletionAsked not in kinds(rig, done)


async def test_an_engine_that_dies(rig_of: MakeRig) -> None:
    """Its death is told, then that the job waits again with its fault; at the second one it has failed."""
    rig = await rig_of(fake=FakeSettings(slots=1))
    job = await rig.imagine("CRASH")
    await rig.ended(job)
    assert kinds(rig, job) == [JobAccepted, JobQueued, JobBegun, JobRequeued, JobBegun, JobFailed]
    requeued = of(rig, job)[3]
    assert isinstance(requeued, JobRequeued)
    assert (requeued.job.attempt, requeued.job.faults) == (1, 1)
    engines = [type(one) for one in rig.happened if isinstance(one, EngineGotReady | EngineDied)]
    assert engines[:4] == [EngineGotReady, EngineDied, EngineGotReady, EngineDied]


async def test_who_cancelled(rig_of: MakeRig) -> None:
    """Once, with who did it; what the engine says of it later tells nothing more."""
    rig = await rig_of(fake=SLOW)
    job = await rig.imagine(images=5)
    await rig.until(job, JobState.RUNNING)
    assert await rig.dispatcher.cancel(job.id, by=ADA)
    assert not await rig.dispatcher.cancel(job.id, by=ADA)
    await eventually(lambda: not rig.dispatcher.running())
    (cancelled,) = [one for one in of(rig, job) if isinstance(one, JobCancelled)]
    assert (cancelled.by, cancelled.job.state) == (ADA, JobState.CANCELLED)
    assert kinds(rig, job)[-1] is JobCancelled


async def test_ends_that_nobody_asked_for(rig_of: MakeRig) -> None:
    """A person who is blocked, an answer that failed, pictures that nobody takes, a server that is left."""
    rig = await rig_of(fake=SLOW)
    rig.delivery.undeliverable = "The channel is gone."
    lost = await rig.imagine(user=1)
    await rig.ended(lost)
    running = await rig.imagine(user=2)
    await rig.until(running, JobState.RUNNING)
    blocked, silent = await rig.imagine(user=3), await rig.accepted(user=4)
    await rig.dispatcher.withdraw(guild_id=GUILD, user_id=3)
    await rig.dispatcher.unanswered(silent)
    await rig.dispatcher.guild_left(GUILD)
    assert [kinds(rig, job)[-1] for job in (lost, blocked, silent, running)] == [
        JobUndeliverable,
        JobWithdrawn,
        JobUnanswered,
        JobAbandoned,
    ]


def test_a_listener_that_fails_costs_nobody_else_anything() -> None:
    """The next one hears of it all the same, and the failure is logged."""
    heard: list[Happening] = []

    def broken(_happening: Happening) -> None:
        raise RuntimeError("a bug")

    happenings = Happenings(broken)
    happenings.listen(heard.append)
    with capture_logs() as lines:
        happenings.tell(StoreDamaged(problem="It is."))
    assert heard == [StoreDamaged(problem="It is.")]
    assert [(line["event"], line["happening"]) for line in lines] == [("listener_failed", "StoreDamaged")]

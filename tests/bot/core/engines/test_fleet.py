"""Several engines behind one line: what each has is its own, above all its deaths. In virtual time, with scripted engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.app import Timings
from bot.chat.look import picture_info
from bot.core.engines.restarts import Patience
from bot.core.engines.status import Phase
from bot.core.happenings import EngineDied
from bot.job import Job, JobState
from bot.texts.language import ENGLISH
from engine.contract import FakeSettings, Finished, ModelInfo
from tests.kit.rig import settings_for
from tests.kit.virtual import MakeVirtualRig, VirtualRig, eventually

pytestmark = pytest.mark.virtual

USUAL = Timings()
ONE_EACH = FakeSettings(step_s=0.1, slots=1)
ROOMY = FakeSettings(step_s=0.1, slots=4)


@pytest.fixture
async def fleet_of(tmp_path: Path) -> AsyncIterator[MakeVirtualRig]:
    """Makes rigs with so many engines, started and ready."""
    rigs: list[VirtualRig] = []

    async def make(engines: int, *, fake: FakeSettings = ONE_EACH, timings: Timings = USUAL) -> VirtualRig:
        folder = tmp_path / f"bot-{len(rigs)}"
        rig = VirtualRig(folder, fake=fake, timings=timings, settings=settings_for(folder))
        rigs.append(rig)
        rig.engines = engines
        await rig.start()
        return rig

    yield make
    for rig in rigs:
        await rig.stop()


async def all_drawn(rig: VirtualRig, jobs: list[Job]) -> None:
    await eventually(lambda: all(rig.dispatcher.progress_of(job).step for job in jobs))


def where(rig: VirtualRig, jobs: list[Job]) -> list[int]:
    return [rig.fleet.engine_of(job.id) for job in jobs]


# ------------------------------------------------------------------ who draws what


async def test_engines_draw_side_by_side(fleet_of: MakeVirtualRig) -> None:
    """Each gets a job, the next one waits for whoever is done first, and three take a third of the time."""
    rig = await fleet_of(3)
    begin = rig.clock.now()
    jobs = [await rig.imagine(user=user) for user in range(1, 7)]
    await all_drawn(rig, jobs[:3])
    assert sorted(where(rig, jobs[:3])) == [1, 2, 3]
    assert where(rig, jobs[3:]) == [0, 0, 0]
    rows = await rig.all_ended(jobs)
    assert {(row.state, row.attempt) for row in rows} == {(JobState.DELIVERED, 1)}
    one_s = rows[0].request.evaluations * 0.1
    assert rig.clock.now() - begin < 2.5 * one_s
    assert all(row.engine_seconds == pytest.approx(one_s, rel=0.1) for row in rows), "each engine's own time"
    await rig.assert_books()


async def test_after_a_restart_it_is_known_which_engine_is_fast(fleet_of: MakeVirtualRig) -> None:
    """From the pictures in the books, by the kind of engine that drew them: the first one goes to the fast one."""
    rig = await fleet_of(2)

    async def slow_one() -> None:
        rig.machines[0].fake = replace(ONE_EACH, step_s=1.0, card="slow card")
        rig.machines[0].kill()
        await eventually(lambda: rig.fleet.is_mixed)

    await slow_one()
    before = await rig.all_ended([await rig.imagine(user=user) for user in (1, 2)])
    assert len({row.images[0].drawn_by for row in before}) == 2
    await rig.restart()
    await slow_one()
    first = await rig.ended(await rig.imagine())
    assert first.images[0].drawn_by == rig.fleet.engines[1].kind


async def test_models_that_alternate_in_the_line_are_not_read_by_turns(fleet_of: MakeVirtualRig) -> None:
    """What was just read is drawn with first, for twice as long as that took; then it's the next one's turn all the same."""
    rig = await fleet_of(1, fake=replace(ONE_EACH, others=("one", "other"), load_s=4.0))
    wanted = ["one", "other", *["one"] * 6]
    jobs = [await rig.imagine(user=user, model=model) for user, model in enumerate(wanted, 1)]
    rows = sorted(await rig.all_ended(jobs), key=lambda row: row.finished_at or 0.0)
    order = [row.user_id for row in rows]
    assert order[:3] == [1, 3, 4]
    assert 2 in order[3:-1], "while some still want the first one"
    assert {row.state for row in rows} == {JobState.DELIVERED}


async def test_who_waits_reads_a_time_that_counts_all_engines(fleet_of: MakeVirtualRig) -> None:
    """Two engines are through the same line in half the time, but no picture is drawn by two."""
    rig = await fleet_of(2)
    first = await rig.ended(await rig.imagine(user=1))
    one_s = first.engine_seconds or 0.0
    jobs = [await rig.imagine(user=user) for user in range(2, 8)]
    await eventually(lambda: len(rig.dispatcher.running()) == 2)
    eta_s = rig.dispatcher.progress_of(jobs[-1]).eta_s
    assert eta_s == pytest.approx(3.5 * one_s, rel=0.2)
    ended = await rig.all_ended(jobs)
    assert all(row.state is JobState.DELIVERED for row in ended)


async def test_steps_on_one_engine_overtake_nobody_on_another(fleet_of: MakeVirtualRig) -> None:
    """A picture with slow steps is not told that others are drawn before it, when they have an engine of their own."""
    rig = await fleet_of(2, fake=replace(ONE_EACH, step_s=3.0))
    jobs = [await rig.imagine(user=user) for user in (1, 2)]
    await all_drawn(rig, jobs)
    seen: list[bool] = []
    for _ in range(40):
        await asyncio.sleep(0.5)
        seen += [rig.dispatcher.progress_of(job).is_overtaken for job in jobs if rig.dispatcher.running()]
    assert seen
    assert not any(seen)


# ------------------------------------------------------------------ deaths


async def test_a_death_is_one_engines_own(fleet_of: MakeVirtualRig) -> None:
    """Its job goes back in line and is drawn by the next engine that is free; nobody else notices."""
    rig = await fleet_of(3)
    jobs = [await rig.imagine(user=user) for user in (1, 2)]
    await all_drawn(rig, jobs)
    (struck,) = where(rig, jobs[:1])
    rig.machines[struck - 1].kill()
    await eventually(lambda: rig.fleet.engines[struck - 1].status.phase is Phase.RESTARTING)
    assert rig.fleet.status.is_ready
    await eventually(lambda: rig.fleet.engine_of(jobs[0].id) not in (0, struck))
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.attempt, row.faults) for row in rows] == [
        (JobState.DELIVERED, 2, 1),
        (JobState.DELIVERED, 1, 0),
    ]
    await eventually(lambda: rig.fleet.engines[struck - 1].status.is_ready)
    await rig.assert_books()


async def test_all_engines_may_die_at_once(fleet_of: MakeVirtualRig) -> None:
    """Everybody's job goes back in line and is drawn once the engines are back, each once."""
    rig = await fleet_of(3, fake=ROOMY)
    jobs = [await rig.imagine(user=user) for user in range(1, 7)]
    await all_drawn(rig, jobs)
    for machine in rig.machines:
        machine.kill()
    rows = await rig.all_ended(jobs)
    assert {(row.state, row.attempt, row.faults) for row in rows} == {(JobState.DELIVERED, 2, 0)}
    await rig.assert_books()


async def test_a_job_that_kills_two_engines_is_out_and_neither_is_blamed(fleet_of: MakeVirtualRig) -> None:
    """It carries a fault from one engine to the other; three of them in a row let no engine rest."""
    rig = await fleet_of(2)
    for user in range(1, 6):
        row = await rig.ended(await rig.imagine("CRASH", user=user))
        assert (row.state, row.faults, row.charged) == (JobState.FAILED, 1, 0)
        assert (await rig.ended(await rig.imagine(user=user))).state is JobState.DELIVERED
        await eventually(lambda: all(engine.status.is_ready for engine in rig.fleet.engines))
        for other in (await rig.imagine(user=8), await rig.imagine(user=9)):  # either draws one to its end
            assert (await rig.ended(other)).state is JobState.DELIVERED
    assert rig.delivery.told == []


async def test_suspects_are_drawn_alone_while_others_go_on(fleet_of: MakeVirtualRig) -> None:
    """Of three that were aboard a dead engine each has one to itself, while another engine goes on with several."""
    rig = await fleet_of(2, fake=ROOMY)
    jobs = [await rig.imagine(user=user) for user in range(1, 7)]
    await all_drawn(rig, jobs)
    struck = where(rig, jobs)[0]
    suspects = [job for job in jobs if rig.fleet.engine_of(job.id) == struck]
    assert len(suspects) == 3
    rig.machines[struck - 1].kill()
    ids, company = {job.id for job in suspects}, list[int]()
    await eventually(lambda: not rig.fleet.engines[struck - 1].status.is_ready)
    while rig.dispatcher.running() or rig.dispatcher.line():
        company += [len(each.guests) for each in rig.fleet.members if ids & each.guests.keys()]
        await asyncio.sleep(0.05)
    rows = await rig.all_ended(jobs)
    assert [row.faults for row in rows] == [0] * 6
    assert max(company) == 1
    await rig.assert_books()


async def test_an_engine_that_dies_too_often_rests_alone(fleet_of: MakeVirtualRig) -> None:
    """The others draw on, nobody who waits is told of it, and whoever runs the bot hears which one it is."""
    rig = await fleet_of(2, timings=replace(USUAL, patience=Patience(backoff_s=(0.1,))))
    for _ in range(3):
        await eventually(lambda: rig.fleet.engines[1].status.is_ready)
        rig.machines[1].kill()
        await eventually(lambda: not rig.fleet.engines[1].status.is_ready)
    await eventually(lambda: rig.fleet.engines[1].status.phase is Phase.PAUSED)
    job = await rig.imagine()
    assert rig.dispatcher.held_up(job.guild_id) is None
    assert (await rig.ended(job)).state is JobState.DELIVERED
    await eventually(lambda: rig.delivery.told)
    (told,) = rig.delivery.told
    assert told.startswith("Easel's engine 2 is paused: it died 3 times within 10 minutes.")
    assert "The other engines draw on." in told


async def test_an_engine_that_cant_work_leaves_the_others_alone(fleet_of: MakeVirtualRig) -> None:
    """A card that is not there: one sentence that names the engine, and the rest goes on."""
    rig = await fleet_of(2)
    rig.machines[1].fake = replace(ONE_EACH, broken="The card is gone.")
    rig.fleet.members[1].engine._was_ready = False
    rig.machines[1].kill()
    await eventually(lambda: rig.fleet.engines[1].status.phase is Phase.BROKEN)
    assert (await rig.ended(await rig.imagine())).state is JobState.DELIVERED
    await eventually(lambda: rig.delivery.told)
    assert rig.delivery.told == [
        "Easel's engine 2 can't draw until you have mended this: The card is gone. The other engines draw on."
    ]


async def test_what_an_older_attempt_tells_changes_nothing(fleet_of: MakeVirtualRig) -> None:
    """A dead engine's word on a job that another one draws by now reaches nobody."""
    rig = await fleet_of(2)
    job = await rig.imagine()
    await all_drawn(rig, [job])
    first = rig.fleet.engine_of(job.id)
    rig.machines[first - 1].kill()
    await eventually(lambda: rig.fleet.engine_of(job.id) not in (0, first))
    told: list[object] = []
    tell, rig.fleet._tell = rig.fleet._tell, told.append
    for attempt in (1, 2):  # an attempt that was its own, and one that never was
        late = Finished(job_id=job.id, attempt=attempt, images=(), seconds=1.0)
        rig.fleet._receive(rig.fleet.members[first - 1], late)
    rig.fleet._tell = tell
    assert told == []
    row = await rig.ended(job)
    assert (row.state, row.attempt, len(row.images)) == (JobState.DELIVERED, 2, 1)


# ------------------------------------------------------------------ models


async def test_a_model_that_kills_one_engine_alone_is_left_out_there(fleet_of: MakeVirtualRig) -> None:
    """While another engine has it in memory its files are sound: it stays on offer, and is drawn there."""
    rig = await fleet_of(2, fake=replace(ONE_EACH, others=("large",)))
    rig.machines[0].fake = replace(ONE_EACH, others=("large",), deadly=("large",))
    rig.machines[0].kill()
    await eventually(lambda: len(rig.machines[0].engines) == 2 and rig.fleet.engines[0].status.is_ready)
    second = rig.fleet.members[1].engine
    second.status = replace(second.status, loaded=("fake", "large"))
    busy = await rig.imagine(user=1)
    await all_drawn(rig, [busy])
    jobs = [await rig.imagine(user=user, model="large") for user in (2, 3, 4)]
    rows = await rig.all_ended([busy, *jobs])
    assert {row.state for row in rows} == {JobState.DELIVERED}
    assert {model.id for model in rig.fleet.status.models} == {"fake", "large"}
    assert rig.delivery.told == []


async def test_what_one_engine_alone_offers_waits_for_its_return(fleet_of: MakeVirtualRig) -> None:
    """While that is started anew others pass; nothing fails for a model that is only away."""
    rig = await fleet_of(2)
    rig.machines[1].fake = replace(ONE_EACH, others=("rare",), load_s=8.0)
    rig.machines[1].kill()
    await eventually(lambda: any(model.id == "rare" for model in rig.fleet.status.models))
    rare, common = await rig.imagine(user=1, model="rare"), await rig.imagine(user=2)
    assert (await rig.ended(common)).state is JobState.DELIVERED
    assert (await rig.row(rare)).state is JobState.QUEUED
    assert (await rig.ended(rare)).state is JobState.DELIVERED


# ------------------------------------------------------------------ the same pixels


async def test_what_repeats_a_seed_goes_to_the_same_kind_of_engine(fleet_of: MakeVirtualRig) -> None:
    """It waits for that one though another has room; where none of its kind is up it is drawn all the same, and Info says so."""
    rig = await fleet_of(2)
    rig.machines[1].fake = replace(ONE_EACH, card="another card")
    rig.machines[1].kill()
    first = await rig.ended(await rig.imagine(user=1))
    await eventually(lambda: rig.fleet.is_mixed)
    own = rig.fleet.engines[0].kind
    assert first.images[0].drawn_by == own
    busy = await rig.imagine(user=2)
    await all_drawn(rig, [busy])
    assert where(rig, [busy]) == [1]
    again = await rig.ended(await rig.imagine(user=3, parent_id=first.id))
    assert again.images[0].drawn_by == own
    assert (
        await rig.ended(await rig.imagine(user=4, parent_id=first.id, seed=7))
    ).state is JobState.DELIVERED
    rig.fleet.hold({1})
    elsewhere = await rig.ended(await rig.imagine(user=5, parent_id=first.id))
    assert elsewhere.images[0].drawn_by == rig.fleet.engines[1].kind != own
    words = "Drawn by another kind of engine"
    assert words in picture_info.describe(elsewhere, ENGLISH, first=first)[0]
    assert words not in picture_info.describe(again, ENGLISH, first=first)[0]


# ------------------------------------------------------------------ by the word of an admin


async def test_an_engine_that_is_held_finishes_what_it_draws(fleet_of: MakeVirtualRig) -> None:
    """It is given nothing more, the others draw everything, and what it alone offers waits until it is resumed."""
    rig = await fleet_of(2)
    rig.machines[1].fake = replace(ONE_EACH, others=("rare",))
    rig.machines[1].kill()
    await eventually(lambda: rig.fleet.engines[1].status.is_ready and len(rig.machines[1].engines) == 2)
    jobs = [await rig.imagine(user=user) for user in (1, 2)]
    await all_drawn(rig, jobs)
    rig.fleet.hold({2})
    rare, *more = (
        await rig.imagine(user=3, model="rare"),
        await rig.imagine(user=4),
        await rig.imagine(user=5),
    )
    rows = await rig.all_ended([*jobs, *more])
    assert {(row.state, row.attempt) for row in rows} == {(JobState.DELIVERED, 1)}
    assert (await rig.row(rare)).state is JobState.QUEUED
    assert [model.id for model in rig.fleet.status.models] == ["fake"]
    rig.fleet.hold(())
    rig.dispatcher.engines_changed()
    assert (await rig.ended(rare)).state is JobState.DELIVERED


@pytest.mark.parametrize("engines", [1, 3])
async def test_engines_are_started_anew_under_a_line(fleet_of: MakeVirtualRig, engines: int) -> None:
    """One after the other, each once it has finished: nobody is refused, nothing is drawn twice, and it is no death."""
    rig = await fleet_of(engines)
    jobs = [await rig.imagine(user=user) for user in range(1, 7)]
    await all_drawn(rig, jobs[:engines])
    rig.fleet.renew(range(1, engines + 1))
    least = engines
    while any(len(machine.engines) < 2 for machine in rig.machines):
        least = min(least, sum(engine.is_up for engine in rig.fleet.engines))
        assert isinstance(rig.catalogue.model(), ModelInfo)
        await asyncio.sleep(0.01)
    assert least == engines - 1
    jobs.append(await rig.imagine(user=9))
    rows = await rig.all_ended(jobs)
    assert {(row.state, row.attempt, row.faults) for row in rows} == {(JobState.DELIVERED, 1, 0)}
    assert not any(isinstance(happening, EngineDied) for happening in rig.happened)
    await rig.assert_books()


async def test_one_that_finds_no_place_keeps_no_other_from_being_started_anew(
    fleet_of: MakeVirtualRig,
) -> None:
    """As where a host of a cluster is away: it never gets ready, and the others are renewed all the same."""
    rig = await fleet_of(3)
    rig.machines[0].fake = replace(ONE_EACH, load_s=300)
    rig.machines[0].kill()
    await eventually(lambda: len(rig.machines[0].engines) == 2)
    rig.fleet.renew([1, 2, 3])
    await eventually(lambda: all(len(machine.engines) == 2 for machine in rig.machines[1:]))
    await eventually(lambda: [engine.is_up for engine in rig.fleet.engines] == [False, True, True])
    assert rig.fleet._to_renew == []

"""Engines that die again and again or hang: who is blamed, what is paused, and how it comes back.

In virtual time, with scripted engines under the real client, fleet and dispatcher, and with the patience of every day.
Real processes are in `test_client`, `test_processes` and `tests/bot/core/line/test_faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.app import Timings
from bot.core.asking.refused import Unmet
from bot.core.engines import engine_client as client_module
from bot.core.engines.deaths import Perished, SaidWhy, Way
from bot.core.engines.engine_client import EngineClient, Paused, pinned
from bot.core.engines.fleet import Rests, Told
from bot.core.engines.generation import Lost
from bot.core.engines.status import EngineStatus, Phase
from bot.core.engines.watch import Deadlines
from bot.core.news import ModelSetAside
from bot.job import Job, JobState
from engine.contract import EXIT_DEVICE_LOST, EngineSettings, FakeSettings, Ready
from engine.fake import MODEL
from tests.kit import said
from tests.kit.rig import QUICK, SLOW, end_of, settings_for
from tests.kit.virtual import MakeVirtualRig, VirtualRig, eventually

pytestmark = pytest.mark.virtual

HANGING = Deadlines(first_job_s=3.0, first_step_s=3.0, step_s=3.0, paces=1.0)

SET_ASIDE = "The image engine died each time it loaded the model {}: use another one."


USUAL = Timings()
PAUSE_S = USUAL.patience.pause_s
LOADS_LONG = FakeSettings(load_s=60.0)


@pytest.fixture
async def rig_of(tmp_path: Path) -> AsyncIterator[MakeVirtualRig]:
    """Makes rigs, started and with a ready engine unless told otherwise, and stops them all."""
    rigs: list[VirtualRig] = []

    async def make(*, fake: FakeSettings = QUICK, timings: Timings = USUAL, ready: bool = True) -> VirtualRig:
        folder = tmp_path / f"bot-{len(rigs)}"
        rigs.append(VirtualRig(folder, fake=fake, timings=timings, settings=settings_for(folder)))
        await rigs[-1].start(ready=ready)
        return rigs[-1]

    yield make
    for rig in rigs:
        await rig.stop()


async def kill_while(rig: VirtualRig, phase: Phase, times: int) -> None:
    for _ in range(times):
        await eventually(lambda: rig.engine.status.phase is phase and rig.machine.runs)
        rig.machine.kill()
        await eventually(lambda: rig.engine.status.phase is not phase)


async def aboard(rig: VirtualRig, *jobs: Job) -> None:
    await eventually(lambda: all(rig.dispatcher.progress_of(job).step for job in jobs))


# ------------------------------------------------------------------ three deaths


async def test_three_deaths_pause_the_engine_and_keep_the_line(rig_of: MakeVirtualRig) -> None:
    """The line is kept and told so, new requests are refused with a sentence, and later everybody is served."""
    rig = await rig_of(fake=LOADS_LONG, ready=False)
    await eventually(lambda: rig.engine.status.models)
    jobs = [await rig.imagine(user=user) for user in (1, 2)]
    await kill_while(rig, Phase.LOADING, 3)
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    rig.machine.fake, paused_at = FakeSettings(), rig.clock.now()
    hint = said.hint(rig.dispatcher.progress_of(jobs[0]).held_up)
    assert "The GPU is paused" in hint
    assert "Your place in line is kept." in hint
    refused = await rig.admit(user=3)
    assert "The GPU is paused" in said.refusal(refused)
    assert "Places in line are kept" in said.refusal(refused)
    assert [job.id for job in rig.dispatcher.line()] == [job.id for job in jobs]
    await asyncio.sleep(PAUSE_S - 1)
    assert (rig.engine.status.phase, rig.machine.runs) == (Phase.PAUSED, False)
    await eventually(lambda: rig.engine.status.is_ready)
    assert PAUSE_S <= rig.clock.now() - paused_at < PAUSE_S + 1
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.attempt, row.faults) for row in rows] == [(JobState.DELIVERED, 1, 0)] * 2
    assert isinstance(await rig.admit(user=3), Job)


async def test_the_owner_is_told_once(rig_of: MakeVirtualRig) -> None:
    """One message for a GPU that stays dead, however often it is tried again."""
    rig = await rig_of(fake=LOADS_LONG, ready=False)
    await eventually(lambda: rig.engine.status.models)
    await rig.imagine()
    pauses: list[Paused] = []
    tell = rig.fleet._tell

    def note(event: Told) -> None:
        pauses.extend([event.paused] if isinstance(event, Rests) else [])
        tell(event)

    rig.fleet._tell = note
    await kill_while(rig, Phase.LOADING, 3)
    for times in (2, 3):
        await asyncio.sleep(PAUSE_S)
        await kill_while(rig, Phase.LOADING, 1)
        await eventually(lambda times=times: len(pauses) == times)
    assert [pause.again for pause in pauses] == [False, True, True]
    (told,) = rig.delivery.told
    assert told == (
        "Easel's GPU is paused: its image engine died 3 times within 10 minutes. "
        "The last time: Its process was ended by signal 9. 1 request keeps its place in line. "
        "The engine is tried again every 10 minutes and when Easel is restarted; the log and `easel doctor` say more."
    )


async def test_a_restart_of_the_bot_ends_the_pause(rig_of: MakeVirtualRig) -> None:
    """After a restart of the bot the engine is tried at once, and the line is served."""
    rig = await rig_of(fake=LOADS_LONG, ready=False)
    await eventually(lambda: rig.engine.status.models)
    job = await rig.imagine()
    await kill_while(rig, Phase.LOADING, 3)
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    await rig.restart(fake=FakeSettings())
    assert (await rig.ended(job)).state is JobState.DELIVERED


async def test_deaths_long_apart_do_not_pause(rig_of: MakeVirtualRig) -> None:
    """Three deaths count only within ten minutes of work."""
    rig = await rig_of()
    for _ in range(4):
        await asyncio.sleep(USUAL.patience.window_s / 2)
        await kill_while(rig, Phase.READY, 1)
        await eventually(lambda: rig.engine.status.is_ready)
    assert rig.delivery.told == []
    await asyncio.sleep(USUAL.patience.window_s / 2 - 20)  # the third within them
    await kill_while(rig, Phase.READY, 1)
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)


async def test_what_broke_after_it_had_worked_is_tried_again(rig_of: MakeVirtualRig) -> None:
    """A card that is gone: its sentence is the reason of the pause, and when it is back it draws."""
    rig = await rig_of()
    reason = "There is no CUDA device here: install NVIDIA's driver."
    rig.machine.fake = FakeSettings(broken=reason)
    rig.machine.kill()
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    assert rig.engine.status.end == SaidWhy(reason=reason)
    await eventually(lambda: rig.delivery.told)
    assert reason in rig.delivery.told[0]
    rig.machine.fake = FakeSettings()
    await asyncio.sleep(PAUSE_S)
    await eventually(lambda: rig.engine.status.is_ready)
    assert (await rig.ended(await rig.imagine())).state is JobState.DELIVERED


# ------------------------------------------------------------------ who is to blame


async def test_one_poisonous_job_does_not_pause_the_gpu(rig_of: MakeVirtualRig) -> None:
    """In company it kills three engines before it is out; the device is not blamed, and nobody else is harmed."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, slots=4))
    jobs = [await rig.imagine("CRASH" if user == 1 else "fine", user=user) for user in (2, 1, 3)]
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.faults) for row in rows] == [
        (JobState.DELIVERED, 0),
        (JobState.FAILED, 1),
        (JobState.DELIVERED, 0),
    ]
    assert rig.delivery.told == []
    assert (await rig.ended(await rig.imagine(user=4))).state is JobState.DELIVERED
    await rig.assert_books()


async def test_a_device_that_kills_every_job_is_found_out(rig_of: MakeVirtualRig) -> None:
    """The second culprit in a row, with no picture made in between, acquits nobody: the others keep their places."""
    rig = await rig_of(fake=FakeSettings(slots=1))
    jobs = [await rig.imagine("CRASH", user=user) for user in (1, 2, 3, 4)]
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    rows = [await rig.row(job) for job in jobs]
    assert [row.state for row in rows] == [
        JobState.FAILED,
        JobState.FAILED,
        JobState.QUEUED,
        JobState.QUEUED,
    ]
    assert [row.faults for row in rows[2:]] == [1, 0]
    await eventually(lambda: len(rig.delivery.told) == 1)
    assert "2 requests keep their places" in rig.delivery.told[0]


async def test_a_job_that_freezes_its_engine_takes_nobody_with_it(rig_of: MakeVirtualRig) -> None:
    """An endless kernel with company: killed by the deadline; only the job that freezes alone twice has failed."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, slots=4), timings=replace(USUAL, deadlines=HANGING))
    jobs = [await rig.imagine("FREEZE" if user == 1 else "fine", user=user) for user in (2, 1, 3)]
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.faults) for row in rows] == [
        (JobState.DELIVERED, 0),
        (JobState.FAILED, 1),
        (JobState.DELIVERED, 0),
    ]
    assert rows[1].charged == 0
    await rig.assert_books()


async def test_suspects_stay_suspects_through_a_restart_of_the_bot(rig_of: MakeVirtualRig) -> None:
    """The bot is restarted between a crash in company and the suspects' turns: they still run one at a time."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, slots=4))
    jobs = [await rig.imagine(user=user) for user in (1, 2, 3)]
    await aboard(rig, *jobs)
    rig.machine.kill()
    await eventually(lambda: len(rig.dispatcher.line()) == len(jobs))
    await rig.restart()
    together: list[int] = []
    while len(rig.delivery.finished) < len(jobs):
        together.append(len(rig.dispatcher.running()))
        await asyncio.sleep(0.001)
    assert max(together) == 1
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.faults) for row in rows] == [(JobState.DELIVERED, 0)] * 3
    await rig.assert_books()


async def test_poison_among_others_when_the_bot_dies_too(rig_of: MakeVirtualRig) -> None:
    """All were running when the bot ended: afterwards each has its own turn, and poison meets no neighbour again."""
    rig = await rig_of(fake=FakeSettings(step_s=0.05, slots=4))
    jobs = [await rig.imagine("HANG" if user == 1 else "fine", user=user) for user in (2, 1, 3)]
    await aboard(rig, jobs[0], jobs[2])
    await rig.restart(fake=FakeSettings(step_s=0.01, slots=4, crash_word="HANG"))
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.faults) for row in rows] == [
        (JobState.DELIVERED, 0),
        (JobState.FAILED, 1),
        (JobState.DELIVERED, 0),
    ]
    assert [row.attempt for row in rows] == [2, 3, 2]


async def test_a_job_that_was_never_begun_is_not_to_blame(rig_of: MakeVirtualRig) -> None:
    """Handed to an engine that was dead already: it comes back without a fault and without suspicion."""
    rig = await rig_of(fake=SLOW)
    rig.machine.hold_still()
    job = await rig.imagine()
    await rig.until(job, JobState.RUNNING)
    await eventually(lambda: rig.dispatcher.running())
    rig.machine.kill()
    row = await rig.until(job, JobState.RUNNING, also=lambda row: row.attempt == 2)
    assert row.faults == 0
    assert not rig.fleet._suspects
    assert (await rig.ended(job)).state is JobState.DELIVERED


async def test_who_was_drawn_while_another_only_waited_was_alone(rig_of: MakeVirtualRig) -> None:
    """Two aboard, but the engine had begun only one: that one carries the fault, the other nothing."""
    rig = await rig_of(fake=replace(SLOW, slots=4))
    first = await rig.imagine(user=1)
    await aboard(rig, first)
    rig.machine.hold_still()
    second = await rig.imagine(user=2)
    await eventually(lambda: len(rig.dispatcher.running()) == 2)
    rig.machine.kill()
    rows = await rig.all_ended([first, second])
    assert [(row.state, row.faults) for row in rows] == [(JobState.DELIVERED, 1), (JobState.DELIVERED, 0)]


# ------------------------------------------------------------------ models that kill engines while they are loaded


def harmful(how: str, model: str, **fake: Any) -> FakeSettings:
    """Loading that model kills the engine, or never ends."""
    deadly, frozen = how == "deadly", how == "frozen"
    return FakeSettings(deadly=(model,) * deadly, frozen=(model,) * frozen, **fake)


@pytest.mark.parametrize("how", ["deadly", "frozen"])
@pytest.mark.parametrize("company", [False, True])
async def test_a_model_that_kills_or_stalls_is_set_aside(
    rig_of: MakeVirtualRig, how: str, company: bool
) -> None:
    """After two engines that died of it alone all who want it are refunded; others are drawn, and its owner is told."""
    fake = harmful(how, "bad", others=("bad", "good"), step_s=0.01)
    rig = await rig_of(
        fake=fake, timings=replace(USUAL, deadlines=replace(HANGING, first_job_s=4.0, loading_s=3.0))
    )
    bad = [await rig.imagine(user=1, model="bad")]
    good = [await rig.imagine(user=2, model="good" if company else "fake")]
    bad += [await rig.imagine(user=3, model="bad"), await rig.imagine(user=1, model="bad")]
    good += [await rig.imagine(user=4)]
    for row in await rig.all_ended(bad):
        assert (row.state, row.charged, end_of(row)) == (JobState.FAILED, 0, SET_ASIDE.format("bad"))
    assert [(row.state, row.faults) for row in await rig.all_ended(good)] == [(JobState.DELIVERED, 0)] * 2
    await eventually(lambda: rig.delivery.told)
    assert rig.delivery.told == [said.news(ModelSetAside(model="bad"))]
    assert [model.id for model in rig.engine.status.models] == ["fake", "good"]
    with pytest.raises(Unmet) as caught:
        rig.catalogue.model("bad")
    assert "There is no model “bad” here" in said.refusal(caught.value.refused)
    later = await rig.ended(await rig.imagine(user=5, model="good"))
    assert (later.state, later.attempt) == (JobState.DELIVERED, 1)
    await rig.assert_books()


@pytest.mark.parametrize("how", ["deadly", "frozen"])
async def test_a_first_model_that_kills_or_stalls_is_set_aside(rig_of: MakeVirtualRig, how: str) -> None:
    """An engine that never got ready goes on with the next model; who waited for the first is refunded."""
    fake = harmful(how, "fake", others=("good",), load_s=0.3)
    rig = await rig_of(fake=fake, timings=replace(USUAL, deadlines=Deadlines(loading_s=1.0)), ready=False)
    await eventually(lambda: rig.engine.status.models)
    bad, good = await rig.imagine(user=1), await rig.imagine(user=2, model="good")
    row = await rig.ended(bad)
    assert (row.state, row.charged, end_of(row)) == (JobState.FAILED, 0, SET_ASIDE.format("fake"))
    assert (await rig.ended(good)).state is JobState.DELIVERED
    assert [model.id for model in rig.engine.status.models] == ["good"]
    assert rig.delivery.told == [said.news(ModelSetAside(model="fake"))]
    assert rig.engine.generation == 3
    await rig.assert_books()


async def test_the_only_model_is_never_set_aside(rig_of: MakeVirtualRig) -> None:
    """Then the engine is paused, which keeps every place in line, and its owner is told which model it was."""
    rig = await rig_of(fake=FakeSettings(deadly=("fake",), load_s=0.3), ready=False)
    await eventually(lambda: rig.engine.status.models)
    job = await rig.imagine()
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    assert (await rig.row(job)).state is JobState.QUEUED
    await eventually(lambda: rig.delivery.told)
    assert "It was loading the model fake: check its files." in rig.delivery.told[0]


async def test_one_death_while_loading_sets_nothing_aside(rig_of: MakeVirtualRig) -> None:
    """A memory killer may have been unlucky: a model that is loaded at the second try counts as sound again."""
    rig = await rig_of(fake=FakeSettings(others=("other",), load_s=0.5))
    for attempt in (1, 2):
        await asyncio.sleep(USUAL.patience.window_s)
        job = await rig.imagine(model="other")

        def is_loading(job: Job = job) -> bool:
            step = rig.dispatcher.progress_of(job).step
            return step is not None and step.stage == "loading"

        await eventually(is_loading)
        rig.machine.kill()
        row = await rig.ended(job)
        assert (row.state, row.faults, row.attempt) == (JobState.DELIVERED, 1, 2), attempt
        await kill_while(rig, Phase.READY, 1)  # the next engine has not loaded it yet
        await eventually(lambda: rig.engine.status.is_ready)
    assert rig.delivery.told == []


# ------------------------------------------------------------------ small rules


def test_an_upscaler_alone_is_no_model_to_go_on_with(tmp_path: Path) -> None:
    """It draws nothing from words: the last model that does is never set aside."""
    client = EngineClient(EngineSettings(model="fake", spool=str(tmp_path), fake=FakeSettings()))
    upscaler = replace(MODEL, id="4x", scale=4)
    client.status = EngineStatus(models=(MODEL, upscaler))
    assert not client.set_aside("fake")
    assert client.set_aside("4x")
    assert client.set_aside("4x"), "the same death may be told twice"
    assert client.status.models == (MODEL,)


@pytest.mark.parametrize(
    ("device", "found", "next_one"),
    [
        ("auto", "NVIDIA H100", "cuda"),
        ("auto", "cpu", "auto"),
        ("auto", "mps", "auto"),
        ("cuda:1", "NVIDIA H100", "cuda:1"),
        ("cpu", "cpu", "cpu"),
    ],
)
def test_a_gpu_that_is_gone_is_not_replaced_by_the_processor(device: str, found: str, next_one: str) -> None:
    """Where "auto" once found a GPU, later engines want a GPU."""
    ready = Ready(device="", dtype="", models=(), slots=1, fingerprint={"device": found})
    assert pinned(EngineSettings(model="m", spool="s", device=device), ready).device == next_one


@pytest.mark.parametrize(
    ("lost", "way", "code"),
    [
        (Lost(exitcode=EXIT_DEVICE_LOST), Way.DEVICE_LOST, None),
        (Lost(exitcode=-9), Way.SIGNALLED, 9),
        (Lost(exitcode=-9, hung=True), Way.HUNG, None),
        (Lost(exitcode=-9, garbled=True), Way.GARBLED, None),
        (Lost(exitcode=1), Way.EXITED, 1),
        (Lost(exitcode=None), Way.UNKILLABLE, None),
        (Lost(exitcode=None, hung=True), Way.UNKILLABLE, None),
    ],
)
def test_how_an_engine_ended(lost: Lost, way: Way, code: int | None) -> None:
    """Each way of dying is a fact of its own, with the model that it was reading."""
    for reading in (None, "fake"):
        end = client_module._end_of(replace(lost, reading=reading))
        assert end == Perished(way=way, code=code, reading=reading)

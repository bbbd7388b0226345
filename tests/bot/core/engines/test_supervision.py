"""Engines that die again and again, hang, or can't even be killed: who is blamed, what is paused, and how it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from bot.core.asking.refused import Unmet
from bot.core.engines import client as client_module
from bot.core.engines.client import EngineClient, Lost, Paused, pinned
from bot.core.engines.restarts import Patience
from bot.core.engines.status import EngineStatus, Phase
from bot.core.engines.watch import Deadlines
from bot.core.held_up import held_up_by
from bot.core.news import ModelSetAside
from bot.job import Job, JobState
from engine import process as process_module
from engine.contract import (
    EXIT_DEVICE_LOST,
    EngineSettings,
    Event,
    FakeSettings,
    Finished,
    Ready,
    Submit,
)
from engine.fake import MODEL
from tests.kit import said
from tests.kit.rig import SHORT, SLOW, MakeRig, Rig, end_of, eventually
from workshop.rehearsal.props import picture

HANGING = Deadlines(first_job_s=3.0, first_step_s=3.0, step_s=3.0, paces=1.0)

SET_ASIDE = "The image engine died each time it loaded the model {}: use another one."


BREATH = replace(SHORT, patience=Patience(backoff_s=(0.7,)))
"""Restarts leave the dispatcher time to find a guilty job, even on a busy machine; pauses do not end in a test."""


def kill(rig: Rig) -> None:
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGKILL)


async def kill_while(rig: Rig, phase: Phase, times: int) -> None:
    for _ in range(times):
        await eventually(lambda: rig.engine.status.phase is phase and rig.engine.pid is not None)
        kill(rig)
        await eventually(lambda: rig.engine.status.phase is not phase)


async def aboard(rig: Rig, *jobs: Job) -> None:
    await eventually(lambda: all(rig.dispatcher.progress_of(job).step for job in jobs))


# ------------------------------------------------------------------ three deaths


async def test_three_deaths_pause_the_engine_and_keep_the_line(rig_of: MakeRig) -> None:
    """The line is kept and told so, new requests are refused with a sentence, and later everybody is served."""
    timings = replace(SHORT, patience=Patience(backoff_s=(0.02,)))
    rig = await rig_of(fake=FakeSettings(load_s=60.0), ready=False, timings=timings)
    await eventually(lambda: rig.engine.status.models)
    jobs = [await rig.imagine(user=user) for user in (1, 2)]
    await kill_while(rig, Phase.LOADING, 3)
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    rig.engine._settings = replace(rig.engine._settings, fake=FakeSettings())
    hint = said.hint(rig.dispatcher.progress_of(jobs[0]).held_up)
    assert "The GPU is paused" in hint
    assert "Your place in line is kept." in hint
    refused = await rig.admit(user=3)
    assert "The GPU is paused" in said.refusal(refused)
    assert "Places in line are kept" in said.refusal(refused)
    assert [job.id for job in rig.dispatcher.line()] == [job.id for job in jobs]
    later = rig.engine._restart
    assert later is not None
    assert 500 < later.when() - asyncio.get_running_loop().time() <= 600
    later.cancel()
    rig.engine._spawn()  # what the pause's end calls
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.attempt, row.faults) for row in rows] == [(JobState.DELIVERED, 1, 0)] * 2
    assert isinstance(await rig.admit(user=3), Job)


async def test_the_owner_is_told_once(rig_of: MakeRig) -> None:
    """One message for a GPU that stays dead, however often it is tried again."""
    timings = replace(SHORT, patience=Patience(backoff_s=(0.02,), pause_s=0.2))
    rig = await rig_of(fake=FakeSettings(load_s=60.0), ready=False, timings=timings)
    await eventually(lambda: rig.engine.status.models)
    await rig.imagine()
    pauses: list[Paused] = []
    post = rig.engine._on_event

    def note(event: Event | Lost | Paused) -> None:
        pauses.extend([event] if isinstance(event, Paused) else [])
        post(event)

    rig.engine._on_event = note
    await kill_while(rig, Phase.LOADING, 5)
    await eventually(lambda: len(pauses) == 3)
    assert [pause.again for pause in pauses] == [False, True, True]
    (told,) = rig.delivery.told
    assert told == (
        "Easel's GPU is paused: its image engine died 3 times within 10 minutes. "
        "The last time: Its process was ended by signal 9. 1 request keeps its place in line. "
        "The engine is tried again every 1 minute and when Easel is restarted; the log and `easel doctor` say more."
    )


async def test_a_restart_of_the_bot_ends_the_pause(rig_of: MakeRig) -> None:
    """After a restart of the bot the engine is tried at once, and the line is served."""
    rig = await rig_of(fake=FakeSettings(load_s=60.0), ready=False, timings=BREATH)
    await eventually(lambda: rig.engine.status.models)
    job = await rig.imagine()
    await kill_while(rig, Phase.LOADING, 3)
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    await rig.restart(fake=FakeSettings())
    assert (await rig.ended(job)).state is JobState.DELIVERED


async def test_deaths_long_apart_do_not_pause(rig_of: MakeRig) -> None:
    """Three deaths count only within ten minutes of work."""
    timings = replace(SHORT, patience=Patience(backoff_s=(0.02,), window_s=0.0))
    rig = await rig_of(timings=timings)
    for _ in range(4):
        await kill_while(rig, Phase.READY, 1)
        await eventually(lambda: rig.engine.status.is_ready)
    assert rig.delivery.told == []


async def test_what_broke_after_it_had_worked_is_tried_again(rig_of: MakeRig) -> None:
    """A card that is gone: its sentence is the reason of the pause, and when it is back it draws."""
    rig = await rig_of(timings=replace(SHORT, patience=Patience(backoff_s=(0.02,), pause_s=1.0)))
    works = rig.engine._settings
    reason = "There is no CUDA device here: install NVIDIA's driver."
    rig.engine._settings = replace(works, fake=FakeSettings(broken=reason))
    kill(rig)
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    assert rig.engine.status.reason == reason
    await eventually(lambda: rig.delivery.told)
    assert reason in rig.delivery.told[0]
    rig.engine._settings = works
    await eventually(lambda: rig.engine.status.is_ready)
    assert (await rig.ended(await rig.imagine())).state is JobState.DELIVERED


# ------------------------------------------------------------------ who is to blame


async def test_one_poisonous_job_does_not_pause_the_gpu(rig_of: MakeRig) -> None:
    """In company it kills three engines before it is out; the device is not blamed, and nobody else is harmed."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, slots=4), timings=BREATH)
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


async def test_a_device_that_kills_every_job_is_found_out(rig_of: MakeRig) -> None:
    """The second culprit in a row, with no picture made in between, acquits nobody: the others keep their places."""
    rig = await rig_of(fake=FakeSettings(slots=1), timings=BREATH)
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


async def test_a_job_that_freezes_its_engine_takes_nobody_with_it(rig_of: MakeRig) -> None:
    """An endless kernel with company: killed by the deadline; only the job that freezes alone twice has failed."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, slots=4), timings=replace(BREATH, deadlines=HANGING))
    jobs = [await rig.imagine("FREEZE" if user == 1 else "fine", user=user) for user in (2, 1, 3)]
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.faults) for row in rows] == [
        (JobState.DELIVERED, 0),
        (JobState.FAILED, 1),
        (JobState.DELIVERED, 0),
    ]
    assert rows[1].charged == 0
    await rig.assert_books()


async def test_suspects_stay_suspects_through_a_restart_of_the_bot(rig_of: MakeRig) -> None:
    """The bot is restarted between a crash in company and the suspects' turns: they still run one at a time."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, slots=4))
    jobs = [await rig.imagine(user=user) for user in (1, 2, 3)]
    await aboard(rig, *jobs)
    kill(rig)
    await eventually(lambda: len(rig.dispatcher.line()) == len(jobs))
    await rig.restart()
    together: list[int] = []
    while len(rig.delivery.finished) < len(jobs):
        together.append(len(rig.dispatcher.running()))
        await asyncio.sleep(0)
    assert max(together) == 1
    rows = await rig.all_ended(jobs)
    assert [(row.state, row.faults) for row in rows] == [(JobState.DELIVERED, 0)] * 3
    await rig.assert_books()


async def test_poison_among_others_when_the_bot_dies_too(rig_of: MakeRig) -> None:
    """All were running when the bot ended: afterwards each has its own turn, and poison meets no neighbour again."""
    rig = await rig_of(fake=FakeSettings(step_s=0.05, slots=4), timings=BREATH)
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


async def test_a_job_that_was_never_begun_is_not_to_blame(rig_of: MakeRig) -> None:
    """Handed to an engine that was dead already: it comes back without a fault and without suspicion."""
    rig = await rig_of(fake=SLOW)
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGSTOP)
    job = await rig.imagine()
    await rig.until(job, JobState.RUNNING)
    await eventually(lambda: rig.dispatcher.running())
    kill(rig)
    row = await rig.until(job, JobState.RUNNING, also=lambda row: row.attempt == 2)
    assert row.faults == 0
    assert not rig.dispatcher._suspects
    assert (await rig.ended(job)).state is JobState.DELIVERED


async def test_who_was_drawn_while_another_only_waited_was_alone(rig_of: MakeRig) -> None:
    """Two aboard, but the engine had begun only one: that one carries the fault, the other nothing."""
    rig = await rig_of(fake=replace(SLOW, slots=4))
    first = await rig.imagine(user=1)
    await aboard(rig, first)
    assert rig.engine.pid is not None
    os.kill(rig.engine.pid, signal.SIGSTOP)
    second = await rig.imagine(user=2)
    await eventually(lambda: len(rig.dispatcher.running()) == 2)
    kill(rig)
    rows = await rig.all_ended([first, second])
    assert [(row.state, row.faults) for row in rows] == [(JobState.DELIVERED, 1), (JobState.DELIVERED, 0)]


# ------------------------------------------------------------------ models that kill engines while they are loaded


def harmful(how: str, model: str, **fake: Any) -> FakeSettings:
    """Loading that model kills the engine, or never ends."""
    deadly, frozen = how == "deadly", how == "frozen"
    return FakeSettings(deadly=(model,) * deadly, frozen=(model,) * frozen, **fake)


@pytest.mark.parametrize("how", ["deadly", "frozen"])
@pytest.mark.parametrize("company", [False, True])
async def test_a_model_that_kills_or_stalls_is_set_aside(rig_of: MakeRig, how: str, company: bool) -> None:
    """After two engines that died of it alone all who want it are refunded; others are drawn, and its owner is told."""
    fake = harmful(how, "bad", others=("bad", "good"), step_s=0.01)
    rig = await rig_of(
        fake=fake, timings=replace(BREATH, deadlines=replace(HANGING, first_job_s=4.0, loading_s=3.0))
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
async def test_a_first_model_that_kills_or_stalls_is_set_aside(rig_of: MakeRig, how: str) -> None:
    """An engine that never got ready goes on with the next model; who waited for the first is refunded."""
    fake = harmful(how, "fake", others=("good",), load_s=0.3)
    rig = await rig_of(fake=fake, timings=replace(BREATH, deadlines=Deadlines(loading_s=1.0)), ready=False)
    await eventually(lambda: rig.engine.status.models)
    bad, good = await rig.imagine(user=1), await rig.imagine(user=2, model="good")
    row = await rig.ended(bad)
    assert (row.state, row.charged, end_of(row)) == (JobState.FAILED, 0, SET_ASIDE.format("fake"))
    assert (await rig.ended(good)).state is JobState.DELIVERED
    assert [model.id for model in rig.engine.status.models] == ["good"]
    assert rig.delivery.told == [said.news(ModelSetAside(model="fake"))]
    assert rig.engine.generation == 3
    await rig.assert_books()


async def test_the_only_model_is_never_set_aside(rig_of: MakeRig) -> None:
    """Then the engine is paused, which keeps every place in line, and its owner is told which model it was."""
    rig = await rig_of(fake=FakeSettings(deadly=("fake",), load_s=0.3), ready=False, timings=BREATH)
    await eventually(lambda: rig.engine.status.models)
    job = await rig.imagine()
    await eventually(lambda: rig.engine.status.phase is Phase.PAUSED)
    assert (await rig.row(job)).state is JobState.QUEUED
    await eventually(lambda: rig.delivery.told)
    assert "It was loading the model fake: check its files." in rig.delivery.told[0]


def test_an_upscaler_alone_is_no_model_to_go_on_with(tmp_path: Path) -> None:
    """It draws nothing from words: the last model that does is never set aside."""
    client = EngineClient(EngineSettings(model="fake", spool=str(tmp_path), fake=FakeSettings()))
    upscaler = replace(MODEL, id="4x", scale=4)
    client.status = EngineStatus(models=(MODEL, upscaler))
    assert not client.set_aside("fake")
    assert client.set_aside("4x")
    assert client.set_aside("4x"), "the same death may be told twice"
    assert client.status.models == (MODEL,)


async def test_one_death_while_loading_sets_nothing_aside(rig_of: MakeRig) -> None:
    """A memory killer may have been unlucky: a model that is loaded at the second try counts as sound again."""
    timings = replace(SHORT, patience=replace(BREATH.patience, window_s=0.0))
    rig = await rig_of(fake=FakeSettings(others=("other",), load_s=0.5), timings=timings)
    for attempt in (1, 2):
        job = await rig.imagine(model="other")

        def is_loading(job: Job = job) -> bool:
            step = rig.dispatcher.progress_of(job).step
            return step is not None and step.stage == "loading"

        await eventually(is_loading)
        kill(rig)
        row = await rig.ended(job)
        assert (row.state, row.faults, row.attempt) == (JobState.DELIVERED, 1, 2), attempt
        await kill_while(rig, Phase.READY, 1)  # the next engine has not loaded it yet
        await eventually(lambda: rig.engine.status.is_ready)
    assert rig.delivery.told == []


# ------------------------------------------------------------------ errors inside the engine


async def test_a_sticky_error_ends_the_process_and_the_next_job_has_another(rig_of: MakeRig) -> None:
    """Exit code 70; the job is tried once more in a new process, then refunded; the next is drawn in a third one."""
    rig = await rig_of(fake=FakeSettings(slots=1), timings=BREATH)
    pids, codes = {rig.engine.pid}, list[int | None]()
    post = rig.engine._on_event

    def note(event: Event | Lost | Paused) -> None:
        pids.add(rig.engine.pid)
        codes.extend([event.exitcode] if isinstance(event, Lost) else [])
        post(event)

    rig.engine._on_event = note
    bad, good = await rig.imagine("STICKY"), await rig.imagine(user=2)
    row = await rig.ended(bad)
    assert (row.state, row.charged) == (JobState.FAILED, 0)
    assert (await rig.ended(good)).state is JobState.DELIVERED
    assert codes == [EXIT_DEVICE_LOST, EXIT_DEVICE_LOST]
    assert len(pids - {None}) == 3
    await rig.assert_books()


async def test_out_of_memory_costs_one_job_and_no_process(rig_of: MakeRig) -> None:
    """The sentence names the size; the same process draws for the others, also for those who were aboard."""
    rig = await rig_of(fake=FakeSettings(step_s=0.005, slots=4))
    pid = rig.engine.pid
    jobs = [await rig.imagine("OUTOFMEMORY" if user == 1 else "fine", user=user) for user in (2, 1, 3)]
    rows = await rig.all_ended(jobs)
    assert [row.state for row in rows] == [JobState.DELIVERED, JobState.FAILED, JobState.DELIVERED]
    assert "not enough memory for 64x64" in str(end_of(rows[1]))
    assert (rows[1].charged, rows[1].faults) == (0, 0)
    assert rig.engine.pid == pid
    await rig.assert_books()


# ------------------------------------------------------------------ what can't be killed


@pytest.fixture
def immortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signal ends an engine, as when it hangs inside its driver."""
    monkeypatch.setattr(BaseProcess, "kill", lambda _: None)


async def test_an_engine_that_cannot_be_killed_is_left_behind(tmp_path: Path, immortal: None) -> None:
    """Nobody waits for it but its successor, which names it and starts to load when it is really gone."""
    settings = EngineSettings(
        model="fake", spool=str(tmp_path / "spool"), data=str(tmp_path), fake=FakeSettings()
    )
    client = EngineClient(
        settings,
        deadlines=Deadlines(first_job_s=2.0),
        patience=SHORT.patience,
        start=partial(process_module.start, gone_s=0.3),
    )
    events: list[Event | Lost | Paused] = []
    client.start(events.append)
    await eventually(lambda: client.status.is_ready)
    old = client.pid
    assert old is not None
    try:
        client.send(Submit(job_id=1, attempt=1, request=picture("FREEZE")))
        await eventually(lambda: any(isinstance(event, Lost) for event in events))
        (lost,) = (event for event in events if isinstance(event, Lost))
        assert (lost.exitcode, lost.hung) == (None, True)
        await eventually(lambda: f"process {old}" in client.status.stage)
        hint = said.hint(held_up_by(client.status))
        assert f"an earlier engine (process {old}) still holds the device" in hint
        assert sum(isinstance(event, Ready) for event in events) == 1
        os.kill(old, signal.SIGKILL)
        await eventually(lambda: client.status.is_ready)
        client.send(Submit(job_id=1, attempt=2, request=picture()))
        await eventually(lambda: any(isinstance(event, Finished) for event in events))
    finally:
        await client.stop()


# ------------------------------------------------------------------ small rules


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


def test_words_say_how_an_engine_ended() -> None:
    """Each way of dying has its own sentence."""
    ways = [
        Lost(generation=1, exitcode=70),
        Lost(generation=1, exitcode=-9),
        Lost(generation=1, exitcode=-9, hung=True),
        Lost(generation=1, exitcode=-9, garbled=True),
        Lost(generation=1, exitcode=1),
        Lost(generation=1, exitcode=None),
    ]
    sentences: list[str] = [client_module._how_it_ended(lost) for lost in ways]
    assert len(set(sentences)) == len(ways)
    assert all(sentence.endswith(".") for sentence in sentences)

"""Engines whose real process ends in its own ways, or can't be ended at all: what the bot makes of it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from bot.core.engines import generation
from bot.core.engines.engine_client import EngineClient, Paused
from bot.core.engines.generation import Lost
from bot.core.engines.restarts import Patience
from bot.core.engines.watch import Deadlines
from bot.core.held_up import held_up_by
from bot.core.news import ModelSetAside
from bot.job import JobState
from engine.contract import EXIT_DEVICE_LOST, EngineSettings, Event, FakeSettings, Finished, Ready, Submit
from tests.kit import said
from tests.kit.rig import SHORT, MakeRig, end_of, eventually
from workshop.rehearsal.props import picture

BREATH = replace(SHORT, patience=Patience(backoff_s=(0.7,)))
"""Restarts leave the dispatcher time to find a guilty job, even on a busy machine; pauses do not end in a test."""


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


async def test_a_model_that_kills_its_process_is_set_aside(rig_of: MakeRig) -> None:
    """After two processes that died of it who wants it is refunded; the third draws for the others."""
    fake = FakeSettings(deadly=("bad",), others=("bad",), step_s=0.01)
    rig = await rig_of(fake=fake, timings=BREATH)
    bad, good = await rig.imagine(user=1, model="bad"), await rig.imagine(user=2)
    row = await rig.ended(bad)
    assert (row.state, row.charged) == (JobState.FAILED, 0)
    assert (await rig.ended(good)).state is JobState.DELIVERED
    await eventually(lambda: rig.delivery.told)
    assert rig.delivery.told == [said.news(ModelSetAside(model="bad"))]
    assert rig.engine.generation == 3
    await rig.assert_books()


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
        start=partial(generation.start, gone_s=0.3),
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

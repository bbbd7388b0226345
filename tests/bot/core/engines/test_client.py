"""One engine seen from the bot: generations come, hang, die and are replaced.

With the fake engine in a real process; tests marked `virtual` have a scripted one in the simulation's loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from bot.core.engines import generation
from bot.core.engines.engine_client import EngineClient, Paused
from bot.core.engines.generation import Lost
from bot.core.engines.restarts import Patience
from bot.core.engines.status import Phase
from bot.core.engines.watch import Deadlines
from engine import process as process_module
from engine.contract import (
    AdapterInfo,
    Broken,
    Cancel,
    Cancelled,
    EngineSettings,
    Event,
    FakeSettings,
    Finished,
    Loading,
    OfferChanged,
    Ready,
    Started,
    Submit,
)
from tests.kit import engine_child
from tests.kit.rig import PATIENCE_S, SHORT
from tests.kit.scripted import Machine
from tests.kit.virtual import eventually
from workshop.rehearsal.props import picture


class Ship:
    """A client and everything it told."""

    def __init__(self, client: EngineClient, machine: Machine | None = None) -> None:
        self.client = client
        self._machine = machine
        self.events: list[Event | Lost | Paused] = []

    @property
    def machine(self) -> Machine:
        assert self._machine is not None
        return self._machine

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def kinds(self) -> list[str]:
        """The events' names, repetitions left out."""
        names = [type(event).__name__ for event in self.events]
        return [name for name, before in zip(names, ["", *names], strict=False) if name != before]

    def submit(self, job_id: int = 1, attempt: int = 1, prompt: str = "a cat", **values: Any) -> None:
        self.client.send(Submit(job_id=job_id, attempt=attempt, request=picture(prompt, **values)))

    async def ready(self, times: int = 1) -> None:
        await eventually(lambda: self.count(Ready) >= times and self.client.status.is_ready)


Launch = Callable[..., Awaitable[Ship]]


@pytest.fixture
async def launch(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Launch]:
    ships: list[Ship] = []
    is_virtual = request.node.get_closest_marker("virtual") is not None

    async def start(
        deadlines: Deadlines | None = None, patience: Patience = SHORT.patience, **fake: Any
    ) -> Ship:
        settings = EngineSettings(model="fake", spool=str(tmp_path), fake=FakeSettings(**fake))
        machine = Machine(FakeSettings(**fake))
        client = EngineClient(
            settings,
            deadlines=deadlines,
            patience=patience,
            start=machine.start if is_virtual else generation.start,
            monotonic=asyncio.get_running_loop().time if is_virtual else time.monotonic,
        )
        ship = Ship(client, machine)
        ships.append(ship)
        ship.client.start(ship.events.append)
        return ship

    yield start
    for ship in ships:
        await ship.client.stop()


def is_gone(pid: int | None) -> bool:
    assert pid is not None
    return not psutil.pid_exists(pid)


# ------------------------------------------------------------------ a good life


async def test_loading_then_ready(launch: Launch) -> None:
    """An engine tells that it loads, with its models, and then that it is ready; the status follows."""
    ship = await launch(load_s=0.3)
    assert (ship.client.status.phase, ship.client.status.slots) == (Phase.STARTING, 0)
    await eventually(lambda: ship.client.status.phase is Phase.LOADING)
    assert [model.id for model in ship.client.status.models] == ["fake"]
    assert ship.client.status.stage == "loading the fake model"
    await ship.ready()
    assert ship.kinds() == ["Loading", "Ready"]
    fractions = [event.fraction for event in ship.events if isinstance(event, Loading)]
    assert fractions == sorted(fractions, key=lambda fraction: fraction or 0.0)
    assert (ship.client.status.phase, ship.client.status.slots) == (Phase.READY, 4)


async def test_a_job_goes_in_and_comes_out(launch: Launch) -> None:
    """What is submitted is started and finished, under its own id and attempt, with its file in the spool."""
    ship = await launch()
    await ship.ready()
    ship.submit(job_id=5, attempt=3, images=2)
    await eventually(lambda: ship.count(Finished))
    (started,) = (event for event in ship.events if isinstance(event, Started))
    (finished,) = (event for event in ship.events if isinstance(event, Finished))
    assert (started.job_id, started.attempt) == (finished.job_id, finished.attempt) == (5, 3)
    assert [image.seed for image in finished.images] == [42, 43]
    assert all(Path(str(image.path)).is_file() for image in finished.images)


async def test_cancel_comes_back_with_the_share_done(launch: Launch) -> None:
    """A cancelled request ends with what was drawn of it, and is never finished."""
    ship = await launch(step_s=0.02)
    await ship.ready()
    ship.submit(job_id=5, steps=100)
    await eventually(lambda: ship.count(Started))
    ship.client.send(Cancel(job_id=5, attempt=1))
    await eventually(lambda: ship.count(Cancelled))
    (event,) = (event for event in ship.events if isinstance(event, Cancelled))
    assert 0.0 <= event.done < 1.0
    assert not ship.count(Finished)


async def test_stop_ends_the_child_and_starts_no_other(launch: Launch) -> None:
    """After stop the process is gone, nothing more is told, and a second stop is fine."""
    ship = await launch()
    await ship.ready()
    pid, told = ship.client.pid, len(ship.events)
    await ship.client.stop()
    assert is_gone(pid)
    assert (ship.client.status.phase, ship.client.pid) == (Phase.STOPPED, None)
    ship.client.send(Cancel(job_id=1, attempt=1))
    await ship.client.stop()
    await asyncio.sleep(0.1)
    assert len(ship.events) == told


async def test_stop_in_the_middle_of_loading(launch: Launch) -> None:
    """An engine that is still loading when it is stopped is gone afterwards, whether it listened or not."""
    ship = await launch(load_s=60.0)
    await eventually(lambda: ship.client.status.phase is Phase.LOADING)
    pid = ship.client.pid
    await ship.client.stop(timeout_s=0.1)
    assert is_gone(pid)


async def test_stop_in_the_middle_of_a_storm_of_events(launch: Launch) -> None:
    """Events that are under way when the engine is stopped trouble nobody."""
    ship = await launch()
    await ship.ready()
    for number in range(200):
        ship.submit(job_id=number, steps=2)
    await eventually(lambda: ship.count(Finished) >= 3)
    pid = ship.client.pid
    await ship.client.stop(timeout_s=0.05)
    told = len(ship.events)
    assert is_gone(pid)
    await asyncio.sleep(0.05)
    assert len(ship.events) == told


def test_a_loop_that_ends_without_stop_is_no_error(tmp_path: Path) -> None:
    """A bot that ends without saying goodbye leaves no exception in the thread that reads its engine's events."""

    async def evening() -> EngineClient:
        settings = EngineSettings(model="fake", spool=str(tmp_path), fake=FakeSettings(step_s=0.001))
        ship = Ship(EngineClient(settings))
        ship.client.start(ship.events.append)
        await ship.ready()
        for number in range(50):
            ship.submit(job_id=number, steps=20)
        await eventually(lambda: ship.count(Started))
        return ship.client

    client = asyncio.run(evening())
    current: Any = client._current
    process = current._process
    readers = [thread for thread in threading.enumerate() if thread.name == f"engine-{process.pid}"]
    assert len(readers) <= 1
    try:
        for reader in readers:  # an exception in it fails this test
            reader.join(PATIENCE_S)
            assert not reader.is_alive()
    finally:
        process.close()


# ------------------------------------------------------------------ death


async def test_a_killed_engine_is_lost_once_and_replaced(launch: Launch) -> None:
    """SIGKILL: told once, with how it ended; a new process gets ready; models stay known meanwhile."""
    ship = await launch()
    await ship.ready()
    pid = ship.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: ship.count(Lost))
    assert not ship.client.status.is_ready
    assert ship.client.status.models
    await ship.ready(times=2)
    assert ship.count(Lost) == 1
    assert ship.client.pid != pid
    assert ship.kinds() == ["Loading", "Ready", "Lost", "Loading", "Ready"]
    ship.submit()
    await eventually(lambda: ship.count(Finished))


async def test_lost_says_how_it_ended(launch: Launch) -> None:
    """The exit code of a killed engine is the signal's, every time."""
    ship = await launch()
    for times in range(1, 6):
        await ship.ready(times=times)
        os.kill(ship.client.pid or 0, signal.SIGKILL)
        await eventually(lambda times=times: ship.count(Lost) == times)
    codes = [event.exitcode for event in ship.events if isinstance(event, Lost)]
    assert codes == [-signal.SIGKILL] * 5


@pytest.mark.virtual
async def test_what_came_beside_the_models_is_offered(launch: Launch) -> None:
    """A ready engine tells of a new LoRA: from then on the status offers it, and nothing else changes."""
    ship = await launch()
    await ship.ready()
    before = ship.client.status
    fresh = tuple(replace(info, loras=(AdapterInfo(name="fresh"),)) for info in before.models)
    ship.machine.newest.emit(OfferChanged(models=fresh))
    await eventually(lambda: ship.count(OfferChanged) == 1)
    assert ship.client.status == replace(before, models=fresh)


@pytest.mark.virtual
async def test_restarts_wait_longer_each_time(launch: Launch) -> None:
    """An engine that dies again and again is restarted after the pauses of the list, the last one repeated."""
    ship = await launch(patience=Patience(deaths_max=9))
    now = asyncio.get_running_loop().time
    lost: list[float] = []
    delays: list[float] = []
    for times in range(1, 6):
        await ship.ready(times=times)
        ship.machine.kill()
        await eventually(lambda times=times: ship.count(Lost) == times)
        lost.append(now())
        await eventually(lambda times=times: len(ship.machine.engines) == times + 1)
        delays.append(now() - lost[-1])
    assert delays == pytest.approx([1.0, 2.0, 5.0, 5.0, 5.0], abs=0.05)


@pytest.mark.virtual
async def test_events_of_a_discarded_generation_are_dropped(launch: Launch) -> None:
    """What an engine said before it was replaced is nobody's business afterwards, should it come late."""
    ship = await launch()
    await ship.ready()
    old = ship.machine.newest
    ship.machine.kill()
    await ship.ready(times=2)
    told = len(ship.events)
    for event in (
        Ready(device="", dtype="", models=(), slots=9, fingerprint={}),
        Finished(job_id=1, attempt=1, images=(), seconds=1.0),
        Lost(exitcode=0),
    ):
        old._tell(event)
    assert len(ship.events) == told
    assert (ship.client.status.slots, ship.count(Lost)) == (4, 1)


@pytest.mark.virtual
async def test_what_is_sent_to_a_dead_engine_is_dropped(launch: Launch) -> None:
    """Between two generations a control goes nowhere: the next engine never hears of it."""
    ship = await launch()
    await ship.ready()
    ship.machine.kill()
    await eventually(lambda: ship.count(Lost))
    ship.submit(job_id=1)
    await ship.ready(times=2)
    ship.submit(job_id=2)
    await eventually(lambda: ship.count(Finished))
    assert {event.job_id for event in ship.events if isinstance(event, Started | Finished)} == {2}


@pytest.mark.virtual
async def test_stop_between_two_generations(launch: Launch) -> None:
    """Stopped while a restart is planned, the client starts no process any more."""
    ship = await launch()
    await ship.ready()
    ship.machine.kill()
    await eventually(lambda: ship.client.status.phase is Phase.RESTARTING)
    await ship.client.stop()
    await asyncio.sleep(3600)
    assert len(ship.machine.engines) == 1
    assert ship.client.status.phase is Phase.STOPPED


@pytest.mark.virtual
async def test_broken_is_not_restarted(launch: Launch) -> None:
    """An engine that says a retry can't help is believed: the reason stays, no process follows."""
    ship = await launch(broken="There is no model here.")
    await eventually(lambda: ship.count(Lost))
    await asyncio.sleep(3600)
    assert (ship.count(Broken), ship.count(Lost)) == (1, 1)
    assert ship.client.status.phase is Phase.BROKEN
    assert ship.client.status.reason == "There is no model here."
    assert len(ship.machine.engines) == 1


# ------------------------------------------------------------------ hanging


async def test_a_hung_engine_is_killed_and_replaced(launch: Launch) -> None:
    """An engine with work that tells nothing for longer than its deadline is killed; its successor works."""
    ship = await launch(Deadlines(first_job_s=1.0))
    await ship.ready()
    pid = ship.client.pid
    ship.submit(prompt="HANG")
    await eventually(lambda: ship.count(Lost))
    assert is_gone(pid)
    await ship.ready(times=2)
    ship.submit(job_id=2)
    await eventually(lambda: ship.count(Finished))


async def test_an_engine_that_never_loads_is_killed(launch: Launch) -> None:
    """Loading has its own deadline: an engine that stands still before it is ready is replaced."""
    ship = await launch(Deadlines(loading_s=4.0), load_freezes=True)
    await eventually(lambda: ship.client.status.phase is Phase.LOADING)
    pid = ship.client.pid
    await eventually(lambda: ship.count(Lost))
    assert is_gone(pid)
    assert [event.hung for event in ship.events if isinstance(event, Lost)] == [True]


@pytest.mark.virtual
async def test_an_idle_engine_may_be_silent(launch: Launch) -> None:
    """A ready engine without work is left alone however long it says nothing."""
    ship = await launch()
    await ship.ready()
    await asyncio.sleep(3600)
    assert (len(ship.machine.engines), ship.count(Lost)) == (1, 0)
    ship.submit()
    await eventually(lambda: ship.count(Finished))


@pytest.mark.virtual
async def test_work_after_long_idleness_gets_its_whole_deadline(launch: Launch) -> None:
    """The clock of the deadline starts with the work, not with the last thing the engine said."""
    ship = await launch(Deadlines(first_job_s=2.0), step_s=0.3)
    await ship.ready()
    await asyncio.sleep(2.5)
    ship.submit(steps=4)
    await eventually(lambda: ship.count(Finished))
    assert ship.count(Lost) == 0


# ------------------------------------------------------------------ engines that were taken over


@pytest.mark.parametrize("say", [engine_child.send_code, engine_child.send_too_much])
async def test_what_no_engine_sends(
    launch: Launch, tmp_path: Path, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an engine is ended and counts as dead; nothing that it sends becomes code, and the next one works."""
    honest = process_module._child
    monkeypatch.setattr(process_module, "_child", say)
    with capture_logs() as logs:
        ship = await launch()
        monkeypatch.setattr(process_module, "_child", honest)
        await ship.ready()
    (lost,) = (event for event in ship.events if isinstance(event, Lost))
    assert ship.client.generation == 2
    assert lost.garbled == (say is engine_child.send_code)
    assert bool([entry for entry in logs if entry["event"] == "engine_garbled"]) == lost.garbled
    assert not tmp_path.with_name(f"{tmp_path.name}-mark").exists()

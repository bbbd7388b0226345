"""How a training gives way to pictures: told by a process that only pretends to learn, in the loop's own time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.core.training.child import Lesson
from bot.core.training.guest import Crashed, Guest, Left, Manners, NoRoom, Turn
from engine.contract.training import Event, Failed, Flagged, Needs, Stepped, Taught
from tests.kit.pupil import SAVE_EVERY, STEP_S, Desk
from tests.kit.virtual import eventually

pytestmark = pytest.mark.virtual
LESSON = Lesson(model="starter", told={"name": "snail", "steps": 20}, folder="chat-1")


class Bench:
    """A guest, what others leave to it, and all that it told."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.turn = Turn.GO
        self.told: list[Event | Turn] = []
        self.guest = Guest(self.desk.begin, turn=lambda: self.turn, manners=Manners())

    def teach(self) -> asyncio.Task[object]:
        return asyncio.create_task(self.guest.teach(LESSON, self.told.append))

    async def at(self, step: int) -> None:
        await eventually(lambda: self.desk.begun and self.desk.last.step >= step)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_alone_it_learns_to_its_end(bench: Bench) -> None:
    """Nobody wants a picture: it is never held up, and tells what came of it."""
    end = await bench.teach()
    assert end == Taught(file="/nowhere/snail.safetensors")
    assert bench.desk.last.calls == []
    assert [event.done for event in bench.told if isinstance(event, Stepped)] == list(range(1, 21))


async def test_it_stands_still_at_once_and_goes_on_a_moment_after(bench: Bench) -> None:
    """Whoever asks for a picture finds it suspended in that very moment; it goes on when nobody has waited for a second."""
    task = bench.teach()
    await bench.at(3)
    pupil = bench.desk.last
    bench.turn = Turn.YIELD
    bench.guest.give_way()
    assert pupil.is_suspended
    before = pupil.step
    await asyncio.sleep(10)
    assert pupil.step == before
    bench.turn = Turn.GO
    await asyncio.sleep(0.9)
    assert pupil.is_suspended
    await eventually(lambda: not pupil.is_suspended)
    assert isinstance(await task, Taught)
    assert [event for event in bench.told if isinstance(event, Turn)] == [Turn.YIELD, Turn.GO]


async def test_several_in_a_row_are_one_wait(bench: Bench) -> None:
    """It does not twitch between pictures that follow each other within a second."""
    task = bench.teach()
    await bench.at(3)
    for _ in range(5):
        bench.guest.give_way()
        await asyncio.sleep(0.8)
    assert bench.desk.last.calls == ["suspend"]
    await task


@pytest.mark.parametrize("is_suspended", [False, True])
async def test_it_leaves_with_a_checkpoint(bench: Bench, is_suspended: bool) -> None:
    """Its memory is wanted: it ends after its step, which is kept, also where it stood still; begun again it goes on there."""
    task = bench.teach()
    await bench.at(SAVE_EVERY + 2)
    if is_suspended:
        bench.guest.give_way()
    bench.turn = Turn.LEAVE
    assert await task == Left()
    kept = bench.desk.saved["chat-1"]
    assert kept >= SAVE_EVERY + 2
    bench.turn = Turn.GO
    assert isinstance(await bench.teach(), Taught)
    assert [event.done for event in bench.told if isinstance(event, Stepped)] == list(range(1, 21))


async def test_one_that_does_not_hear_is_killed(bench: Bench) -> None:
    """It hangs: whoever wants its memory waits for seconds, not for ever, and only what came after the checkpoint is lost."""
    bench.desk.hears_stop = False
    task = bench.teach()
    await bench.at(SAVE_EVERY + 2)
    bench.guest.give_way()
    bench.guest.leave()
    assert await task == Left()
    assert bench.desk.last.calls[-2:] == ["stop", "kill"]
    assert bench.desk.saved["chat-1"] == SAVE_EVERY


@pytest.mark.parametrize("seconds", [0, STEP_S, 7 * STEP_S])
async def test_nothing_is_left_when_the_bot_ends(bench: Bench, seconds: float) -> None:
    """Cancelled at any moment, suspended or not, there is no process any more."""
    task = bench.teach()
    await asyncio.sleep(seconds)
    bench.guest.give_way()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert all(pupil.exitcode is not None for pupil in bench.desk.begun)


async def test_how_it_ended_is_told(bench: Bench) -> None:
    """A crash, too little memory with what it takes, a refusal, and pictures that a checker flagged are told apart."""
    bench.desk.crashes_at = [3]
    assert await bench.teach() == Crashed(exitcode=-11)
    bench.desk.needs = Needs(needed=9, free=5, on_card=True)
    assert await bench.teach() == NoRoom(needs=bench.desk.needs)
    bench.desk.needs = replace(bench.desk.needs, free=10)
    for told in (Failed(text="The loss is no number."), Flagged(files=("a.png",))):
        bench.desk.fails = [told]
        assert await bench.teach() == told

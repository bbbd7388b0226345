"""Trainings that were paid for, one after the other beside people's pictures: each ends once, as a LoRA or with what is owed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.config import Settings
from bot.core.doors import Doors
from bot.core.engines.status import EngineStatus, Phase
from bot.core.happenings import Actor
from bot.core.training.files import Places
from bot.core.training.night import hours_until
from bot.core.training.service import NotOffered, TrainingService
from bot.core.training.told import (
    EndCode,
    ForHalt,
    ForMemory,
    ForNight,
    ForPictures,
    InLine,
    Learning,
    Seen,
)
from bot.core.training.turns import LOW_BYTES, Host, Turns
from bot.job import ReasonCode
from bot.store.halts import EVERYWHERE, Halt
from bot.training import Training, TrainingState
from engine.contract import Unload
from engine.contract.training import Failed, Flagged, Needs
from tests.kit.pupil import SAVE_EVERY, Desk
from tests.kit.training_rows import COST, TrainingRows
from tests.kit.virtual import eventually

pytestmark = pytest.mark.virtual
ADMIN = Actor(user_id=9, name="ada")
ON_CARD = Needs(needed=6, free=8, on_card=True)


class Studio:
    """A bot that teaches, without engines and without Discord."""

    def __init__(self, folder: Path, night: str = "") -> None:
        self.settings = Settings.model_validate(
            {"data": {"dir": folder}, "training": {"enabled": True, "night": night}}
        )
        self.places = Places.of(self.settings)
        self.rows, self.desk, self.doors = TrainingRows(), Desk(), Doors()
        self.waiting: list[Any] = []
        self.status = EngineStatus(phase=Phase.READY, loaded=("starter",))
        self.sent: list[object] = []
        self.free, self.hour = LOW_BYTES * 10, 12.0
        self.seen: dict[int, list[Seen]] = {}
        self.ends: list[tuple[int, TrainingState]] = []
        self.begin()

    def begin(self) -> None:
        """The bot starts."""
        turns = Turns(
            fleet=self,  # pyright: ignore[reportArgumentType] - stands in for one
            line=self,
            doors=self.doors,
            host=Host(free_bytes=lambda: self.free, hour=lambda: self.hour),
            hours=self.settings.training.hours,
        )
        self.service = TrainingService(
            settings=self.settings,
            rows=self.rows,
            turns=turns,
            told=self,
            clock=self,
            begin=self.desk.begin,
        )
        self.chore: asyncio.Task[None] = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self.service.take_up()
        await self.service.run()

    async def end(self) -> None:
        self.chore.cancel()
        await asyncio.gather(self.chore, return_exceptions=True)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    # -------------------------------------------------------------- as line and fleet

    is_idle = True

    def line(self) -> list[Any]:
        return self.waiting

    def running(self) -> list[Any]:
        return []

    def send(self, control: object) -> None:
        self.sent.append(control)

    def ask(self, model: str = "starter") -> None:
        """Somebody waits for a picture."""
        self.waiting.append(SimpleNamespace(guild_id=5, request=SimpleNamespace(model=model)))

    # -------------------------------------------------------------- as TrainingTold

    def show(self, training_id: int, seen: Seen) -> None:
        self.seen.setdefault(training_id, []).append(seen)

    async def ended(self, training_id: int) -> None:
        self.ends.append((training_id, self.rows.all[training_id].state))

    # -------------------------------------------------------------- what is looked at

    def paid(self, name: str, **more: Any) -> Training:
        training = self.rows.paid(name, **more)
        folder = self.places.pictures_of(training.id)
        folder.mkdir(parents=True)
        self.service.wake()
        return training

    def last(self, training: Training) -> Seen:
        return self.seen[training.id][-1]

    def row(self, training: Training) -> Training:
        return self.rows.all[training.id]

    async def until(self, training: Training, state: TrainingState) -> Training:
        await eventually(lambda: (training.id, state) in self.ends)
        return self.row(training)

    async def at(self, step: int) -> None:
        await eventually(lambda: self.desk.begun and self.desk.last.step >= step)


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    studio = Studio(tmp_path)
    yield studio
    await studio.end()


async def test_one_after_the_other(studio: Studio) -> None:
    """The first is taught, the second reads how many come before it, then is taught too; both are told once that they are done."""
    first, second = studio.paid("snail"), studio.paid("owl")
    await studio.at(3)
    assert (await studio.service.seen(second)).waits == InLine(ahead=1)
    doing = (await studio.service.seen(first)).doing
    assert isinstance(doing, Learning)
    assert doing.steps == 20
    await studio.until(second, TrainingState.DONE)
    assert studio.ends == [(1, TrainingState.DONE), (2, TrainingState.DONE)]
    assert studio.row(first).done == 20
    assert studio.last(first).samples == 1
    assert len(studio.desk.begun) == 2
    assert studio.service.expected_s("starter", 100) == pytest.approx(25.0)


async def test_captions_lie_beside_their_pictures(studio: Studio) -> None:
    """As the store has them when it begins: captions and pictures that are in no row any more are gone."""
    training = studio.rows.paid("snail")
    folder = studio.places.pictures_of(training.id)
    folder.mkdir(parents=True)
    (folder / f"{'2' * 64}.txt").write_text("old")
    (folder / f"{'3' * 64}.png").write_bytes(b"taken out")
    (folder / f"{'1' * 64}.png").write_bytes(b"a snail")
    one, two = studio.rows.sets[training.id]
    studio.rows.sets[training.id] = [replace(one, caption="eine Schnecke, größer"), two]
    studio.service.wake()
    await studio.until(training, TrainingState.DONE)
    assert [file.name for file in folder.glob("*.png")] == [f"{'1' * 64}.png"]
    (file,) = folder.glob("*.txt")
    assert (file.stem, file.read_text("utf-8")) == (one.digest, "eine Schnecke, größer")


async def test_pictures_come_first(studio: Studio) -> None:
    """It does not begin while somebody waits, stands still while somebody does, and each time says so."""
    studio.ask()
    training = studio.paid("snail")
    await eventually(lambda: training.id in studio.seen)
    await asyncio.sleep(10)
    assert studio.desk.begun == []
    assert studio.last(training).waits == ForPictures()
    studio.waiting.clear()
    await studio.at(3)
    studio.ask()
    await eventually(lambda: studio.desk.last.is_suspended)
    assert studio.last(training).waits == ForPictures()
    studio.waiting.clear()
    await studio.until(training, TrainingState.DONE)
    assert studio.desk.last.calls == ["suspend", "resume"]


async def test_another_model_gets_the_cards_memory(studio: Studio) -> None:
    """Somebody wants a model that has to be read: the guest leaves the card with a checkpoint, and goes on from there later."""
    studio.desk.needs = ON_CARD
    training = studio.paid("snail")
    await studio.at(3)
    studio.ask("starter")
    await eventually(lambda: studio.desk.last.is_suspended)
    studio.ask("another")
    await eventually(lambda: studio.desk.last.exitcode is not None)
    kept = studio.desk.saved["chat-1"]
    assert kept >= 3
    assert studio.row(training).state is TrainingState.RUNNING
    studio.waiting.clear()
    await studio.until(training, TrainingState.DONE)
    assert len(studio.desk.begun) == 2


async def test_without_room_it_says_what_it_needs(studio: Studio) -> None:
    """Where memory holds not both, models that lie idle leave the card, and it is tried again, until there is room."""
    studio.desk.needs = replace(ON_CARD, free=2)
    training = studio.paid("snail")
    await eventually(lambda: len(studio.desk.begun) == 2)
    assert ForMemory(needed=6, free=2) in [seen.waits for seen in studio.seen[training.id]]
    assert studio.sent[0] == Unload()
    studio.desk.needs = ON_CARD
    await studio.until(training, TrainingState.DONE)


async def test_short_memory_ends_it_for_a_while(studio: Studio) -> None:
    """The machine itself runs short: it does not go on holding what pictures may need."""
    training = studio.paid("snail")
    await studio.at(3)
    studio.free = LOW_BYTES - 1
    await eventually(lambda: studio.desk.last.exitcode is not None)
    assert studio.last(training).waits == ForMemory(needed=0, free=LOW_BYTES - 1)
    studio.free = LOW_BYTES
    await studio.until(training, TrainingState.DONE)


async def test_a_crash_is_made_good(studio: Studio) -> None:
    """A process that dies is begun anew from what was kept, and only where it can't get on any more is the rest refunded."""
    studio.desk.crashes_at = [SAVE_EVERY + 1, SAVE_EVERY + 2]
    first = studio.paid("snail")
    await studio.until(first, TrainingState.DONE)
    studio.desk.crashes_at = [SAVE_EVERY + 1] * 4
    second = studio.paid("owl")
    failed = await studio.until(second, TrainingState.FAILED)
    assert failed.reason is not None
    assert failed.reason.code == EndCode.CRASHED
    assert (failed.charged, failed.done) == (0, SAVE_EVERY)
    third = studio.paid("fox")
    studio.desk.crashes_at = []
    await studio.until(third, TrainingState.DONE)


async def test_refusals_are_told_and_refunded(studio: Studio) -> None:
    """What can't be taught ends with the sentence of whoever found that out, and pictures that were flagged by their numbers."""
    studio.desk.fails = [Failed(text="The loss is no number any more.")]
    failed = await studio.until(studio.paid("snail"), TrainingState.FAILED)
    assert failed.reason is not None
    assert (failed.charged, failed.reason.values) == (0, {"text": "The loss is no number any more."})
    studio.desk.fails = [Flagged(files=(f"{'2' * 64}.png",))]
    failed = await studio.until(studio.paid("owl"), TrainingState.FAILED)
    assert failed.reason is not None
    assert (failed.reason.code, failed.reason.values) == (EndCode.FLAGGED, {"pictures": "2"})


@pytest.mark.parametrize("is_suspended", [False, True])
async def test_cancelled_while_it_is_taught(studio: Studio, is_suspended: bool) -> None:
    """What was not done is given back, nothing of it goes on, and the next one begins."""
    training, other = studio.paid("snail"), studio.paid("owl")
    await studio.at(SAVE_EVERY + 1)
    unfinished = studio.places.sheet_of(training.id)
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"")
    if is_suspended:
        studio.ask()
        await eventually(lambda: studio.desk.last.is_suspended)
        studio.waiting.clear()
    assert await studio.service.cancel(training.id, by=ADMIN)
    assert not await studio.service.cancel(training.id, by=ADMIN)
    row = await studio.until(training, TrainingState.CANCELLED)
    assert (row.charged, str(row.reason)) == (COST * SAVE_EVERY // 20, "cancelled: ada")
    await studio.until(other, TrainingState.DONE)
    assert not unfinished.exists()
    assert studio.ends == [(1, TrainingState.CANCELLED), (2, TrainingState.DONE)]


async def test_blocked_people_and_servers_left(studio: Studio) -> None:
    """All that somebody who was blocked has under way ends, and so does what is from a server that the bot left; others go on."""
    mine, theirs = studio.paid("snail"), studio.paid("owl", user_id=2)
    gone, last = studio.paid("fox", guild_id=6), studio.paid("bee")
    await studio.at(3)
    assert await studio.service.withdraw(guild_id=5, user_id=2) == 1
    assert await studio.service.guild_left(6) == 1
    await studio.until(last, TrainingState.DONE)
    states = [studio.row(each).state for each in (mine, theirs, gone)]
    assert states == [TrainingState.DONE, TrainingState.CANCELLED, TrainingState.CANCELLED]
    reason = studio.row(theirs).reason
    assert reason is not None
    assert reason.code == ReasonCode.WITHDRAWN


async def test_the_bot_ends_and_comes_back(studio: Studio) -> None:
    """No process is left behind, and the training goes on from what was kept, under the same payment."""
    training = studio.paid("snail")
    await studio.at(SAVE_EVERY + 2)
    await studio.end()
    assert studio.desk.last.exitcode is not None
    assert studio.ends == []
    studio.begin()
    row = await studio.until(training, TrainingState.DONE)
    assert (row.charged, len(studio.desk.begun)) == (COST, 2)
    assert studio.desk.last.lesson == studio.desk.begun[0].lesson


async def test_an_end_that_nobody_saw_is_told_after_the_restart(studio: Studio) -> None:
    """The bot was killed between the row and the message: the next one makes good for it, once."""
    training = studio.paid("snail")
    await studio.until(training, TrainingState.DONE)
    await eventually(lambda: studio.rows.told)
    await studio.end()
    studio.rows.told.clear()
    for _ in range(2):
        studio.begin()
        await eventually(lambda: studio.rows.told)
        await studio.end()
    assert studio.ends == [(1, TrainingState.DONE)] * 2


async def test_halted_it_does_not_go_on(studio: Studio) -> None:
    """A pause by an admin holds for trainings too, which give their memory back meanwhile."""
    training = studio.paid("snail")
    await studio.at(3)
    halt = Halt(guild_id=EVERYWHERE, reason="new card", by_user_id=9, at=0.0)
    studio.doors.halts[EVERYWHERE] = halt
    await eventually(lambda: studio.desk.last.exitcode is not None)
    assert studio.last(training).waits == ForHalt()
    studio.doors.halts.clear()
    await studio.until(training, TrainingState.DONE)


async def test_only_at_night(tmp_path: Path) -> None:
    """Where the owner gave hours it begins with the first of them and leaves with the last."""
    studio = Studio(tmp_path, night="22-7")
    try:
        training = studio.paid("snail")
        await eventually(lambda: training.id in studio.seen)
        await asyncio.sleep(60)
        assert studio.desk.begun == []
        assert studio.last(training).waits == ForNight(hour=22)
        studio.hour = 23.5
        await studio.at(3)
        studio.hour = 7.0
        await eventually(lambda: studio.desk.last.exitcode is not None)
        studio.hour = 1.0
        await studio.until(training, TrainingState.DONE)
    finally:
        await studio.end()


def test_hours_of_a_night() -> None:
    """They go on past midnight, begin with the first full hour and end with the last."""
    assert hours_until(23.9, (22, 7)) == 0
    assert hours_until(6.9, (22, 7)) == 0
    assert hours_until(7.0, (22, 7)) == 15
    assert hours_until(12.5, (13, 14)) == 0.5
    assert hours_until(14.0, (13, 14)) == 23


@pytest.mark.parametrize(
    ("told", "why"),
    [({}, NotOffered.OFF), ({"training": {"enabled": True}, "engine": {"fleet": "ray"}}, NotOffered.RAY)],
)
async def test_where_it_is_not_offered(tmp_path: Path, told: dict[str, Any], why: NotOffered) -> None:
    """Off until somebody switches it on, and never with a cluster, whose processes nobody can suspend from here. What waits from before
    still ends where its maker is blocked."""
    studio = Studio(tmp_path)
    await studio.end()
    studio.settings = Settings.model_validate({"data": {"dir": tmp_path}, **told})
    studio.begin()
    training = studio.paid("snail")
    assert studio.service.offered is why
    assert await studio.service.withdraw(guild_id=5, user_id=1) == 1
    await studio.until(training, TrainingState.CANCELLED)
    assert studio.desk.begun == []
    await studio.end()


async def test_deleted_it_leaves_nothing(studio: Studio) -> None:
    """Pictures, checkpoint and the LoRA itself are gone; of one that is under way nothing is."""
    training = studio.paid("snail")
    await studio.at(1)
    assert not await studio.service.delete(training.id)
    done = await studio.until(training, TrainingState.DONE)
    loras = studio.places.models / "loras"
    loras.mkdir(parents=True)
    for name in ("snail.safetensors", "snail.json", "snail.png", "snails.safetensors"):
        (loras / name).write_bytes(b"")
    assert await studio.service.delete(done.id)
    assert [file.name for file in loras.iterdir()] == ["snails.safetensors"]
    assert not studio.places.pictures_of(training.id).exists()
    assert studio.rows.all == {}


def test_what_it_costs(tmp_path: Path) -> None:
    """Whole credits, rounded up."""
    section = Settings.model_validate({"data": {"dir": tmp_path}}).training
    assert [section.price(steps) for steps in (1, 100, 101, 500)] == [1, 10, 11, 50]


@pytest.mark.parametrize("moment", ["run", "pictures"])
async def test_cancelled_just_before_its_process_begins(
    studio: Studio, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is asked for it: nothing is begun for it, and its end is told."""
    asked = getattr(studio.rows, moment)

    async def cancelled_first(training_id: int, **more: Any) -> Any:
        if not studio.ends:
            await studio.service.cancel(training_id, by=ADMIN)
        return await asked(training_id, **more)

    monkeypatch.setattr(studio.rows, moment, cancelled_first)
    training = studio.paid("snail")
    await studio.until(training, TrainingState.CANCELLED)
    assert not studio.desk.begun


async def test_nobody_comes_before_the_first(studio: Studio) -> None:
    """One that waits for its turn is counted once by those behind it."""
    studio.ask()
    first, second = studio.paid("snail"), studio.paid("owl")
    assert (await studio.service.seen(first)).waits is None
    assert (await studio.service.seen(second)).waits == InLine(ahead=1)
    await eventually(lambda: first.id in studio.seen)
    assert (await studio.service.seen(second)).waits == InLine(ahead=1)

"""/train from its start to its end over the wire: taught beside the pictures, shown, shared and deleted. The process only pretends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bot.app
from bot.core.training.files import Places
from bot.core.training.guest import Manners
from bot.core.training.service import Pauses, TrainingService
from bot.job import JobState
from bot.training import Training, TrainingState
from engine.contract import FakeSettings, ModelInfo
from tests.bot.chat.conftest import StartWorld
from tests.kit.pupil import Desk
from tests.kit.world import Answer, Message, Person, World, labels

QUICK = Pauses(look_s=0.01, crash_s=0.01, manners=Manners(grace_s=0.05))
ENDLESS = 1000
StartSchool = Callable[..., Awaitable["School"]]


def _png(shade: int, *, side: int = 64) -> bytes:
    out = BytesIO()
    Image.new("RGB", (side, side), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


def _write(sheet: Path) -> None:
    sheet.parent.mkdir(parents=True, exist_ok=True)
    sheet.write_bytes(_png(90))


class School:
    """A world in which people teach."""

    def __init__(self, world: World, desk: Desk) -> None:
        self.world, self.desk = world, desk

    async def collected(self, name: str, *, who: Person | None = None, steps: int = ENDLESS) -> Answer:
        """The question that stands before its start."""
        world, who = self.world, who or self.world.alice
        await who.slash(world.channel, "train new", name=name, trigger=f"{name} toy", steps=steps)
        pictures = {"image": ("a.png", _png(10)), "image2": ("b.png", _png(20))}
        added = await who.slash(world.channel, "train add", name=name, **pictures)
        await world.until(lambda: "which has 2 now" in added.text)
        return await who.slash(world.channel, "train start", name=name)

    async def started(self, name: str, *, who: Person | None = None, steps: int = ENDLESS) -> Training:
        """Paid for, and its message stands."""
        question = await self.collected(name, who=who, steps=steps)
        await (who or self.world.alice).click(question.message, "Start training")
        return await self.row(name, lambda row: bool(row.message_id))

    async def row(self, name: str, is_so: Callable[[Training], bool]) -> Training:
        """Once it is so."""
        rows = self.world.store.trainings
        guild_id = self.world.guild.id
        found = await self.world.finds(
            lambda: rows.by_name(guild_id, name), lambda row: row is not None and is_so(row)
        )
        assert found is not None
        return found

    async def reaches(self, name: str, state: TrainingState) -> Training:
        return await self.row(name, lambda row: row.state is state)

    async def says(self, training: Training, *words: str) -> Message:
        assert training.message_id is not None
        message = self.world.discord.message(self.world.channel, training.message_id)
        await self.world.until(lambda: all(word in message.text for word in words))
        return message

    async def used(self) -> int:
        """Credits of alice."""
        sql = "SELECT COALESCE(SUM(charged), 0) AS used FROM training WHERE user_id = :user"
        (row,) = await self.world.store.database.read(sql, {"user": self.world.alice.id})
        return int(row["used"])


@pytest.fixture
def start_school(start_world: StartWorld, monkeypatch: pytest.MonkeyPatch) -> StartSchool:
    desk = Desk(step_s=0.02)

    class Teacher(TrainingService):
        """Takes the invented model for one that learns."""

        def __init__(self, **parts: Any) -> None:
            parts |= {"begin": desk.begin, "pauses": QUICK}
            super().__init__(**parts)

        def can_teach(self, model: ModelInfo) -> bool:
            return bool(model.id)

    monkeypatch.setattr(bot.app, "TrainingService", Teacher)

    async def start(*, fake: FakeSettings | None = None) -> School:
        limits = {"trainings": 2, "credits_per_day": 1000, "credits_per_night": 1000}
        return School(await start_world(fake=fake, training={"enabled": True}, limits=limits), desk)

    return start


async def test_taught_beside_pictures_and_drawn_with(start_school: StartSchool) -> None:
    """It stands still while somebody waits, which its message tells, and its end tells how to draw with it."""
    school = await start_school(fake=FakeSettings(step_s=0.05))
    world, desk = school.world, school.desk
    sheet = Places.of(world.settings).sheet_of(1)
    desk.step_s = 0.2
    desk.done = lambda _name: _write(sheet)
    question = await school.collected("snail", steps=20)
    assert "from 2 pictures in 20 steps" in question.text
    assert "It costs 2 credits; you have 1000 credits left." in question.text
    await world.alice.click(question.message, "Start training")
    training = await school.row("snail", lambda row: bool(row.message_id))
    message = await school.says(training, "step ", " of 20", "loss 0.5")
    assert (training.charged, labels(message)) == (2, ["Cancel"])
    await world.imagine()
    await school.says(training, "It waits while somebody wants a picture.")
    assert desk.last.is_suspended
    await world.reaches(1, JobState.DELIVERED)
    done = await school.reaches("snail", TrainingState.DONE)
    assert len(desk.begun) == 1
    await school.says(training, "It is learned", "/imagine prompt:snail toy", "lora:snail")
    assert (done.charged, labels(message)) == (2, [])
    assert [each.filename for each in message.attachments] == ["samples.png"]
    again = await world.alice.click(question.message, "Start training")
    assert "That training was started" in again.text


async def test_cancelled_by_its_button(start_school: StartSchool) -> None:
    """By whom it is, and by admins; what was not learned is given back."""
    school = await start_school()
    training = await school.started("snail")
    message = await school.says(training, "step ")
    kept = await school.world.alice.slash(school.world.channel, "train delete", name="snail")
    assert "under way: cancel it first" in kept.text
    assert "somebody else's" in (await school.world.person("bob").click(message, "Cancel")).text
    assert "**snail** is cancelled." in (await school.world.alice.click(message, "Cancel")).text
    ended = await school.reaches("snail", TrainingState.CANCELLED)
    await school.says(training, f"It was cancelled by <@{school.world.alice.id}>", "are given back")
    assert labels(message) == []
    assert (training.charged, ended.charged) == (100, -(-100 * ended.done // ENDLESS))
    assert school.desk.last.exitcode is not None
    training = await school.started("snail")
    message = await school.says(training, "step ")
    assert "is cancelled" in (await school.world.admin.click(message, "Cancel")).text
    await school.says(training, f"It was cancelled by <@{school.world.admin.id}>")


async def test_listed_shared_and_deleted(start_school: StartSchool) -> None:
    """Its maker may let fewer use it, admins more; it goes with its pictures and what came of it."""
    school = await start_school()
    world, alice = school.world, school.world.alice
    loras = world.settings.models_dir / "loras"
    loras.mkdir(parents=True)
    school.desk.done = lambda name: (loras / f"{name}.safetensors").touch()
    bob, friends = world.person("bob"), await world.role("friends")

    async def share(asker: Person, **options: Any) -> str:
        return (await asker.slash(world.channel, "train share", name="snail", **options)).text

    training = await school.started("snail", steps=10)
    await school.says(training, "It is learned")
    listed = await alice.slash(world.channel, "train list")
    assert "**snail**" in listed.text
    assert "is learned" in listed.text
    assert "2 pictures" in listed.text
    assert "for its maker" in listed.text
    assert "There are no trainings yet" in (await bob.slash(world.channel, "train list")).text
    assert "You may only let fewer people use it" in await share(alice, who="all")
    assert "Say which role" in await share(world.admin, who="role")
    assert "for everybody here" in await share(world.admin, who="all")
    assert "shared so already" in await share(world.admin, who="all")
    assert f"for <@&{friends.id}>" in await share(alice, who="role", role=friends)
    assert "somebody else's" in await share(bob, who="maker")
    assert "for its maker" in await share(alice, who="maker")
    deleted = await alice.slash(world.channel, "train delete", name="snail")
    assert "**snail** is deleted, with its pictures and what came of it." in deleted.text
    assert not [*loras.iterdir()]
    assert not (world.settings.trainings / str(training.id)).exists()
    assert "There are no trainings yet" in (await alice.slash(world.channel, "train list")).text
    assert await school.used() == 1


async def test_a_block_ends_it(start_school: StartSchool) -> None:
    """What is not learned is given back, and nothing can be started."""
    school = await start_school()
    training = await school.started("snail")
    await school.says(training, "step ")
    question = await school.collected("owl")
    told = await school.world.admin.slash(
        school.world.channel, "mod block", member=school.world.alice, duration=0
    )
    assert "can make no pictures here" in told.text
    ended = await school.reaches("snail", TrainingState.CANCELLED)
    assert ended.charged < training.charged
    message = await school.says(training, "It was cancelled by a moderator. ", "are given back")
    assert labels(message) == []
    refused = await school.world.alice.click(question.message, "Start training")
    assert "You are blocked" in refused.text
    assert (await school.reaches("owl", TrainingState.COLLECTING)).charged == 0


async def test_leaving_the_server_ends_it(start_school: StartSchool) -> None:
    """The one that learned and the one that waited; no process is left, and nobody is told again."""
    school = await start_school()
    first = await school.started("snail")
    await school.says(first, "step ")
    await school.started("owl")
    await school.world.discord.remove_bot(school.world.guild)
    for name in ("snail", "owl"):
        await school.reaches(name, TrainingState.CANCELLED)
    assert await asyncio.wait_for(school.desk.last.ended(), 20)
    await school.world.finds(school.world.store.trainings.unshown, lambda found: not found)
    assert len(school.desk.begun) == 1


async def test_a_restart_loses_nothing(start_school: StartSchool) -> None:
    """The one that learned goes on from its checkpoint, the one that waited follows, each in its own message."""
    school = await start_school()
    first, second = await school.started("snail"), await school.started("owl", steps=10)
    await school.says(first, "step ")
    await school.says(second, "1 training comes first.")
    await school.row("snail", lambda row: row.done > 0)
    pupil = school.desk.last
    await school.world.restart()
    assert pupil.exitcode is not None
    message = await school.says(first, "step ")
    await school.world.until(lambda: len(school.desk.begun) == 2)
    assert school.desk.last.step > 0
    await school.world.alice.click(message, "Cancel")
    await school.says(first, f"It was cancelled by <@{school.world.alice.id}>")
    await school.says(second, "It is learned")
    assert [each.lesson.told["name"] for each in school.desk.begun] == ["snail", "snail", "owl"]

"""/train over the wire: a set is collected, captioned and started; what is refused is one sentence and stores nothing."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any, cast

from PIL import Image

from bot.chat.delivery.training_messages import TrainingMessages
from bot.core.training.files import Places
from bot.core.training.service import TrainingService
from bot.training import TrainingState
from engine.contract import ModelInfo
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World


def _png(shade: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 64), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


class _Teacher(TrainingService):
    """Takes the invented model for one that learns."""

    def can_teach(self, model: ModelInfo) -> bool:
        return bool(model.id)


async def _teaching(start_world: StartWorld) -> World:
    """Nothing is taught there: what was started waits."""
    world = await start_world(training={"enabled": True}, limits={"trainings": 1})
    services = world.client.services
    service = _Teacher(
        settings=services.settings,
        rows=services.store.trainings,
        turns=cast(Any, None),
        told=TrainingMessages(
            world.client,
            services.store.trainings,
            sheet_of=Places.of(services.settings).sheet_of,
            interval_s=0.0,
        ),
        clock=services.clock,
        begin=cast(Any, None),
    )
    world.client.services = replace(services, training=service)
    return world


async def test_a_set_is_collected_and_started(start_world: StartWorld) -> None:
    """Pictures come by a message's menu, each once; what it costs is said before it is paid, and given back when it is cancelled."""
    world = await _teaching(start_world)
    alice, rows = world.alice, world.store.trainings
    told = await alice.slash(world.channel, "train new", name="snail", trigger="snail toy")
    assert "The set **snail** is there" in told.text
    assert "no pictures yet" in (await alice.slash(world.channel, "train start", name="snail")).text
    message = alice.posts(world.channel, ("a.png", _png(10)), ("b.png", _png(20)), ("c.png", _png(10)))
    added = await alice.menu(message, "Add to training")
    await world.until(lambda: "2 pictures are added to **snail**, which has 2 now." in added.text)
    assert "it is in the set already" in added.text
    form = await alice.slash(world.channel, "train captions", name="snail")
    told = await alice.submit(form, captions="1: a red snail\n2:")
    assert "1 caption is kept." in told.text
    asked = await alice.slash(world.channel, "train start", name="snail")
    assert asked.message is not None
    await alice.click(asked.message, "Start training")
    training = await world.finds(lambda: rows.get(1), lambda row: row is not None and row.message_id)
    assert training is not None
    assert (training.state, training.charged) == (TrainingState.WAITING, 50)
    assert "is cancelled" in (await alice.slash(world.channel, "train cancel", name="snail")).text
    cancelled = await rows.get(1)
    assert cancelled is not None
    assert (cancelled.state, cancelled.charged) == (TrainingState.CANCELLED, 0)


async def test_pictures_of_a_set_are_seen_and_taken_out(start_world: StartWorld) -> None:
    """Each with its number, its caption and itself; by that number it leaves again, and its file with it."""
    world = await _teaching(start_world)
    alice = world.alice
    await alice.slash(world.channel, "train new", name="snail", trigger="snail toy")
    for first in (1, 7):
        files = ((f"{number}.png", _png(10 * number)) for number in range(first, first + 6))
        added = await alice.menu(alice.posts(world.channel, *files), "Add to training")
        await world.until(lambda added=added: "6 pictures are added" in added.text)
    form = await alice.slash(world.channel, "train captions", name="snail")
    await alice.submit(form, captions="2: a *red* snail")
    seen = await alice.slash(world.channel, "train pictures", name="snail")
    await world.until(lambda: "**2** a \\*red\\* snail" in seen.text)
    assert seen.message is not None
    assert [file.filename for file in seen.message.attachments] == [
        f"{number}.png" for number in range(1, 11)
    ]
    assert "**1** no caption yet" in seen.text
    assert "`/train pictures name:snail first:11`" in seen.text
    choices = await alice.autocomplete(world.channel, "train remove", "number", "red", name="snail")
    assert [(each["name"], each["value"]) for each in choices] == [("2: a *red* snail", 2)]
    folder = world.client.services.settings.trainings / "1"
    assert len([*folder.iterdir()]) == 12
    told = await alice.slash(world.channel, "train remove", name="snail", number=2)
    assert "Picture 2 is taken out of **snail**, which has 11 pictures now." in told.text
    assert len([*folder.iterdir()]) == 11
    again = await alice.slash(world.channel, "train remove", name="snail", number=2)
    assert "no picture of that number" in (again.ephemeral_text or "")
    assert "Trainings: 1 of 1, each up to" in (await alice.slash(world.channel, "quota")).text


async def test_long_captions_fit_into_the_answer(start_world: StartWorld) -> None:
    """Ten of three hundred signs that all have to be defused; a set that was not named yet has no numbers to suggest."""
    world = await _teaching(start_world)
    alice = world.alice
    await alice.slash(world.channel, "train new", name="snail", trigger="snail toy")
    files = ((f"{number}.png", _png(10 * number)) for number in range(1, 11))
    added = await alice.menu(alice.posts(world.channel, *files), "Add to training")
    await world.until(lambda: "10 pictures are added" in added.text)
    await world.store.trainings.set_captions(1, dict.fromkeys(range(1, 11), "*" * 300))
    seen = await alice.slash(world.channel, "train pictures", name="snail")
    await world.until(lambda: "**10** " in seen.text)
    assert await alice.autocomplete(world.channel, "train remove", "number", "") == []


async def test_what_is_refused_is_one_sentence(start_world: StartWorld) -> None:
    """Names, triggers, steps, names that are taken, what is somebody else's; only an everyday word is a warning."""
    world = await _teaching(start_world)
    for values, sentence in [
        ({"name": "../x", "trigger": "snail toy"}, "A name is made of small letters"),
        ({"name": "snail", "trigger": "a, (b:2)"}, "has to be words"),
        ({"name": "snail", "trigger": "toy", "steps": 5000}, "at most"),
    ]:
        told = await world.alice.slash(world.channel, "train new", **values)
        assert sentence in (told.ephemeral_text or "")
    assert (
        "everyday word"
        in (await world.alice.slash(world.channel, "train new", name="snail", trigger="toy")).text
    )
    assert (
        "another name"
        in (await world.admin.slash(world.channel, "train new", name="snail", trigger="snail toy")).text
    )
    assert (
        "somebody else" in (await world.person("bob").slash(world.channel, "train start", name="snail")).text
    )
    assert len(await world.store.trainings.listed(world.guild.id, None)) == 1


async def test_nobody_trains_where_it_is_off(world: World) -> None:
    """Whoever runs the bot switches it on."""
    told = await world.alice.slash(world.channel, "train new", name="snail", trigger="snail toy")
    assert "not switched on" in (told.ephemeral_text or "")

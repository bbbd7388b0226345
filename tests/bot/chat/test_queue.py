"""/queue: one's own first, and a menu that cancels; and a waiting message that keeps its time left true."""

from __future__ import annotations

from bot.chat.ids import Verb, menu
from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World
from workshop.rehearsal.loopback.driver import Answer, Permission

MENU = "easel:1:cancel_one:0"
SLOW = FakeSettings(step_s=0.4, slots=1)


async def test_ones_own_come_first(start_world: StartWorld) -> None:
    """With prompt, place and step, for their person alone; then the line; in the menu what who asks may cancel."""
    world = await start_world(fake=SLOW)
    await world.imagine(prompt="a fox")
    await world.until(lambda: world.dispatcher.running())
    await world.imagine(world.admin, prompt="a boat")
    await world.imagine(prompt="a house")
    await world.until(lambda: "step" in world.message(1).text)
    mine = await world.alice.slash(world.channel, "queue")
    moderators = await world.admin.slash(world.channel, "queue")
    strangers = await world.person("eve").slash(world.channel, "queue")

    own, line = mine.text.split("**The line**")
    assert own.index("`a fox` `") < own.index("step") < own.index("`a house` ⏳ 2nd in line")
    assert f"🎨 <@{world.alice.id}>" in line
    assert f"1. <@{world.admin.id}>" in line
    assert "a boat" not in mine.text
    assert "**Yours**" not in strangers.text
    assert _offered(world, mine) == ["1", "3"]
    assert _offered(world, moderators) == ["2", "1", "3"]
    assert MENU not in str(strangers.message and strangers.message.components)


async def test_what_is_chosen_is_cancelled(start_world: StartWorld) -> None:
    """Running or waiting, after a restart too; the list then shows the rest, and what is over is one sentence."""
    world = await start_world(fake=FakeSettings(load_s=30))
    for prompt in ("a fox", "a boat", "a house"):
        await world.imagine(prompt=prompt)
    shown = await world.alice.slash(world.channel, "queue")
    assert shown.message is not None
    await world.alice.select(shown.message, MENU, "2")
    assert (await world.reaches(2, JobState.CANCELLED)).charged == 0
    assert "a boat" not in shown.text
    assert _offered(world, shown) == ["1", "3"]
    assert f"Cancelled by <@{world.alice.id}>" in world.message(2).text
    before = await world.alice.slash(world.channel, "queue")
    await world.restart()
    assert before.message is not None
    await world.alice.select(before.message, MENU, "3")
    await world.reaches(3, JobState.CANCELLED)
    message = await world.post(
        menu(Verb.CANCEL_ONE, 0, None, {"3": "a house", "99": "?", "x": "?"}, "Cancel")
    )
    over = await world.alice.select(message, MENU, "3")
    assert (over.ephemeral, over.text) == (True, "It is over already.")
    for value in ("99", "x"):
        assert "does not know" in (await world.alice.select(message, MENU, value)).text


async def test_who_moderates_where_it_stands_cancels(start_world: StartWorld) -> None:
    """A moderator of this channel is none in another one: there neither is the prompt shown nor the job cancelled."""
    world = await start_world(fake=FakeSettings(load_s=30))
    eve = world.person("eve")
    moderating = Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES | Permission.MANAGE_MESSAGES
    world.channel.member_permissions[eve.id] = int(moderating | Permission.USE_APPLICATION_COMMANDS)
    elsewhere = await world.place("elsewhere")
    await world.imagine(prompt="a fox")
    await world.in_line(await world.alice.slash(elsewhere, "imagine", prompt="a secret"))
    shown = await eve.slash(world.channel, "queue")
    message = await world.post(menu(Verb.CANCEL_ONE, 0, None, {"1": "a fox", "2": "?"}, "Cancel"))
    refused = await eve.select(message, MENU, "2")
    await eve.select(message, MENU, "1")

    assert _offered(world, shown) == ["1"]
    assert "Only the person who asked" in refused.text
    await world.reaches(1, JobState.CANCELLED)
    assert (await world.job(2)).state is JobState.QUEUED


def _offered(world: World, answer: Answer) -> list[str]:
    assert answer.message is not None
    return [option["value"] for option in world.options(answer.message, MENU)]

"""The greeting of a server, /help with its examples, and the hint behind a person's first picture."""

from __future__ import annotations

from typing import Any

import pytest

from bot.chat.ids import Verb, button
from bot.chat.look.help_view import Here, help_
from bot.job import JobState
from bot.texts import newcomers as texts
from bot.texts.examples import EXAMPLES, numbers_for
from bot.texts.language import ENGLISH
from engine.contract import STARTER, AdapterInfo, FakeSettings, ModelInfo
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World
from workshop.rehearsal.loopback import checks
from workshop.rehearsal.loopback.driver import Guild, Permission
from workshop.rehearsal.loopback.world import COMPONENTS_V2, walk

MAY_POST = Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES | Permission.ATTACH_FILES
MAY_TALK = Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES
DAY_S = 24 * 3600.0


# ------------------------------------------------------------------ the greeting


async def test_a_server_that_lets_the_bot_in_is_greeted(world: World) -> None:
    """Where newcomers are greeted, else in the first channel that takes pictures, else nowhere; mentioning nobody."""
    with_hall = _server(world, MAY_POST, MAY_POST, MAY_POST)
    with_hall.system_channel = with_hall.channels[1]
    mute_hall = _server(world, MAY_TALK, Permission.VIEW_CHANNEL, MAY_POST)
    mute_hall.system_channel = mute_hall.channels[0]
    shut = _server(world, MAY_TALK, 0)
    plain = _server(world, MAY_POST)
    invited = [with_hall, mute_hall, shut, plain]
    for guild in invited:
        await world.discord.invite_bot(guild)
    await world.until(lambda: sum(sum(_greetings(world, guild)) for guild in invited) == 3)

    assert [_greetings(world, guild) for guild in invited] == [
        [0, 1, 0],
        [0, 0, 1],
        [0, 0],
        [1],
    ]
    (message,) = world.messages(plain.channels[0])
    assert (message.is_v2, message.accent is not None) == (True, True)
    assert message.allowed_mentions == {"parse": []}
    assert f"`/imagine prompt:{EXAMPLES[numbers_for('fake')[0]].prompt}`" in message.text
    assert all(f"`/{command}`" in message.text for command in ("help", "limits", "channel", "style"))
    assert len(message.text) < 600


async def test_nobody_is_greeted_twice_within_a_day(world: World) -> None:
    """Not after an outage, at a start, or where somebody removes the bot and lets it in again; a day later, yes."""
    guild = _server(world, MAY_POST)
    await _invited(world, guild)
    assert _greetings(world, guild) == [1]
    await world.discord.lose_guild(guild)
    await world.discord.announce(guild)
    await world.discord.remove_bot(guild)
    await _invited(world, guild)
    await world.restart()
    await _invited(world, _server(world, MAY_POST))
    assert _greetings(world, guild) == [1]

    await world.discord.remove_bot(guild)
    world.advance(DAY_S + 1)
    await _invited(world, guild)
    assert _greetings(world, guild) == [2]
    assert world.messages() == []


async def test_a_greeting_that_discord_refuses_is_no_trouble(world: World) -> None:
    """It is lost, and the bot goes on."""
    guild = _server(world, MAY_POST)
    world.discord.fail_next("POST", f"/channels/{guild.channels[0].id}/messages", status=403, code=50013)
    await _invited(world, guild)

    assert _greetings(world, guild) == [0]
    assert (await world.imagined()).attachments


def _server(world: World, *permissions: int) -> Guild:
    """One that the bot has not heard of, with a channel for each of what it may do there."""
    guild = world.discord.add_guild()
    for allowed in permissions:
        world.discord.add_channel(guild, app_permissions=int(allowed))
    return guild


def _greetings(world: World, guild: Guild) -> list[int]:
    """How many stand in each of its channels."""
    return [len(world.messages(channel)) for channel in guild.channels]


async def _invited(world: World, guild: Guild) -> None:
    """The bot is in it, and has done about it what it does: another one that came later is greeted by now."""
    for channel in guild.channels:
        channel.app_permissions = int(MAY_POST)
    later = _server(world, MAY_POST)
    await world.discord.invite_bot(guild)
    await world.discord.invite_bot(later)
    await world.until(lambda: _greetings(world, later) == [1])


# ------------------------------------------------------------------ /help


async def test_help_shows_what_is_here_right_now(start_world: StartWorld) -> None:
    """Models with their own sizes and steps, what the caller may have today, every button; admins read of their commands."""
    world = await start_world(fake=FakeSettings(step_s=0.01, others=("second",), editing=("editor",)))
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=7)
    under_a_set = await world.imagined(1, images=2)
    under_one = await world.imagined(2)
    told = await world.alice.slash(world.channel, "help")

    assert told.ephemeral
    assert "**Fake model** – coloured shapes from the seed; obeys no prompt" in told.text
    assert "128×128 · 8 steps · 4 steps with `--quick` · starts from pictures, too" in told.text
    assert "edits by words" in told.text
    assert "Used today: **3** of 7 credits" in told.text
    signs = [
        str(each.emoji or each.label) for message in (under_a_set, under_one) for each in message.buttons
    ]
    assert [sign for sign in signs if sign not in texts.buttons(ENGLISH)] == ["U2", "V2"]
    menus = [name for key, name in ((c[1], c[2]) for c in world.discord.state.commands) if key == 3]
    assert [name for name in menus if f"*{name}*" not in told.text] == ["Add to training"]
    assert "Admins, you" not in told.text
    assert "Admins, you" in (await world.admin.slash(world.channel, "help")).text


async def test_help_tells_of_trainings_whoever_may_begin_one(start_world: StartWorld) -> None:
    """Where they are offered, and to whom the limits allow one."""
    world = await start_world(training={"enabled": True})
    await world.admin.slash(world.channel, "limits set", member=world.alice, trainings=1)

    told = (await world.alice.slash(world.channel, "help")).text
    assert "`/train new`" in told
    assert "*Add to training*" in told
    assert "/train" not in (await world.person("bob").slash(world.channel, "help")).text


async def test_an_example_is_drawn_by_its_button(start_world: StartWorld) -> None:
    """With its flags, by the model it suits, at the cost of who presses, after a restart too."""
    world = await start_world()
    told = await world.alice.slash(world.channel, "help")
    assert told.message is not None
    ids = [str(each.custom_id) for each in told.message.buttons]
    assert ids == [f"easel:1:example:{number}" for number in numbers_for("fake")]
    assert all(EXAMPLES[number].prompt in told.text for number in numbers_for("fake"))
    await world.alice.click(told.message, ids[1])
    first = await world.reaches(1, JobState.DELIVERED)
    await world.restart()
    await world.alice.click(told.message, ids[2])
    second = await world.reaches(2, JobState.DELIVERED)

    assert (first.request.prompt, first.request.seed) == ("a red fox in the snow, soft morning light", 7)
    assert second.request.width > second.request.height
    assert (first.user_id, first.charged, first.request.model) == (world.alice.id, 1, "fake")
    assert not world.message(2).ephemeral


async def test_an_example_that_can_not_be_drawn(start_world: StartWorld) -> None:
    """Its model is gone, its number is of a newer version, the credits are spent: one sentence, and no job."""
    world = await start_world(limits={"credits_per_day": 1})
    of_starter, of_others = numbers_for(STARTER)[0], numbers_for("fake")[0]
    message = await world.post(*(button(Verb.EXAMPLE, number) for number in (of_starter, of_others, 999)))
    gone = await world.alice.click(message, f"easel:1:example:{of_starter}")
    newer = await world.alice.click(message, "easel:1:example:999")
    await world.imagined()
    spent = await world.alice.click(message, f"easel:1:example:{of_others}")

    assert [answer.ephemeral for answer in (gone, newer, spent)] == [True] * 3
    assert "not offered here any more" in gone.text
    assert "newer version" in newer.text
    assert "0 of 1 left today" in spent.text
    assert await world.jobs_stored() == 1


async def test_help_while_nothing_is_offered(start_world: StartWorld) -> None:
    """Why, beside the models, and no example."""
    world = await start_world(fake=FakeSettings(broken="The model is damaged."))
    told = await world.alice.slash(world.channel, "help")

    assert "The model is damaged." in told.text
    assert told.message is not None
    assert told.message.buttons == []


async def test_an_example_is_drawn_by_the_model_it_suits(start_world: StartWorld) -> None:
    """The starter, which knows plain shapes alone, is asked for shapes, whichever model is used where none is named."""
    world = await start_world(fake=FakeSettings(step_s=0.01, others=(STARTER,)))
    number = numbers_for(STARTER)[0]
    await world.alice.click(await world.post(button(Verb.EXAMPLE, number)), f"easel:1:example:{number}")
    job = await world.reaches(1, JobState.DELIVERED)

    assert (job.request.model, job.request.prompt) == (STARTER, EXAMPLES[number].prompt)
    assert {each.prompt for each in EXAMPLES if each.suits(STARTER)}.isdisjoint(
        each.prompt for each in EXAMPLES if each.suits("fake")
    )


@pytest.mark.parametrize("count", [1, 40])
def test_help_fits_into_a_message(count: int) -> None:
    """However many models there are and whatever their files say; what is left out is counted."""
    loras = tuple(AdapterInfo(name=f"l{number}") for number in range(99))
    models = [
        ModelInfo(
            id=f"m{n}", title="*" * 200, description="`@everyone` " * 60, loras=loras, takes_images=True
        )
        for n in range(count)
    ]
    here = Here(
        models=models,
        problem="",
        allowance=["x" * 150] * 4,
        examples=(3, 4, 5),
        may_teach=True,
        is_admin=True,
    )
    shown: list[Any] = help_(here, ENGLISH).to_components()
    checks.check(checks.Draft(components=shown, flags=COMPONENTS_V2), 0)
    told = "\n".join(part.get("content", "") for part in walk(shown))

    assert told.count("99 LoRAs") == told.count("512×512") >= 1
    assert ("more\n" in told) == (count > 1)
    assert "@everyone" not in told


# ------------------------------------------------------------------ the hint


async def test_a_person_reads_the_hint_once(world: World) -> None:
    """Behind the answer to their first /imagine, for their eyes; not after the next one, a refused one or a restart."""
    refused = await world.alice.slash(world.channel, "imagine", prompt="a fox", size="9999x9999")
    first = await world.imagine()
    await world.until(lambda: first.followups)
    other = await world.imagine(world.admin)
    await world.until(lambda: other.followups)
    await world.reaches(2, JobState.DELIVERED)
    await world.restart()
    second = await world.imagine()
    await world.reaches(3, JobState.DELIVERED)

    (hint,) = first.followups
    assert hint.ephemeral
    assert "`/help`" in hint.text
    assert "`/settings`" in hint.text
    assert (refused.followups, second.followups) == ([], [])


async def test_a_hint_that_is_lost_harms_nothing(world: World) -> None:
    """Whatever Discord says to it, the picture comes and nobody reads an error."""
    fault = world.discord.fail_next("POST", "/webhooks/", status=404)
    answer = await world.imagine()
    job = await world.reaches(1, JobState.DELIVERED)
    await world.until(lambda: fault.hits)

    assert (job.charged, answer.followups) == (1, [])
    assert [message.attachments[0].filename for message in world.messages()] == [
        f"easel-1-{job.request.seed}.png"
    ]

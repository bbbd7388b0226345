"""/admin: what a server's admins do about its requests, and the operator about all, as they and everybody else see it."""

from __future__ import annotations

from typing import Any

import pytest
from discord import ui

from bot.chat.ids import OfPage
from bot.job import JobState
from bot.store.audit import Deed
from bot.store.halts import EVERYWHERE
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import Person, World
from workshop.rehearsal.loopback.driver import Channel

SLOW = FakeSettings(step_s=0.2, slots=1)
ONLY_ADMINS = "Only people who may manage this server can do that."
ONLY_THE_OPERATOR = "Only whoever runs this bot can do that: the application's owner or its team."


def operator_of(world: World) -> Person:
    return Person(world.discord, world.discord.owner)


async def other_server(world: World) -> Channel:
    """A channel of a server that the admin of the first has nothing to say in."""
    guild = world.discord.add_guild("Others")
    channel = world.discord.add_channel(guild, "drawing")
    await world.discord.announce(guild)
    return channel


async def said(who: Person, channel: Channel, command: str, /, **options: Any) -> str:
    """What only they read in answer."""
    told = await who.slash(channel, f"admin {command}", despite_permissions=True, **options)
    return told.ephemeral_text or ""


async def audited(world: World, guild_id: int | None = None) -> list[tuple[str, int]]:
    """(deed, by whom), the newest first."""
    place = world.guild.id if guild_id is None else guild_id
    entries, _ = await world.store.audit.page(place, offset=0, count=50)
    return [(entry.deed, entry.by_user_id) for entry in entries]


# ------------------------------------------------------------------ pause and resume


async def test_a_paused_server_draws_what_runs_and_nothing_else(start_world: StartWorld) -> None:
    """Whoever asks or waits there reads why, after a restart too; another server is drawn for meanwhile, and then the line goes on."""
    world = await start_world(fake=SLOW)
    elsewhere = await other_server(world)
    await world.imagine(prompt="a fox")
    await world.until(lambda: world.dispatcher.running())
    await world.imagine(prompt="a boat")
    told = await said(world.admin, world.channel, "pause", reason="  The card is\nneeded. ")
    assert told.startswith("Paused on this server") and "“The card is needed.”" in told
    waiting = await world.says(2, "An admin has paused Easel on this server (“The card is needed.”)")
    assert "your place in line is kept" in waiting.text
    refused = "An admin has paused Easel on this server (“The card is needed.”): ask again later."
    assert (await world.imagine(prompt="a house")).ephemeral_text == refused
    message = world.message((await world.reaches(1, JobState.DELIVERED)).id)
    assert (await world.alice.click(message, "🔄")).ephemeral_text == refused
    await world.restart()
    assert (await world.imagine(prompt="a house")).ephemeral_text == refused
    assert "paused Easel on this server" in (await world.alice.slash(world.channel, "queue")).text
    await world.alice.slash(elsewhere, "imagine", prompt="a tree")
    await world.reaches(3, JobState.DELIVERED)
    assert (await world.job(2)).state is JobState.QUEUED
    told = await said(world.admin, world.channel, "resume")
    assert told == "Easel takes requests of this server again, and what waits goes on."
    await world.reaches(2, JobState.DELIVERED)
    assert await audited(world) == [(Deed.RESUMED, world.admin.id), (Deed.PAUSED, world.admin.id)]


async def test_pausing_twice_and_resuming_nothing(world: World) -> None:
    """The second reason takes the first one's place; what is not paused, or by somebody else, is one sentence."""
    operator = operator_of(world)
    assert await said(world.admin, world.channel, "resume") == "Nothing is paused on this server."
    assert await said(world.admin, world.channel, "pause", reason=" \u200b ") == (
        "Say why in words: whoever asks reads it."
    )
    await said(world.admin, world.channel, "pause", reason="one")
    told = await said(world.admin, world.channel, "pause", reason="two")
    assert told == "Paused, as before; from now on whoever asks reads: “two”"
    assert "(“two”)" in ((await world.imagine()).ephemeral_text or "")
    told = await said(operator, world.channel, "pause", reason="three", everywhere=True)
    assert told.startswith("Paused for everybody")
    assert (await world.imagine()).ephemeral_text == "Easel is paused (“three”): ask again later."
    told = await said(world.admin, world.channel, "resume")
    assert told.startswith("This server's own pause is over, but whoever runs this bot has paused it")
    told = await said(world.admin, world.channel, "resume")
    assert told.startswith("This server has paused nothing: whoever runs this bot has")
    assert "goes on" in await said(operator, world.channel, "resume", everywhere=True)
    told = await said(operator, world.channel, "resume", everywhere=True)
    assert told.startswith("Nothing is paused for the whole bot")
    await world.imagined(1)
    assert await audited(world, EVERYWHERE) == [(Deed.RESUMED, operator.id), (Deed.PAUSED, operator.id)]


async def test_drained_to_the_last_and_then_told(start_world: StartWorld) -> None:
    """Nothing new is taken, what waits is drawn, through a restart; the operator hears when nothing is left, each time."""
    world = await start_world(fake=SLOW)
    operator = operator_of(world)
    mailbox = world.discord.dm(operator.user)
    await world.imagine(prompt="a fox")
    await world.imagine(prompt="a boat")
    assert await said(world.admin, world.channel, "drain", reason="an update") == ONLY_THE_OPERATOR
    told = await said(operator, world.channel, "drain", reason="an update")
    assert told.startswith("Nothing new is taken, and what waits is drawn")
    refused = "Easel draws what waits and takes nothing new for now (“an update”): ask again later."
    assert (await world.imagine(prompt="a house")).ephemeral_text == refused
    assert world.messages(mailbox) == []
    await world.restart()
    assert (await world.imagine(prompt="a house")).ephemeral_text == refused
    await world.reaches(2, JobState.DELIVERED)
    await world.until(lambda: world.messages(mailbox))
    (news,) = world.messages(mailbox)
    assert "nothing waits and nothing is drawn" in news.text
    assert (await world.job(1)).state is JobState.DELIVERED
    await said(operator, world.channel, "resume", everywhere=True)
    await world.imagine(prompt="a house")
    await said(world.admin, world.channel, "pause", reason="no more")
    world.advance(5)
    await said(operator, world.channel, "drain", reason="once more")
    await world.reaches(3, JobState.DELIVERED)
    await world.until(lambda: len(world.messages(mailbox)) == 2)
    assert await audited(world, EVERYWHERE) == [
        (Deed.DRAINED, operator.id),
        (Deed.RESUMED, operator.id),
        (Deed.DRAINED, operator.id),
    ]


async def test_who_may_not(world: World) -> None:
    """Members nothing, admins nothing of what is everybody's: one sentence each, and nothing changes."""
    for command, options in (("pause", {"reason": "x"}), ("resume", {})):
        told = await said(world.alice, world.channel, command, **options)
        assert told == ONLY_ADMINS, command
        told = await said(world.admin, world.channel, command, everywhere=True, **options)
        assert told == ONLY_THE_OPERATOR, command
    await world.imagined(1)
    assert await audited(world) == await audited(world, EVERYWHERE) == []


# ------------------------------------------------------------------ memory and models


async def test_memory_is_free_until_the_next_request(start_world: StartWorld) -> None:
    """Freed while somebody's picture is drawn: that is finished, the next one says that it loads, and the same seed draws the same."""
    world = await start_world(fake=FakeSettings(step_s=0.1, slots=1, load_s=1.0))
    operator = operator_of(world)
    await world.imagine(prompt="a fox", seed=7)
    await world.until(lambda: world.dispatcher.running())
    assert await said(world.admin, world.channel, "free") == ONLY_THE_OPERATOR
    told = await said(operator, world.channel, "free")
    assert told.startswith("The models give their memory back once what is being drawn is finished.")
    before = await world.reaches(1, JobState.DELIVERED)
    await world.until(lambda: not world.engine.status.loaded)
    assert await said(operator, world.channel, "free") == "No model is loaded: the memory is free already."
    told = await said(operator, world.channel, "models show")
    assert "**Fake model** · used where none is named" in told
    await world.imagine(prompt="a fox", seed=7)
    await world.says(2, "loading its model")
    after = await world.reaches(2, JobState.DELIVERED)
    assert after.images[0].sha256 == before.images[0].sha256
    assert world.engine.status.loaded == ("fake",)
    assert await audited(world, EVERYWHERE) == [(Deed.FREED, operator.id)]


async def test_memory_is_given_back_by_the_clock(start_world: StartWorld) -> None:
    """After so many seconds with nothing to draw, and taken again with the next request."""
    world = await start_world(engine={"unload_after_s": 1})
    await world.until(lambda: not world.engine.status.loaded)
    await world.imagined(1)
    await world.until(lambda: not world.engine.status.loaded)


async def test_models_are_loaded_and_unloaded_and_one_is_the_default(start_world: StartWorld) -> None:
    """By the operator alone; the default is drawn with by whoever names none, after a restart too; a wrong name is one sentence."""
    world = await start_world(fake=FakeSettings(others=("second", "third")))
    operator = operator_of(world)
    for command in ("models show", "models load", "models unload", "models default"):
        options = {} if command.endswith("show") else {"name": "second"}
        assert await said(world.admin, world.channel, command, **options) == ONLY_THE_OPERATOR
    wrong = "There is no model “fourth” here: use fake, second, third."
    assert await said(operator, world.channel, "models load", name="fourth") == wrong
    assert await said(operator, world.channel, "models unload", name="second") == "second is not loaded."
    told = await said(operator, world.channel, "models load", name="second")
    assert told.startswith("second is being loaded")
    await world.until(lambda: world.engine.status.loaded == ("fake", "second"))
    assert await said(operator, world.channel, "models load", name="second") == "second is loaded already."
    await said(operator, world.channel, "models unload", name="fake")
    await world.until(lambda: world.engine.status.loaded == ("second",))
    told = await said(operator, world.channel, "models default", name="third")
    assert told.startswith("third is used from now on where none is named")
    shown = (await said(operator, world.channel, "models show")).splitlines()
    assert shown[1:] == ["**third** · used where none is named", "**Fake model**", "**second** · loaded"]
    await world.restart()
    await world.imagined(1)
    assert (await world.job(1)).request.model == "third"
    assert [deed for deed, _ in await audited(world, EVERYWHERE)] == [
        Deed.DEFAULT_MODEL,
        Deed.MODEL_UNLOADED,
        Deed.MODEL_LOADED,
    ]


async def test_an_engine_that_is_not_there_frees_nothing(start_world: StartWorld) -> None:
    """One that still loads is told so, and nothing is written down."""
    world = await start_world(fake=FakeSettings(load_s=30))
    operator = operator_of(world)
    for command in ("free", "models show"):
        told = await said(operator, world.channel, command)
        assert told == "The image engine is not there right now: /queue says what it is doing."
    assert await audited(world, EVERYWHERE) == []


# ------------------------------------------------------------------ the line


async def test_an_admin_moves_and_cancels_in_their_own_server(start_world: StartWorld) -> None:
    """Other servers' requests are neither seen nor touched by an admin, and keep their places; the operator has all."""
    world = await start_world(fake=FakeSettings(slots=1))
    operator, elsewhere = operator_of(world), await other_server(world)
    people = [world.person(name) for name in ("bob", "carl", "dora")]
    await world.imagine(prompt="HANG")
    await world.until(lambda: world.dispatcher.running())
    await world.imagine(people[0], prompt="a boat")
    await world.in_line(await people[1].slash(elsewhere, "imagine", prompt="a secret"))
    await world.imagine(people[2], prompt="a house")
    shown = (await world.admin.slash(world.channel, "admin queue show")).text.splitlines()
    assert shown[0] == "**The line**, 1–3 of 3"
    assert [line.split(" · ")[:4] for line in shown[1:]] == [
        ["**1**", "🎨", f"<@{world.alice.id}>", "`HANG`"],
        ["**2**", "⏳ 1st", f"<@{people[0].id}>", "`a boat`"],
        ["**4**", "⏳ 3rd", f"<@{people[2].id}>", "`a house`"],
    ]
    everything = (await operator.slash(world.channel, "admin queue show", everywhere=True)).text
    assert "`a secret`" in everything and "Others" in everything
    told = await said(world.admin, world.channel, "queue move", number=4, place="front")
    assert told == "Request 4 is the first of these now; in the whole line its place is 1."
    assert [job.id for job in world.dispatcher.line()] == [4, 3, 2]
    await world.says(4, "Next in line")
    told = await said(operator, world.channel, "queue move", number=4, place="back", everywhere=True)
    assert told == "Request 4 is the last of these now; in the whole line its place is 3."
    assert [job.id for job in world.dispatcher.line()] == [3, 2, 4]
    told = await said(world.admin, world.channel, "queue cancel", number=2)
    assert told == "Request 2 is cancelled."
    assert f"Cancelled by <@{world.admin.id}>" in (await world.says(2, "Cancelled")).text
    assert (await world.reaches(2, JobState.CANCELLED)).charged == 0
    assert await audited(world) == [
        (Deed.CANCELLED, world.admin.id),
        (Deed.MOVED, operator.id),
        (Deed.MOVED, world.admin.id),
    ]


async def test_what_can_be_neither_moved_nor_cancelled(start_world: StartWorld) -> None:
    """One of another server, one that never was, that is drawn or over; a member; each one sentence, and nothing moves."""
    world = await start_world(fake=FakeSettings(slots=1))
    operator, elsewhere = operator_of(world), await other_server(world)
    await world.imagined(1, steps=1)
    await world.imagine(prompt="HANG")
    await world.until(lambda: world.dispatcher.running())
    await world.in_line(await world.alice.slash(elsewhere, "imagine", prompt="a secret"))
    unknown = "No request of that number is known here: /admin queue show lists those that wait."
    for command, more in (("queue move", {"place": "front"}), ("queue cancel", {})):
        for number in (3, 99, 2**53 - 1):
            assert await said(world.admin, world.channel, command, number=number, **more) == unknown
        assert await said(world.alice, world.channel, command, number=2, **more) == ONLY_ADMINS
        told = await said(world.admin, world.channel, command, number=3, everywhere=True, **more)
        assert told == ONLY_THE_OPERATOR
        assert await said(operator, world.channel, command, number=1, **more) == "It is finished already."
    told = await said(world.admin, world.channel, "queue move", number=2, place="back")
    assert told.startswith("It is being drawn already")
    await said(world.admin, world.channel, "queue cancel", number=2)
    await world.reaches(2, JobState.CANCELLED)
    told = await said(world.admin, world.channel, "queue move", number=2, place="back")
    assert told == "It is over already."
    assert await audited(world) == [(Deed.CANCELLED, world.admin.id)]


async def test_a_long_line_is_leafed_through(start_world: StartWorld) -> None:
    """Ten a page, each page for admins alone; what is private is shown without its words, and an empty line says so."""
    world = await start_world(fake=FakeSettings(load_s=30), limits={"pending": 20})
    told = await world.admin.slash(world.channel, "admin queue show")
    assert "Nobody is waiting." in told.text
    await world.alice.slash(world.channel, "settings", deliver="private")
    for number in range(1, 12):
        await world.alice.slash(world.channel, "imagine", prompt=f"picture {number}")
        await world.until(lambda number=number: len(world.dispatcher.line()) == number)
    first = await world.admin.slash(world.channel, "admin queue show")
    assert "The image engine is loading" in first.text
    assert "1–10 of 11" in first.text and "picture" not in first.text and "private" in first.text
    assert first.message is not None
    await world.admin.click(first.message, "Behind ▶")
    assert "11–11 of 11" in first.text
    assert "**11** · ⏳ 11th" in first.text
    stolen = await world.post(*_buttons(OfPage(pages="admin_queue", way="older", offset=10, search=1)))
    for who, sentence in ((world.alice, ONLY_THE_OPERATOR), (world.admin, ONLY_THE_OPERATOR)):
        assert (await who.click(stolen, "Behind")).ephemeral_text == sentence


def _buttons(page: OfPage) -> list[ui.Button[Any]]:
    return [ui.Button[Any](label="Behind", custom_id=page.custom_id)]


# ------------------------------------------------------------------ announcements


async def test_announced_in_a_channel_and_on_every_server(world: World) -> None:
    """As the bot, mentioning nobody; everywhere by the operator alone, in the channels of system messages."""
    operator = operator_of(world)
    hall, shut = await world.place("hall"), await world.place("shut", app_permissions=0)
    text = "@everyone the card is **new**"
    assert await announced(world, text=text, channel=hall) == f"Announced in <#{hall.id}>."
    await announced(world, text="here")
    (posted,), (here,) = world.messages(hall), world.messages()
    assert (posted.text, here.text) == (text, "here")
    assert (posted.allowed_mentions or {})["parse"] == []
    others = await other_server(world)
    await _announced_everywhere(world, "Announced on 0 of 2 servers")
    world.guild.system_channel = hall
    await world.discord.announce(world.guild)
    await _announced_everywhere(world, "Announced on 1 of 2 servers")
    assert [message.text for message in world.messages(hall)] == [text, "to all"]
    assert world.messages(others) == []
    for options, sentence in (
        ({"text": "x", "channel": shut}, "I may not write in"),
        ({"text": "x", "everywhere": True}, ONLY_THE_OPERATOR),
        ({"text": "   "}, "Say what is to be announced."),
    ):
        assert (await said(world.admin, world.channel, "announce", **options)).startswith(sentence)
    assert await said(world.alice, world.channel, "announce", text="x") == ONLY_ADMINS
    told = await said(operator, world.channel, "announce", text="x", channel=hall, everywhere=True)
    assert told.startswith("Name a channel of this server or announce it everywhere")
    assert [deed for deed, _ in await audited(world)] == [Deed.ANNOUNCED, Deed.ANNOUNCED]


async def announced(world: World, **options: Any) -> str:
    """What the admin reads once it stands there, or does not."""
    answer = await world.admin.slash(world.channel, "admin announce", **options)
    await world.until(lambda: answer.text)
    return answer.ephemeral_text or ""


@pytest.mark.parametrize(
    ("trouble", "sentence", "is_logged"),
    [
        ({"status": 404, "code": 10003}, "I don't see that channel", False),
        ({"status": 403, "code": 50001}, "I may not write in", False),
        ({"status": 400, "code": 200000}, "Say it in other words.", False),
        ({"reset": True, "apply": True}, "Discord's answer got lost: look into", True),
    ],
)
async def test_an_announcement_that_discord_does_not_take(
    world: World, trouble: dict[str, Any], sentence: str, is_logged: bool
) -> None:
    """A sentence that says why; the log tells of what stands there, or may."""
    hall = await world.place("hall")
    world.discord.fail_next("POST", f"/channels/{hall.id}/messages", **trouble)
    assert sentence in await announced(world, text="news", channel=hall)
    assert [deed for deed, _ in await audited(world)] == [Deed.ANNOUNCED] * is_logged


async def _announced_everywhere(world: World, sentence: str) -> None:
    answer = await operator_of(world).slash(
        world.channel, "admin announce", text="to all", everywhere=True, despite_permissions=True
    )
    await world.until(lambda: answer.text.startswith(sentence))
    assert answer.ephemeral

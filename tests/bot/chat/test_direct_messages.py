"""Direct messages with the bot: closed unless whoever runs it opens them, and what people have there then."""

from __future__ import annotations

from typing import Any

import pytest

from bot.chat.ids import Verb
from bot.job import DIRECT, JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World, settings_for
from workshop.rehearsal.bot import png
from workshop.rehearsal.loopback.driver import CannotDo, Channel

ONLY_IN_SERVERS = "Use this in a server, not in a direct message."
OPEN: dict[str, Any] = {"direct_messages": True}
SERVERS_ONLY = {"admin", "channel", "gallery", "limits", "mod", "train"}


async def mailbox_of(world: World) -> Channel:
    """Alice's direct messages, where she is from now on."""
    world.channel = world.discord.dm(world.alice.user)
    return world.channel


async def test_closed_unless_the_operator_opens_them(world: World) -> None:
    """Nothing is offered there; what comes all the same, by an older list of commands, gets one sentence."""
    mailbox = await mailbox_of(world)
    commands = world.discord.state.commands
    assert {tuple(each["contexts"]) for each in commands.values()} == {(0,)}
    with pytest.raises(CannotDo, match="not offered here"):
        await world.alice.slash(mailbox, "imagine", prompt="a red circle")
    for each in commands.values():
        each["contexts"] = [0, 1]
    posted = world.alice.posts(mailbox, ("cat.png", png(64, 64)))
    options: dict[str, dict[str, Any]] = {"imagine": {"prompt": "a red circle"}, "show": {"number": 1}}
    for name in (
        "imagine",
        "show",
        "history",
        "queue",
        "quota",
        "help",
        "settings",
        "style list",
        "gallery off",
    ):
        told = await world.alice.slash(mailbox, name, **options.get(name, {}))
        assert told.ephemeral_text == "Use this command in a server, not in a direct message.", name
    for name in ("Image info", "Vary", "Use these settings"):
        told = await world.alice.menu(posted, name)
        assert told.ephemeral_text == "Use this command in a server, not in a direct message.", name
    assert await world.jobs_stored() == 0


async def test_everything_people_do_in_open_ones(start_world: StartWorld) -> None:
    """Drawn with progress where it was asked for, with live buttons, lists, forms and menus, before and after a restart."""
    world = await start_world(fake=FakeSettings(step_s=0.02), discord=OPEN)
    offered = {name: each["contexts"] for name, each in world.discord.commands.items()}
    assert {name for name, contexts in offered.items() if 1 not in contexts} == SERVERS_ONLY
    mailbox, alice = await mailbox_of(world), world.alice
    for deliver in ("mail", "private"):  # it is there already
        await alice.slash(mailbox, "settings", deliver=deliver, images=2)
    first = await world.imagined(1, prompt="a red circle")
    job = await world.job(1)
    assert (job.guild_id, job.channel_id, job.private) == (DIRECT, mailbox.id, False)
    assert (len(first.attachments), first.edits >= 2) == (2, True)
    hold = world.discord.hold_next("PATCH", f"/channels/{mailbox.id}/")
    await alice.click(first, "Reroll")
    await world.until(lambda: hold.entered)
    await world.restart()
    hold.release()
    await world.reaches(2, JobState.DELIVERED)

    taken = await alice.click(first, "U2")
    await world.until(lambda: taken.message and taken.message.attachments)
    form = await alice.click(taken.message, "Remix")
    await alice.submit(form, prompt="a green star")
    await world.reaches(3, JobState.DELIVERED)
    posted = alice.posts(mailbox, ("cat.png", png(128, 128)))
    await alice.menu(posted, "Upscale")
    await world.reaches(4, JobState.DELIVERED)
    await alice.slash(mailbox, "edit", image=("cat.png", png(128, 128)), words="bluer")
    await world.reaches(5, JobState.DELIVERED)
    told = await alice.slash(mailbox, "history", words="star")
    assert f"/@me/{mailbox.id}/{world.message(3).id}" in told.text
    again = await alice.slash(mailbox, "show", number=3)
    await world.until(lambda: again.message and again.message.attachments)
    everybody = await alice.slash(mailbox, "history", server="everybody")
    assert everybody.ephemeral_text == ONLY_IN_SERVERS
    for name in ("queue", "quota", "help", "models"):
        assert (await alice.slash(mailbox, name)).ephemeral
    assert all(message.attachments or message is posted for message in world.messages())


async def test_several_at_once_wait_for_a_yes_through_a_restart(start_world: StartWorld) -> None:
    """As in a server, in one message."""
    world = await start_world(discord=OPEN)
    mailbox = await mailbox_of(world)
    asked = await world.alice.slash(mailbox, "imagine", prompt="a {red, blue} circle")
    await world.restart()
    await world.alice.click(asked.message, "Draw them")
    for number in (1, 2):
        await world.reaches(number, JobState.DELIVERED)
    await world.until(lambda: len(world.messages()) == 1 and len(world.messages()[0].attachments) == 2)


async def test_each_person_has_there_what_the_operator_says(start_world: StartWorld) -> None:
    """Apart from what was used in servers and whatever their admins set; people do not read each other's names."""
    limits = {"credits_per_day": 2, "max_images": 2}
    world = await start_world(discord=OPEN, limits=limits)
    server, bob = world.channel, world.person("bob")
    await world.admin.slash(server, "limits set", max_images=1)
    await world.imagined(1)
    mailbox = await mailbox_of(world)
    await world.imagined(2, images=2)
    refused = await world.imagine()
    assert "credit" in (refused.ephemeral_text or "")
    assert await world.jobs_stored() == 2
    theirs = world.discord.dm(bob.user)
    await world.in_line(await bob.slash(theirs, "imagine", prompt="HANG"))
    await world.reaches(3, JobState.RUNNING)
    for place, who in ((mailbox, world.alice), (server, world.admin)):
        queue = await who.slash(place, "queue")
        assert "somebody elsewhere" in queue.text
        assert "HANG" not in queue.text
        assert str(bob.id) not in queue.text
    shown = await world.alice.slash(mailbox, "show", number=1)
    assert (
        shown.ephemeral_text
        == "There is no image of that number here: take one from /history or from 📋 Info."
    )


async def test_closed_again_nothing_new_is_drawn(start_world: StartWorld) -> None:
    """What stands there can still be looked at and taken away."""
    world = await start_world(discord=OPEN)
    await mailbox_of(world)
    message = await world.imagined(1)
    world.settings = settings_for(world.settings.data_dir)
    await world.restart()
    for button in ("Reroll", "Vary (Subtle)"):
        assert (await world.alice.click(message, button)).ephemeral_text == ONLY_IN_SERVERS
    assert "a red circle" in (await world.alice.click(message, "Info")).text
    await world.alice.click(message, f"easel:1:{Verb.DELETE}:1")
    await world.until(lambda: message.deleted)
    assert await world.jobs_stored() == 1

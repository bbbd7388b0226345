"""The loopback Discord against a toy discord.py client."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from tests.kit.toybot import PNG, Evening, card, picture, running
from workshop.rehearsal.loopback.driver import CannotDo, Permission, Upload


async def test_slash_command_shows_a_v2_message(evening: Evening) -> None:
    """A slash command reaches the bot and its answer is a message with text, a button and the V2 flag."""
    answer = await evening.discord.slash(
        evening.alice, evening.channel, "paint", prompt="a red circle", steps=30
    )
    assert answer.kind == "message"
    assert answer.message is not None
    assert not answer.ephemeral
    assert answer.message.is_v2
    assert answer.message.accent == 0x5865F2
    assert answer.text == "a red circle 30 0.5 False 0"
    assert [(b.label, b.custom_id, b.disabled) for b in answer.message.buttons] == [
        ("Again", "again:7", False)
    ]
    assert 0 < answer.ms < 3000


async def test_options_arrive_with_their_types(evening: Evening) -> None:
    """Numbers, booleans and a file option arrive typed, and the bot reads the file from the CDN."""
    upload = Upload(filename="in.png", bytes=PNG)
    answer = await evening.discord.slash(
        evening.alice, evening.channel, "paint", prompt="x", strength=1, fast=True, image=upload
    )
    assert answer.text == f"x 20 1.0 True {len(PNG)}"


async def test_subcommand_resolves_members_and_roles(evening: Evening) -> None:
    """`/limits set` carries nested options, a member and a role, and the computed permissions."""
    server = evening.discord
    admin = server.add_user("boss", permissions=Permission.MANAGE_GUILD)
    role = server.add_role(evening.guild, "Artists", members=(evening.alice,))
    answer = await server.slash(
        admin, evening.channel, "limits set", credits=10, member=evening.alice, role=role
    )
    assert answer.ephemeral_text == "10 alice Artists True"


async def test_people_cannot_do_what_the_client_forbids(evening: Evening) -> None:
    """Unsynced commands, wrong options, hidden commands and missing buttons fail in the driver, loudly."""
    server, alice, channel = evening.discord, evening.alice, evening.channel
    impossible: list[tuple[str, dict[str, Any]]] = [
        ("nothing", {}),
        ("paint", {}),
        ("paint", {"prompt": "x", "steps": 51}),
        ("paint", {"prompt": 5}),
        ("paint", {"prompt": "x", "colour": "red"}),
        ("limits", {}),
        ("limits set", {"credits": 1}),
    ]
    for name, options in impossible:
        with pytest.raises(CannotDo):
            await server.slash(alice, channel, name, **options)
    bypassed = await server.slash(alice, channel, "limits set", despite_permissions=True, credits=1)
    assert bypassed.ephemeral_text == "1 None None False"
    answer = await server.slash(alice, channel, "paint", prompt="x")
    assert answer.message is not None
    with pytest.raises(CannotDo):
        await server.click(alice, answer.message, "Delete")


async def test_autocomplete_returns_choices(evening: Evening) -> None:
    """Autocomplete carries the half-typed value and returns the bot's choices."""
    choices = await evening.discord.autocomplete(
        evening.alice, evening.channel, "paint", "prompt", prompt="a"
    )
    assert [c["value"] for c in choices] == ["a cat", "a dog"]


async def test_modal_round_trip(evening: Evening) -> None:
    """A modal opens, is filled in and submitted, and its text reaches the bot."""
    modal = await evening.discord.slash(evening.alice, evening.channel, "ask")
    assert modal.kind == "modal"
    answer = await evening.discord.submit(modal, name="Bob")
    assert answer.ephemeral_text == "hello Bob"


async def test_defer_then_edit_with_a_file(evening: Evening) -> None:
    """A deferred answer is a placeholder; the edit fills it with a card, a file and its alt text."""
    answer = await evening.discord.slash(evening.alice, evening.channel, "later")
    message = answer.message
    assert answer.kind == "deferred"
    assert message is not None
    assert message.loading
    view, files = card("done", "a.png"), [picture(alt="a red circle")]
    edited = await evening.bot.seen[0].edit_original_response(view=view, attachments=files)
    assert (message.edits, message.loading, message.text) == (1, False, "done")
    assert [(a.filename, a.bytes, a.description) for a in message.attachments] == [
        ("a.png", PNG, "a red circle")
    ]
    assert message.shown_files == ["a.png"]
    assert await edited.attachments[0].read() == PNG
    assert (await evening.bot.seen[0].original_response()).id == message.id


async def test_the_bots_own_token_edits_the_answer(evening: Evening) -> None:
    """The channel route edits an interaction's message; a listed attachment stays, the others go."""
    answer = await evening.discord.slash(evening.alice, evening.channel, "paint", prompt="x")
    assert answer.message is not None
    partial = evening.bot.get_partial_messageable(evening.channel.id).get_partial_message(answer.message.id)
    two = [picture("a.png"), picture("b.png")]
    sent = await partial.edit(view=card("two", "a.png", "b.png"), attachments=two)
    kept_id = answer.message.attachments[1].id
    await partial.edit(view=card("one", "b.png"), attachments=[sent.attachments[1]])
    assert [(a.id, a.filename) for a in answer.message.attachments] == [(kept_id, "b.png")]
    assert answer.message.edits == 2
    assert answer.message.shown_files == ["b.png"]
    assert [s.filenames for s in answer.message.history] == [(), ("a.png", "b.png"), ("b.png",)]


async def test_dynamic_button_works_after_a_restart(evening: Evening) -> None:
    """A button of a message that an earlier process posted reaches a new client through its custom_id."""
    server = evening.discord
    answer = await server.slash(evening.alice, evening.channel, "paint", prompt="x")
    assert answer.message is not None
    await evening.bot.close()
    await server.wait_gone()
    async with running(server):
        clicked = await server.click(evening.alice, answer.message, "Again")
    assert clicked.ephemeral_text == "again 7"
    assert server.syncs == 2


async def test_follow_up_and_ephemeral_messages(evening: Evening) -> None:
    """Follow-ups are recorded; an ephemeral answer is out of reach of the bot's own token."""
    server = evening.discord
    answer = await server.slash(evening.alice, evening.channel, "later", private=True)
    assert answer.ephemeral
    assert answer.message is not None
    await evening.bot.seen[0].edit_original_response(content="first")
    await evening.bot.seen[0].followup.send("second", file=picture(), ephemeral=True)
    assert answer.ephemeral_text == "first"
    assert [(m.text, m.ephemeral, m.attachments[0].filename) for m in answer.followups] == [
        ("second", True, "a.png")
    ]
    place = evening.bot.get_partial_messageable(evening.channel.id)
    with pytest.raises(discord.NotFound) as refused:
        await place.get_partial_message(answer.message.id).edit(content="x")
    assert refused.value.code == 10008


async def test_channel_messages_and_nonce(evening: Evening) -> None:
    """A repeated nonce returns the first message instead of posting twice; GET and DELETE work."""
    place = evening.bot.get_partial_messageable(evening.channel.id)
    first, second = await place.send("x", nonce=5), await place.send("x", nonce=5)
    assert first.id == second.id
    assert len(evening.discord.messages(evening.channel)) == 1
    assert (await place.fetch_message(first.id)).content == "x"
    await first.delete()
    assert evening.discord.messages(evening.channel) == []


async def test_direct_messages(evening: Evening) -> None:
    """The bot opens a DM and posts there; a command used in the DM carries a user and no server."""
    server, alice = evening.discord, evening.alice
    await (await evening.bot.create_dm(discord.Object(alice.id))).send("psst")
    assert [m.text for m in server.messages(server.dm(alice))] == ["psst"]
    await server.slash(alice, server.dm(alice), "paint", prompt="x")
    alice.takes_dms = False
    with pytest.raises(discord.Forbidden) as closed:
        await evening.bot.get_partial_messageable(server.dm(alice).id).send("psst")
    assert closed.value.code == 50007
    assert evening.bot.seen[0].guild is None
    assert evening.bot.seen[0].user.id == alice.id


async def test_permissions_of_the_bot(evening: Evening) -> None:
    """`app_permissions` reach the interaction and the client's cache, and bind the channel routes."""
    server, channel = evening.discord, evening.channel
    await server.set_app_permissions(channel, Permission.VIEW_CHANNEL)
    await server.slash(evening.alice, channel, "paint", prompt="x")
    seen = evening.bot.seen[0]
    assert seen.app_permissions.view_channel
    assert not seen.app_permissions.attach_files
    assert isinstance(seen.channel, discord.TextChannel)
    assert seen.guild is not None
    assert not seen.channel.permissions_for(seen.guild.me).attach_files
    with pytest.raises(discord.Forbidden) as refused:
        await evening.bot.get_partial_messageable(channel.id).send("x")
    assert refused.value.code == 50013


async def test_a_menu_hands_the_message_over(evening: Evening) -> None:
    """An entry of a message's menu reaches the bot with all that stands in the message; its answer says where it came from."""
    server, alice = evening.discord, evening.alice
    message = server.post(alice, evening.channel, "two words", Upload(filename="a.png", bytes=PNG))
    answer = await server.menu(alice, message, "Count words")
    assert answer.text == "2 ['a.png'] alice"
    assert answer.message is not None
    channel = evening.bot.get_partial_messageable(evening.channel.id)
    told = await channel.fetch_message(answer.message.id)
    assert told.type is discord.MessageType.context_menu_command
    message.deleted = True
    for name, target in (
        ("count words", answer.message),
        ("paint", answer.message),
        ("Count words", message),
    ):
        with pytest.raises(CannotDo):
            await server.menu(alice, target, name)
    evening.bot.tree.remove_command("Count words", type=discord.AppCommandType.message)
    await evening.bot.tree.sync()
    with pytest.raises(CannotDo):
        await server.menu(alice, answer.message, "Count words")

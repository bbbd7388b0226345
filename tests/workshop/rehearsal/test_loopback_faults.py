"""The loopback Discord against a toy client while things break: resumes, retries, outages, kills."""

from __future__ import annotations

import asyncio
import os
import sys

import aiohttp
import discord
import pytest

from tests.kit import toybot
from tests.kit.toybot import Evening, ToyBot, card
from workshop.rehearsal.loopback.driver import LoopbackDiscord, NoAnswer, client_options


async def test_dropped_gateway_resumes_and_loses_nothing(evening: Evening) -> None:
    """After a reset the client resumes at the resume address and gets the event it missed."""
    server = evening.discord
    await server.drop_gateway()
    sent = await server.send_slash(evening.alice, evening.channel, "paint", prompt="missed")
    answer = await server.until_answered(sent)
    assert answer.text.startswith("missed")
    assert server.gateway.resumes == 1
    assert len(server.gateway.identifies) == 1
    assert server.gateway.resume_hosts == ["gateway-resume.discord.gg"]


async def test_op_7_resumes_and_op_9_identifies(evening: Evening) -> None:
    """Op 7 leads to a RESUME, op 9 to a second IDENTIFY, and commands work after both."""
    server = evening.discord
    await server.ask_reconnect()
    await server.until(lambda: server.gateway.resumes == 1)
    await server.invalidate_session()
    await server.until(lambda: len(server.gateway.identifies) == 2)
    await server.wait_ready()
    answer = await server.slash(evening.alice, evening.channel, "paint", prompt="x")
    assert answer.kind == "message"
    assert server.gateway.heartbeats >= 3


async def test_replayed_interaction_is_refused_the_second_time(evening: Evening) -> None:
    """The same interaction delivered twice gets one answer; the second callback meets 40060."""
    server = evening.discord
    await server.slash(evening.alice, evening.channel, "later")
    await server.replay_last_interaction()
    callbacks = await server.until(lambda: server.requests_to("POST", "/callback")[1:])
    await server.until(lambda: callbacks[0].status is not None)
    assert callbacks[0].status == 400
    assert len(server.messages(evening.channel)) == 1


async def test_rate_limit_with_via_is_waited_for(evening: Evening) -> None:
    """A 429 with Via is retried after `retry_after`; one without Via raises at once."""
    server, place = evening.discord, evening.bot.get_partial_messageable(evening.channel.id)
    server.fail_next("POST", "/messages", status=429, retry_after=0.2)
    await place.send("x")
    refused, done = server.requests_to("POST", "/messages")
    assert (refused.status, done.status) == (429, 200)
    assert done.at_ms - refused.at_ms >= 200
    server.fail_next("POST", "/messages", status=429, via=False)
    with pytest.raises(discord.HTTPException) as error:
        await place.send("y")
    assert error.value.status == 429


async def test_server_error_is_retried_once_done(evening: Evening) -> None:
    """An applied POST whose reply was lost is retried by the client, and its nonce prevents a double post."""
    server, place = evening.discord, evening.bot.get_partial_messageable(evening.channel.id)
    fault = server.fail_next("POST", "/messages", status=502, apply=True)
    await place.send("once")
    assert fault.hits == 1
    assert len(server.requests_to("POST", "/messages")) == 2
    assert [m.text for m in server.messages(evening.channel)] == ["once"]


async def test_connection_reset_reaches_the_bot(evening: Evening) -> None:
    """A reset PATCH raises in the client (it is not retried), applied or not as ordered."""
    server = evening.discord
    answer = await server.slash(evening.alice, evening.channel, "later")
    server.fail_next("PATCH", "/webhooks/", reset=True, apply=True)
    with pytest.raises((aiohttp.ClientError, OSError)):
        await evening.bot.seen[0].edit_original_response(content="applied")
    assert answer.text == "applied"


async def test_held_request_waits_for_its_release(evening: Evening) -> None:
    """A held request has arrived but is neither done nor answered until the test releases it."""
    server = evening.discord
    answer = await server.slash(evening.alice, evening.channel, "later")
    hold = server.hold_next("PATCH", "/webhooks/")
    edit = asyncio.create_task(evening.bot.seen[0].edit_original_response(content="x"))
    await server.until(lambda: hold.entered)
    assert answer.text == ""
    assert not edit.done()
    hold.release()
    await edit
    assert answer.text == "x"


async def test_late_answer_is_unknown(evening: Evening) -> None:
    """An answer more than 3 s after the interaction is refused with 10062."""
    server = evening.discord
    sent = await server.send_slash(evening.alice, evening.channel, "silent")
    await server.until(lambda: evening.bot.seen)
    server.advance(4)
    with pytest.raises(discord.NotFound) as refused:
        await evening.bot.seen[0].response.send_message("late")
    assert refused.value.code == 10062
    with pytest.raises(NoAnswer):
        await server.until_answered(sent, 0.1)


async def test_webhook_token_dies_but_the_bots_token_lives(evening: Evening) -> None:
    """After 15 minutes @original is refused with 50027 while the channel route still edits."""
    server = evening.discord
    answer = await server.slash(evening.alice, evening.channel, "later")
    assert answer.message is not None
    server.advance(901)
    with pytest.raises(discord.HTTPException) as refused:
        await evening.bot.seen[0].edit_original_response(content="x")
    assert refused.value.code == 50027
    place = evening.bot.get_partial_messageable(evening.channel.id)
    await place.get_partial_message(answer.message.id).edit(content="y")
    assert answer.text == "y"
    hook = discord.Webhook.partial(server.state.app_id, "no-such-token", client=evening.bot)
    with pytest.raises(discord.NotFound) as unknown:
        await hook.edit_message(1, content="z")
    assert unknown.value.code == 10015


async def test_deleted_things_are_unknown(evening: Evening) -> None:
    """A message deleted by a moderator is 10008 on both routes; a deleted channel is 10003."""
    server = evening.discord
    answer = await server.slash(evening.alice, evening.channel, "paint", prompt="x")
    assert answer.message is not None
    server.delete_message(answer.message)
    place = evening.bot.get_partial_messageable(evening.channel.id)
    with pytest.raises(discord.NotFound) as webhook:
        await evening.bot.seen[0].edit_original_response(view=card("y"))
    with pytest.raises(discord.NotFound) as message:
        await place.get_partial_message(answer.message.id).edit(view=card("y"))
    await server.delete_channel(evening.channel)
    with pytest.raises(discord.NotFound) as channel:
        await place.send("z")
    assert (webhook.value.code, message.value.code, channel.value.code) == (10008, 10008, 10003)


async def test_wrong_token_is_refused() -> None:
    """A client with another token fails to log in."""
    async with LoopbackDiscord() as server:
        bot = ToyBot(**client_options(server.address, server.ca_pem))
        with pytest.raises(discord.LoginFailure):
            await bot.start("wrong")
        await bot.close()


async def test_only_loopback_is_reachable() -> None:
    """The client's connector resolves Discord's names only."""
    async with LoopbackDiscord() as server:
        connector = client_options(server.address, server.ca_pem)["connector"]
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get("https://example.org/")


async def test_unknown_route_is_recorded(evening: Evening) -> None:
    """A route that is not here answers 404 in Discord's form and is remembered."""
    with pytest.raises(discord.NotFound):
        await evening.bot.fetch_guild(evening.guild.id)
    assert evening.discord.unexpected == [f"GET /guilds/{evening.guild.id}"]
    evening.discord.unexpected.clear()


async def test_rate_limit_headers_hold_the_client_back(evening: Evening) -> None:
    """Five edits through a bucket of two per 0.3 s take their time, and none is refused."""
    server = evening.discord
    await server.slash(evening.alice, evening.channel, "later")
    rule = server.limit_rate("PATCH", "/webhooks/", limit=2, per_s=0.3)
    for number in range(5):
        await evening.bot.seen[0].edit_original_response(content=str(number))
    edits = server.requests_to("PATCH", "/webhooks/")
    assert rule.refused == 0
    assert edits[-1].at_ms - edits[0].at_ms >= 550


async def test_gateway_outage_is_survived(evening: Evening) -> None:
    """A gateway that refuses the reconnect once is tried again."""
    server = evening.discord
    fault = server.fail_next("GET", "/gateway", status=503)
    await server.drop_gateway()
    await server.until(lambda: server.gateway.ready and fault.hits == 1, timeout_s=20)
    answer = await server.slash(evening.alice, evening.channel, "paint", prompt="back")
    assert answer.text.startswith("back")


async def test_process_of_its_own_can_be_killed() -> None:
    """A bot in another process is reached through the environment; after kill -9 the next one takes over."""
    async with LoopbackDiscord() as server:
        channel, alice = server.add_channel(server.add_guild()), server.add_user("alice")
        first = await _start_process(server)
        try:
            await server.wait_ready()
            answer = await server.slash(alice, channel, "paint", prompt="x")
        finally:
            first.kill()
            await first.wait()
        assert answer.message is not None
        await server.wait_gone()
        second = await _start_process(server)
        try:
            await server.wait_ready()
            clicked = await server.click(alice, answer.message, "Again")
        finally:
            second.kill()
            await second.wait()
        assert clicked.ephemeral_text == "again 7"
        await server.wait_gone()


async def _start_process(server: LoopbackDiscord) -> asyncio.subprocess.Process:
    environment = {**os.environ, **server.environment, "TOY_TOKEN": server.token}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", toybot.__name__, env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    )

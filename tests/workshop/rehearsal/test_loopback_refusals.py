"""The loopback Discord refuses what Discord refuses: each bad payload with its status and code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import discord
import pytest
from discord.http import Route

from tests.kit.toybot import PNG, ToyBot, picture, running
from workshop.rehearsal.loopback import interactions
from workshop.rehearsal.loopback.driver import LoopbackDiscord, Message, client_options

V2 = 1 << 15
Json = dict[str, Any]


def text(content: str) -> Json:
    return {"type": 10, "content": content}


def button(custom_id: str = "a", label: str = "b") -> Json:
    return {"type": 2, "style": 2, "custom_id": custom_id, "label": label}


def row(*buttons: Json) -> Json:
    return {"type": 1, "components": list(buttons)}


def gallery(*urls: str, alt: str = "") -> Json:
    return {"type": 12, "items": [{"media": {"url": url}, "description": alt} for url in urls]}


def v2(*components: Json, **more: Any) -> Json:
    return {"flags": V2, "components": list(components), **more}


FAR = "https://example.org/a.png"
BAD: dict[str, Json] = {
    "4001 characters in one text": v2(text("x" * 4001)),
    "4001 characters in two texts": v2(text("x" * 4000), {"type": 17, "components": [text("y")]}),
    "empty text display": v2(text("")),
    "41 components": v2(*[text("x")] * 41),
    "41 components with nested ones": v2({"type": 17, "components": [text("x")] * 40}),
    "duplicate custom_id": v2(row(button("a"), button("a"))),
    "content with V2": v2(text("x"), content="y"),
    "embeds with V2": v2(text("x"), embeds=[{"title": "y"}]),
    "V2 component without the flag": {"components": [text("x")]},
    "custom_id of 101": v2(row(button("x" * 101))),
    "label of 81": v2(row(button(label="x" * 81))),
    "button without label": v2(row(button(label=""))),
    "six buttons in a row": v2(row(*[button(str(n)) for n in range(6)])),
    "empty row": v2(row()),
    "button outside a row": v2(button()),
    "container in a container": v2({"type": 17, "components": [{"type": 17, "components": [text("x")]}]}),
    "gallery of 11": v2(gallery(*[FAR] * 11)),
    "empty gallery": v2(gallery()),
    "alt text of 1025 in a gallery": v2(gallery(FAR, alt="x" * 1025)),
    "reference to a file that is not there": v2(gallery("attachment://no.png")),
    "attachment id that is not there": {"content": "x", "attachments": [{"id": 5, "filename": "a.png"}]},
    "content of 2001": {"content": "x" * 2001},
    "unknown component": v2({"type": 99}),
}


@pytest.fixture
async def server() -> AsyncIterator[LoopbackDiscord]:
    async with LoopbackDiscord() as discord_server:
        yield discord_server


async def post(server: LoopbackDiscord, path: str, payload: Json) -> tuple[int, Json]:
    return await send(server, "POST", path, payload)


async def send(server: LoopbackDiscord, method: str, path: str, payload: object) -> tuple[int, Json]:
    connector = client_options(server.address, server.ca_pem)["connector"]
    headers = {"Authorization": f"Bot {server.token}"}
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.request(method, f"https://discord.com/api/v10{path}", json=payload) as response,
    ):
        return response.status, await response.json()


@pytest.mark.parametrize("case", BAD)
async def test_bad_payload_is_refused(server: LoopbackDiscord, case: str) -> None:
    """A payload against a limit answers 400 with 50035 and a path, and posts nothing."""
    channel = server.add_channel(server.add_guild())
    status, body = await post(server, f"/channels/{channel.id}/messages", BAD[case])
    assert (status, body["code"]) == (400, 50035), body
    assert body["errors"]
    assert server.messages(channel) == []


async def test_limits_themselves_are_allowed(server: LoopbackDiscord) -> None:
    """Payloads exactly at the limits are accepted."""
    channel = server.add_channel(server.add_guild())
    full = v2(*[text("x" * 100)] * 38, row(button("x" * 100, "y" * 80)))
    wide = v2(text("x" * 3999), gallery(*[FAR] * 10, alt="x" * 1024))
    for payload in (full, wide):
        status, body = await post(server, f"/channels/{channel.id}/messages", payload)
        assert status == 200, body


async def test_empty_message_is_refused(server: LoopbackDiscord) -> None:
    """A message with nothing in it is 50006."""
    channel = server.add_channel(server.add_guild())
    status, body = await post(server, f"/channels/{channel.id}/messages", {"content": ""})
    assert (status, body["code"]) == (400, 50006)


async def code_of(action: Any) -> tuple[int, int]:
    with pytest.raises(discord.HTTPException) as refused:
        await action
    return refused.value.status, refused.value.code


async def test_files_against_the_limits() -> None:
    """Eleven files, a file over the server's limit and a long alt text are refused, also in interactions."""
    async with LoopbackDiscord() as server:
        guild = server.add_guild(attachment_size_limit=1000)
        channel, alice = server.add_channel(guild), server.add_user("alice")
        async with running(server) as bot:
            await server.slash(alice, channel, "later")
            assert bot.seen[0].filesize_limit == 1000
            edit = bot.seen[0].edit_original_response
            eleven = [picture(f"{n}.png") for n in range(11)]
            assert await code_of(edit(attachments=eleven)) == (400, 30015)
            assert await code_of(edit(attachments=[picture(data=bytes(1001))])) == (413, 40005)
            assert await code_of(edit(attachments=[picture(alt="x" * 1025)])) == (400, 50035)
            ten = [picture(f"{n}.png", PNG) for n in range(10)]
            edited = await edit(attachments=ten)
            assert len(edited.attachments) == 10


async def test_the_v2_flag_stays(server: LoopbackDiscord) -> None:
    """An edit cannot take the V2 flag away, nor bring content back, and a defer cannot set it."""
    channel, alice = server.add_channel(server.add_guild()), server.add_user("alice")
    async with running(server) as bot:
        answer = await server.slash(alice, channel, "paint", prompt="x")
        assert answer.message is not None
        before = answer.text
        for payload in ({"flags": 0, "components": [row(button())]}, {"content": "y"}):
            assert await code_of(patch(bot, answer.message, payload)) == (400, 50035)
        assert (answer.text, answer.message.edits) == (before, 0)
        sent = await server.send_slash(alice, channel, "silent")
        path = f"/interactions/{sent.id}/{sent.token}/callback"
        status, body = await post(server, path, {"type": 5, "data": {"flags": V2}})
        assert (status, body["code"]) == (400, 50035)


def patch(bot: ToyBot, message: Message, payload: Json) -> Any:
    route = Route("PATCH", "/channels/{c}/messages/{m}", c=message.channel.id, m=message.id)
    return bot.http.request(route, json=payload)


@pytest.mark.parametrize("kind", [1, 6, 7, 8, 12])
async def test_wrong_callback_type_is_refused(server: LoopbackDiscord, kind: int) -> None:
    """A slash command is not answered by an update or a list of choices, and stays open after it."""
    channel, alice = server.add_channel(server.add_guild()), server.add_user("alice")
    async with running(server) as bot:
        sent = await server.send_slash(alice, channel, "silent")
        await server.until(lambda: bot.seen)
        path = f"/interactions/{sent.id}/{sent.token}/callback"
        status, _ = await post(server, path, {"type": kind, "data": {}})
        assert status == 400
        await bot.seen[0].response.send_message("still open")
        assert (await server.until_answered(sent)).text == "still open"


async def test_second_answer_and_unanswered_webhook(server: LoopbackDiscord) -> None:
    """A second initial response is 40060; the webhook of an unanswered interaction is unknown."""
    channel, alice = server.add_channel(server.add_guild()), server.add_user("alice")
    async with running(server):
        sent = await server.send_slash(alice, channel, "silent")
        status, body = await post(server, f"/webhooks/{server.state.app_id}/{sent.token}", {"content": "x"})
        assert (status, body["code"]) == (404, 10015)
        path = f"/interactions/{sent.id}/{sent.token}/callback"
        first = {"type": 4, "data": {"content": "x"}}
        assert [(await post(server, f"{path}?with_response=1", first))[0] for _ in range(2)] == [200, 400]


async def test_too_many_choices_are_refused(server: LoopbackDiscord) -> None:
    """An autocomplete answer with 26 choices is refused, one with 25 is taken."""
    channel, alice = server.add_channel(server.add_guild()), server.add_user("alice")
    asked = interactions.create(server.state, interactions.AUTOCOMPLETE, alice, channel, {"name": "x"})
    path = f"/interactions/{asked.id}/{asked.token}/callback?with_response=1"
    choice = {"name": "x", "value": "x"}
    answers = [await post(server, path, {"type": 8, "data": {"choices": [choice] * n}}) for n in (26, 25)]
    assert [status for status, _ in answers] == [400, 200]


LONG: list[Json] = [{"de": "x" * 100, "fr": "x"}, {"de": "x", "fr": "x" * 100}]


def with_options(*options: Json, times: int = 1) -> Json:
    """A command with these, or with as many subcommands that have them."""
    inner: list[Json] = [{"type": 3, "description": "x", **option} for option in options]
    if times > 1:
        inner = [{"type": 1, "name": f"sub{n}", "description": "x", "options": inner} for n in range(times)]
    return {"name": "x", "description": "x", "options": inner}


@pytest.mark.parametrize(
    "command",
    [
        {"name": "Upper", "description": "x"},
        {"name": "x", "description": ""},
        {"name": "x", "description": "x" * 101},
        {"name": "x", "description": "x", "options": [{"type": 3, "name": "o", "description": ""}]},
        {"type": 3, "name": "x" * 33},
        {"type": 3, "name": " Image info"},
        {"type": 3, "name": "Image info", "description": "x"},
        {"type": 3, "name": "Image info", "options": [{"type": 3, "name": "o", "description": "x"}]},
        {"type": 9, "name": "Image info"},
        {"name": "x", "description": "x", "name_localizations": {"de": "Groß"}},
        {"name": "x", "description": "x", "name_localizations": {"de": "x" * 33}},
        {"name": "x", "description": "x", "description_localizations": {"de": "x" * 101}},
        {"name": "x", "description": "x", "description_localizations": {"es": "x"}},
        {"type": 3, "name": "x", "name_localizations": {"ja": "x" * 33}},
        {"name": "good", "description": "x"},
        with_options({"name": "a"}, {"name": "a"}),
        with_options({"name": "a", "name_localizations": {"de": "b"}}, {"name": "b"}),
        with_options(
            *({"name": f"o{n}", "description_localizations": LONG[n % 2]} for n in range(25)), times=4
        ),
    ],
)
async def test_bad_commands_are_refused(server: LoopbackDiscord, command: Json) -> None:
    """A bad name or description in any language, a description of a menu's entry, or too much: all is refused."""
    good: Json = {"name": "good", "description": "x"}
    path = f"/applications/{server.state.app_id}/commands"
    status, body = await send(server, "PUT", path, [good, command])
    assert (status, body["code"]) == (400, 50035)
    assert server.commands == {}


async def test_the_longest_language_counts(server: LoopbackDiscord) -> None:
    """8000 characters a command, of each text the longest language: several languages may hold more than that together."""
    path = f"/applications/{server.state.app_id}/commands"
    options = ({"name": f"o{n}", "description_localizations": LONG[n % 2]} for n in range(25))
    status, _ = await send(server, "PUT", path, [with_options(*options, times=3)])
    assert status == 200


async def test_an_app_has_so_many_menus(server: LoopbackDiscord) -> None:
    """Fifteen entries of messages' menus, and fifteen of people's beside them; names may be those of slash commands."""
    path = f"/applications/{server.state.app_id}/commands"
    menus: list[Json] = [{"type": kind, "name": f"Entry {n}"} for kind in (2, 3) for n in range(15)]
    slash: Json = {"name": "entry", "description": "x"}
    status, body = await send(server, "PUT", path, [*menus, slash, {"type": 3, "name": "entry"}])
    assert (status, body["code"]) == (400, 30032)
    status, _ = await send(server, "PUT", path, [*menus[1:], slash, {"type": 2, "name": "entry"}])
    assert status == 200

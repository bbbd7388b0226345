"""The real bot process while it starts, and whatever Discord answers instead of letting it in."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from workshop.rehearsal.bot import Bot, Evening, easel_evening

BANNED = "<html><head><title>Access denied</title></head><body><h1>Error 1015</h1><p>You are being rate limited</p></body></html>"
SIGN_IN = "<html><body>Welcome to the hotel's network: please sign in.</body></html>"


HURRIED = ["tests.kit.hurried_child"]
"""Whose pauses are short."""


async def all_at_once(cases: Iterable[Any], one: Callable[[Any], Awaitable[None]]) -> None:
    """Each case has a bot of its own; most of what they do is waiting."""

    async def named(case: Any) -> None:
        try:
            await one(case)
        except Exception as error:
            error.add_note(f"in the case {case}")
            raise

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(named(case))


async def serves(evening: Evening) -> None:
    """Somebody gets a picture."""
    await evening.discord.until(lambda: "engine_ready" in evening.bot.log(), 30, evening.bot.log())
    await evening.discord.until(
        lambda: evening.discord.syncs > 0, 30, "commands, for which nobody waits long"
    )
    await evening.finished(await evening.imagine(), timeout_s=40)


def fresh(folder: Path, case: Any) -> Path:
    made = folder / f"{case}"
    made.mkdir()
    return made


async def ends(bot: Bot, *signals: signal.Signals) -> int:
    """The exit code after these signals, one after the other."""
    assert bot.process is not None
    for number in signals:
        bot.process.send_signal(number)
        await asyncio.sleep(0)
    return await asyncio.wait_for(bot.process.wait(), 30)


# ------------------------------------------------------------------ not let in


AT_LOGIN: dict[str, tuple[dict[str, Any], str]] = {
    "503": ({"status": 503}, "Discord is out of order (503)."),
    "429": ({"status": 429, "via": False}, "keeps this machine's address out for a while"),
    "Cloudflare's 1015": (
        {"status": 429, "page": BANNED},
        "keeps this machine's address out for a while, since it asked too often (Cloudflare's error 1015).",
    ),
    "1015 with a pause": ({"status": 429, "page": BANNED, "retry_after": 3}, "Trying again in 3 s."),
    "403 as a page": ({"status": 403, "page": "<h1>Forbidden</h1>"}, "Discord answered 403: Forbidden."),
    "403": ({"status": 403}, "Discord answered 403: loopback fault."),
    "502 as a page": ({"status": 503, "page": "<h1>Bad gateway</h1>"}, "Discord is out of order (503)."),
    "a sign-in page": ({"status": 200, "page": SIGN_IN}, "Something else answers in Discord's place"),
    "reset": ({"reset": True, "times": 2}, "Discord can't be reached"),
}


async def test_not_let_in_at_first(tmp_path: Path) -> None:
    """It says why in a sentence, waits, and comes in once it may: the process does not end for it."""

    async def one(name: str) -> None:
        fault, sentence = AT_LOGIN[name]
        asked = ("/users/@me", "/oauth2/")[
            [*AT_LOGIN].index(name) % 2
        ]  # each meets some of what both may meet
        async with easel_evening(fresh(tmp_path, name), module=HURRIED) as evening:
            evening.discord.fail_next("GET", asked, **fault)
            await evening.bot.start(ready=False)
            await evening.discord.wait_ready(40)
            assert sentence in evening.bot.log()
            assert "Traceback" not in evening.bot.log()
            assert "<" not in evening.bot.log()
            assert "Unclosed" not in evening.bot.log()
            await serves(evening)

    await all_at_once(AT_LOGIN, one)


async def test_the_pauses_grow(tmp_path: Path) -> None:
    """A ban that lasts is asked about ever more seldom, and told to stop in such a pause it ends at once, with 0."""
    async with easel_evening(tmp_path) as evening:
        banned = evening.discord.fail_next(
            "GET", "/users/@me", status=429, page=BANNED, times=9, retry_after=0
        )
        await evening.bot.start(ready=False)
        await evening.discord.until(lambda: evening.bot.log().count("Trying again in") == 3, timeout_s=40)
        assert re.findall(r"Trying again in (\d+) s", evening.bot.log()) == ["2", "4", "8"]
        assert banned.hits == 3
        assert await ends(evening.bot, signal.SIGTERM) == 0


@pytest.mark.parametrize("asked", ["/users/@me", "/oauth2/", "/commands"])
async def test_a_token_refused_anywhere_in_the_start(tmp_path: Path, asked: str) -> None:
    """401: 78 and the sentence without the token, and not one further request of that kind."""
    async with easel_evening(tmp_path) as evening:
        refused = evening.discord.fail_next("*", asked, status=401, times=9)
        await evening.bot.start(token="not.the.token" if asked == "/users/@me" else None, ready=False)
        assert await ends(evening.bot) == 78
        assert "Discord refused the token" in evening.bot.log()
        assert "Traceback" not in evening.bot.log()
        assert "not.the.token" not in evening.bot.log()
        assert refused.hits == 1


# ------------------------------------------------------------------ commands that are not taken


REFUSED: dict[str, dict[str, Any]] = {
    "30034 too many created": {"status": 400, "code": 30034},
    "Cloudflare's 1015": {"status": 429, "page": BANNED, "retry_after": 0},
    "50035 invalid": {"status": 400, "code": 50035},
    "403": {"status": 403, "code": 50001},
    "503": {"status": 503},
    "reset": {"reset": True, "times": 2},
}


async def test_commands_that_are_not_taken(tmp_path: Path) -> None:
    """It starts with those that Discord knows, tells the operator, and pushes them as soon as Discord takes them."""

    async def one(name: str) -> None:
        fault = REFUSED[name]
        async with easel_evening(fresh(tmp_path, name), module=HURRIED) as evening:
            discord = evening.discord
            refused = discord.fail_next("PUT", "/commands", **fault)
            await evening.bot.start()  # on a busy machine before they are pushed for the first time
            await discord.until(lambda: refused.hits == fault.get("times", 1), timeout_s=30)
            await discord.until(lambda: discord.syncs == 1, timeout_s=30, what=evening.bot.log())
            await serves(evening)
            (told,) = discord.messages(discord.dm(discord.owner))
            assert "commands could not be pushed" in told.text
            assert "Traceback" not in evening.bot.log()

    await all_at_once(REFUSED, one)


async def test_commands_that_are_never_answered(tmp_path: Path) -> None:
    """Discord may hold the request for an hour (a rate limit): nobody waits for that."""
    async with easel_evening(tmp_path, module=HURRIED) as evening:
        hold = evening.discord.hold_next("PUT", "/commands")
        await evening.bot.start(ready=False)
        await evening.discord.wait_ready(40)
        assert evening.discord.syncs == 0
        hold.release()
        await evening.discord.until(lambda: evening.discord.syncs == 1)


# ------------------------------------------------------------------ the gateway's codes


@pytest.mark.parametrize("code", [4004, 4013, 4014])
async def test_codes_that_never_pass_end_with_78(tmp_path: Path, code: int) -> None:
    """One sentence that says what to do, and no second session."""
    async with easel_evening(tmp_path) as evening:
        evening.discord.close_sessions(code, times=9)
        await evening.bot.start(ready=False)
        assert await ends(evening.bot) == 78
        assert "Discord" in evening.bot.log()
        assert "token" in evening.bot.log() if code == 4004 else f"code {code}" in evening.bot.log()
        assert "Traceback" not in evening.bot.log()
        assert len(evening.discord.gateway.identifies) == 1


async def test_codes_that_pass(tmp_path: Path) -> None:
    """It connects again and serves people."""

    async def one(code: int) -> None:
        async with easel_evening(fresh(tmp_path, code)) as evening:
            evening.discord.close_sessions(code)
            await evening.bot.start(ready=False)
            await evening.discord.wait_ready(40)
            assert "Traceback" not in evening.bot.log()
            await serves(evening)

    await all_at_once((1000, 1001, 4000, 4007, 4009), one)  # discord.py asks about 1000 alone


async def test_a_gateway_that_is_away_at_the_start(tmp_path: Path) -> None:
    """The very first connection fails, twice: it is tried again."""
    async with easel_evening(tmp_path) as evening:
        evening.discord.fail_next("GET", "/gateway", status=503)
        evening.discord.fail_next("GET", "/gateway", reset=True)
        await evening.bot.start(ready=False)
        await evening.discord.wait_ready(40)
        assert "Traceback" not in evening.bot.log()


async def test_a_gateway_that_ends_every_session(tmp_path: Path) -> None:
    """No hot loop: 1,000 sessions a day, and Discord would take the token away."""
    async with easel_evening(tmp_path) as evening:
        evening.discord.close_sessions(4008, times=10_000)
        await evening.bot.start(ready=False)
        await evening.discord.until(
            lambda: "in a row, so the next one waits" in evening.bot.log(),
            timeout_s=60,
            what=evening.bot.log(),
        )
        assert len(evening.discord.requests_to("GET", "/gateway")) <= 6
        assert await ends(evening.bot, signal.SIGTERM) == 0

"""What `easel doctor --online` asks Discord: is it in reach, does it take the token, may the bot start. Writes nothing.

By the library that the bot connects with, so that proxies and certificates are met alike; no discord.py, whose client
would log in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import aiohttp

from bot import __version__
from bot.config import ConfigError, Settings
from bot.shell.doctor.finding import Finding, bad, ok, warn

API = "https://discord.com/api/v10"
TIMEOUT_S = 15.0
_AGENT = f"DiscordBot (Easel, {__version__})"
_PORTAL = (
    "copy the token again: https://discord.com/developers/applications, your application, Bot, Reset Token"
)

REFUSED = bad("Discord", "It refuses the token.", _PORTAL)


def check_discord(settings: Settings) -> Iterator[Finding]:
    try:
        token = settings.discord.read_token()
    except ConfigError:  # told already; whether there is a way out can be seen without one
        token = ""
    yield tried(token)


def tried(token: str) -> Finding:
    """What Discord says of this token, or whether it can be reached where there is none."""
    try:
        status, user, gateway = asyncio.run(_ask(token))
    except (aiohttp.ClientError, OSError, TimeoutError) as problem:
        why = str(problem) or f"no answer within {TIMEOUT_S:.0f} s"
        return bad(
            "Discord",
            f"It can't be reached: {why}.",
            "let this machine reach discord.com by HTTPS (port 443)",
        )
    if not token:
        return ok("Discord", "It can be reached; there is no token to try.")
    return _judged(status, user, gateway)


async def _ask(token: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """(status, who the token belongs to, what the gateway allows)."""
    headers = {"User-Agent": _AGENT, **({"Authorization": f"Bot {token}"} if token else {})}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        if not token:
            return (await _get(session, "gateway"))[0], {}, {}
        status, user = await _get(session, "users/@me")
        if status != 200:
            return status, user, {}
        return status, user, (await _get(session, "gateway/bot"))[1]


async def _get(session: aiohttp.ClientSession, path: str) -> tuple[int, dict[str, Any]]:
    async with session.get(f"{API}/{path}") as answer:
        try:
            found: Any = await answer.json(content_type=None)
        except ValueError:  # a page of somebody in between
            found = None
        return answer.status, cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _judged(status: int, user: dict[str, Any], gateway: dict[str, Any]) -> Finding:
    match status:
        case 200 if user.get("id"):
            starts = gateway.get("session_start_limit", {})
            left, hours = starts.get("remaining", 1), starts.get("reset_after", 0) / 3_600_000
            name = f"the token is that of {user.get('username', 'a bot')}"
            if not left:
                return bad(
                    "Discord", f"{name}, which has used up its starts of today.", f"wait {hours:.1f} hours"
                )
            return ok("Discord", f"It can be reached, and {name}.")
        case 401:
            return REFUSED
        case 403 | 429:
            why = user.get("message", "no reason given")
            return bad(
                "Discord",
                f"It answers {status} to this machine ({why}).",
                "stop the bot, and try again in an hour",
            )
        case _ if status >= 500:
            return warn("Discord", f"It is out of order (status {status}): see https://discordstatus.com.")
        case _:
            return bad(
                "Discord", f"What answers is not Discord (status {status}).", "look at this machine's proxy"
            )

"""What keeps Discord from us, as a sentence for whoever runs the bot, and whether it may pass. Sends nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import aiohttp
import discord

PAUSE_FIRST_S, PAUSE_MAX_S = 2.0, 900.0
ASKED_MAX_S = 3600.0
"""The longest pause that is kept because Discord asks for it."""
ANSWER_SHOWN = 200
NOT_LET_IN = (
    "Discord refused the token: copy it again from the Bot page of your application at "
    "https://discord.com/developers/applications."
)
AUTHENTICATION_FAILED, DISALLOWED_INTENTS = 4004, 4014
TOO_MANY_CREATED = 30034
CLOSED: Mapping[int | None, str] = {
    AUTHENTICATION_FAILED: NOT_LET_IN,
    4010: "Discord's gateway refused our shard (code 4010): install the newest Easel.",
    4011: "Discord wants a bot in so many servers to connect in parts (code 4011), which Easel can't: leave some servers.",
    4012: "Discord's gateway no longer speaks Easel's version of its language (code 4012): install the newest Easel.",
    4013: "Discord's gateway does not know what Easel asks to be told of (code 4013): install the newest Easel.",
    DISALLOWED_INTENTS: "Discord does not tell this application of its servers (code 4014): look at the Bot page of your "
    "application at https://discord.com/developers/applications.",
}
"""Codes with which the gateway ends a connection for good."""
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_CLOUDFLARE = re.compile(r"error(?:\s+code)?\s*:?\s*(10\d\d)\b", re.IGNORECASE)


class NotDiscord(Exception):
    """Something answered in Discord's place, such as the sign-in page of a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Why the bot is not in Discord."""

    sentence: str
    may_pass: bool = True
    asked_s: float = 0.0
    """The pause that Discord asks for."""


TROUBLES = (
    discord.LoginFailure,
    discord.PrivilegedIntentsRequired,
    discord.ConnectionClosed,
    discord.HTTPException,
    aiohttp.ClientError,
    TimeoutError,
    NotDiscord,
)
"""What `outage_of` explains."""


def outage_of(error: Exception) -> Outage:
    match error:
        case discord.LoginFailure():
            return Outage(sentence=NOT_LET_IN, may_pass=False)
        case discord.PrivilegedIntentsRequired():
            return Outage(sentence=CLOSED[DISALLOWED_INTENTS], may_pass=False)
        case discord.ConnectionClosed():
            final = CLOSED.get(error.code)
            ended = f"Discord ended the connection with code {error.code}."
            return Outage(sentence=final or ended, may_pass=final is None)
        case discord.HTTPException():
            return _refused(error)
        case _:
            return Outage(sentence=_unreachable(error))


def _unreachable(error: Exception) -> str:
    match error:
        case NotDiscord():
            return "Something else answers in Discord's place: check this machine's network and proxy."
        case aiohttp.ClientSSLError():
            return f"Discord can't be reached safely: check this machine's clock, certificates and proxy ({error})."
        case aiohttp.ClientError() if str(error):
            return f"Discord can't be reached: check this machine's network ({error})."
        case _:
            return "Discord can't be reached, it does not answer: check this machine's network."


def _refused(error: discord.HTTPException) -> Outage:
    if error.status == 401:
        return Outage(sentence=NOT_LET_IN, may_pass=False)
    asked_s, answer = _asked_s(error), plain_answer(error)
    if error.code == TOO_MANY_CREATED:
        return Outage(
            sentence="Discord takes no more new commands for a day, since 200 were created in one.",
            asked_s=asked_s,
        )
    if error.status == 429:
        banned = _CLOUDFLARE.search(answer)
        by = f" (Cloudflare's error {banned[1]})" if banned else ""
        return Outage(
            sentence=f"Discord keeps this machine's address out for a while, since it asked too often{by}.",
            asked_s=asked_s,
        )
    if error.status >= 500:
        return Outage(sentence=f"Discord is out of order ({error.status}).", asked_s=asked_s)
    return Outage(sentence=f"Discord answered {error.status}: {answer or 'nothing'}.", asked_s=asked_s)


def _asked_s(error: discord.HTTPException) -> float:
    try:
        return min(ASKED_MAX_S, max(0.0, float(error.response.headers.get("Retry-After", ""))))
    except ValueError:  # none, or a date
        return 0.0


def plain_answer(error: discord.HTTPException) -> str:
    """What Discord, or who stands before it, said: a page becomes its words."""
    words = " ".join(_MARKUP.sub(" ", error.text).split())
    return words[:ANSWER_SHOWN].rstrip(". ")


def is_weather(error: BaseException) -> bool:
    """Whether it is Discord or the network that failed, which one line says as well as a traceback."""
    if isinstance(error, discord.HTTPException):
        return error.status == 429 or error.status >= 500
    return isinstance(
        error,
        aiohttp.ClientError | TimeoutError | ConnectionError | socket.gaierror | discord.ConnectionClosed,
    )


def told(error: BaseException) -> str:
    """An error of the network or of Discord in a few words, for a line of the log."""
    if isinstance(error, discord.HTTPException):
        return f"{error.status} {error.code}: {plain_answer(error)}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def pauses() -> Iterator[float]:
    """Seconds between tries, twice as long each time."""
    pause = PAUSE_FIRST_S
    while True:
        yield pause
        pause = min(PAUSE_MAX_S, pause * 2)

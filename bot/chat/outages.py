"""What keeps Discord from us, and whether it may pass. Sends nothing, and leaves the words to `bot.texts`."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import discord

from bot.texts import out_of_reach
from bot.texts.language import ENGLISH

PAUSE_FIRST_S, PAUSE_MAX_S = 2.0, 900.0
ASKED_MAX_S = 3600.0
"""The longest pause that is kept because Discord asks for it."""
ANSWER_SHOWN = 200
NOT_LET_IN = out_of_reach.not_let_in(ENGLISH)
"""Whoever runs the bot reads it where it runs, whose language is not known."""
TOO_MANY_CREATED = 30034
DISALLOWED_INTENTS = 4014
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
            return _closed(DISALLOWED_INTENTS)
        case discord.ConnectionClosed():
            return _closed(error.code)
        case discord.HTTPException():
            return _refused(error)
        case _:
            return Outage(sentence=_unreachable(error))


def _closed(code: int | None) -> Outage:
    final = out_of_reach.closed_for_good(code, ENGLISH)
    return Outage(sentence=final or out_of_reach.closed(code, ENGLISH), may_pass=final is None)


def _unreachable(error: Exception) -> str:
    match error:
        case NotDiscord():
            return out_of_reach.not_discord(ENGLISH)
        case aiohttp.ClientSSLError():
            return out_of_reach.unsafe(error, ENGLISH)
        case aiohttp.ClientError() if str(error):
            return out_of_reach.unreachable(error, ENGLISH)
        case _:
            return out_of_reach.no_answer(ENGLISH)


def _refused(error: discord.HTTPException) -> Outage:
    if error.status == 401:
        return Outage(sentence=NOT_LET_IN, may_pass=False)
    return Outage(sentence=_refusal(error), asked_s=_asked_s(error))


def _refusal(error: discord.HTTPException) -> str:
    answer = plain_answer(error)
    if error.code == TOO_MANY_CREATED:
        return out_of_reach.too_many_created(ENGLISH)
    if error.status == 429:
        banned = _CLOUDFLARE.search(answer)
        return out_of_reach.kept_out(banned[1] if banned else None, ENGLISH)
    if error.status >= 500:
        return out_of_reach.out_of_order(error.status, ENGLISH)
    return out_of_reach.answered(error.status, answer, ENGLISH)


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

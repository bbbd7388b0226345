"""What keeps Discord from us is one true sentence, in the terminal and in the log, and is asked about ever more seldom."""

from __future__ import annotations

import io
import logging
import socket
import ssl
from itertools import islice
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest
from aiohttp.client_reqrep import ConnectionKey

from bot.chat.gateway import FREE, LIVED_S, PAUSE_MAX_S, GatewayPace, TooSoon
from bot.chat.outages import is_weather, outage_of, pauses
from bot.vitals import logs

KEY = ConnectionKey("discord.com", 443, True, True, None, None, None)
CERTIFICATE = ssl.SSLCertVerificationError("certificate verify failed: certificate has expired")


def http(status: int, answer: Any = "", **headers: str) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="", headers=headers)
    return discord.HTTPException(response, answer)


def closed(code: int) -> discord.ConnectionClosed:
    socket: Any = SimpleNamespace(close_code=code)
    return discord.ConnectionClosed(socket, shard_id=None, code=code)


NETWORK: dict[str, tuple[Exception, str]] = {
    "no such name": (
        aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")),
        "check this machine's network",
    ),
    "refused": (
        aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "Connection refused")),
        "check this machine's network",
    ),
    "certificate": (
        aiohttp.ClientConnectorCertificateError(KEY, CERTIFICATE),
        "clock, certificates and proxy",
    ),
    "TLS": (
        aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "wrong version number")),
        "clock, certificates",
    ),
    "no answer": (TimeoutError(), "it does not answer"),
    "hung up": (aiohttp.ServerDisconnectedError(), "check this machine's network"),
}


@pytest.mark.parametrize(("error", "words"), NETWORK.values(), ids=NETWORK)
def test_the_network_is_told_in_a_sentence_and_may_pass(error: Exception, words: str) -> None:
    """Name, connection, certificate, handshake: each says where to look, and is waited for."""
    outage = outage_of(error)
    assert words in outage.sentence
    assert outage.sentence.endswith((".", ")."))
    assert outage.may_pass


def test_the_gateways_codes_are_told_and_judged() -> None:
    """Each that ends a bot for good has its own sentence; whatever else the gateway ends a connection with may pass."""
    told = {code: outage_of(closed(code)) for code in (*range(1000, 1015), 3000, *range(4000, 4020))}
    assert {code for code, outage in told.items() if not outage.may_pass} == {
        4004,
        4010,
        4011,
        4012,
        4013,
        4014,
    }
    for code, outage in told.items():
        assert ("token" if code == 4004 else f"code {code}") in outage.sentence


@pytest.mark.parametrize(
    ("asked", "kept"), [("7", 7.0), ("", 0.0), ("soon", 0.0), ("999999", 3600.0), ("nan", 0.0)]
)
def test_the_pause_that_discord_asks_for(asked: str, kept: float) -> None:
    """Retry-After is kept, up to an hour; nonsense is none."""
    assert outage_of(http(429, "error code: 1015", **{"Retry-After": asked})).asked_s == kept


def test_a_page_is_told_by_its_words() -> None:
    """No markup, no script, and not the whole of it."""
    page = f"<html><style>a {{b: c}}</style><script>evil()</script><h1>Blocked</h1>{'word ' * 500}</html>"
    sentence = outage_of(http(403, page)).sentence
    assert sentence.startswith("Discord answered 403: Blocked word word")
    assert len(sentence) < 300


def test_pauses_grow_to_a_quarter_of_an_hour() -> None:
    """Twice as long each time, and no longer than that."""
    assert list(islice(pauses(), 12)) == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def logged(error: Exception) -> str:
    out = io.StringIO()
    logs.configure(stream=out, one_line=is_weather)
    try:
        raise error
    except Exception:
        logging.getLogger("discord.client").exception("Attempting a reconnect in 1 s")
    finally:
        logs.configure()
    return out.getvalue()


@pytest.mark.parametrize(
    "error",
    [*(error for error, _ in NETWORK.values()), http(503), http(429), ConnectionResetError(104, "reset")],
    ids=repr,
)
def test_weather_is_one_line_of_the_log(error: Exception) -> None:
    """discord.py's own record of it too: what happened, without where in whose code."""
    text = logged(error)
    assert "Traceback" not in text
    assert text.count("\n") == 1
    assert type(error).__name__ in text


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), http(400), OSError(5, "Input/output error")], ids=repr
)
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    """Nothing is hidden that somebody has to look at."""
    assert "Traceback" in logged(error)


# ------------------------------------------------------------------ the gateway's pace


def after(pace: GatewayPace, now: float, lived_s: float) -> float:
    """Connects when it may, and for that long; the moment at which the connection ends."""
    while True:
        try:
            pace.check(now)
        except TooSoon:
            now += 1.0
        else:
            pace.opened(now)
            return now + lived_s


def test_short_connections_come_ever_more_seldom() -> None:
    """Some at once, then with growing pauses: far fewer than the 1,000 a day for which the token is taken away."""
    pace, now, count = GatewayPace(), 0.0, 0
    while now < 86_400:
        now = after(pace, now, 0.1)
        count += 1
        if count == FREE:
            assert now < 10
    assert count < 86_400 / PAUSE_MAX_S + 20


def test_a_connection_that_lasted_clears_the_record() -> None:
    """Discord asks for a new connection now and then: that one is made at once."""
    pace, now = GatewayPace(), 0.0
    for _ in range(FREE + 5):
        now = after(pace, now, 0.1)
    now = after(pace, now, LIVED_S)
    assert after(pace, now, 0.0) == now


def test_tries_that_open_nothing_are_not_counted() -> None:
    """discord.py has pauses of its own for those."""
    pace = GatewayPace()
    for second in range(100):
        pace.check(float(second))

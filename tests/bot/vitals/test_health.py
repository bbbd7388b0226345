"""The bot's health: what is told to systemd and to the file, and what `easel health` makes of it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.chat.client import EaselClient
from bot.store.db import DatabaseError
from bot.vitals import health
from bot.vitals.health import Health, Signs, Vigilance, look


async def fine() -> None:
    return None


def signs(*, gateway: bool = True, store: object = fine) -> Signs:
    return Signs(gateway=lambda: gateway, store=store)  # type: ignore[arg-type]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The other end of NOTIFY_SOCKET."""
    monkeypatch.setenv(health.NOTIFY_SOCKET, str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(5)
        yield line


async def told(tmp_path: Path, given: Signs, vigilance: Vigilance | None = None) -> list[str]:
    """What `easel health` says after the first look."""
    await Health(tmp_path, given, vigilance=vigilance).beat()
    return look(tmp_path, now=time.time())


async def test_a_healthy_bot_feeds_the_watchdog(tmp_path: Path, systemd: socket.socket) -> None:
    """All is well: the file says so, and so does systemd's socket."""
    assert await told(tmp_path, signs()) == []
    assert systemd.recv(100) == b"WATCHDOG=1"


async def test_a_broken_store_starves_the_watchdog(tmp_path: Path, systemd: socket.socket) -> None:
    """A database that can't be read is told, and the watchdog hears nothing, so that it acts."""

    async def broken() -> None:
        raise DatabaseError("disk I/O error")

    problems = await told(tmp_path, signs(store=broken))
    assert problems == ["The database can't be read: disk I/O error."]
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


async def test_a_store_that_never_answers_is_noticed(tmp_path: Path) -> None:
    """Silence is a problem too."""
    silent = signs(store=lambda: asyncio.Event().wait())
    problems = await told(tmp_path, silent, Vigilance(store_s=0.05))
    assert problems == ["The database has not answered for 0 s."]


async def test_an_outage_of_discord_is_no_illness_for_a_while(tmp_path: Path) -> None:
    """Ten minutes without a gateway are Discord's business; after a quarter of an hour a new process may help."""
    clock = 1000.0
    watched = Health(tmp_path, signs(gateway=False), monotonic=lambda: clock)
    assert await watched.problems() == []
    clock += 600
    assert await watched.problems() == []
    clock += 301
    assert await watched.problems() == ["Discord's gateway has been away for 15 minutes."]


def test_a_bot_that_hangs_or_never_ran(tmp_path: Path) -> None:
    """An old file means that nobody writes it any more."""
    assert "has run" in look(tmp_path, now=0.0)[0]
    (tmp_path / health.FILE).write_text(json.dumps({"at": 1000.0, "problems": []}))
    assert look(tmp_path, now=1000.0 + health.STALE_S) == []
    assert "no sign for 46 s" in look(tmp_path, now=1000.0 + health.STALE_S + 1)[0]
    assert "from now" in look(tmp_path, now=1000.0 - health.STALE_S - 1)[0], "a clock that was set back"
    assert look(tmp_path, now=1000.0 - 1) == []
    (tmp_path / health.FILE).write_text("{")
    assert "can't be read" in look(tmp_path, now=0.0)[0]


async def test_the_client_knows_whether_its_gateway_is_there(tmp_path: Path) -> None:
    """discord.py's own events tell it: not yet, connected, gone, resumed."""

    async def nothing(*_: object) -> None:
        return None

    async with EaselClient(on_setup=nothing, on_close=nothing, on_drain=nothing) as client:
        seen = [client.is_connected]
        for event in ("connect", "disconnect", "resumed"):
            client.dispatch(event)
            await asyncio.sleep(0.01)
            seen.append(client.is_connected)
    assert seen == [False, True, False, True]

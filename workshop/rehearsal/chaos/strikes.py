"""Whom a storm strikes, how and at which moment; knows processes and signals, judges nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from workshop.rehearsal.bot import ROOT, Bot
from workshop.rehearsal.chaos.hosts import Hosts, children_of
from workshop.rehearsal.chaos.plan import Plan
from workshop.rehearsal.loopback.driver import Interaction, LoopbackDiscord

HOWS = ("SIGKILL", "SIGSTOP", "SIGSTOP and SIGKILL")
"""A process that is stopped goes on later, unless it is killed then. Only the bot is told to end, by SIGTERM."""
MOMENTS = ("any", "start", "defer", "download", "drain", "backup")
OF_THE_ENGINE = ("any", "defer", "download")
"""Moments that come without a hand being laid on the bot."""
PROGRESS_S = 180.0
"""A storm in which nothing moves for so long has lost its bot."""
MOMENT_S, FRESH_MS = 10.0, 2000.0
"""So long a moment is waited for, and so old its signs may be."""
START_S, STOPPED_S, DRAINING_S, AGAIN_S = (0.0, 1.5), (0.2, 1.5), (0.0, 0.4), (0.0, 0.3)
ENDS_WITHIN_S = 60.0
"""A bot that was told to end drains for 8 s, on a machine that may be busy."""
PART_LOOKS, PART_LOOK_S = 600, 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    victim: str
    how: str
    moment: str


def draw(random: Random, victims: tuple[str, ...]) -> Strike:
    victim = random.choice(victims)
    moment = random.choice(OF_THE_ENGINE if not {"bot", "both"} & {*victims} else MOMENTS)
    return Strike(
        victim=victim, how=random.choice((*HOWS, *(["SIGTERM"] * (victim == "bot")))), moment=moment
    )


def told(strikes: list[Strike]) -> str:
    """How often whom, how and when, in words."""
    victims, hows, moments = (
        dict(Counter(getattr(strike, name) for strike in strikes)) for name in ("victim", "how", "moment")
    )
    return f"killed {victims} by {hows} in {moments}"


@dataclass(slots=True, kw_only=True)
class Striker:
    """Carries all of a plan's strikes out, spread over the time in which people ask."""

    plan: Plan
    random: Random
    discord: LoopbackDiscord
    bot: Bot
    promised: Callable[[], int]
    drawn: Callable[[], int]
    """Messages with pictures."""
    asked: list[Interaction]
    hosts: Hosts | None = None
    strikes: list[Strike] = field(default_factory=list[Strike])
    told_to_end: set[int] = field(default_factory=set[int])
    copies: list[Process] = field(default_factory=list[Process])
    """Processes of `easel backup`."""

    @property
    def is_done(self) -> bool:
        return len(self.strikes) == self.plan.kills

    async def strike_all(self) -> None:
        drawn = [draw(self.random, self.plan.victims) for _ in range(self.plan.kills)]
        for number, strike in enumerate(drawn):
            due = (number + self.random.random()) / self.plan.kills * self.plan.jobs
            await self.discord.until(lambda due=due: self.promised() >= due, PROGRESS_S, "another promise")
            if self.hosts is not None:  # engines start slowly there: one that never draws proves nothing
                before = self.drawn()
                await self.discord.until(lambda before=before: self.drawn() > before, PROGRESS_S, "a picture")
            self.strikes.append(await self._strike(strike))
        for copy in self.copies:
            await asyncio.wait_for(copy.wait(), PROGRESS_S)

    async def _strike(self, strike: Strike) -> Strike:
        """As it was really done: some moments don't come."""
        came = await self._await_moment(strike.moment)
        if strike.moment == "drain" and self._pid() is None:  # it has ended already, as it was told
            return strike
        pids = await self.discord.until(
            lambda: self._pids(strike.victim), PROGRESS_S, f"{strike.victim} to kill"
        )
        if strike.how == "SIGTERM":
            await self.end()
        elif strike.how == "SIGKILL":
            send(pids, signal.SIGKILL)
        else:
            send(pids, signal.SIGSTOP)
            await self._pause(STOPPED_S)
            send(pids, signal.SIGCONT if strike.how == "SIGSTOP" else signal.SIGKILL)
        if strike.victim == "host" and strike.how != "SIGSTOP" and self.hosts is not None:
            self.hosts.lost(pids[0])
        return strike if came else replace(strike, moment="any")

    async def _pause(self, between_s: tuple[float, float]) -> None:
        await asyncio.sleep(self.random.uniform(*between_s))

    # -------------------------------------------------------------- whom

    def _pid(self) -> int | None:
        """The bot's, while it runs."""
        bot = self.bot.process
        return bot.pid if bot is not None and bot.returncode is None else None

    def _pids(self, victim: str) -> list[int]:
        """One engine, several, or all with their bot; empty where one of them is not there to be struck."""
        if self.hosts is not None and victim in ("actor", "worker", "host"):
            there = self.hosts.hosts if victim == "host" else self.hosts.actors
            if victim == "worker":
                there = [pid for actor in there for pid in engines_of(actor)]
            return [self.random.choice(there)] if there else []
        bot = self._pid()
        if bot is None or victim == "bot":
            return [] if bot is None else [bot]
        engines = engines_of(bot)
        if not engines or (victim == "engines" and len(engines) < 2):
            return []
        match victim:
            case "engine":
                return [self.random.choice(engines)]
            case "engines":
                return self.random.sample(engines, self.random.randint(2, len(engines)))
            case _:
                return [*engines, bot]

    async def end(self) -> None:
        """Tells the bot to end, sometimes twice, once it can hear; that it does is waited for."""
        process = self.bot.process
        assert process is not None
        await self._tell()
        if self.random.random() < 0.3:
            await self._pause(AGAIN_S)
            send([process.pid] * (process.returncode is None), signal.SIGTERM)
        await self.discord.until(
            lambda: process.returncode is not None, ENDS_WITHIN_S, "a bot that ends when told"
        )

    async def _tell(self) -> None:
        process = self.bot.process
        assert process is not None
        await self.discord.until(lambda: process.returncode is not None or hears(process.pid), PROGRESS_S)
        self.told_to_end.add(process.pid)
        send([process.pid] * (process.returncode is None), signal.SIGTERM)

    # -------------------------------------------------------------- when

    async def _await_moment(self, moment: str) -> bool:
        """Whether it came."""
        match moment:
            case "start":
                await self._restart()
                await self._pause(START_S)
            case "defer":
                return await self._comes(self._is_thinking)
            case "download":
                return await self._comes(self._is_downloading)
            case "drain":
                await self.discord.until(self._pid, PROGRESS_S, "a bot to end")
                await self._tell()
                await self._pause(DRAINING_S)
            case "backup":
                return await self._back_up()
            case _:
                await self._pause((0.0, 0.3))
        return True

    async def _comes(self, sign: Callable[[], bool]) -> bool:
        with contextlib.suppress(AssertionError):
            return await self.discord.until(sign, MOMENT_S)
        return False

    def _is_thinking(self) -> bool:
        since = self.discord.clock.uptime_ms() - FRESH_MS
        fresh = (one for one in self.asked[-50:] if one.sent_ms > since)
        return any(one.original is not None and one.original.loading for one in fresh)

    def _is_downloading(self) -> bool:
        since = self.discord.clock.uptime_ms() - FRESH_MS
        fresh = (one for one in self.discord.requests[-200:] if one.at_ms > since)
        return any("ephemeral-attachments/" in one.path and one.status is None for one in fresh)

    async def _restart(self) -> Process:
        """A bot that has just begun."""
        old = self.bot.process
        if (pid := self._pid()) is not None:
            send([pid], signal.SIGKILL)
        await self.discord.until(
            lambda: self.bot.process is not old and self._pid(), PROGRESS_S, "another bot"
        )
        assert self.bot.process is not None
        return self.bot.process

    async def _back_up(self) -> bool:
        """A backup is due and made, by the bot at its start and by `easel backup` beside it; one is half-made now."""
        folder = self.bot.folder / "data" / "backups"
        for made in folder.glob("easel-*.sqlite3"):
            made.unlink(missing_ok=True)
        bot = await self._restart()
        with (self.bot.folder / "backup.log").open("ab") as log:
            copy = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot", "backup", "--config", self.bot.file,
                cwd=ROOT, env=self.bot.environment(), stdout=log, stderr=log,
            )  # fmt: skip
        self.copies.append(copy)
        maker = self.random.choice((bot, copy))
        for _ in range(PART_LOOKS):  # nobody tells of a file that is there for some milliseconds
            if maker.returncode is not None or any(folder.glob(f".*.{maker.pid}.part")):
                break
            await asyncio.sleep(PART_LOOK_S)
        came = any(folder.glob(f".*.{maker.pid}.part"))
        if maker is copy and copy.returncode is None:
            send([copy.pid], signal.SIGKILL)
        return came


# ------------------------------------------------------------------ processes


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def hears(pid: int) -> bool:
    """Whether it has a handler for SIGTERM yet: before, Python has only begun to load it."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
    return False


def engines_of(pid: int) -> list[int]:
    """The process ids of a bot's engines, or of its links to them."""
    return children_of(pid, b"spawn_main")

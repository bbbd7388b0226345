"""People who ask for pictures while bot and engine are killed at random moments; knows processes, judges nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from rehearsal.chaos.plan import Plan
from rehearsal.chaos.weather import weather
from rehearsal.easel import Bot, png
from rehearsal.loopback import CannotDo, Channel, Interaction, LoopbackDiscord, Message, Upload, User

LIVE = ("accepted", "queued", "running", "rendered")
PEOPLE, CHANNELS, UNDER_WAY = 12, 3, 24
PROGRESS_S = 180.0
"""A storm in which nothing moves for so long has lost its bot."""
PATIENCE_MS = 3000.0
"""After so long without an answer people see that the bot did not respond."""
LIMITS = """
[limits]
credits_per_day = 10000
pending = 50
[queue]
max = 1000
"""
PHOTO = Upload(filename="photo.png", bytes=png(96, 64))
FAKE = {"step_s": 0.004, "decode_s": 0.02, "slots": 3}


@dataclass(slots=True, kw_only=True)
class Storm:
    """One run: what was asked, and what was killed."""

    plan: Plan
    random: Random
    discord: LoopbackDiscord
    bot: Bot
    channels: list[Channel]
    people: list[User]
    asked: list[Interaction] = field(default_factory=list[Interaction])
    cancels: set[int] = field(default_factory=set[int])
    """Ids of messages whose Cancel somebody pressed."""
    kills: dict[str, int] = field(default_factory=dict[str, int])
    exits: list[int] = field(default_factory=list[int])
    """Exit codes of bots that were not killed."""
    over: bool = False

    # -------------------------------------------------------------- people

    async def ask_all(self) -> None:
        """Until so many pictures were promised, never too many at a time.

        A tenth are rerolls, a fifth start from an image, some are cancelled again.
        """
        while self.promised() < self.plan.jobs:
            if self.discord.gateway.ready and self.under_way() < UNDER_WAY:
                with contextlib.suppress(CannotDo):  # the bot went off-line in this moment
                    await self._ask()
            await asyncio.sleep(self.random.uniform(0, 0.08))

    async def _ask(self) -> None:
        user, dice = self.random.choice(self.people), self.random.random()
        if dice < 0.1 and (message := self._some_message("Reroll")) is not None:
            self.asked.append(await self.discord.send_click(user, message, "Reroll"))
        elif dice < 0.14 and (message := self._some_message("Cancel")) is not None:
            assert message.interaction is not None
            await self.discord.send_click(message.interaction.user, message, "Cancel")
            self.cancels.add(message.id)
        else:
            start: dict[str, Any] = {"image": PHOTO} if self.random.random() < 0.2 else {}
            self.asked.append(
                await self.discord.send_slash(
                    user,
                    self.random.choice(self.channels),
                    "imagine",
                    prompt=f"picture {len(self.asked)}",
                    **start,
                )
            )
        if self.random.random() < 0.05:  # a gateway may deliver an event again
            await self.discord.replay_last_interaction()

    def _some_message(self, button: str) -> Message | None:
        having = [message for message in self.messages() if button in labels(message)]
        return self.random.choice(having) if having else None

    def messages(self) -> list[Message]:
        """All there are, in channels and direct messages."""
        places = [*self.channels, *(self.discord.dm(user) for user in self.people)]
        return [message for place in places for message in self.discord.messages(place)]

    def promised(self) -> int:
        """Requests whose people see a message for them, which is no refusal."""
        return sum(is_promise(asked.original) for asked in self.asked)

    def under_way(self) -> int:
        now = self.discord.clock.uptime_ms()
        fresh = sum(is_open(one) and now - one.sent_ms < PATIENCE_MS for one in self.asked)
        return fresh + sum("Cancel" in labels(message) for message in self.messages())

    # -------------------------------------------------------------- processes

    async def kill_all(self) -> None:
        """All kills, spread at random over the time in which people ask."""
        for number in range(self.plan.kills):
            share = (number + self.random.random()) / self.plan.kills
            due = share * self.plan.jobs
            await self.discord.until(lambda due=due: self.promised() >= due, PROGRESS_S, "another promise")
            await asyncio.sleep(self.random.uniform(0, 0.3))
            victim = self.random.choice(self.plan.victims)
            await self.discord.until(
                lambda victim=victim: self._strike(victim), PROGRESS_S, f"{victim} to kill"
            )
            self.kills[victim] = self.kills.get(victim, 0) + 1

    def _strike(self, victim: str) -> bool:
        """Kills, if it is there to be killed."""
        bot = self.bot.process
        if bot is None or bot.returncode is not None:
            return False
        engine = engine_of(bot.pid)
        if victim != "bot":
            if engine is None:
                return False
            kill(engine)
        if victim != "engine":
            kill(bot.pid)
        return True

    async def keep_running(self) -> None:
        """What systemd does: whenever the bot has ended it is started again."""
        while not self.over:
            await self.bot.start(ready=False)
            assert self.bot.process is not None
            code = await self.bot.process.wait()
            if code != -signal.SIGKILL and not self.over:
                self.exits.append(code)
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        """Until every request has come to its end, in the store and in Discord, if it does."""
        with contextlib.suppress(AssertionError):
            await self.discord.until(self.is_quiet, timeout_s=self.plan.calm_s)

    def is_quiet(self) -> bool:
        with contextlib.suppress(Exception):  # the database may be recovering
            states = self.bot.states()
            calm = not any(state in LIVE for state in states)
            return calm and not any("Cancel" in labels(message) for message in self.messages())
        return False


def is_promise(message: Message | None) -> bool:
    """Whether an answer is a job's message: a deferral promises nothing yet, and a refusal is a line of text."""
    return message is not None and message.is_v2 and not message.ephemeral


def is_open(asked: Interaction) -> bool:
    """Nobody has been told anything yet."""
    return asked.answer is None or (asked.original is not None and asked.original.loading)


def labels(message: Message) -> set[str]:
    return {button.label for button in message.buttons}


def engine_of(pid: int) -> int | None:
    """The process id of a bot's engine, read from Linux' process table."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return None


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def storm(folder: Path, plan: Plan, **bot: Any) -> AsyncGenerator[Storm]:
    """Runs it to its end; the bot still runs inside the block."""
    random = Random(plan.seed)
    async with LoopbackDiscord() as discord:
        guild = discord.add_guild()
        run = Storm(
            plan=plan,
            random=random,
            discord=discord,
            bot=Bot(
                discord=discord,
                folder=folder,
                module=["rehearsal.chaos.child"],
                toml=LIMITS,
                fake=FAKE,
                **bot,
            ),
            channels=[discord.add_channel(guild, f"art-{number}") for number in range(CHANNELS)],
            people=[discord.add_user(f"user-{number}") for number in range(PEOPLE)],
        )
        keeper = asyncio.create_task(run.keep_running())
        try:
            await discord.until(lambda: "imagine" in discord.commands, 60, "a bot that offers /imagine")
            bad = weather(random, plan.lost_replies)
            discord.state.faults.append(bad)
            await asyncio.gather(run.ask_all(), run.kill_all())
            bad.times = 0
            await run.end()
            yield run
        finally:
            run.over = True
            if run.bot.process is not None and run.bot.process.returncode is None:
                run.bot.process.kill()
                await run.bot.process.wait()
            await keeper

"""People who ask for pictures while bot and engine are struck at random moments; judges nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from workshop.rehearsal.bot import Bot, png
from workshop.rehearsal.chaos.files import leftovers, let_a_year_pass, of_deleted
from workshop.rehearsal.chaos.hosts import Hosts, hosts
from workshop.rehearsal.chaos.plan import Plan
from workshop.rehearsal.chaos.strikes import PROGRESS_S, Striker
from workshop.rehearsal.chaos.weather import SlowFiles, weather
from workshop.rehearsal.loopback.driver import (
    CannotDo,
    Channel,
    Interaction,
    LoopbackDiscord,
    Message,
    Permission,
    Upload,
    User,
)

LIVE = ("accepted", "queued", "running", "rendered")
PEOPLE, CHANNELS, UNDER_WAY = 12, 3, 24
BACKUPS_KEPT = 3
SWEPT_WITHIN_S = 30.0
PATIENCE_MS = 3000.0
"""After so long without an answer people see that the bot did not respond."""
LIMITS = f"""
[limits]
credits_per_day = 10000
pending = 50
[queue]
max = 1000
[backup]
keep = {BACKUPS_KEPT}
"""
ACKNOWLEDGED = 6
"""A press that was carried out is answered without words."""
PHOTO = Upload(filename="photo.png", bytes=png(96, 64))
FAKE = {"step_s": 0.004, "decode_s": 0.02, "slots": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Of a button that takes something away."""

    button: str
    message: Message
    interaction: Interaction

    @property
    def is_done(self) -> bool:
        """Whether it was acknowledged: what is refused is told in a message."""
        return self.interaction.answer is not None and self.interaction.answer["type"] == ACKNOWLEDGED


@dataclass(slots=True, kw_only=True)
class Storm:
    """One run: what was asked, and what was killed."""

    plan: Plan
    random: Random
    discord: LoopbackDiscord
    bot: Bot
    channels: list[Channel]
    people: list[User]
    admin: User
    striker: Striker
    asked: list[Interaction]
    presses: list[Press] = field(default_factory=list["Press"])
    blocked: set[int] = field(default_factory=set[int])
    """Ids of people whom the admin blocked for a while."""
    blocked_now: User | None = None
    exits: list[int] = field(default_factory=list[int])
    """Exit codes of bots that were not killed, and did not end well as they were told to."""
    growth: list[str] = field(default_factory=list[str])
    """Files that nobody has a use for, once all is over and the bot has ended."""
    may_run: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    # -------------------------------------------------------------- people

    async def ask_all(self) -> None:
        """Until so many pictures were promised, never too many at a time.

        A tenth are rerolls, a fifth start from an image, some are cancelled again, maybe at once, and some deleted.
        """
        while self.striker.promised() < self.plan.jobs or not self.striker.is_done:
            if self.discord.gateway.ready and self.under_way() < UNDER_WAY:
                with contextlib.suppress(CannotDo):  # the bot went off-line in this moment
                    await self._ask()
            await asyncio.sleep(self.random.uniform(0, 0.08))

    async def _ask(self) -> None:
        user, dice = self.random.choice(self.people), self.random.random()
        if dice < 0.1 and (message := self._some_message("Reroll")) is not None:
            self.asked.append(await self.discord.send_click(user, message, "Reroll"))
        elif dice < 0.17 and (message := self._some_message("Cancel")) is not None:
            await self._press(message, "Cancel")
        elif dice < 0.20 and (message := self._some_message("Delete")) is not None:
            await self._press(message, "Delete")
        elif dice < 0.22 and (message := self._some_message("Info")) is not None:
            await self.discord.send_click(user, message, "Info")
        elif dice < 0.24:
            await self._block_or_unblock()
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
        """Any that has the button, as often as not the newest: its answer may not even have come back to the bot."""
        having = [message for message in self.messages() if button in labels(message)]
        if not having:
            return None
        newest = max(having, key=lambda message: message.id)
        return newest if self.random.random() < 0.5 else self.random.choice(having)

    async def _press(self, message: Message, button: str) -> None:
        """By the person whose message it is."""
        if message.interaction is not None:
            sent = await self.discord.send_click(message.interaction.user, message, button)
            self.presses.append(Press(button=button, message=message, interaction=sent))

    async def _block_or_unblock(self) -> None:
        """Never the first of all people, so that there is always one who may ask."""
        somebody, channel = self.blocked_now, self.channels[0]
        if somebody is None:
            somebody = self.blocked_now = self.random.choice(self.people[1:])
            self.blocked.add(somebody.id)
            await self.discord.send_slash(self.admin, channel, "limits set", member=somebody, credits=0)
        else:
            await self.discord.send_slash(self.admin, channel, "limits reset", member=somebody)
            self.blocked_now = None

    def pressed(self, button: str, *, done: bool = False) -> set[int]:
        """Ids of messages whose button somebody pressed, and was told that it is done."""
        return {
            press.message.id
            for press in self.presses
            if press.button == button and (press.is_done or not done)
        }

    def messages(self) -> list[Message]:
        """All there are, in channels and direct messages."""
        places = [*self.channels, *(self.discord.dm(user) for user in self.people)]
        return [message for place in places for message in self.discord.messages(place)]

    def under_way(self) -> int:
        now = self.discord.clock.uptime_ms()
        fresh = sum(is_open(one) and now - one.sent_ms < PATIENCE_MS for one in self.asked)
        return fresh + sum("Cancel" in labels(message) for message in self.messages())

    # -------------------------------------------------------------- processes

    async def keep_running(self) -> None:
        """What systemd does: whenever the bot has ended it is started again."""
        while not self.over:
            await self.may_run.wait()
            await self.bot.start(ready=False)
            assert self.bot.process is not None
            code = await self.bot.process.wait()
            is_told = self.bot.process.pid in self.striker.told_to_end
            if code != -signal.SIGKILL and not (code == 0 and is_told) and not self.over:
                self.exits.append(code)
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        """Until every request has come to its end, in the store and in Discord, if it does."""
        with contextlib.suppress(AssertionError):
            await self.discord.until(self.is_quiet, timeout_s=self.plan.calm_s)

    async def look_for_growth(self) -> None:
        """One more quiet start and stop, a year later for what nobody asks for; then the bot runs again."""
        data = self.bot.folder / "data"
        await self._rest()
        deleted = of_deleted(data)
        let_a_year_pass(data, leftovers(data, backups=BACKUPS_KEPT))
        await self._wake()
        with contextlib.suppress(AssertionError):
            await self.discord.until(
                lambda: not leftovers(data, backups=BACKUPS_KEPT, running=True), SWEPT_WITHIN_S
            )
        await self._rest()
        self.growth = [*deleted, *leftovers(data, backups=BACKUPS_KEPT)]
        await self._wake()

    async def _rest(self) -> None:
        self.may_run.clear()
        await self.striker.end()
        await self.discord.wait_gone()

    async def _wake(self) -> None:
        self.may_run.set()
        await self.discord.wait_ready(PROGRESS_S)

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


@asynccontextmanager
async def storm(folder: Path, plan: Plan, **bot: Any) -> AsyncGenerator[Storm]:
    """Runs it to its end; the bot still runs inside the block."""
    random = Random(plan.seed)
    async with AsyncExitStack() as stack:
        cluster = (
            await stack.enter_async_context(hosts(plan.engines, folder / "cluster.out"))
            if plan.fleet == "ray"
            else None
        )
        discord = await stack.enter_async_context(LoopbackDiscord())
        run = _set_up(folder, plan, discord, random, bot, cluster)
        run.may_run.set()
        keeper = asyncio.create_task(run.keep_running())
        try:
            await discord.until(lambda: "imagine" in discord.commands, 60, "a bot that offers /imagine")
            bad = weather(random, plan.lost_replies)
            discord.state.faults.append(bad)
            discord.state.holds.append(SlowFiles(random))
            await asyncio.gather(run.ask_all(), run.striker.strike_all())
            bad.times = 0
            await run.end()
            await run.look_for_growth()
            yield run
        finally:
            run.over = True
            run.may_run.set()
            for process in [run.bot.process, *run.striker.copies]:
                if process is not None and process.returncode is None:
                    process.kill()
                    await process.wait()
            await keeper


def _set_up(
    folder: Path,
    plan: Plan,
    discord: LoopbackDiscord,
    random: Random,
    options: dict[str, Any],
    cluster: Hosts | None,
) -> Storm:
    guild, asked = discord.add_guild(), list[Interaction]()
    address = "" if cluster is None else f'address = "{cluster.address}"\n'
    bot = Bot(
        discord=discord,
        folder=folder,
        module=["workshop.rehearsal.chaos.child"],
        toml=f'{LIMITS}[engine]\nfleet = "{plan.fleet}"\nengines = {plan.engines}\n{address}',
        fake=FAKE,
        **options,
    )
    striker = Striker(
        plan=plan,
        random=random,
        discord=discord,
        bot=bot,
        promised=lambda: sum(is_promise(each.original) for each in asked),
        drawn=lambda: sum(
            any(name.startswith("easel-") for name in each.original.shown_files)
            for each in asked
            if each.original
        ),
        asked=asked,
        hosts=cluster,
    )
    return Storm(
        plan=plan,
        random=random,
        discord=discord,
        bot=bot,
        channels=[discord.add_channel(guild, f"art-{number}") for number in range(CHANNELS)],
        people=[discord.add_user(f"user-{number}") for number in range(PEOPLE)],
        admin=discord.add_user("boss", permissions=Permission.MANAGE_GUILD),
        striker=striker,
        asked=asked,
    )

"""The one harness for what people do: the bot in the test's own process on the loopback Discord, with a fake engine or a real one.

    world = await World.start(folder, fake=FakeSettings(step_s=0.01))
    message = await world.imagined(prompt="a red circle")
    answer = await world.alice.click(message, "Reroll")
    await world.restart()

An answer is what the bot said first; its message is live, so what comes later is waited for with `until` and `reaches`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from discord import ui

from bot.app import create_app
from bot.chat import tree
from bot.chat.client import EaselClient
from bot.chat.ids import Verb
from bot.chat.router import Router
from bot.chat.translator import CommandTranslator
from bot.config import Settings
from bot.config.engine import engine_settings
from bot.core.engines.engine_client import EngineClient
from bot.core.engines.fleet import LocalFleet
from bot.core.engines.status import Phase
from bot.core.line.dispatcher import Dispatcher
from bot.job import Job, JobState
from bot.store import Store
from bot.texts import language
from engine.contract import EngineSettings, FakeSettings
from workshop.rehearsal.loopback.driver import (
    Answer,
    Channel,
    Guild,
    LoopbackDiscord,
    Message,
    Permission,
    Role,
    Upload,
    User,
    client_options,
)
from workshop.rehearsal.loopback.world import walk

T = TypeVar("T")
WITHIN_S = 20.0
GALLERY = 12
POLL_S = 0.02


class TurnableClock:
    """Real time that a test can move forward."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now(self) -> float:
        return time.time() + self.offset_s


_translated = tree.translated
_told: dict[tuple[Path, str], list[dict[str, Any]]] = {}
"""What Discord was told of the same commands before: their translation takes longer than all else at a start."""


async def translated_once(router: Router, translator: CommandTranslator) -> list[dict[str, Any]]:
    untranslated = json.dumps([each.to_dict(router) for each in router.get_commands()])
    key = language.LOCALES, untranslated
    if key not in _told:
        _told[key] = await _translated(router, translator)
    return _told[key]


_arrived: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = []
"""What was pushed, and what came of it by wire."""


def push_by_wire_once(discord: LoopbackDiscord, client: EaselClient) -> None:
    """The same commands come to the next Discord without their megabyte being written and read again."""
    by_wire = client.http.bulk_upsert_global_commands

    async def push(application_id: int, payload: list[dict[str, Any]]) -> Any:
        for pushed, arrived in _arrived:
            if pushed is payload:
                return discord.state.sync(None, arrived)
        answer = await by_wire(application_id, payload=payload)
        _arrived.append((payload, discord.requests_to("PUT", "/commands")[-1].json["_"]))
        return answer

    client.http.bulk_upsert_global_commands = push  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in front of Discord; what they do returns the bot's first answer."""

    discord: LoopbackDiscord
    user: User

    @property
    def id(self) -> int:
        return self.user.id

    async def slash(self, channel: Channel, command: str, /, **options: Any) -> Answer:
        """Types a command; an attachment is (file name, bytes), a person may stand for their account."""
        return await self.discord.slash(self.user, channel, command, **_plain(options))

    async def autocomplete(
        self, channel: Channel, command: str, focus: str, typed: str, /, **options: Any
    ) -> Any:
        """The choices for the option `focus` with `typed` in it."""
        return await self.discord.autocomplete(
            self.user, channel, command, focus, **{focus: typed}, **options
        )

    async def click(self, message: Message | None, button: str) -> Answer:
        """Presses the button with this label, emoji or id."""
        assert message is not None
        return await self.discord.click(self.user, message, button)

    async def select(self, message: Message, menu: str, *values: str) -> Answer:
        return await self.discord.select(self.user, message, menu, *values)

    async def menu(self, message: Message, name: str) -> Answer:
        """Chooses this entry of the bot's menu of a message."""
        return await self.discord.menu(self.user, message, name)

    def posts(self, channel: Channel, *files: tuple[str, bytes] | Upload, text: str = "") -> Message:
        """A message of theirs, of which the bot is not told; a file is (name, bytes)."""
        uploads = (
            file if isinstance(file, Upload) else Upload(filename=file[0], bytes=file[1]) for file in files
        )
        return self.discord.post(self.user, channel, text, *uploads)

    async def submit(self, modal: Answer, **values: Any) -> Answer:
        """Sends the form that an answer opened; a field that is left out keeps its value."""
        assert modal.interaction.user is self.user
        return await self.discord.submit(modal, **values)


def settings_for(folder: Path, **changes: dict[str, Any]) -> Settings:
    values: dict[str, dict[str, Any]] = {
        "data": {"dir": str(folder)},
        "progress": {"interval_s": 0.2},
        **changes,
    }
    return Settings.model_validate(values)


@dataclass(slots=True)
class World:
    """One server with one channel, a member and an admin, and the bot in it."""

    settings: Settings
    fake: FakeSettings | None
    """Of the next engine; None: the real one, with the configured model."""
    discord: LoopbackDiscord
    guild: Guild
    channel: Channel
    alice: Person
    admin: Person
    clock: TurnableClock = field(default_factory=TurnableClock)
    _client: EaselClient | None = None
    _service: asyncio.Task[None] | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @classmethod
    async def start(cls, folder: Path, *, fake: FakeSettings | None, **changes: dict[str, Any]) -> World:
        stack = AsyncExitStack()
        discord = await stack.enter_async_context(LoopbackDiscord())
        guild = discord.add_guild("Testers")
        admin = discord.add_user("theo")
        powers = Permission.MANAGE_GUILD | Permission.MANAGE_MESSAGES
        discord.add_role(guild, "admins", permissions=powers, members=(admin,))
        world = cls(
            settings=settings_for(folder, **changes),
            fake=fake,
            discord=discord,
            guild=guild,
            channel=discord.add_channel(guild, "imagine"),
            alice=Person(discord, discord.add_user("alice")),
            admin=Person(discord, admin),
            _stack=stack,
        )
        try:
            await world._come()
        except BaseException:
            await world.stop()
            raise
        return world

    async def _come(self) -> None:
        """A new process, as far as the bot and Discord can tell."""
        with mock.patch.object(tree, "translated", translated_once):
            await self._begin()

    async def _begin(self) -> None:
        engine = engine_settings(self.settings)
        if self.fake is not None:
            engine = EngineSettings(
                model="fake",
                spool=str(self.settings.spool),
                models=engine.models,
                unload_after_s=engine.unload_after_s,
                fake=self.fake,
            )
        options = client_options(self.discord.address, self.discord.ca_pem)
        engines = 1 if self.settings.engine.engines == "auto" else self.settings.engine.engines
        client = create_app(
            self.settings, engine, engines=engines, clock=self.clock, supervised=False, **options
        )
        push_by_wire_once(self.discord, client)
        self._client = client
        self._service = asyncio.create_task(client.start(self.discord.token))
        ready = asyncio.create_task(client.wait_until_ready())
        await asyncio.wait({self._service, ready}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await asyncio.wait_for(self._service, 0.1)
            raise AssertionError("the bot did not get ready")
        await self.until(lambda: self.engine.status.models or self.engine.status.reason)

    async def _go(self) -> None:
        if self._client is not None:
            if self._client.is_ready():
                engine = self.engine
                if engine.status.phase is Phase.LOADING and engine.pid is not None:
                    with contextlib.suppress(ProcessLookupError):  # one that is broken leaves by itself
                        os.kill(
                            engine.pid, signal.SIGKILL
                        )  # while it loads it hears nothing: it would be waited for
            await self._client.close()
        if self._service is not None:
            await asyncio.gather(self._service, return_exceptions=True)
        await self.discord.wait_gone()

    async def stop(self) -> None:
        try:
            await self._go()
        finally:
            await self._stack.aclose()

    async def restart(self) -> None:
        """New client, new engine, same database and same Discord."""
        await self._go()
        await self._come()

    # -------------------------------------------------------------- people and places

    def person(self, name: str, *roles: Role, locale: str = "en-US") -> Person:
        """Another member."""
        user = self.discord.add_user(name, locale=locale)
        if roles:
            self.guild.member_roles[user.id] = [*roles]
        return Person(self.discord, user)

    async def role(self, name: str) -> Role:
        """Another role, of which the bot is told."""
        role = self.discord.add_role(self.guild, name)
        await self.discord.announce(self.guild)
        return role

    async def place(self, name: str, **options: Any) -> Channel:
        """Another channel, of which the bot is told."""
        channel = self.discord.add_channel(self.guild, name, **options)
        await self.discord.announce(self.guild)
        return channel

    def advance(self, seconds: float) -> None:
        """The bot's clock and Discord's."""
        self.clock.offset_s += seconds
        self.discord.advance(seconds)

    # -------------------------------------------------------------- the bot's own parts

    @property
    def client(self) -> EaselClient:
        assert self._client is not None
        return self._client

    @property
    def dispatcher(self) -> Dispatcher:
        return self.client.services.dispatcher

    @property
    def engine(self) -> EngineClient:
        fleet = self.dispatcher.fleet
        assert isinstance(fleet, LocalFleet)
        return fleet.members[0].engine

    @property
    def store(self) -> Store:
        return self.client.services.store

    async def job(self, job_id: int) -> Job:
        job = await self.store.jobs.get(job_id)
        assert job is not None
        return job

    async def jobs_stored(self) -> int:
        (row,) = await self.store.database.read("SELECT COUNT(*) AS n FROM job", {})
        return int(row["n"])

    # -------------------------------------------------------------- waiting and looking

    async def until(self, condition: Callable[[], Any], *, timeout_s: float = WITHIN_S) -> None:
        await self.discord.until(condition, timeout_s, self.transcript())

    async def finds(self, look: Callable[[], Awaitable[T]], is_it: Callable[[T], Any]) -> T:
        """What a look finds, once it is so."""
        deadline = time.monotonic() + WITHIN_S
        while not is_it(found := await look()):
            assert time.monotonic() < deadline, f"{found}\n{self.transcript()}"
            await asyncio.sleep(POLL_S)
        return found

    async def reaches(self, job_id: int, state: JobState, *, timeout_s: float = WITHIN_S) -> Job:
        """The row once it is in that state, and where that is an end, its message tells it."""
        deadline = time.monotonic() + timeout_s
        job = await self.store.jobs.get(job_id)
        while job is None or job.state is not state:
            assert time.monotonic() < deadline, f"{job}\n{self.transcript()}"
            await asyncio.sleep(POLL_S)
            job = await self.store.jobs.get(job_id)
        if state.is_final:
            cancel = f"easel:1:{Verb.CANCEL}:{job_id}"
            await self.until(lambda: all(cancel not in custom_ids(each) for each in self.messages()))
        return job

    async def says(self, job_id: int, *words: str) -> Message:
        """The message of a job once all of that can be read in it."""
        await self.until(
            lambda: self._is_there(job_id) and all(w in self.message(job_id).text for w in words)
        )
        return self.message(job_id)

    def messages(self, channel: Channel | None = None) -> list[Message]:
        """What everybody sees in the channel, oldest first."""
        return self.discord.posted(channel or self.channel)

    def message(self, job_id: int) -> Message:
        """The message whose buttons belong to a job."""
        for message in reversed(self.messages()):
            if any(re.fullmatch(rf"easel:1:[a-z]+:{job_id}(:\d+)?", name) for name in custom_ids(message)):
                return message
        raise AssertionError(f"no message for job {job_id}\n{self.transcript()}")

    def options(self, message: Message, menu: str) -> list[dict[str, Any]]:
        """What is offered in the menu with this id."""
        (found,) = (part for part in walk(message.components) if part.get("custom_id") == menu)
        return found["options"]

    def spoilers(self, message: Message) -> list[bool]:
        """Of each picture in its gallery, whether it is covered."""
        galleries = (part["items"] for part in walk(message.components) if part["type"] == GALLERY)
        return [bool(item.get("spoiler")) for items in galleries for item in items]

    def filled_in(self, form: Answer) -> dict[str, str]:
        """What stands in the fields of a form that was opened: texts, and the chosen values."""
        assert form.modal is not None
        found: dict[str, str] = {}
        for part in walk(form.modal["components"]):
            if "options" in part:
                found[part["custom_id"]] = ",".join(o["value"] for o in part["options"] if o.get("default"))
            elif "custom_id" in part:
                found[part["custom_id"]] = str(part.get("value") or "")
        return found

    def _is_there(self, job_id: int) -> bool:
        try:
            self.message(job_id)
        except AssertionError:
            return False
        return True

    def transcript(self) -> str:
        """What stands in the channel, for a failed test."""
        return "\n".join(f"{message.author}: {message.text} {labels(message)}" for message in self.messages())

    async def post(self, *items: ui.Item[Any]) -> Message:
        """A message of the bot with these buttons or this menu, of which it remembers nothing."""
        view = ui.LayoutView(timeout=None)
        view.add_item(ui.ActionRow[Any](*items))
        view.stop()
        channel = self.client.get_partial_messageable(self.channel.id, guild_id=self.guild.id)
        sent = await channel.send(view=view)
        return self.discord.message(self.channel, sent.id)

    # -------------------------------------------------------------- what people do most

    async def imagine(self, who: Person | None = None, **options: Any) -> Answer:
        """Answered, and where that was no refusal, in line."""
        options.setdefault("prompt", "a red circle")
        answer = await (who or self.alice).slash(self.channel, "imagine", **options)
        await self.in_line(answer)
        return answer

    async def in_line(self, answer: Answer) -> None:
        """What was asked for by this interaction and answered waits for its turn by now, or has had it."""
        sql = "SELECT 1 FROM job WHERE interaction_id = :id AND state = 'accepted'"
        deadline = time.monotonic() + WITHIN_S
        while await self.store.database.read(sql, {"id": answer.interaction.id}):
            assert time.monotonic() < deadline, self.transcript()
            await asyncio.sleep(POLL_S)

    async def imagined(self, job_id: int = 1, **options: Any) -> Message:
        """The message of a delivered job."""
        await self.imagine(**options)
        await self.reaches(job_id, JobState.DELIVERED)
        return self.message(job_id)


def custom_ids(message: Message) -> list[str]:
    return [str(button.custom_id) for button in message.buttons]


def labels(message: Message) -> list[str]:
    return [button.label for button in message.buttons if button.label]


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options as the loopback Discord takes them."""
    plain: dict[str, Any] = {}
    for name, value in options.items():
        match value:
            case Person():
                plain[name] = value.user
            case (str() as filename, bytes() as data):
                plain[name] = Upload(filename=filename, bytes=data)
            case _:
                plain[name] = value
    return plain

"""The driver of a loopback Discord: starts it, fills it with people and places, acts in it, breaks it.

async with LoopbackDiscord() as discord:
    channel, alice = discord.add_channel(discord.add_guild()), discord.add_user("alice")
    options = client_options(discord.address, discord.ca_pem)  # or .environment for another process
    ...start the bot with `discord.token` and these options for `discord.Client`...
    await discord.wait_ready()
    answer = await discord.slash(alice, channel, "imagine", prompt="a red circle")
    await discord.until(lambda: answer.message.attachments)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from workshop.rehearsal.loopback import certificate, payloads
from workshop.rehearsal.loopback.bodies import Upload
from workshop.rehearsal.loopback.clock import Clock
from workshop.rehearsal.loopback.commands import CannotDo
from workshop.rehearsal.loopback.faults import Fault, Hold, Request
from workshop.rehearsal.loopback.gateway import INVALID_SESSION, RECONNECT, Gateway
from workshop.rehearsal.loopback.limits import RateLimit
from workshop.rehearsal.loopback.people import Answer, People, answer_of
from workshop.rehearsal.loopback.rest import Rest
from workshop.rehearsal.loopback.state import State
from workshop.rehearsal.loopback.world import (
    MEMBER_DEFAULT,
    MIB,
    Attachment,
    Button,
    Channel,
    Guild,
    Interaction,
    Json,
    Kind,
    Message,
    Permission,
    Role,
    User,
)
from workshop.rehearsal.redirect import (
    ADDRESS_VARIABLE,
    CA_VARIABLE,
    client_options,
    client_options_from_environment,
)

__all__ = [
    "MIB",
    "Answer",
    "Attachment",
    "Button",
    "CannotDo",
    "Channel",
    "Guild",
    "Hold",
    "Interaction",
    "Kind",
    "LoopbackDiscord",
    "Message",
    "NoAnswer",
    "Permission",
    "RateLimit",
    "Request",
    "Role",
    "Upload",
    "User",
    "client_options",
    "client_options_from_environment",
]
T = TypeVar("T")
POLL_S = 0.05


class NoAnswer(AssertionError):
    """The bot did not answer an interaction in time."""


class LoopbackDiscord(People):
    """One Discord on 127.0.0.1: `async with LoopbackDiscord() as discord:`.

    Leaving the block fails if the bot used a route that does not exist here; see `unexpected`.
    `now` is the server's wall clock in seconds, which `advance` moves on.
    """

    def __init__(self, *, now: Callable[[], float] | None = None, heartbeat_s: float = 10.0) -> None:
        self.clock = Clock() if now is None else Clock(now)
        self.state = State.fresh(self.clock)
        self.gateway = Gateway(self.state, heartbeat_s)
        self.state.dispatch = self.gateway.dispatch
        self._folder = tempfile.TemporaryDirectory(prefix="loopback-discord-")
        self._runner: web.AppRunner | None = None
        self._last: Interaction | None = None
        self.address = ""
        self.ca_pem = Path(self._folder.name) / "ca.pem"

    async def __aenter__(self) -> Self:
        self.ca_pem, context = certificate.write(Path(self._folder.name))
        app = Rest(self.state).application(self.gateway.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hold in self.state.holds:
            hold.release()
        await self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._folder.cleanup()
        if error is None and self.unexpected:
            raise AssertionError(f"the bot asked for what this Discord does not have: {self.unexpected}")

    # -- how a bot gets here ----------------------------------------

    @property
    def token(self) -> str:
        return self.state.token

    @property
    def environment(self) -> dict[str, str]:
        """For a bot in another process, which calls `client_options_from_environment()`."""
        return {ADDRESS_VARIABLE: self.address, CA_VARIABLE: str(self.ca_pem)}

    # -- people and places ----------------------------------------

    def add_user(self, name: str, *, permissions: int = 0, locale: str = "en-US") -> User:
        """A person who is in every server; `permissions` come on top of the roles there."""
        user = User(id=self.clock.snowflake(), name=name, permissions=permissions, locale=locale)
        self.state.users[user.id] = user
        return user

    def add_guild(
        self,
        name: str = "Painters",
        *,
        locale: str = "en-US",
        attachment_size_limit: int = 10 * MIB,
        bot_permissions: int = MEMBER_DEFAULT,
        everyone: int = MEMBER_DEFAULT,
    ) -> Guild:
        """A server with the bot in it, owned by `discord.owner`; `announce` it to a connected client."""
        return self.state.add_guild(name, locale, attachment_size_limit, bot_permissions, everyone)

    def add_channel(
        self,
        guild: Guild,
        name: str = "art",
        *,
        kind: Kind = Kind.TEXT,
        app_permissions: int = MEMBER_DEFAULT,
        nsfw: bool = False,
    ) -> Channel:
        channel = self.state.add_channel(guild, name, app_permissions, None)
        channel.kind, channel.nsfw = kind, nsfw
        return channel

    def add_thread(self, channel: Channel, name: str = "thread") -> Channel:
        """A public one; in a forum or media channel it is a post."""
        is_news = channel.kind is Kind.ANNOUNCEMENT
        thread = self._new_thread(channel, name, Kind.ANNOUNCEMENT_THREAD if is_news else Kind.PUBLIC_THREAD)
        thread.bot_is_in = False
        return thread

    def add_private_thread(
        self, channel: Channel, name: str = "thread", *, bot_is_in: bool = False
    ) -> Channel:
        """Its people may use the bot's commands there, though the bot itself sees it only once it is in."""
        thread = self._new_thread(channel, name, Kind.PRIVATE_THREAD)
        thread.bot_is_in = bot_is_in
        return thread

    def _new_thread(self, channel: Channel, name: str, kind: Kind) -> Channel:
        thread = self.state.add_channel(channel.guild, name, channel.app_permissions, None)
        thread.kind, thread.parent = kind, channel
        return thread

    async def set_thread(
        self, thread: Channel, *, archived: bool | None = None, locked: bool | None = None
    ) -> None:
        """As a moderator does, and tell the bot (THREAD_UPDATE)."""
        thread.archived = thread.archived if archived is None else archived
        thread.locked = thread.locked if locked is None else locked
        await self.state.tell_of_thread(thread)

    async def add_to_thread(self, thread: Channel) -> None:
        """As by mentioning the bot there, and tell it (THREAD_CREATE)."""
        thread.bot_is_in = True
        await self.gateway.dispatch("THREAD_CREATE", payloads.thread_of_bot(thread, self.state.bot))

    def add_role(
        self, guild: Guild, name: str, *, permissions: int = 0, members: tuple[User, ...] = ()
    ) -> Role:
        role = Role(id=self.clock.snowflake(), name=name, permissions=permissions, position=len(guild.roles))
        guild.roles.append(role)
        for user in members:
            guild.member_roles.setdefault(user.id, []).append(role)
        return role

    @property
    def owner(self) -> User:
        """Owner of the application and of every server."""
        return self.state.owner

    def dm(self, user: User) -> Channel:
        """The direct-message channel between the bot and a person."""
        return self.state.dm(user)

    async def announce(self, guild: Guild) -> None:
        """Tell a connected bot about a server, or about its changed roles and channels (GUILD_CREATE)."""
        await self.gateway.dispatch("GUILD_CREATE", self.gateway.guild_create(guild))

    async def invite_bot(self, guild: Guild) -> None:
        """Somebody lets the bot in: GUILD_CREATE too, of which nothing says whether the server was away before."""
        self.state.guilds[guild.id] = guild
        told = {key: value for key, value in self.gateway.guild_create(guild).items() if key != "unavailable"}
        await self.gateway.dispatch("GUILD_CREATE", told)

    async def set_app_permissions(self, channel: Channel, permissions: int) -> None:
        """Change what the bot may do in a channel and its threads, and tell it (CHANNEL_UPDATE)."""
        threads = (each for each in self.state.channels.values() if each.parent is channel)
        for each in (channel, *threads):
            each.app_permissions = permissions
        await self.gateway.dispatch("CHANNEL_UPDATE", payloads.channel(channel, self.state.bot))

    async def delete_channel(self, channel: Channel) -> None:
        assert channel.guild is not None
        data = payloads.channel(channel, self.state.bot)
        channel.guild.channels.remove(channel)
        del self.state.channels[channel.id]
        for message in self.state.messages.in_channel(channel):
            message.deleted = True
        await self.gateway.dispatch("CHANNEL_DELETE", data)

    async def remove_bot(self, guild: Guild) -> None:
        """Kick the bot: GUILD_DELETE, and its channels are out of reach."""
        del self.state.guilds[guild.id]
        for channel in guild.channels:
            channel.app_permissions = 0
        await self.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id)})

    async def lose_guild(self, guild: Guild) -> None:
        """An outage of one server: GUILD_DELETE too, but marked as unavailable."""
        await self.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id), "unavailable": True})

    def post(self, user: User, channel: Channel, content: str = "", *files: Upload) -> Message:
        """A message of a person; a bot without message intents is not told."""
        message = Message(
            id=self.clock.snowflake(), channel=channel, author=user, created_at=self.clock.now()
        )
        uploads = dict(enumerate(files))
        payload: Json = {"content": content, "attachments": [{"id": index} for index in uploads]}
        return self.state.messages.fill(message, payload, uploads, ephemeral_ok=False)

    def forward(self, user: User, channel: Channel, message: Message) -> Message:
        """A person forwards somebody's message."""
        fresh = Message(
            id=self.clock.snowflake(),
            channel=channel,
            author=user,
            created_at=self.clock.now(),
            forwarded=message,
        )
        self.state.messages.by_id[fresh.id] = fresh
        return fresh

    def delete_message(self, message: Message) -> None:
        """As a moderator does; a bot without message intents is not told."""
        message.deleted = True

    # -- looking ----------------------------------------

    @property
    def requests(self) -> list[Request]:
        return self.state.requests

    def requests_to(self, method: str, path_part: str) -> list[Request]:
        return [r for r in self.requests if r.method == method and path_part in r.path]

    @property
    def followups(self) -> list[Message]:
        """What followed any answer through its interaction's webhook."""
        return [each for interaction in self.state.interactions.values() for each in interaction.followups]

    @property
    def unexpected(self) -> list[str]:
        """Requests that this server could not make sense of; empty it if a test means them."""
        return self.state.unexpected

    @property
    def commands(self) -> dict[str, Json]:
        """The synced slash commands by name."""
        return {key[2]: command for key, command in self.state.commands.items() if key[1] == 1}

    @property
    def syncs(self) -> int:
        return self.state.syncs

    def messages(self, channel: Channel) -> list[Message]:
        """Everything in a channel that is not deleted, oldest first; ephemeral ones included."""
        return self.state.messages.in_channel(channel)

    def posted(self, channel: Channel) -> list[Message]:
        """What everybody sees there."""
        return [message for message in self.messages(channel) if not message.ephemeral]

    def message(self, channel: Channel, message_id: int | str) -> Message:
        for found in self.messages(channel):
            if found.id == int(message_id):
                return found
        raise CannotDo(f"no message {message_id} in {channel.name}")

    # -- waiting ----------------------------------------

    async def until(self, condition: Callable[[], T], timeout_s: float = 10.0, what: str = "") -> T:
        """Wait until `condition()` is true and return its value; asked at every request and 50 ms."""
        deadline = self.clock.uptime_ms() + timeout_s * 1000
        while not (value := condition()):
            left = deadline - self.clock.uptime_ms()
            if left <= 0:
                recent = "\n".join(f"  {r.method} {r.path} -> {r.status}" for r in self.requests[-8:])
                raise AssertionError(
                    f"not within {timeout_s} s: {what or condition}\nlast requests:\n{recent}"
                )
            await self.state.changes.wait(min(left / 1000, POLL_S))
        return value

    async def wait_ready(self, timeout_s: float = 10.0) -> None:
        """A client is connected and has been sent READY and every GUILD_CREATE."""
        await self.until(lambda: self.gateway.ready, timeout_s, "a client identified")

    async def wait_gone(self, timeout_s: float = 10.0) -> None:
        """No client is connected to the gateway."""
        await self.until(lambda: not self.gateway.ready, timeout_s, "the client left")

    async def until_answered(self, interaction: Interaction, timeout_s: float = 10.0) -> Answer:
        try:
            await self.until(lambda: interaction.answer is not None, timeout_s)
        except AssertionError as error:
            raise NoAnswer(f"no answer to {interaction.payload['data']}: {error}") from None
        return answer_of(interaction)

    async def deliver(self, interaction: Interaction) -> Interaction:
        """Send INTERACTION_CREATE (kept for the RESUME while a session is dropped)."""
        if self.gateway.session is None:
            raise CannotDo("the bot is off-line: no gateway session")
        self._last = interaction
        await self.gateway.dispatch("INTERACTION_CREATE", interaction.payload)
        return interaction

    async def replay_last_interaction(self) -> Interaction:
        """Deliver the latest interaction a second time, as a gateway may after a resume."""
        assert self._last is not None, "nothing was sent yet"
        return await self.deliver(self._last)

    def advance(self, seconds: float) -> None:
        """Move the server's clock on: 4 s pass the answer's deadline, 901 s the token's life."""
        self.clock.advance(seconds)

    # -- breaking things ----------------------------------------

    def fail_next(
        self,
        method: str,
        path_part: str,
        *,
        status: int = 500,
        times: int = 1,
        apply: bool = False,
        retry_after: float = 0.1,
        via: bool = True,
        reset: bool = False,
        scope: str | None = None,
        code: int = 0,
        page: str | None = None,
    ) -> Fault:
        """Fail the next `times` requests whose path contains `path_part` (method "*": any).

        `apply`: do what was asked, then lose the reply. `reset`: cut the connection instead of answering.
        `page`: HTML instead of JSON.
        The path "/gateway" stands for connections to the gateway.
        """
        fault = Fault(
            method=method,
            path_part=path_part,
            status=status,
            times=times,
            apply=apply,
            retry_after=retry_after,
            via=via,
            reset=reset,
            scope=scope,
            code=code,
            page=page,
        )
        self.state.faults.append(fault)
        return fault

    def limit_rate(self, method: str, path_part: str, *, limit: int, per_s: float) -> RateLimit:
        """From now on allow `limit` requests per `per_s` on each such path: headers, then 429."""
        rule = RateLimit(method=method, path_part=path_part, limit=limit, per_s=per_s)
        self.state.limits.append(rule)
        return rule

    def hold_next(self, method: str, path_part: str, *, apply: bool = False) -> Hold:
        """Let the next such request arrive and wait for `hold.release()`; `apply`: it is done by then."""
        hold = Hold(method, path_part, apply=apply)
        self.state.holds.append(hold)
        return hold

    async def drop_gateway(self, close_code: int | None = None) -> None:
        """Reset the gateway connection (or close it with a code); the client should RESUME."""
        await self.gateway.drop(close_code)

    def close_sessions(self, code: int, *, times: int = 1) -> None:
        """End the next `times` connections with a code, when they identify themselves or resume."""
        self.gateway.closing = (code, times)

    async def ask_reconnect(self) -> None:
        """Op 7."""
        await self.gateway.order(RECONNECT, None)

    async def invalidate_session(self, *, resumable: bool = False) -> None:
        """Op 9: the client should identify again (or resume)."""
        await self.gateway.order(INVALID_SESSION, resumable)

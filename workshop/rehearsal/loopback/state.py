"""Everything one loopback Discord holds, shared by its REST side, its gateway and the test driver."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from workshop.rehearsal.loopback import payloads
from workshop.rehearsal.loopback.clock import Changes, Clock
from workshop.rehearsal.loopback.errors import (
    ApiError,
    expired_token,
    missing_access,
    missing_permissions,
    unknown_channel,
    unknown_webhook,
)
from workshop.rehearsal.loopback.faults import Fault, Hold, Request
from workshop.rehearsal.loopback.limits import RateLimit
from workshop.rehearsal.loopback.messages import Messages
from workshop.rehearsal.loopback.world import (
    MEMBER_DEFAULT,
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

ANSWER_WITHIN_S = 3.0
TOKEN_LIVES_S = 15 * 60.0
Dispatch = Callable[[str, Json], Awaitable[None]]
"""Sends an event to whoever is connected."""
CommandKey = tuple[int | None, int, str]
"""Guild id or None, command type, name."""


@dataclass(eq=False, kw_only=True)
class State:
    clock: Clock
    changes: Changes
    messages: Messages
    app_id: int
    bot: User
    owner: User
    token: str
    users: dict[int, User] = field(default_factory=dict[int, User])
    guilds: dict[int, Guild] = field(default_factory=dict[int, Guild])
    channels: dict[int, Channel] = field(default_factory=dict[int, Channel])
    commands: dict[CommandKey, Json] = field(default_factory=dict[CommandKey, Json])
    interactions: dict[int, Interaction] = field(default_factory=dict[int, Interaction])
    by_token: dict[str, Interaction] = field(default_factory=dict[str, Interaction])
    requests: list[Request] = field(default_factory=list[Request])
    unexpected: list[str] = field(default_factory=list[str])
    faults: list[Fault] = field(default_factory=list[Fault])
    limits: list[RateLimit] = field(default_factory=list[RateLimit])
    holds: list[Hold] = field(default_factory=list[Hold])
    syncs: int = 0
    dispatch: Dispatch | None = None
    """The gateway's, once there is one."""

    @classmethod
    def fresh(cls, clock: Clock) -> State:
        app_id = clock.snowflake()
        head = base64.urlsafe_b64encode(str(app_id).encode()).decode().rstrip("=")
        bot = User(id=app_id, name="easel", bot=True)
        owner = User(id=clock.snowflake(), name="owner")
        state = cls(
            clock=clock,
            changes=Changes(),
            messages=Messages(clock),
            app_id=app_id,
            bot=bot,
            owner=owner,
            token=f"{head}.Loopbk.{'not-a-real-token':x<38}",
        )
        state.users = {owner.id: owner, bot.id: bot}
        return state

    def add_guild(self, name: str, locale: str, limit: int, bot_permissions: int, everyone: int) -> Guild:
        number = self.clock.snowflake()
        base = Role(id=number, name="@everyone", permissions=everyone, position=0)
        bot_role = Role(
            id=self.clock.snowflake(), name=self.bot.name, permissions=bot_permissions, managed=True
        )
        guild = Guild(
            id=number,
            name=name,
            owner=self.owner,
            everyone=base,
            bot_role=bot_role,
            locale=locale,
            attachment_size_limit=limit,
            roles=[base, bot_role],
        )
        guild.member_roles[self.bot.id] = [bot_role]
        self.guilds[guild.id] = guild
        return guild

    def add_channel(
        self, guild: Guild | None, name: str, app_permissions: int, recipient: User | None
    ) -> Channel:
        number = self.clock.snowflake()
        channel = Channel(
            id=number,
            name=name,
            guild=guild,
            kind=Kind.TEXT if recipient is None else Kind.DM,
            recipient=recipient,
            app_permissions=app_permissions,
        )
        if guild is not None:
            guild.channels.append(channel)
        self.channels[number] = channel
        return channel

    def dm(self, user: User) -> Channel:
        found = next((c for c in self.channels.values() if c.recipient is user), None)
        return found or self.add_channel(None, user.name, MEMBER_DEFAULT, user)

    def reachable(self, channel_id: str, *needed: Permission) -> Channel:
        """The channel, if the bot may see it and has every needed permission there."""
        channel = self.channels.get(int(channel_id))
        if channel is None:
            raise unknown_channel()
        if not channel.is_reachable:
            raise missing_access()
        if any(not channel.granted & bit for bit in needed):
            raise missing_permissions()
        return channel

    async def posted(self, message: Message) -> Message:
        """A new message brings its thread back from the archive."""
        thread = message.channel
        if thread.archived and not message.ephemeral:
            thread.archived = False
            await self.tell_of_thread(thread)
        return message

    async def tell_of_thread(self, thread: Channel) -> None:
        """THREAD_UPDATE, to a bot that may see it."""
        if self.dispatch is not None and thread.is_reachable:
            await self.dispatch("THREAD_UPDATE", payloads.thread_of_bot(thread, self.bot))

    def by_webhook(self, app_id: str, token: str) -> Interaction:
        """The answered interaction of a webhook route, or the refusal."""
        interaction = self.by_token.get(token)
        if interaction is None or int(app_id) != self.app_id or interaction.answer is None:
            raise unknown_webhook()
        if self.clock.now() - interaction.created_at > TOKEN_LIVES_S:
            raise expired_token()
        return interaction

    def new_message(self, channel: Channel, *, interaction: Interaction | None = None) -> Message:
        return Message(
            id=self.clock.snowflake(),
            channel=channel,
            author=self.bot,
            created_at=self.clock.now(),
            interaction=interaction,
            via_webhook=interaction is not None,
        )

    def sync(self, guild_id: int | None, commands: list[Json]) -> list[Json]:
        """Bulk overwrite; a command of the same name keeps its id."""
        if guild_id is not None and guild_id not in self.guilds:
            raise ApiError(404, 10004, "Unknown Guild")
        before = {key: c["id"] for key, c in self.commands.items()}
        self.commands = {key: c for key, c in self.commands.items() if key[0] != guild_id}
        for command in commands:
            key = (guild_id, command.get("type", 1), command["name"])
            self.commands[key] = self._stored(command, guild_id, before.get(key))
        self.syncs += 1
        return self.listed(guild_id)

    def listed(self, guild_id: int | None) -> list[Json]:
        return [c for key, c in self.commands.items() if key[0] == guild_id]

    def _stored(self, command: Json, guild_id: int | None, known_id: str | None) -> Json:
        defaults: dict[str, Any] = {
            "type": 1,
            "description": "",
            "options": [],
            "default_member_permissions": None,
            "nsfw": False,
            "contexts": None,
            "integration_types": [0],
        }
        own: Json = {
            "id": known_id or str(self.clock.snowflake()),
            "application_id": str(self.app_id),
            "version": str(self.clock.snowflake()),
        }
        if guild_id is not None:
            own["guild_id"] = str(guild_id)
        return {**defaults, **{k: v for k, v in command.items() if v is not None}, **own}

"""What exists in the loopback Discord: users, servers, channels, messages; knows no sockets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

EPHEMERAL = 1 << 6
LOADING = 1 << 7
COMPONENTS_V2 = 1 << 15
MIB = 1 << 20

TEXT_DISPLAY, BUTTON = 10, 2
SELECTS = frozenset({3, 5, 6, 7, 8})


class Kind(IntEnum):
    """Discord's channel types."""

    TEXT = 0
    DM = 1
    VOICE = 2
    ANNOUNCEMENT = 5
    ANNOUNCEMENT_THREAD = 10
    PUBLIC_THREAD = 11
    """A post too, where its parent is a forum or a media channel."""
    PRIVATE_THREAD = 12
    STAGE = 13
    FORUM = 15
    MEDIA = 16


THREADS = frozenset({Kind.ANNOUNCEMENT_THREAD, Kind.PUBLIC_THREAD, Kind.PRIVATE_THREAD})
VOCAL = frozenset({Kind.VOICE, Kind.STAGE})
OF_POSTS = frozenset({Kind.FORUM, Kind.MEDIA})
"""They hold threads, and no messages of their own."""


class Permission(IntFlag):
    """The permission bits that matter here; any other bit may be given as a plain number."""

    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    CONNECT = 1 << 20
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    SEND_MESSAGES_IN_THREADS = 1 << 38


EVERYTHING = (1 << 53) - 1
IN_DIRECT_MESSAGES = Permission.ATTACH_FILES | Permission.EMBED_LINKS | 1 << 17 | 1 << 18
"""All that an interaction there says of the bot's permissions: mentioning everyone and foreign emojis besides."""
MEMBER_DEFAULT = (
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.CONNECT
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.SEND_MESSAGES_IN_THREADS
)


@dataclass(eq=False, kw_only=True, slots=True)
class User:
    id: int
    name: str
    bot: bool = False
    locale: str = "en-US"
    permissions: int = 0
    """Given in every server on top of the roles."""
    takes_dms: bool = True

    def __str__(self) -> str:
        return self.name


@dataclass(eq=False, kw_only=True, slots=True)
class Role:
    id: int
    name: str
    permissions: int = 0
    position: int = 1
    managed: bool = False


@dataclass(eq=False, kw_only=True, slots=True)
class Guild:
    id: int
    name: str
    owner: User
    everyone: Role
    bot_role: Role
    locale: str = "en-US"
    attachment_size_limit: int = 10 * MIB
    roles: list[Role] = field(default_factory=list[Role])
    channels: list[Channel] = field(default_factory=list["Channel"])
    member_roles: dict[int, list[Role]] = field(default_factory=dict[int, list[Role]])
    """User id -> roles, @everyone left out."""
    system_channel: Channel | None = None
    """Where newcomers are greeted."""
    left: set[int] = field(default_factory=set[int])
    """Ids of those who are no members any more."""
    blocked_words: set[str] = field(default_factory=set[str])
    """AutoMod takes no message with one of them in it."""

    def roles_of(self, user: User) -> list[Role]:
        return self.member_roles.get(user.id, [])

    def permissions_of(self, user: User) -> int:
        if user is self.owner:
            return EVERYTHING
        bits = self.everyone.permissions | user.permissions
        for role in self.roles_of(user):
            bits |= role.permissions
        return EVERYTHING if bits & Permission.ADMINISTRATOR else bits


@dataclass(eq=False, kw_only=True, slots=True)
class Channel:
    """A channel of a server, a thread in one, or a DM (then `guild` is None and `recipient` is set)."""

    id: int
    name: str
    guild: Guild | None
    kind: Kind = Kind.TEXT
    recipient: User | None = None
    app_permissions: int = MEMBER_DEFAULT
    """As they are computed, without what the want of another takes away; a thread has its parent's."""
    member_permissions: dict[int, int] = field(default_factory=dict[int, int])
    """User id -> permissions in this channel, instead of the computed ones."""
    parent: Channel | None = None
    """Of a thread."""
    bot_is_in: bool = True
    """Whether the bot is a member of the thread; it gets commands from others too."""
    archived: bool = False
    locked: bool = False
    nsfw: bool = False
    """Age-restricted; a thread is as its parent."""

    @property
    def is_thread(self) -> bool:
        return self.kind in THREADS

    @property
    def is_reachable(self) -> bool:
        """Whether the bot's own token may see it, and what is written there."""
        needed = Permission.VIEW_CHANNEL | (Permission.CONNECT if self.kind in VOCAL else 0)
        return self._is_shown and self.granted & needed == needed

    @property
    def _is_shown(self) -> bool:
        """Private threads are for their members and for moderators."""
        is_private = self.kind is Kind.PRIVATE_THREAD
        return not is_private or self.bot_is_in or bool(self.app_permissions & Permission.MANAGE_THREADS)

    @property
    def takes_no_change(self) -> bool:
        """Locked, and the bot is no moderator of threads."""
        return self.locked and not self.app_permissions & Permission.MANAGE_THREADS

    @property
    def send_permission(self) -> Permission:
        """Each has no effect where the other one counts."""
        return Permission.SEND_MESSAGES_IN_THREADS if self.is_thread else Permission.SEND_MESSAGES

    @property
    def granted(self) -> int:
        """The bot's permissions that count: who may not send may not attach either, though it is not taken away."""
        if self.app_permissions & self.send_permission:
            return self.app_permissions
        return self.app_permissions & ~(Permission.ATTACH_FILES | Permission.EMBED_LINKS)

    @property
    def attachment_size_limit(self) -> int:
        return 10 * MIB if self.guild is None else self.guild.attachment_size_limit

    def permissions_of(self, user: User) -> int:
        if user.id in self.member_permissions:
            return self.member_permissions[user.id]
        return MEMBER_DEFAULT if self.guild is None else self.guild.permissions_of(user)


@dataclass(eq=False, kw_only=True, slots=True)
class Attachment:
    id: int
    filename: str
    bytes: bytes
    url: str
    content_type: str
    description: str | None = None
    spoiler: bool = False
    shape: tuple[int, int] | None = None
    """(width, height) where Discord sees a picture in it."""
    served: bytes | None = None
    moved_to: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Button:
    custom_id: str | None
    label: str
    disabled: bool
    style: int
    url: str | None
    emoji: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What a message showed from `at_ms` (server uptime) on."""

    at_ms: float
    text: str
    filenames: tuple[str, ...]


@dataclass(eq=False, kw_only=True, slots=True)
class Message:
    id: int
    channel: Channel
    author: User
    created_at: float
    """Seconds, by the server's clock."""
    interaction: Interaction | None = None
    via_webhook: bool = False
    content: str = ""
    embeds: list[Json] = field(default_factory=list[Json])
    components: list[Json] = field(default_factory=list[Json])
    attachments: list[Attachment] = field(default_factory=list[Attachment])
    allowed_mentions: Json | None = None
    nonce: str | None = None
    forwarded: Message | None = None
    """What it forwards, with nothing of its own beside it."""
    flags: int = 0
    edits: int = 0
    edited_at: float | None = None
    deleted: bool = False
    history: list[Snapshot] = field(default_factory=list[Snapshot])

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        """The "is thinking" placeholder of a deferred answer."""
        return bool(self.flags & LOADING)

    @property
    def is_v2(self) -> bool:
        return bool(self.flags & COMPONENTS_V2)

    @property
    def text(self) -> str:
        """Everything there is to read: content, embeds and text displays, one per line."""
        parts = [self.content, *(_embed_text(embed) for embed in self.embeds)]
        parts += [str(c["content"]) for c in walk(self.components) if c["type"] == TEXT_DISPLAY]
        return "\n".join(part for part in parts if part)

    @property
    def buttons(self) -> list[Button]:
        return [_button(c) for c in walk(self.components) if c["type"] == BUTTON]

    @property
    def accent(self) -> int | None:
        """The accent colour of the first container."""
        containers = [c for c in walk(self.components) if c["type"] == 17]
        return containers[0].get("accent_color") if containers else None

    @property
    def shown_files(self) -> list[str]:
        """Names of the attachments that the message's components really show, in order."""
        ids = [media.get("attachment_id") for media in media_items(self.components)]
        names = {str(a.id): a.filename for a in self.attachments}
        return [names[i] for i in ids if i in names]

    def attachment(self, filename: str) -> Attachment:
        return next(a for a in self.attachments if a.filename == filename)


@dataclass(eq=False, kw_only=True, slots=True)
class Interaction:
    id: int
    token: str
    type: int
    user: User
    channel: Channel
    created_at: float
    sent_ms: float
    payload: Json
    source: Message | None = None
    answer: Json | None = None
    """The callback as the bot sent it: `type` and `data`."""
    answered_ms: float | None = None
    original: Message | None = None
    followups: list[Message] = field(default_factory=list[Message])


def object_in(item: Json, key: str) -> Json:
    """A nested object, or an empty one where the key is absent or null."""
    return item.get(key) or {}


def objects_in(item: Json, key: str) -> list[Json]:
    """A nested list of objects, or an empty one where the key is absent or null."""
    return item.get(key) or []


def walk(components: list[Json]) -> Iterator[Json]:
    """Every component with its nested ones: children, a section's accessory, a label's field."""
    for component in components:
        yield component
        yield from walk(objects_in(component, "components"))
        for key in ("accessory", "component"):
            if isinstance(component.get(key), dict):
                yield from walk([component[key]])


def media_items(components: list[Json]) -> Iterator[Json]:
    """Every media object in galleries, thumbnails and file components."""
    for component in walk(components):
        match component["type"]:
            case 11:
                yield component["media"]
            case 12:
                yield from (item["media"] for item in component["items"])
            case 13:
                yield component["file"]
            case _:
                pass


def _embed_text(embed: Json) -> str:
    fields = objects_in(embed, "fields")
    parts = [embed.get("title"), embed.get("description")]
    parts += [f"{f['name']}: {f['value']}" for f in fields]
    parts.append(object_in(embed, "footer").get("text"))
    return "\n".join(str(part) for part in parts if part)


def _button(component: Json) -> Button:
    return Button(
        custom_id=component.get("custom_id"),
        label=component.get("label") or "",
        disabled=bool(component.get("disabled")),
        style=component["style"],
        url=component.get("url"),
        emoji=object_in(component, "emoji").get("name"),
    )

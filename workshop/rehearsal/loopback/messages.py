"""Creates and edits messages as Discord does: kept attachments, flags, resolved media; knows no routes."""

from __future__ import annotations

import copy
import io
import mimetypes
from dataclasses import replace
from typing import TypeVar

from PIL import Image

from engine.pictures import inputs
from workshop.rehearsal.loopback import checks
from workshop.rehearsal.loopback.bodies import Upload
from workshop.rehearsal.loopback.checks import Draft
from workshop.rehearsal.loopback.clock import Clock
from workshop.rehearsal.loopback.errors import blocked_by_automod, invalid
from workshop.rehearsal.loopback.world import (
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    Attachment,
    Channel,
    Json,
    Message,
    Snapshot,
    media_items,
    object_in,
    objects_in,
    walk,
)

T = TypeVar("T")
SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS = 1 << 2, 1 << 12
EDITABLE_FLAGS = SUPPRESS_EMBEDS | COMPONENTS_V2
SENDABLE_FLAGS = EDITABLE_FLAGS | SUPPRESS_NOTIFICATIONS


class Messages:
    """All messages and files, and the one way to write them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.by_id: dict[int, Message] = {}
        self.files: dict[int, Attachment] = {}

    def store_file(self, channel_id: int, upload: Upload, *, folder: str = "attachments") -> Attachment:
        """Keep a file and give it a signed CDN address."""
        number = self._clock.snowflake()
        expires = int(self._clock.now()) + 86_400
        address = f"https://cdn.discordapp.com/{folder}/{channel_id}/{number}/{upload.filename}"
        item = Attachment(
            id=number,
            filename=upload.filename,
            bytes=upload.bytes,
            url=upload.url or f"{address}?ex={expires:x}&is={expires - 86_400:x}&hm={number:064x}&",
            content_type=mimetypes.guess_type(upload.filename)[0] or "application/octet-stream",
            shape=_shape(upload.bytes),
            served=upload.served,
            moved_to=upload.moved_to,
        )
        self.files[number] = item
        return item

    def fill(
        self, message: Message, payload: Json, files: dict[int, Upload], *, ephemeral_ok: bool
    ) -> Message:
        """Give a new message its contents, or raise the refusal; nothing is kept of a refused one."""
        sendable = SENDABLE_FLAGS | (EPHEMERAL if ephemeral_ok else 0)
        flags = int(payload.get("flags") or 0) & sendable
        self._apply(message, payload, files, flags)
        self.by_id[message.id] = message
        return message

    def edit(self, message: Message, payload: Json, files: dict[int, Upload]) -> Message:
        """PATCH: absent fields stay, a listed attachment stays, an unlisted one goes."""
        wanted = payload.get("flags")
        kept = message.flags & ~LOADING
        if wanted is not None:
            if message.is_v2 and not int(wanted) & COMPONENTS_V2:
                raise invalid("flags", "MESSAGE_FLAGS_INVALID", "IS_COMPONENTS_V2 cannot be removed.")
            kept = (kept & ~EDITABLE_FLAGS) | (int(wanted) & EDITABLE_FLAGS)
        self._apply(message, payload, files, kept)
        message.edits += 1
        message.edited_at = self._clock.now()
        return message

    def placeholder(self, message: Message, flags: int) -> Message:
        """The "is thinking" message of a deferred answer."""
        message.flags = LOADING | flags & EPHEMERAL
        self.by_id[message.id] = message
        return message

    def in_channel(self, channel: Channel) -> list[Message]:
        return [m for m in self.by_id.values() if m.channel is channel and not m.deleted]

    def _apply(self, message: Message, payload: Json, files: dict[int, Upload], flags: int) -> None:
        uploads = {index: self._new_file(message, index, upload, payload) for index, upload in files.items()}
        draft = Draft(
            content=_given(payload, "content", message.content) or "",
            embeds=_given(payload, "embeds", message.embeds) or [],
            components=copy.deepcopy(_given(payload, "components", message.components) or []),
            attachments=_attachments(message, payload, uploads),
            flags=flags,
        )
        checks.check(draft, message.channel.attachment_size_limit)
        _moderate(message.channel, draft)
        _resolve(draft)
        self.files.update({item.id: item for item in draft.attachments})
        self._write(message, draft, payload)

    def _new_file(self, message: Message, index: int, upload: Upload, payload: Json) -> Attachment:
        item = self.store_file(message.channel.id, upload)
        del self.files[item.id]
        listed = {str(entry["id"]): entry for entry in objects_in(payload, "attachments")}
        entry = object_in(listed, str(index))
        item.description = entry.get("description")
        item.spoiler = upload.filename.startswith("SPOILER_") or bool(entry.get("is_spoiler"))
        return item

    def _write(self, message: Message, draft: Draft, payload: Json) -> None:
        message.content, message.embeds, message.components = draft.content, draft.embeds, draft.components
        message.attachments, message.flags = draft.attachments, draft.flags
        if "allowed_mentions" in payload:
            message.allowed_mentions = payload["allowed_mentions"]
        names = tuple(item.filename for item in draft.attachments)
        message.history.append(Snapshot(at_ms=self._clock.uptime_ms(), text=message.text, filenames=names))


def _moderate(channel: Channel, draft: Draft) -> None:
    """AutoMod reads what everybody would see."""
    words = channel.guild.blocked_words if channel.guild is not None else set[str]()
    texts = [draft.content, *(str(item.get("content") or "") for item in walk(draft.components))]
    if not draft.flags & EPHEMERAL and any(word in text for word in words for text in texts):
        raise blocked_by_automod()


def _shape(data: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(data), formats=inputs.FORMATS) as image:
            return image.size
    except OSError:
        return None


def _given(payload: Json, key: str, before: T) -> T | None:
    return payload.get(key, before)


def _attachments(message: Message, payload: Json, uploads: dict[int, Attachment]) -> list[Attachment]:
    """The listed ones: this request's files by index, older ones by id; without a list all of both."""
    if "attachments" not in payload:
        return [*message.attachments, *uploads.values()]
    known = {str(a.id): a for a in message.attachments} | {str(index): a for index, a in uploads.items()}
    result: list[Attachment] = []
    for index, entry in enumerate(objects_in(payload, "attachments")):
        item = known.pop(str(entry["id"]), None)
        if item is None:
            raise invalid(f"attachments.{index}.id", "ATTACHMENT_NOT_FOUND", f"No file {entry['id']}.")
        result.append(replace(item, description=entry.get("description", item.description)))
    if forgotten := [index for index in uploads if str(index) in known]:
        raise invalid("attachments", "ATTACHMENT_NOT_LISTED", f"files{forgotten} are sent but not listed.")
    return result


def _resolve(draft: Draft) -> None:
    """Turn `attachment://name` into addresses and number the components, as Discord's replies do."""
    by_name = {a.filename: a for a in draft.attachments}
    by_url = {a.url: a for a in draft.attachments}
    media = list(media_items(draft.components))
    media += [embed[key] for embed in draft.embeds for key in ("image", "thumbnail") if embed.get(key)]
    for item in media:
        url = str(item["url"])
        found = by_url.get(url) or by_name.get(url.removeprefix("attachment://"))
        item["url"] = url if found is None else found.url
        item["proxy_url"] = item["url"].replace("cdn.discordapp.com", "media.discordapp.net")
        if found is not None:
            item.update(attachment_id=str(found.id), content_type=found.content_type, loading_state=2)
    _number(draft.components)


def _number(components: list[Json]) -> None:
    everything = list(walk(components))
    taken = {c["id"] for c in everything if c.get("id")}
    free = (n for n in range(1, 10_000) if n not in taken)
    for component in everything:
        if not component.get("id"):
            component["id"] = next(free)

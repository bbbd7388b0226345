"""The JSON that Discord sends for each thing in the world; pure."""

from __future__ import annotations

from workshop.rehearsal.loopback.clock import Clock
from workshop.rehearsal.loopback.world import (
    EPHEMERAL,
    MEMBER_DEFAULT,
    MIB,
    OF_POSTS,
    VOCAL,
    Attachment,
    Channel,
    Guild,
    Json,
    Message,
    Role,
    User,
)


def user(who: User) -> Json:
    return {
        "id": str(who.id),
        "username": who.name,
        "discriminator": "0000" if who.bot else "0",
        "global_name": None if who.bot else who.name.capitalize(),
        "avatar": None,
        "bot": who.bot,
        "public_flags": 0,
    }


def role(item: Role) -> Json:
    return {
        "id": str(item.id),
        "name": item.name,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": item.position,
        "permissions": str(int(item.permissions)),
        "managed": item.managed,
        "mentionable": False,
        "flags": 0,
    }


def member(guild: Guild, who: User, *, channel: Channel | None = None) -> Json:
    """A member without its user; with `channel` also the permissions there, as interactions carry them."""
    plain: Json = {
        "roles": [str(r.id) for r in guild.roles_of(who)],
        "nick": None,
        "avatar": None,
        "joined_at": "2024-01-01T00:00:00.000000+00:00",
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "communication_disabled_until": None,
        "flags": 0,
    }
    if channel is not None:
        plain["permissions"] = str(int(channel.permissions_of(who)))
    return plain


def channel(item: Channel, bot: User) -> Json:
    if item.guild is None:
        assert item.recipient is not None
        recipients = [user(item.recipient)]
        return {"id": str(item.id), "type": 1, "last_message_id": None, "flags": 0, "recipients": recipients}
    if item.parent is not None:
        return _thread(item, item.parent, item.guild)
    return {
        "id": str(item.id),
        "type": int(item.kind),
        "guild_id": str(item.guild.id),
        "name": item.name,
        "position": item.guild.channels.index(item) if item in item.guild.channels else 0,
        "permission_overwrites": [_bot_overwrite(item, item.guild, bot), *_member_overwrites(item)],
        "topic": None,
        "nsfw": item.nsfw,
        "parent_id": None,
        "rate_limit_per_user": 0,
        "last_message_id": None,
        "flags": 0,
        **_of_its_kind(item),
    }


def _of_its_kind(item: Channel) -> Json:
    """What only voice and stage channels, or only forums and media channels have."""
    if item.kind in VOCAL:
        return {"bitrate": 64000, "user_limit": 0, "rtc_region": None, "video_quality_mode": 1}
    if item.kind in OF_POSTS:
        return {"available_tags": [], "default_reaction_emoji": None, "default_sort_order": None}
    return {}


def _thread(item: Channel, parent: Channel, guild: Guild) -> Json:
    """Without the bot's own membership: only some places tell that."""
    since = "2024-01-01T00:00:00.000000+00:00"
    post: Json = {"applied_tags": []} if parent.kind in OF_POSTS else {}
    return {
        "id": str(item.id),
        "type": int(item.kind),
        "guild_id": str(guild.id),
        "name": item.name,
        "parent_id": str(parent.id),
        "owner_id": str(guild.owner.id),
        "rate_limit_per_user": 0,
        "last_message_id": None,
        "message_count": 0,
        "member_count": 2,
        "flags": 0,
        **post,
        "thread_metadata": {
            "archived": item.archived,
            "auto_archive_duration": 1440,
            "archive_timestamp": since,
            "locked": item.locked,
            "invitable": True,
        },
    }


def thread_of_bot(item: Channel, bot: User) -> Json:
    """A thread, with the bot's membership where it is in."""
    if not item.bot_is_in:
        return channel(item, bot)
    member_of = {
        "id": str(item.id),
        "user_id": str(bot.id),
        "join_timestamp": "2024-01-01T00:00:00+00:00",
        "flags": 0,
    }
    return {**channel(item, bot), "member": member_of}


def _bot_overwrite(item: Channel, guild: Guild, bot: User) -> Json:
    """Makes the permissions that the client computes agree with `app_permissions`."""
    base, wanted = guild.permissions_of(bot), item.app_permissions
    allow, deny = wanted & ~base, base & ~wanted
    return {"id": str(bot.id), "type": 1, "allow": str(int(allow)), "deny": str(int(deny))}


def _member_overwrites(item: Channel) -> list[Json]:
    """The same for people whose permissions here are not the computed ones."""
    return [
        {"id": str(number), "type": 1, "allow": str(int(bits)), "deny": str(int(MEMBER_DEFAULT & ~bits))}
        for number, bits in item.member_permissions.items()
    ]


def guild(item: Guild, bot: User, people: int) -> Json:
    return {
        "id": str(item.id),
        "name": item.name,
        "owner_id": str(item.owner.id),
        "preferred_locale": item.locale,
        "icon": None,
        "splash": None,
        "banner": None,
        "description": None,
        "features": [],
        "roles": [role(r) for r in item.roles],
        "channels": [channel(c, bot) for c in item.channels if not c.is_thread],
        "threads": [thread_of_bot(c, bot) for c in item.channels if _is_told_of(c)],
        "members": [{**member(item, bot), "user": user(bot)}],
        "emojis": [],
        "stickers": [],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "member_count": people,
        "premium_tier": _tier(item.attachment_size_limit),
        "premium_subscription_count": 0,
        "afk_timeout": 300,
        "afk_channel_id": None,
        "system_channel_id": None if item.system_channel is None else str(item.system_channel.id),
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "verification_level": 1,
        "default_message_notifications": 1,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "vanity_url_code": None,
        "joined_at": "2024-01-01T00:00:00.000000+00:00",
        "large": False,
        "unavailable": False,
    }


def _is_told_of(item: Channel) -> bool:
    """Of archived threads nobody is told."""
    return item.is_thread and item.is_reachable and not item.archived


def _tier(limit: int) -> int:
    return 3 if limit > 50 * MIB else 2 if limit > 10 * MIB else 0


def attachment(item: Attachment) -> Json:
    plain: Json = {
        "id": str(item.id),
        "filename": item.filename,
        "size": len(item.bytes),
        "url": item.url,
        "proxy_url": item.url.replace("cdn.discordapp.com", "media.discordapp.net"),
        "content_type": item.content_type,
    }
    if item.shape is not None:
        plain["width"], plain["height"] = item.shape
    if item.description is not None:
        plain["description"] = item.description
    if item.spoiler:
        plain["flags"] = 1 << 3
    return plain


def message(item: Message, clock: Clock, app_id: int) -> Json:
    plain: Json = {
        "id": str(item.id),
        "channel_id": str(item.channel.id),
        "type": _message_type(item),
        "content": item.content,
        "author": user(item.author),
        "timestamp": clock.iso(item.created_at),
        "edited_timestamp": None if item.edited_at is None else clock.iso(item.edited_at),
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [attachment(a) for a in item.attachments],
        "embeds": item.embeds,
        "components": item.components,
        "pinned": False,
        "flags": item.flags,
    }
    if item.author.bot:
        plain["application_id"] = str(app_id)
    if item.via_webhook:
        plain["webhook_id"] = str(app_id)
    if item.nonce is not None:
        plain["nonce"] = item.nonce
    if item.interaction is not None:
        plain["interaction_metadata"] = _metadata(item)
    if item.channel.guild is not None and not item.flags & EPHEMERAL:
        plain["position"] = 0
    if item.forwarded is not None:
        plain |= _forwarded(item.forwarded, clock)
    return plain


def _forwarded(item: Message, clock: Clock) -> Json:
    """What a message forwards: as it was, and nothing of who wrote it."""
    place = {"message_id": str(item.id), "channel_id": str(item.channel.id)}
    as_it_was = {
        "type": 0,
        "content": item.content,
        "embeds": item.embeds,
        "attachments": [attachment(a) for a in item.attachments],
        "components": item.components,
        "timestamp": clock.iso(item.created_at),
        "edited_timestamp": None,
        "flags": item.flags,
        "mentions": [],
        "mention_roles": [],
    }
    return {"message_reference": {"type": 1, **place}, "message_snapshots": [{"message": as_it_was}]}


def _message_type(item: Message) -> int:
    """A reply to a slash command, or to an entry of a menu, says so."""
    if item.interaction is None or item.interaction.type != 2:
        return 0
    return 20 if item.interaction.payload["data"]["type"] == 1 else 23


def _metadata(item: Message) -> Json:
    cause = item.interaction
    assert cause is not None
    plain: Json = {
        "id": str(cause.id),
        "type": cause.type,
        "user": user(cause.user),
        "authorizing_integration_owners": cause.payload["authorizing_integration_owners"],
    }
    if cause.type == 2:
        plain["name"] = cause.payload["data"]["name"]
        if "target_id" in cause.payload["data"]:
            plain["target_message_id"] = cause.payload["data"]["target_id"]
    if cause.source is not None:
        plain["interacted_message_id"] = str(cause.source.id)
    return plain

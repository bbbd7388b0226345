"""INTERACTION_CREATE payloads and the rules of their callbacks; no sockets."""

from __future__ import annotations

import base64

from workshop.rehearsal.loopback import checks, payloads
from workshop.rehearsal.loopback.bodies import Body
from workshop.rehearsal.loopback.errors import already_answered, invalid, unknown_interaction, unknown_message
from workshop.rehearsal.loopback.state import ANSWER_WITHIN_S, State
from workshop.rehearsal.loopback.world import (
    COMPONENTS_V2,
    EPHEMERAL,
    IN_DIRECT_MESSAGES,
    Channel,
    Interaction,
    Json,
    Message,
    User,
    object_in,
)

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
ALLOWED_ANSWERS = {COMMAND: {4, 5, 9}, COMPONENT: {4, 5, 6, 7, 9}, AUTOCOMPLETE: {8}, MODAL: {4, 5}}
"""Interaction type -> callback types; a modal opened from a component may use 6 and 7 too."""


def create(
    state: State, kind: int, user: User, channel: Channel, data: Json, source: Message | None = None
) -> Interaction:
    """Register a new interaction and build what the gateway will send."""
    number = state.clock.snowflake()
    secret = base64.urlsafe_b64encode(f"interaction:{number}:{state.clock.snowflake()}".encode()).decode()
    interaction = Interaction(
        id=number,
        token=secret,
        type=kind,
        user=user,
        channel=channel,
        created_at=state.clock.now(),
        sent_ms=state.clock.uptime_ms(),
        payload={},
        source=source,
    )
    interaction.payload = _payload(state, interaction, data)
    state.interactions[number] = interaction
    state.by_token[secret] = interaction
    return interaction


def _payload(state: State, item: Interaction, data: Json) -> Json:
    channel, guild = item.channel, item.channel.guild
    plain: Json = {
        "id": str(item.id),
        "application_id": str(state.app_id),
        "type": item.type,
        "token": item.token,
        "version": 1,
        "data": data,
        "channel_id": str(channel.id),
        "channel": payloads.channel(channel, state.bot),
        "locale": item.user.locale,
        "app_permissions": str(int(IN_DIRECT_MESSAGES if guild is None else channel.app_permissions)),
        "attachment_size_limit": channel.attachment_size_limit,
        "entitlements": [],
        "authorizing_integration_owners": {"0": "0" if guild is None else str(guild.id)},
        "context": 1 if guild is None else 0,
    }
    if item.source is not None:
        plain["message"] = payloads.message(item.source, state.clock, state.app_id)
    if guild is None:
        plain["user"] = payloads.user(item.user)
        return plain
    plain["guild_id"] = str(guild.id)
    plain["guild_locale"] = guild.locale
    plain["guild"] = {"id": str(guild.id), "locale": guild.locale, "features": []}
    plain["member"] = {**payloads.member(guild, item.user, channel=channel), "user": payloads.user(item.user)}
    plain["channel"]["permissions"] = plain["member"]["permissions"]
    return plain


def answer(state: State, interaction_id: str, token: str, body: Body) -> Interaction:
    """Take the initial response, or raise the refusal and leave the interaction unanswered."""
    interaction = state.interactions.get(int(interaction_id))
    if interaction is None or interaction.token != token:
        raise unknown_interaction()
    if interaction.answer is not None:
        raise already_answered()
    if state.clock.now() - interaction.created_at > ANSWER_WITHIN_S:
        raise unknown_interaction()
    kind, data = int(body.json["type"]), object_in(body.json, "data")
    allowed = ALLOWED_ANSWERS[interaction.type]
    if interaction.type == MODAL and interaction.source is not None:
        allowed = allowed | {6, 7}
    if kind not in allowed:
        raise invalid("type", "CALLBACK_INVALID", f"{kind} does not answer a {interaction.type}.")
    _take(state, interaction, kind, data, body)
    interaction.answer = {"type": kind, "data": data}
    interaction.answered_ms = state.clock.uptime_ms()
    return interaction


def _take(state: State, item: Interaction, kind: int, data: Json, body: Body) -> None:
    match kind:
        case 4:
            fresh = state.new_message(item.channel, interaction=item)
            item.original = state.messages.fill(fresh, data, body.files, ephemeral_ok=True)
        case 5:
            _check_defer(data)
            fresh = state.new_message(item.channel, interaction=item)
            item.original = state.messages.placeholder(fresh, int(data.get("flags") or 0))
        case 6:
            item.original = item.source
        case 7:
            if item.source is None or item.source.deleted:
                raise unknown_message()
            item.original = state.messages.edit(item.source, data, body.files)
        case 8:
            checks.check_choices(data)
        case _:
            checks.check_modal(data)


def _check_defer(data: Json) -> None:
    flags = int(data.get("flags") or 0)
    if flags & ~EPHEMERAL:
        name = "IS_COMPONENTS_V2 belongs on the edit" if flags & COMPONENTS_V2 else f"{flags:#x}"
        raise invalid("data.flags", "MESSAGE_FLAGS_INVALID", f"A defer takes EPHEMERAL only: {name}.")


def callback_reply(state: State, item: Interaction) -> Json:
    """The body for `with_response=1`."""
    assert item.answer is not None
    kind = item.answer["type"]
    about: Json = {"id": str(item.id), "type": item.type}
    reply: Json = {"interaction": about}
    shown = item.original
    if shown is not None and kind in {4, 5, 6, 7}:
        about["response_message_id"] = str(shown.id)
        about["response_message_loading"] = shown.loading
        about["response_message_ephemeral"] = shown.ephemeral
        reply["resource"] = {"type": kind}
        if kind in {4, 7}:
            reply["resource"]["message"] = payloads.message(shown, state.clock, state.app_id)
    return reply

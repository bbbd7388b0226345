"""What the bot can do in the chat: its features, listed once, and when Discord is told of their commands. Knows no job."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import structlog

from bot.chat.client import EaselClient
from bot.chat.features import (
    admin,
    admin_announce,
    admin_engines,
    admin_log,
    admin_models,
    admin_queue,
    allow,
    approving,
    blocking,
    edit,
    ending,
    favourites,
    from_message,
    help,  # noqa: A004 - called like its command
    history,
    imagine,
    info,
    menus,
    mod,
    models,
    permute,
    privacy,
    queue,
    quota,
    remix,
    reporting,
    reroll,
    set_limits,
    show,
    stats,
    style,
    taste,
    train_pictures,
    train_runs,
    train_sets,
    upscale,
    vary,
)
from bot.chat.outages import NOT_LET_IN, TROUBLES, outage_of, pauses
from bot.chat.router import Router
from bot.chat.translator import CommandTranslator
from bot.config.settings import DiscordSection
from bot.core.housekeeping import Tell
from bot.core.news import CommandsNotPushed
from bot.store import Store

log = structlog.get_logger(__name__)

FEATURES = (
    help,
    imagine,
    permute,
    reroll,
    approving,
    vary,
    upscale,
    remix,
    edit,
    show,
    models,
    ending,
    info,
    menus,
    from_message,
    quota,
    stats,
    history,
    favourites,
    queue,
    admin,
    admin_announce,
    admin_log,
    admin_engines,
    admin_models,
    admin_queue,
    mod,
    blocking,
    reporting,
    set_limits,
    allow,
    style,
    taste,
    train_sets,
    train_pictures,
    train_runs,
    privacy,
)


def make_tree(client: EaselClient, settings: DiscordSection) -> Router:
    """Made once the client is to answer people: from then on it does."""
    features = (feature.FEATURE for feature in FEATURES)
    return Router(client, features, takes_direct_messages=settings.direct_messages)


async def sync_commands(client: EaselClient, router: Router, store: Store, *, force: bool = False) -> bool:
    """Pushes the commands when they or a translation changed since the last time (Discord allows 200 creates a day)."""
    translator = CommandTranslator()
    await router.set_translator(translator)
    payload = await translated(router, translator)
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True, default=str).encode()).hexdigest()
    key = f"commands of {client.application_id}"
    if not force and await store.settings.note(key) == digest:
        return False
    assert client.application_id is not None
    await client.http.bulk_upsert_global_commands(client.application_id, payload=payload)
    await store.settings.set_note(key, digest)
    log.info("commands_synced", count=len(payload))
    return True


async def translated(router: Router, translator: CommandTranslator) -> list[dict[str, Any]]:
    """What Discord is told of every command."""
    return [await each.get_translated_payload(router, translator) for each in router.get_commands()]


async def push_commands(
    client: EaselClient, router: Router, store: Store, *, tell_operator: Tell, tried: asyncio.Event
) -> None:
    """Until Discord has them, with growing pauses; `tried` is set after the first try."""
    for pause in pauses():
        try:
            await sync_commands(client, router, store)
        except TROUBLES as error:
            outage = outage_of(error)
        else:
            return
        finally:
            tried.set()
        if outage.sentence == NOT_LET_IN:
            client.end_for_its_token()
            return
        wait_s = max(pause, outage.asked_s)
        log.error("commands_not_synced", problem=outage.sentence, again_s=wait_s)
        await tell_operator(CommandsNotPushed(outage=outage.sentence))
        await asyncio.sleep(wait_s)

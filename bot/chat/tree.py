"""The commands that Discord is told of, and when it is told; knows no job."""

from __future__ import annotations

import asyncio
import hashlib
import json

import structlog
from discord import app_commands

from bot.chat.client import EaselClient, EaselTree
from bot.chat.features import imagine, limits, mine
from bot.chat.outages import NOT_LET_IN, TROUBLES, outage_of, pauses
from bot.core.housekeeping import Tell
from bot.store import Store

log = structlog.get_logger(__name__)


def make_tree(client: EaselClient) -> EaselTree:
    """For servers only, whatever the application's page says: where the bot itself is not, it can't post."""
    tree = EaselTree(
        client,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    for module in (imagine, mine, limits):
        module.add_to(tree)
    return tree


async def sync_commands(client: EaselClient, tree: EaselTree, store: Store, *, force: bool = False) -> bool:
    """Pushes the commands when they changed since the last time (Discord allows 200 creates a day)."""
    payload = [command.to_dict(tree) for command in tree.get_commands()]
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True, default=str).encode()).hexdigest()
    key = f"commands of {client.application_id}"
    if not force and await store.settings.note(key) == digest:
        return False
    await tree.sync()
    await store.settings.set_note(key, digest)
    log.info("commands_synced", count=len(payload))
    return True


async def push_commands(
    client: EaselClient, tree: EaselTree, store: Store, *, tell_owner: Tell, tried: asyncio.Event
) -> None:
    """Until Discord has them, with growing pauses; `tried` is set after the first try."""
    for pause in pauses():
        try:
            await sync_commands(client, tree, store)
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
        await tell_owner(
            f"Easel's commands could not be pushed to Discord and stay as they are. {outage.sentence}"
        )
        await asyncio.sleep(wait_s)

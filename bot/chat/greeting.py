"""The greeting of a server that has let the bot in: one message, where it may post. Knows no job."""

from __future__ import annotations

import discord
import structlog

from bot.chat.errors import LOST
from bot.chat.look.help_view import greeting
from bot.chat.outages import told
from bot.core.ports import Clock
from bot.store import Store
from bot.store.database_errors import DatabaseError
from bot.texts.examples import EXAMPLES, numbers_for
from bot.texts.language import language

log = structlog.get_logger(__name__)

AGAIN_AFTER_S = 24 * 3600.0
"""Who removes the bot and lets it in again at once has read it."""


async def greet(guild: discord.Guild, model_id: str, *, store: Store, clock: Clock) -> None:
    """Best effort. `model_id`: of the model that draws what the greeting proposes."""
    place = _place(guild)
    if place is None:
        log.info("greeting_nowhere", guild=guild.id)
        return
    view = greeting(EXAMPLES[numbers_for(model_id)[0]].prompt, language(str(guild.preferred_locale)))
    try:
        key, now = f"greeted {guild.id}", clock.now()
        if not await store.settings.first_time(key, now=now, again_after_s=AGAIN_AFTER_S):
            return
        await place.send(view=view, allowed_mentions=discord.AllowedMentions.none())
    except (*LOST, DatabaseError) as error:
        log.warning("greeting_lost", guild=guild.id, error=told(error))


def _place(guild: discord.Guild) -> discord.TextChannel | None:
    """Where newcomers are greeted, else the first channel; None where the bot may post in none."""
    first = [] if guild.system_channel is None else [guild.system_channel]
    return next((place for place in (*first, *guild.text_channels) if _may_post(guild, place)), None)


def _may_post(guild: discord.Guild, place: discord.TextChannel) -> bool:
    allowed = place.permissions_for(guild.me)
    return allowed.view_channel and allowed.send_messages and allowed.attach_files

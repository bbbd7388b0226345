"""/admin announce: what admins say by the bot's mouth in a channel of theirs, and the operator on every server. Mentions nobody."""

from __future__ import annotations

import discord
import structlog
from discord import app_commands
from discord.app_commands import Range

from bot.chat import order, where
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import LOST, TEXT_MAX, UserError, is_blocked, language_of, say_done
from bot.chat.features.admin import concerned, group
from bot.chat.outages import is_weather, told
from bot.chat.router import Feature
from bot.store.audit import Deed
from bot.store.halts import EVERYWHERE
from bot.texts import commands, operations

log = structlog.get_logger(__name__)

Place = discord.abc.GuildChannel | discord.Thread


@group.command(description=commands.ADMIN_ANNOUNCE)
@app_commands.describe(**commands.ADMIN_ANNOUNCE_OPTIONS)
async def announce(
    interaction: discord.Interaction[EaselClient],
    text: Range[str, 1, TEXT_MAX],
    channel: discord.TextChannel | None = None,
    everywhere: bool = False,
) -> None:
    guild_id = concerned(interaction, everywhere=everywhere)
    if not text.strip():
        raise UserError(operations.nothing_to_announce)
    if everywhere and channel is not None:
        raise UserError(operations.channel_or_everywhere)
    if everywhere:
        await _everywhere(interaction, text)
        return
    place = _place(interaction, guild_id, channel)
    await interaction.response.defer(ephemeral=True, thinking=True)
    is_known = await _sent(interaction, place, text)
    entry = order.deed(interaction, guild_id, Deed.ANNOUNCED, channel=place.id, text=text)
    await interaction.client.services.store.audit.write(entry)
    say = operations.announced if is_known else operations.perhaps_announced
    await say_done(interaction, say(place.id, language_of(interaction)))


async def _sent(interaction: Interaction, place: Place, text: str) -> bool:
    """False where Discord's answer got lost, so that it may stand there. Raises UserError where it does not."""
    channel = interaction.client.get_partial_messageable(place.id, guild_id=place.guild.id)
    try:
        await channel.send(text, nonce=f"a-{interaction.id}")  # a try that is repeated posts no second one
    except discord.HTTPException as error:
        if is_blocked(error):
            raise
        log.warning("announcement_lost", guild=place.guild.id, error=told(error))
        if is_weather(error):
            return False
        gone = isinstance(error, discord.NotFound)
        raise UserError(operations.channel_unknown if gone else operations.may_not_write(place.id)) from error
    except LOST as error:
        log.warning("announcement_lost", guild=place.guild.id, error=told(error))
        return False
    return True


def _place(interaction: Interaction, guild_id: int, channel: discord.TextChannel | None) -> Place:
    """Where it is to stand; raises UserError where the bot or who asks may not write."""
    guild = interaction.client.get_guild(guild_id)
    number = channel.id if channel is not None else interaction.channel_id
    place = None if guild is None or number is None else guild.get_channel_or_thread(number)
    if guild is None or place is None:
        raise UserError(operations.channel_unknown)
    if not _may_write(place, guild.me):
        raise UserError(operations.may_not_write(place.id))
    if isinstance(interaction.user, discord.Member) and not _may_write(place, interaction.user):
        raise UserError(operations.you_may_not_write(place.id))
    return place


def _may_write(place: Place, who: discord.Member) -> bool:
    allowed = place.permissions_for(who)
    return all(getattr(allowed, name) for name in where.needed_to_write(place))


async def _everywhere(interaction: Interaction, text: str) -> None:
    """Where each server has Discord's own notices posted; a server without such a channel, or where we may not, is left out."""
    client = interaction.client
    await interaction.response.defer(ephemeral=True, thinking=True)
    await client.services.store.audit.write(order.deed(interaction, EVERYWHERE, Deed.ANNOUNCED, text=text))
    posted = 0
    for guild in client.guilds:
        place = guild.system_channel
        if place is None or not _may_write(place, guild.me):
            continue
        try:
            await place.send(text)
        except LOST as error:
            log.warning("announcement_lost", guild=guild.id, error=told(error))
        else:
            posted += 1
    say = operations.announced_everywhere(posted, len(client.guilds), language_of(interaction))
    await say_done(interaction, say)


FEATURE = Feature()

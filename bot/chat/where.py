"""Where something is asked for: in which server's name, whether pictures can be posted there, whose defaults hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import discord

from bot.chat.client import Interaction
from bot.chat.errors import UserError
from bot.job import DIRECT, Job
from bot.texts import memory, problems
from bot.texts.language import Say

VOCAL = (discord.VoiceChannel, discord.StageChannel)
_AGE_RESTRICTED = (discord.TextChannel, discord.Thread, *VOCAL)
"""What can be."""
_ABOUT = "about"
"""The job that an interaction is about, among its `extras`."""


def server_of(interaction: Interaction) -> int:
    """The server in whose name something is asked for, DIRECT for none; raises UserError where that is not allowed."""
    if interaction.guild_id is not None:
        return interaction.guild_id
    if (job := about(interaction)) is not None:
        return job.guild_id
    check_direct(interaction)
    return DIRECT


def check_direct(interaction: Interaction) -> None:
    """Raises UserError where whoever runs the bot wants nothing to be asked for in direct messages."""
    if not interaction.client.services.settings.discord.direct_messages:
        raise UserError(problems.only_in_servers)


def about(interaction: Interaction) -> Job | None:
    """The job under whose pictures something was pressed."""
    return interaction.extras.get(_ABOUT)


def takes(interaction: Interaction, job: Job) -> bool:
    """Whether who asks may do anything with the job here at all: then the interaction is about it from now on.

    In direct messages that is in the name of its server.
    """
    is_here = interaction.guild_id in (None, job.guild_id)
    is_taken = is_here and (job.user_id == interaction.user.id or not job.is_direct)
    if is_taken:
        interaction.extras[_ABOUT] = job
    return is_taken


def check_place(interaction: Interaction) -> None:
    """Raises UserError where the finished images could not be posted. Direct messages take what they took before."""
    if interaction.guild_id is None:
        return
    allowed, place = interaction.app_permissions, interaction.channel
    missing = [name for name in _needed(place) if not getattr(allowed, name)]
    if missing:
        raise UserError(problems.may_not_post(missing))
    if not isinstance(place, discord.Thread) or allowed.manage_threads:
        return
    if _is_shut_out(interaction, place):
        raise UserError(problems.not_in_thread)
    if place.locked:  # moderators may still write there, and so may ask us
        raise UserError(problems.thread_locked)


def _needed(place: object) -> tuple[str, ...]:
    """Permissions by discord.py's names.

    Without the one to send, that to attach counts for nothing, though Discord goes on granting it.
    """
    return (*needed_to_write(place), "attach_files")


def why_closed(
    guild: discord.Guild | None,
    channel_id: int,
    *,
    unknown: Say,
    gone: Say,
    closed: Callable[[int, Sequence[str]], Say],
) -> Say | None:
    """Which of these keeps us from posting pictures there and finding them again, as far as Discord has told us."""
    if guild is None or guild.unavailable:  # nothing is known of its channels
        return unknown
    if (channel := guild.get_channel(channel_id)) is None:
        return gone
    allowed = channel.permissions_for(guild.me)
    missing = [name for name in memory.GALLERY_NEEDS if not getattr(allowed, name)]
    return closed(channel_id, missing) if missing else None


def needed_to_write(place: object) -> tuple[str, ...]:
    """Which permission to send counts, the place decides. Who may not connect to a voice or stage channel does not see its text
    either.
    """
    send = "send_messages_in_threads" if isinstance(place, discord.Thread) else "send_messages"
    connect = ("connect",) if isinstance(place, VOCAL) else ()
    return ("view_channel", *connect, send)


def _is_shut_out(interaction: Interaction, place: discord.Thread) -> bool:
    """A private thread takes commands for bots that are not in it, but not their own edits; of ours Discord tells us."""
    guild = interaction.client.get_guild(interaction.guild_id or 0)
    if not place.is_private() or guild is None or guild.unavailable:
        return False
    return place.me is None and guild.get_thread(place.id) is None


def is_age_restricted(interaction: Interaction) -> bool:
    """A thread is as the channel that it belongs to."""
    place = interaction.channel
    return isinstance(place, _AGE_RESTRICTED) and place.is_nsfw()


def is_post(interaction: Interaction) -> bool:
    """In a forum or media channel, which takes no commands of its own."""
    place = interaction.channel
    return isinstance(place, discord.Thread) and isinstance(place.parent, discord.ForumChannel)


def channels(interaction: Interaction) -> list[int]:
    """Whose defaults hold here, the nearest first: those of a thread and of what it belongs to; of a post the forum's alone."""
    here = interaction.channel
    around = here.parent_id if isinstance(here, discord.Thread) else None
    own = None if is_post(interaction) else interaction.channel_id
    return [place for place in (own, around) if place is not None]

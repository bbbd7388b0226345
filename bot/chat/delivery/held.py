"""Shows moderators what is held for them: one message in their channel, and never two. Knows no decision."""

from __future__ import annotations

import discord

from bot.chat.delivery import uploads
from bot.chat.delivery.poster import posted_before
from bot.chat.delivery.room import FILE_BYTES_DEFAULT
from bot.chat.look import review_view
from bot.core.moderation.flagged import held
from bot.job import Job
from bot.texts.language import language


async def ask(client: discord.Client, job: Job, channel_id: int) -> int:
    """The id of the message, which may stand there already. Raises what Discord refuses, OSError and ImageTooLarge."""
    channel = client.get_partial_messageable(channel_id, guild_id=job.guild_id)
    if (there := await posted_before(client, channel, job)) is not None:
        return there
    guild = client.get_guild(job.guild_id)
    to = language(None if guild is None else str(guild.preferred_locale))
    files = await uploads.files_of(job, held(job.images), file_bytes_max=FILE_BYTES_DEFAULT)
    view = review_view.asking(job, [file.filename for file in files], to)
    return (await channel.send(view=view, files=files, nonce=f"r-{job.interaction_id}-{job.part}")).id

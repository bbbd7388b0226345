"""The one copy of a starred picture in its server's gallery: posted, found again, taken away. Knows no button.

The row is claimed before anything is posted and gets the message's id afterwards. A bot that is killed in between leaves a
claim without a message: whoever takes it up looks in the channel first, and posts only what is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import discord
import structlog

from bot.chat import where
from bot.chat.client import EaselClient
from bot.chat.delivery import uploads
from bot.chat.delivery.room import Room
from bot.chat.errors import LOST, is_blocked
from bot.chat.look.buttons import under_pictures
from bot.chat.look.keepsake_view import keepsake_view, one_of
from bot.chat.outages import is_weather, told
from bot.job import Claim, Job
from bot.store.preferences import GALLERY
from bot.store.stars import CLAIM_S
from bot.texts import memory
from bot.texts.language import Language, Say, language

log = structlog.get_logger(__name__)

POST_WITHIN_S = CLAIM_S / 2
"""A claim must not look left behind while its copy is still on its way."""
LOOK_BACK = 500
CLOCKS_APART = timedelta(minutes=5)
"""How far Discord's clock may be from ours."""


class NotKept(Exception):
    """Neither the spool nor the job's message has the picture any more."""


def why_closed(guild: discord.Guild | None, channel_id: int) -> Say | None:
    """What keeps us from posting there, as far as Discord has told us."""
    return where.why_closed(
        guild,
        channel_id,
        unknown=memory.copy_not_taken,
        gone=memory.gallery_gone,
        closed=memory.gallery_closed,
    )


async def wanted_in(client: EaselClient, job: Job) -> int | None:
    """The channel that a star on it puts a copy into. Nothing that is private is ever shown there."""
    if job.is_direct:
        return None
    channel_id = await client.services.store.taste.channel_of(job.guild_id, GALLERY)
    return None if channel_id == job.channel_id else channel_id


async def exhibit(
    client: EaselClient, job: Job, image: int | None, channel_id: int, *, user_id: int
) -> Say | None:
    """Puts a copy into the gallery where it has none yet; what keeps it from there, as a sentence."""
    guild = client.get_guild(job.guild_id)
    if (problem := why_closed(guild, channel_id)) is not None:
        return problem
    assert guild is not None
    to = language(str(guild.preferred_locale))
    clock, favourites = client.services.clock, client.services.store.favourites
    claim = await favourites.claim(job.id, image, channel_id=channel_id, user_id=user_id, now=clock.now())
    if claim is None:
        return None
    try:
        async with asyncio.timeout(POST_WITHIN_S):
            channel_id, message_id = await _posted(client, job, claim, channel_id, to)
    except (NotKept, uploads.ImageTooLarge):
        await favourites.released(claim)
        return memory.copy_not_kept
    except discord.HTTPException as error:
        log.info("copy_refused", job=job.id, error=told(error))
        if is_weather(error):  # it may have been taken all the same
            return memory.copy_not_taken
        await favourites.released(claim)
        return memory.copy_blocked if is_blocked(error) else memory.copy_not_taken
    except LOST as error:
        log.info("copy_lost", job=job.id, error=told(error))
        return memory.copy_not_taken
    posted = favourites.posted(claim, channel_id=channel_id, message_id=message_id, now=clock.now())
    if not await posted:  # its job was deleted in this moment
        await client.services.dispatcher.endings.clear_copies(job.id)
    return None


async def _posted(
    client: EaselClient, job: Job, claim: Claim, channel_id: int, to: Language
) -> tuple[int, int]:
    """(channel, message) of the copy, which may stand there already."""
    one = one_of(job, claim.image)
    stems = {uploads.stem_of(job.id, image.seed) for image in one.shown_images}
    if claim.tries > 1 and (there := await find(client, claim, stems)) is not None:
        return claim.channel_id, there
    room = await Room(client).bytes_in(job.guild_id, wanted=uploads.largest(one.shown_images))
    files = await pictures(client, one, file_bytes_max=room)
    channel = client.get_partial_messageable(channel_id, guild_id=job.guild_id)
    nonce = f"g-{job.id}-{claim.image}"
    numbers = [number for number, each in enumerate(job.images) if each.path is not None]
    numbers = numbers if claim.image is None else [claim.image]
    rows = under_pictures(one, numbers, to, is_copy=True)
    view = keepsake_view(one, [file.filename for file in files], to, rows=rows)
    return channel_id, (await channel.send(view=view, files=files, nonce=nonce)).id


async def find(client: discord.Client, claim: Claim, stems: Collection[str] = ()) -> int | None:
    """The id of our message that came of a claim, as far as we may look back; None where there is none.

    `stems`: what its files are called without their endings; where they are not known, any message of the job will do.
    """
    channel, me = client.get_partial_messageable(claim.channel_id), client.user
    since = datetime.fromtimestamp(claim.claimed_at, UTC) - CLOCKS_APART
    start = uploads.stem_of(claim.job_id, "")
    async for message in channel.history(limit=LOOK_BACK, after=since, oldest_first=False):
        shown = {Path(attachment.filename).stem for attachment in message.attachments}
        is_copy = shown == {*stems} if stems else any(stem.startswith(start) for stem in shown)
        if me is not None and message.author.id == me.id and is_copy:
            return message.id
    return None


# ------------------------------------------------------------------ pictures that were posted before


async def pictures(client: discord.Client, job: Job, *, file_bytes_max: int) -> list[discord.File]:
    """A delivered job's pictures: from the spool, else from its message. Raises NotKept or ImageTooLarge."""
    try:
        return await uploads.files_of(job, job.images, file_bytes_max=file_bytes_max)
    except OSError:
        pass
    stems = tuple(f"{uploads.stem_of(job.id, image.seed)}." for image in job.shown_images)
    try:
        guild_id = None if job.is_direct else job.guild_id
        channel = client.get_partial_messageable(job.channel_id, guild_id=guild_id)
        message = await channel.fetch_message(job.message_id or 0)
        found = [each for each in message.attachments if each.filename.startswith(stems)]
        files = [await each.to_file() for each in found]
    except (discord.NotFound, discord.Forbidden) as error:
        raise NotKept from error
    if not files:
        raise NotKept
    return files

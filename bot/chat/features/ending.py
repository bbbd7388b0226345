"""Cancel, Delete and Show: what a person does about a job that is to end, or has ended."""

from __future__ import annotations

import asyncio

import discord

from bot.chat import pressed
from bot.chat.client import Interaction
from bot.chat.delivery import uploads
from bot.chat.errors import UserError, say_done
from bot.chat.ids import Verb
from bot.chat.look.job_view import fetched_view
from bot.chat.order import asker_of
from bot.chat.pressed import actor_of, may_moderate, removed
from bot.chat.router import Feature
from bot.core.asking.refused import Refused
from bot.core.spool import all_intact
from bot.job import Copy, Job, JobState
from bot.texts import problems


async def delete(interaction: Interaction, job: Job, _image: int | None) -> None:
    """All of a job, or where it is shown once more, that message alone."""
    endings, message = interaction.client.services.dispatcher.endings, interaction.message
    if message is not None and message.flags.ephemeral:
        await interaction.response.defer()
        await interaction.delete_original_response()
        return
    copy = None if message is None else await _copy_in(interaction, job, message)
    if copy is not None:
        if interaction.user.id != copy.user_id and not may_moderate(interaction, job):
            raise UserError(problems.may_not_delete_copy)
        await removed(endings.delete_copy(copy))
        await say_done(interaction)
        return
    if not may_moderate(interaction, job):
        raise UserError(problems.may_not_delete)
    if not job.state.is_final:
        raise UserError(problems.not_finished)
    await removed(endings.delete(job, by=actor_of(interaction)))
    await say_done(interaction)


async def _copy_in(interaction: Interaction, job: Job, message: discord.Message) -> Copy | None:
    """What the message shows besides the job's own; those in direct messages are known by being there."""
    if interaction.guild_id is not None or message.id == job.message_id:
        return await interaction.client.services.store.copies.in_message(message.id)
    return Copy(
        message_id=message.id,
        channel_id=message.channel.id,
        guild_id=job.guild_id,
        job_id=job.id,
        user_id=interaction.user.id,
    )


async def cancel(interaction: Interaction, job: Job, _image: int | None) -> None:
    if not may_moderate(interaction, job):
        raise UserError(problems.may_not_cancel)
    await pressed.cancel(interaction, job)
    await say_done(interaction)


async def fetch(interaction: Interaction, job: Job, _image: int | None) -> None:
    """Shows what nobody would take, and charges it once: what was refunded is not handed out for nothing."""
    if interaction.user.id != job.user_id:
        raise UserError(problems.may_not_fetch)
    if job.state is not JobState.DELIVERED and not job.is_unpaid:
        raise UserError(problems.nothing_to_fetch)
    if job.deleted_at is not None or not await asyncio.to_thread(all_intact, job.images):
        raise UserError(problems.not_kept_any_more)
    await interaction.response.defer(ephemeral=True, thinking=True)
    files = await uploads.files_of(job, job.images, file_bytes_max=interaction.filesize_limit)
    paid = await interaction.client.services.admission.settle_fetch(job, asker=asker_of(interaction))
    if isinstance(paid, Refused):
        raise UserError.of(paid)
    view = fetched_view(paid, [file.filename for file in files])
    await interaction.edit_original_response(view=view, attachments=files)


FEATURE = Feature(presses={Verb.CANCEL: cancel, Verb.DELETE: delete, Verb.FETCH: fetch})

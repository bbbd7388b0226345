"""Cancel, Delete and Show: what a person does about a job that is to end, or has ended."""

from __future__ import annotations

import asyncio

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
from bot.job import Job, JobState
from bot.texts import problems


async def delete(interaction: Interaction, job: Job, _image: int | None) -> None:
    """All of a job, or where it is shown once more, that message alone."""
    endings, message = interaction.client.services.dispatcher.endings, interaction.message
    copy = None if message is None else await interaction.client.services.store.copies.in_message(message.id)
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

"""What a press of a job's button does. Looks everything up anew: nothing is trusted but the job's number."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from io import BytesIO

import discord

from bot.chat.client import Interaction
from bot.chat.delivery import uploads
from bot.chat.errors import UserError, answer_error, say_done
from bot.chat.ids import Press
from bot.chat.look import picture_info
from bot.chat.look.job_view import fetched_view
from bot.chat.look.safe import utf16_length
from bot.chat.order import owner_of, place_order
from bot.core.asking.policy import Refused
from bot.core.ports import Irremovable
from bot.core.spool import all_intact
from bot.job import Action, Job, JobState, Wish
from engine.contract import SEEDS


async def press(interaction: Interaction, which: Press, job_id: int) -> None:
    try:
        job = await _job_here(interaction, job_id)
        match which:
            case Press.REROLL:
                await _reroll(interaction, job)
            case Press.INFO:
                await _info(interaction, job)
            case Press.DELETE:
                await _delete(interaction, job)
            case Press.CANCEL:
                await _cancel(interaction, job)
            case Press.FETCH:
                await _fetch(interaction, job)
    except Exception as error:  # noqa: BLE001 - discord.py would only log it: the person must get a sentence
        await answer_error(interaction, error)


async def _job_here(interaction: Interaction, job_id: int) -> Job:
    job = await interaction.client.services.store.jobs.get(job_id)
    if job is None or job.guild_id != interaction.guild_id:
        raise UserError("This button belongs to an image that this server does not know.")
    return job


def _may_moderate(interaction: Interaction, job: Job) -> bool:
    return interaction.user.id == job.user_id or interaction.permissions.manage_messages


async def _reroll(interaction: Interaction, job: Job) -> None:
    if job.deleted_at is not None:
        raise UserError("That image was deleted: ask for a new one with /imagine.")
    request = replace(job.request, seed=secrets.randbelow(SEEDS))
    await place_order(interaction, request, wish=_again(job), action=Action.REROLL, parent_id=job.id)


def _again(job: Job) -> Wish | None:
    """The same wish, but for a seed that its person gave."""
    if job.wish is None:
        return None
    return {option: value for option, value in job.wish.items() if option != "seed"}


async def _info(interaction: Interaction, job: Job) -> None:
    if job.deleted_at is not None:
        raise UserError("That image was deleted.")
    text, command = picture_info.describe(job)
    if utf16_length(command) <= picture_info.INLINE_MAX and "`" not in command:
        await interaction.response.send_message(f"{text}\n```\n{command}\n```", ephemeral=True)
    else:
        file = discord.File(BytesIO(command.encode()), "command.txt")
        await interaction.response.send_message(text, file=file, ephemeral=True)


async def _delete(interaction: Interaction, job: Job) -> None:
    if not _may_moderate(interaction, job):
        raise UserError("Only the person who asked for this image or a moderator may delete it.")
    if not job.state.is_final:
        raise UserError("This image is not finished yet: cancel it instead.")
    try:
        await interaction.client.services.dispatcher.delete(job)
    except Irremovable as problem:
        raise UserError(str(problem)) from problem
    await say_done(interaction)


async def _cancel(interaction: Interaction, job: Job) -> None:
    if not _may_moderate(interaction, job):
        raise UserError("Only the person who asked for this image or a moderator may cancel it.")
    by = f"<@{interaction.user.id}>"
    if not await interaction.client.services.dispatcher.cancel(job.id, by=by):
        done = job.state in (JobState.RENDERED, JobState.DELIVERED)
        raise UserError("It is finished already." if done else "It is over already.")
    await say_done(interaction)


async def _fetch(interaction: Interaction, job: Job) -> None:
    """Shows what nobody would take, and charges it once: what was refunded is not handed out for nothing."""
    if interaction.user.id != job.user_id:
        raise UserError("Only the person who asked for this image may fetch it.")
    if job.state is not JobState.DELIVERED and not job.is_unpaid:
        raise UserError("There is no image of this request to fetch.")
    if job.deleted_at is not None or not await asyncio.to_thread(all_intact, job.images):
        raise UserError("This image is not kept any more: ask for a new one with /imagine.")
    await interaction.response.defer(ephemeral=True, thinking=True)
    files = await uploads.files_of(job, job.images, file_bytes_max=interaction.filesize_limit)
    paid = await interaction.client.services.admission.settle_fetch(job, owner=owner_of(interaction))
    if isinstance(paid, Refused):
        raise UserError(paid.reason)
    view = fetched_view(paid, [file.filename for file in files])
    await interaction.edit_original_response(view=view, attachments=files)

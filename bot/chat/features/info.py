"""Info: all that is known of a picture, and the command that draws it again, for the eyes of who presses."""

from __future__ import annotations

from io import BytesIO

import discord
from discord import ui

from bot.chat.client import Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.ids import Verb, button
from bot.chat.look import picture_info
from bot.chat.look.safe import utf16_length
from bot.chat.router import Feature
from bot.job import Job
from bot.texts import problems


async def info(interaction: Interaction, job: Job, image: int | None) -> None:
    """With a button that reports it, for whoever did not ask for it."""
    if job.deleted_at is not None:
        raise UserError(problems.deleted)
    to = language_of(interaction)
    jobs = interaction.client.services.store.jobs
    first = None if job.parent_id is None else await jobs.get(job.parent_id)
    text, command = picture_info.describe(job, to, first=first)
    view = ui.View(timeout=None)
    if not job.is_direct and job.user_id != interaction.user.id and job.shown_images:
        view.add_item(button(Verb.REPORT, job.id, image, to=to))
    view.stop()  # its button is known by its id
    if utf16_length(command) <= picture_info.INLINE_MAX and "`" not in command:
        told = f"{text}\n```\n{command}\n```"
        await interaction.response.send_message(told, view=view, ephemeral=True)
    else:
        file = discord.File(BytesIO(command.encode()), "command.txt")
        await interaction.response.send_message(text, file=file, view=view, ephemeral=True)


FEATURE = Feature(presses={Verb.INFO: info})

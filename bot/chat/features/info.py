"""Info: all that is known of a picture, and the command that draws it again, for the eyes of who presses."""

from __future__ import annotations

from io import BytesIO

import discord

from bot.chat.client import Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.ids import Verb
from bot.chat.look import picture_info
from bot.chat.look.safe import utf16_length
from bot.chat.router import Feature
from bot.job import Job
from bot.texts import problems


async def info(interaction: Interaction, job: Job, _image: int | None) -> None:
    if job.deleted_at is not None:
        raise UserError(problems.deleted)
    text, command = picture_info.describe(job, language_of(interaction))
    if utf16_length(command) <= picture_info.INLINE_MAX and "`" not in command:
        await interaction.response.send_message(f"{text}\n```\n{command}\n```", ephemeral=True)
    else:
        file = discord.File(BytesIO(command.encode()), "command.txt")
        await interaction.response.send_message(text, file=file, ephemeral=True)


FEATURE = Feature(presses={Verb.INFO: info})

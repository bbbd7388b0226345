"""A picture that somebody keeps, in a gallery or in a direct message: who asked for what, and where it stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from discord import ui

from bot.chat.look.job_view import GREEN, gallery, header, layout, settings_line
from bot.core.asking.derived import of_image
from bot.job import Job
from bot.texts import memory
from bot.texts.language import Language
from engine.contract import InvalidRequest


def one_of(job: Job, image: int | None) -> Job:
    """The job as if it had been asked for that image alone, as far as today's bounds let it; the job itself for None."""
    if image is None:
        return job
    try:
        return of_image(job, image)
    except InvalidRequest:
        return job


def keepsake_view(
    job: Job, files: Sequence[str], to: Language, *, rows: Sequence[ui.ActionRow[Any]] = ()
) -> ui.LayoutView:
    """`files` are the names of the attachments."""
    lines = [header(job), settings_line(job, to), f"-# [{memory.original(to)}]({link(job)})"]
    return layout(job, GREEN, lines, rows=rows, gallery=gallery(job, files))


def link(job: Job) -> str:
    """To the message that shows the job."""
    server = "@me" if job.is_direct else job.guild_id
    return f"https://discord.com/channels/{server}/{job.channel_id}/{job.message_id}"

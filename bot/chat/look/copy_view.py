"""A picture shown a second time, in a gallery or in a direct message: who asked for what, and where it stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from discord import ui

from bot.chat.look import job_view
from bot.chat.look.safe import plain
from bot.job import Job
from bot.texts import memory
from bot.texts.language import Language
from bot.texts.request import settings
from engine.contract import InvalidRequest


def one_of(job: Job, image: int | None) -> Job:
    """The job as if it had been asked for that image alone; the job itself for None."""
    if image is None:
        return job
    seed = job.images[image].seed
    try:
        request = replace(job.request, images=1, seed=seed)
    except InvalidRequest:  # it is of other bounds than today's
        request = job.request
    return replace(job, request=request, images=(job.images[image],))


def copy_view(job: Job, files: Sequence[str], to: Language) -> ui.LayoutView:
    """`files` are the names of the attachments; without buttons."""
    view = ui.LayoutView(timeout=None)
    container = ui.Container[ui.LayoutView](accent_colour=job_view.GREEN)
    container.add_item(ui.TextDisplay(job_view.header(job)))
    if (shown := job_view.gallery(job, files)) is not None:
        container.add_item(shown)
    container.add_item(ui.TextDisplay(f"-# {settings(job, to, shown=plain)}"))
    container.add_item(ui.TextDisplay(f"-# [{memory.original(to)}]({link(job)})"))
    view.add_item(container)
    view.stop()
    return view


def link(job: Job) -> str:
    """To the message that shows the job."""
    return f"https://discord.com/channels/{job.guild_id}/{job.channel_id}/{job.message_id}"

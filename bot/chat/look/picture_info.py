"""What ℹ️ Info tells about a job: everything, and the command that draws it again. Pure."""

from __future__ import annotations

from bot.chat.look.job_view import command_for, settings_line, uncopied
from bot.chat.look.safe import cut, plain
from bot.core.asking.policy import credit
from bot.job import Job

INLINE_MAX = 1000
"""Longer commands travel as a text file: a message without a layout holds 2,000 characters."""


def describe(job: Job) -> tuple[str, str]:
    """(text for people, command to copy)."""
    seeds = ", ".join(str(image.seed) for image in job.images) or str(job.request.seed)
    asked = f"asked <t:{int(job.created_at)}:f>"
    reason = uncopied(job.request)
    lines = [
        f"**By <@{job.user_id}>**, {asked}, {job.state}, {credit(job.charged)}",
        *([f"The command can't be copied exactly: {reason}."] if reason else []),
        settings_line(job).removeprefix("-# "),
        f"Seeds: {seeds}",
        *(["Made by 🔄 Reroll from another message"] if job.parent_id else []),
        *([f"Attach the same {_files(job)} to the command."] if job.request.image else []),
        *(plain(cut(note, 200)) for note in job.notes),
    ]
    return cut("\n".join(lines), 950), command_for(job.request)


def _files(job: Job) -> str:
    return "image and mask" if job.request.mask else "image"

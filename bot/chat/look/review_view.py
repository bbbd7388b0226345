"""What moderators see of flagged pictures: covered, with two buttons, and afterwards who decided what. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord
from discord import ui

from bot.chat.ids import Verb, button
from bot.chat.look.job_view import GRAY, GREEN, RED, alt_text, header
from bot.core.moderation.flagged import held
from bot.job import Job
from bot.texts import flagged_pictures
from bot.texts.language import Language


def asking(job: Job, files: Sequence[str], to: Language) -> ui.LayoutView:
    """`files` are the names of the attachments."""
    score = max((image.unsafe or 0.0 for image in held(job.images)), default=0.0)
    items = [
        discord.MediaGalleryItem(f"attachment://{name}", description=alt_text(job.request), spoiler=True)
        for name in files
    ]
    told = flagged_pictures.asked(f"<#{job.channel_id}>", to.percent(score), to)
    row = ui.ActionRow[Any](*(button(verb, job.id, to=to) for verb in (Verb.SHOW_HELD, Verb.DROP_HELD)))
    return _view(RED, header(job), ui.MediaGallery[ui.LayoutView](*items), ui.TextDisplay(f"👁️ {told}"), row)


def decided(job: Job, by: str, to: Language, *, is_approved: bool) -> ui.LayoutView:
    told = flagged_pictures.decided(by, to, is_approved=is_approved)
    return _view(GREEN if is_approved else GRAY, header(job), ui.TextDisplay(told))


def _view(colour: int, head: str, *items: ui.Item[ui.LayoutView]) -> ui.LayoutView:
    made = ui.LayoutView(timeout=None)
    made.add_item(ui.Container[ui.LayoutView](ui.TextDisplay(head), *items, accent_colour=colour))
    made.stop()  # its buttons are known by their ids
    return made

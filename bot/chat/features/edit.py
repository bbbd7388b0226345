"""Edit by words: a picture that is there or attached, changed as somebody says, by button or `/edit`.

A model that follows instructions gets the words as one. Where there is none, the words are the prompt of an image to image,
and the form says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands, ui
from discord.app_commands import Range

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.ids import OfJob, Verb
from bot.chat.order import Order
from bot.chat.pressed import new_seed, original, picture_of, redraw
from bot.chat.router import Feature
from bot.chat.sources import Attached, check_files, told_of
from bot.core.asking.derived import edited
from bot.core.asking.wish import Wish, resolve
from bot.job import Action, Job
from bot.texts import commands, forms, problems
from engine.contract import PROMPT_CHARS_MAX, SEEDS


async def open_form(interaction: Interaction, job: Job, image: int | None) -> None:
    picture_of(interaction, job, image)
    to = language_of(interaction)
    form = ui.Modal(title=forms.edit(to), custom_id=OfJob(verb=Verb.EDIT, job=job.id, image=image).custom_id)
    follows = interaction.client.services.catalogue.editor() is not None
    words = ui.TextInput[Any](
        custom_id="words",
        style=discord.TextStyle.paragraph,
        max_length=PROMPT_CHARS_MAX,
        default=None if follows else job.request.prompt,
    )
    form.add_item(
        ui.Label[Any](
            text=forms.words(to) if follows else forms.description(to),
            description=None if follows else forms.no_instructions(to),
            component=words,
        )
    )
    form.stop()  # it is known by its id: discord.py would remember it for ever
    await interaction.response.send_modal(form)

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
from bot.chat.errors import language_of
from bot.chat.ids import OfJob, Verb
from bot.chat.look.safe import cut
from bot.chat.order import Order
from bot.chat.pressed import original, picture_of, redraw
from bot.chat.router import Feature
from bot.chat.sources import Attached, check_files, told_of
from bot.core.asking import wildcards
from bot.core.asking.derived import edited
from bot.core.asking.wish import Wish
from bot.job import Action, Job
from bot.texts import commands, forms
from engine.contract import PROMPT_CHARS_MAX, SEEDS


async def open_form(interaction: Interaction, job: Job, image: int | None) -> None:
    picture_of(interaction, job, image)
    to = language_of(interaction)
    form = ui.Modal(title=forms.edit(to), custom_id=OfJob(verb=Verb.EDIT, job=job.id, image=image).custom_id)
    words = ui.TextInput[Any](
        custom_id="words",
        style=discord.TextStyle.paragraph,
        max_length=PROMPT_CHARS_MAX,
        default=cut(wildcards.literal(job.request.prompt), PROMPT_CHARS_MAX),
    )
    form.add_item(
        ui.Label[Any](
            text=forms.description(to),
            description=forms.no_instructions(to),
            component=words,
        )
    )
    form.stop()  # it is known by its id: discord.py would remember it for ever
    await interaction.response.send_modal(form)


async def edit_picture(
    interaction: Interaction, job: Job, image: int | None, fields: Mapping[str, Any]
) -> None:
    number = picture_of(interaction, job, image)
    asker = await order.check(interaction)
    digest = await original(interaction, job.images[number])
    if digest is None:
        await redraw(interaction, asker, job, number)
        return
    catalogue = interaction.client.services.catalogue
    model = catalogue.model(job.request.model)
    wish = edited(job, digest=digest, words=str(fields.get("words") or ""))
    await order.place(
        interaction,
        asker,
        Order(
            request=await order.requested(interaction, wish, model),
            model=model,
            wish=wish,
            action=Action.EDIT,
            parent_id=job.id,
            parent_image=number,
        ),
    )


@app_commands.command(description=commands.EDIT)
@app_commands.describe(**commands.EDIT_OPTIONS)
@app_commands.guild_only()
async def edit(
    interaction: discord.Interaction[EaselClient],
    image: discord.Attachment,
    words: Range[str, 1, PROMPT_CHARS_MAX],
    strength: Range[float, 0.01, 1.0] | None = None,
    seed: Range[int, -1, SEEDS - 1] | None = None,
    model: Range[str, 1, 100] | None = None,
) -> None:
    wish = Wish(prompt=words, image=told_of(image), strength=strength, seed=seed, model=model)
    asker = await order.check(interaction)
    services = interaction.client.services
    chosen = services.catalogue.model(model) if model else services.catalogue.for_editing()
    check_files(image, None, wish, times=1, max_mb=services.settings.images_in.max_mb)
    await order.place(
        interaction,
        asker,
        Order(
            request=await order.requested(interaction, wish, chosen),
            model=chosen,
            wish=wish,
            action=Action.EDIT,
            files=Attached(image=image),
        ),
    )


FEATURE = Feature(
    commands=(edit,),  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open
    presses={Verb.EDIT: open_form},
    forms={Verb.EDIT: edit_picture},
)

"""Edit by words: a picture that is there or attached, changed as somebody says, by button or `/edit`.

A model that follows instructions gets the words as one. Where there is none, the words are the prompt of an image to image,
and the form says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import discord
from discord import app_commands, ui
from discord.app_commands import Range

from bot.chat import order, suggestions
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.ids import OfJob, Verb
from bot.chat.look import fields
from bot.chat.pressed import original, picture_of, redraw
from bot.chat.router import Feature
from bot.chat.sources import Attached, check_picture, size_of, told_of
from bot.core.asking import wildcards
from bot.core.asking.derived import edited
from bot.core.asking.wish import Picture, Wish
from bot.job import Action, Job
from bot.limits import Use
from bot.texts import commands, forms, problems
from engine.contract import PROMPT_CHARS_MAX, SEEDS, ModelInfo


async def open_form(interaction: Interaction, job: Job, image: int | None) -> None:
    picture_of(interaction, job, image)
    await order.check_use(interaction, Use.EDIT)
    custom_id = OfJob(verb=Verb.EDIT, job=job.id, image=image).custom_id
    prompt = wildcards.literal(job.request.prompt)
    await interaction.response.send_modal(form(interaction, custom_id, prompt))


def form(interaction: Interaction, custom_id: str, prompt: str) -> ui.Modal:
    """Asks for words: for an instruction, or where nothing follows one, for the whole picture, of which `prompt` is a start."""
    to = language_of(interaction)
    follows = interaction.client.services.catalogue.editor() is not None
    words = fields.words(
        "words",
        forms.words(to) if follows else forms.description(to),
        "" if follows else prompt,
        description=None if follows else forms.no_instructions(to),
    )
    return fields.form(forms.edit(to), custom_id, words)


async def edit_picture(
    interaction: Interaction, job: Job, image: int | None, given: Mapping[str, Any]
) -> None:
    number = picture_of(interaction, job, image)
    asker = await order.check(interaction)
    digest = await original(interaction, job.images[number])
    if digest is None:
        await redraw(interaction, asker, job, number)
        return
    catalogue = interaction.client.services.catalogue
    editor = catalogue.editor()
    model = editor or catalogue.model(job.request.model)
    wish = edited(job, digest=digest, words=str(given.get("words") or ""), editor=editor)
    await order.draw(interaction, asker, wish, model, action=Action.EDIT, parent=job, image=number)


@app_commands.command(description=commands.EDIT)
@app_commands.describe(**commands.EDIT_OPTIONS)
async def edit(
    interaction: discord.Interaction[EaselClient],
    image: discord.Attachment,
    words: Range[str, 1, PROMPT_CHARS_MAX],
    image2: discord.Attachment | None = None,
    image3: discord.Attachment | None = None,
    strength: Range[float, 0.01, 1.0] | None = None,
    seed: Range[int, -1, SEEDS - 1] | None = None,
    model: Range[str, 1, 100] | None = None,
) -> None:
    given = [image, *(other for other in (image2, image3) if other is not None)]
    await place(interaction, words, given, strength=strength, seed=seed, model=model)


async def place(
    interaction: Interaction,
    words: str,
    given: Sequence[discord.Attachment],
    *,
    strength: float | None = None,
    seed: int | None = None,
    model: str | None = None,
) -> None:
    """Has attached pictures edited; raises UserError."""
    asker = await order.check(interaction)
    services = interaction.client.services
    chosen = services.catalogue.model(model) if model else services.catalogue.for_editing()
    for file in given:
        check_picture(file, services.settings.images_in.max_mb)
    told = Wish(prompt=words, strength=strength, seed=seed, model=model)
    wish, files = _with_images(told, chosen, given)
    await order.draw(interaction, asker, wish, chosen, action=Action.EDIT, files=files)


edit.autocomplete("model")(suggestions.models)


def _with_images(wish: Wish, model: ModelInfo, given: Sequence[discord.Attachment]) -> tuple[Wish, Attached]:
    """An instruction is about all of them, an image to image starts from one. Raises UserError."""
    if model.edits_by_instruction:
        if wish.strength is not None:
            raise UserError(problems.follows_instructions(model.title))
        told = tuple(Picture(name=file.filename, size=size_of(file)) for file in given)
        return replace(wish, references=told), Attached(references=tuple(given))
    if len(given) > 1:
        raise UserError(problems.one_image_only(model.title))
    return replace(wish, image=told_of(given[0])), Attached(image=given[0])


FEATURE = Feature(
    commands=(edit,),  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open
    presses={Verb.EDIT: open_form},
    forms={Verb.EDIT: edit_picture},
)

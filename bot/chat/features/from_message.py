"""A message's menu: a picture that somebody posted, drawn with its settings, varied, enlarged or edited with words.

A picture of ours is what its buttons are about. Anybody else's is fetched from Discord's own CDN, as an attachment is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import discord
from discord import app_commands, ui

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.features import edit, remix, upscale, vary
from bot.chat.features.menus import job_of, message_again, pictures_of, settings_of
from bot.chat.ids import OfJob, Verb
from bot.chat.look import fields
from bot.chat.look.safe import plain
from bot.chat.router import Feature
from bot.chat.sources import Attached, check_picture, told_of
from bot.core.asking.asked import parse
from bot.core.asking.derived import STRONG
from bot.core.asking.typed import typed
from bot.core.asking.wish import Wish
from bot.job import Action, Job
from bot.limits import Use
from bot.texts import commands, forms, pictures, problems


@app_commands.context_menu(name=commands.USE_SETTINGS)
async def use_settings(interaction: discord.Interaction[EaselClient], message: discord.Message) -> None:
    """A form with what made the picture, to be changed and drawn."""
    if (ours := await job_of(interaction, message)) is not None:
        await remix.open_form(interaction, *ours)
        return
    taken, to = await settings_of(interaction, message), language_of(interaction)
    wish = replace(taken.wish, model=taken.model.id)
    told = pictures.left_out(taken.left_out, to, shown=plain)
    form = fields.form(
        forms.settings(to),
        OfJob(verb=Verb.USE, job=0).custom_id,
        fields.words("prompt", forms.prompt_and_flags(to), typed(wish, beside=("negative_prompt",))),
        fields.words("negative", forms.negative(to), wish.negative_prompt or "", is_needed=False),
        *([ui.TextDisplay[Any](told)] if told else []),
    )
    await interaction.response.send_modal(form)


async def draw_with(interaction: Interaction, _number: int, given: Mapping[str, Any]) -> None:
    """What the form says: a prompt with flags, as /imagine takes it."""
    asker = await order.check(interaction)
    negative = str(given.get("negative") or "").strip() or None
    told = Wish(prompt=str(given.get("prompt") or ""), negative_prompt=negative)
    (wish,) = parse(told, most=1).wishes
    model = interaction.client.services.catalogue.model(wish.model)
    await order.draw(interaction, asker, wish, model)


@app_commands.context_menu(name=commands.VARY)
async def vary_it(interaction: discord.Interaction[EaselClient], message: discord.Message) -> None:
    if (ours := await job_of(interaction, message)) is not None:
        await vary.strong(interaction, *_one_of(*ours))
        return
    file = _picture(interaction, message)
    asker = await order.check(interaction)
    taken = await settings_of(interaction, message)
    if not taken.model.takes_images:
        raise UserError(problems.varies_nothing(taken.model.title))
    start = {"image": told_of(file), "strength": STRONG, "seed": None, "size": None, "aspect": None}
    wish = replace(taken.wish, model=taken.model.id, **start)
    files = Attached(image=file)
    await order.draw(interaction, asker, wish, taken.model, action=Action.VARY_STRONG, files=files)


@app_commands.context_menu(name=commands.UPSCALE)
async def upscale_it(interaction: discord.Interaction[EaselClient], message: discord.Message) -> None:
    if (ours := await job_of(interaction, message)) is not None:
        await upscale.twice(interaction, *_one_of(*ours))
        return
    file = _picture(interaction, message)
    asker = await order.check(interaction)
    model = interaction.client.services.catalogue.model(upscale=2)
    wish = Wish(prompt="", image=told_of(file), upscale=2, model=model.id)
    files = Attached(image=file)
    await order.draw(interaction, asker, wish, model, action=Action.UPSCALE_2, files=files)


@app_commands.context_menu(name=commands.EDIT_WITH_WORDS)
async def edit_it(interaction: discord.Interaction[EaselClient], message: discord.Message) -> None:
    if (ours := await job_of(interaction, message)) is not None:
        await edit.open_form(interaction, *_one_of(*ours))
        return
    _picture(interaction, message)
    await order.check_use(interaction, Use.EDIT)
    custom_id = OfJob(verb=Verb.EDIT_POSTED, job=message.id).custom_id
    await interaction.response.send_modal(edit.form(interaction, custom_id, ""))


async def edit_posted(interaction: Interaction, message_id: int, given: Mapping[str, Any]) -> None:
    """The picture is looked for again: nothing is remembered while a form is open."""
    file = _picture(interaction, await message_again(interaction, message_id))
    await edit.place(interaction, str(given.get("words") or ""), [file])


def _picture(interaction: Interaction, message: discord.Message) -> discord.Attachment:
    file = pictures_of(message)[0]
    check_picture(file, interaction.client.services.settings.images_in.max_mb)
    return file


def _one_of(job: Job, image: int | None) -> tuple[Job, int | None]:
    """Which one of a set is meant is for its buttons to say."""
    shown = [number for number, each in enumerate(job.images) if each.path is not None]
    if image is None and len(shown) > 1:
        raise UserError(problems.which_picture)
    return job, image


FEATURE = Feature(
    commands=(use_settings, vary_it, upscale_it, edit_it),
    forms_of_number={Verb.USE: draw_with, Verb.EDIT_POSTED: edit_posted},
)

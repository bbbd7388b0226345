"""Remix: a form with what a picture was made by, changed and drawn anew. What the form can't hold keeps its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import discord
from discord import ui

from bot.chat import order
from bot.chat.client import Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.ids import OfJob, Verb
from bot.chat.look.safe import cut
from bot.chat.order import Order
from bot.chat.router import Feature
from bot.core.asking.asked import said_over, written
from bot.core.asking.derived import wish_of
from bot.core.asking.wish import Quality, Wish
from bot.job import Action, Job
from bot.texts import forms, problems
from bot.texts.language import Language
from engine.contract import PROMPT_CHARS_MAX, ModelInfo

MODELS_MAX = 25
NEW, KEPT = "new", "keep"
_HOW = {
    NEW: forms.new_seed,
    KEPT: forms.same_seed,
    f"{NEW} {Quality.QUICK}": forms.new_quick,
    f"{KEPT} {Quality.QUICK}": forms.same_quick,
    f"{NEW} {Quality.HIGH}": forms.new_high,
    f"{KEPT} {Quality.HIGH}": forms.same_high,
}
"""What is chosen for the seed and, where it is to be another one, the quality; a form has room for five fields."""
SIZE_CHARS_MAX = 20


async def open_form(interaction: Interaction, job: Job, image: int | None) -> None:
    if job.deleted_at is not None:
        raise UserError(problems.deleted_before)
    models = interaction.client.services.catalogue.models
    custom_id = OfJob(verb=Verb.REMIX, job=job.id, image=image).custom_id
    wish = wish_of(job)
    form = _form(
        custom_id,
        wish,
        size=_size_of(wish, job),
        model=job.request.model,
        models=models,
        to=language_of(interaction),
    )
    await interaction.response.send_modal(form)


def _form(
    custom_id: str,
    wish: Wish,
    *,
    size: str,
    model: str,
    models: tuple[ModelInfo, ...],
    to: Language,
) -> ui.Modal:
    form = ui.Modal(title=forms.remix(to), custom_id=custom_id)
    texts = {
        "prompt": (forms.prompt, written(wish.prompt), PROMPT_CHARS_MAX, True),
        "negative": (forms.negative, wish.negative_prompt or "", PROMPT_CHARS_MAX, True),
        "size": (forms.size, size, SIZE_CHARS_MAX, False),
    }
    for field, (label, value, most, is_long) in texts.items():
        text = ui.TextInput[Any](
            custom_id=field,
            style=discord.TextStyle.paragraph if is_long else discord.TextStyle.short,
            default=cut(value, most),
            max_length=most,
            required=field == "prompt",
        )
        form.add_item(ui.Label[Any](text=label(to), component=text))
    drawing = [each for each in models if each.scale == 1][:MODELS_MAX]
    if drawing:
        choices = [
            discord.SelectOption(label=cut(each.title, 100), value=each.id[:100], default=each.id == model)
            for each in drawing
        ]
        form.add_item(
            ui.Label[Any](text=forms.model(to), component=ui.Select[Any](custom_id="model", options=choices))
        )
    seeds = [
        discord.SelectOption(label=label(to), value=value, default=value == NEW)
        for value, label in _HOW.items()
    ]
    form.add_item(
        ui.Label[Any](text=forms.seed(to), component=ui.Select[Any](custom_id="seed", options=seeds))
    )
    form.stop()  # it is known by its id: discord.py would remember it for ever
    return form


def _size_of(wish: Wish, job: Job) -> str:
    return wish.aspect or wish.size or job.request.size


async def remix(interaction: Interaction, job: Job, image: int | None, fields: Mapping[str, Any]) -> None:
    if job.deleted_at is not None:
        raise UserError(problems.deleted_before)
    asker = await order.check(interaction)
    names = fields.get("model") or [job.request.model]
    model = interaction.client.services.catalogue.model(str(names[0]))
    wish = said_over(_remixed(job, image, fields, model), str(fields.get("prompt") or ""))
    model = interaction.client.services.catalogue.model(wish.model)
    await order.place(
        interaction,
        asker,
        Order(
            request=await order.requested(interaction, wish, model),
            model=model,
            wish=wish,
            action=Action.REMIX,
            parent_id=job.id,
            parent_image=image,
        ),
    )


def _remixed(job: Job, image: int | None, fields: Mapping[str, Any], model: ModelInfo) -> Wish:
    """The job's wish with what was filled in; another model's steps, guidance and sampler are its own again."""
    seed, _, quality = str((fields.get("seed") or [NEW])[0]).partition(" ")
    wish = replace(
        wish_of(job),
        negative_prompt=str(fields.get("negative") or "") or None,
        model=model.id,
        seed=job.request.seed_of(image or 0) if seed == KEPT else None,
        **_shape(job, str(fields.get("size") or "").strip(), model),
    )
    if quality:
        wish = replace(wish, quality=Quality(quality), steps=None)
    if model.id == job.request.model:
        return wish
    return replace(wish, steps=None, guidance=None, sampler=None)


def _shape(job: Job, typed: str, model: ModelInfo) -> dict[str, str | None]:
    """What the size became: left as it was, it is the same with this model, and the same shape with another one."""
    before, request = wish_of(job), job.request
    if typed != _size_of(before, job):
        return {"aspect": typed, "size": None} if ":" in typed else {"size": typed or None, "aspect": None}
    if before.aspect or before.size:
        return {"aspect": before.aspect, "size": before.size}
    if model.id == request.model:
        return {"size": request.size, "aspect": None}
    width, height = model.size_like(request.width, request.height)
    return {"size": f"{width}x{height}", "aspect": None}


FEATURE = Feature(presses={Verb.REMIX: open_form}, forms={Verb.REMIX: remix})

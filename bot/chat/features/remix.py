"""Remix: a form with what a picture was made by, changed and drawn anew. What the form can't hold keeps its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.chat import order
from bot.chat.client import Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.ids import OfJob, Verb
from bot.chat.look import fields
from bot.chat.router import Feature
from bot.core.asking.asked import said_over, written
from bot.core.asking.derived import wish_of
from bot.core.asking.wish import Quality, Wish, worded
from bot.job import Action, Job
from bot.limits import Use
from bot.texts import forms, problems
from engine.contract import InvalidRequest, ModelInfo

ID_CHARS_MAX = 100
"""Of what a menu can hold."""
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
    await order.check_use(interaction, Use.REMIX)
    models = interaction.client.services.catalogue.models
    to, wish = language_of(interaction), _in_words(wish_of(job), job, models)
    titles = {model.id: model.title for model in models if model.scale == 1 and len(model.id) <= ID_CHARS_MAX}
    drawing = dict([*titles.items()][: fields.OPTIONS_MAX])
    how = {value: label(to) for value, label in _HOW.items()}
    form = fields.form(
        forms.remix(to),
        OfJob(verb=Verb.REMIX, job=job.id, image=image).custom_id,
        fields.words("prompt", forms.prompt(to), written(wish.prompt)),
        fields.words("negative", forms.negative(to), wish.negative_prompt or "", is_needed=False),
        fields.line("size", forms.size(to), _size_of(wish, job), most=SIZE_CHARS_MAX),
        *([fields.choice("model", forms.model(to), drawing, job.request.model)] if drawing else []),
        fields.choice("seed", forms.seed(to), how, NEW),
    )
    await interaction.response.send_modal(form)


def _in_words(wish: Wish, job: Job, models: Sequence[ModelInfo]) -> Wish:
    """What the form has no field for and another model may not know, embeddings, stands in its texts: there it can be changed."""
    model = next((model for model in models if model.id == job.request.model), None)
    try:
        return wish if model is None else worded(wish, model)
    except InvalidRequest:  # its file is gone
        return wish


def _size_of(wish: Wish, job: Job) -> str:
    return wish.aspect or wish.size or job.request.size


async def remix(interaction: Interaction, job: Job, image: int | None, given: Mapping[str, Any]) -> None:
    if job.deleted_at is not None:
        raise UserError(problems.deleted_before)
    asker = await order.check(interaction)
    names = given.get("model") or [job.request.model]
    model = interaction.client.services.catalogue.model(str(names[0]))
    wish = said_over(_remixed(job, image, given, model), str(given.get("prompt") or ""))
    model = interaction.client.services.catalogue.model(wish.model)
    await order.draw(interaction, asker, wish, model, action=Action.REMIX, parent=job, image=image)


def _remixed(job: Job, image: int | None, given: Mapping[str, Any], model: ModelInfo) -> Wish:
    """The job's wish with what was filled in; another model's steps, guidance and sampler are its own again."""
    seed, _, quality = str((given.get("seed") or [NEW])[0]).partition(" ")
    before = replace(wish_of(job), embedding=None)
    wish = replace(
        before,
        negative_prompt=str(given.get("negative") or "") or None,
        model=model.id,
        seed=job.request.seed_of(image or 0) if seed == KEPT else None,
        **_shape(job, before, str(given.get("size") or "").strip(), model),
    )
    if quality:
        wish = replace(wish, quality=Quality(quality), steps=None)
    if model.id == job.request.model:
        return wish
    return replace(wish, steps=None, guidance=None, sampler=None, schedule=None, guidance_until=None)


def _shape(job: Job, before: Wish, typed: str, model: ModelInfo) -> dict[str, str | None]:
    """What the size became: left as it was, it is the same with this model, and the same shape with another one."""
    request = job.request
    if typed != _size_of(before, job):
        return {"aspect": typed, "size": None} if ":" in typed else {"size": typed or None, "aspect": None}
    if before.aspect or before.size:
        return {"aspect": before.aspect, "size": before.size}
    if model.id == request.model:
        return {"size": request.size, "aspect": None}
    width, height = model.size_like(request.width, request.height)
    return {"size": f"{width}x{height}", "aspect": None}


FEATURE = Feature(presses={Verb.REMIX: open_form}, forms={Verb.REMIX: remix})

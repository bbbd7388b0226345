"""Reroll: the same request with another seed, for whoever presses, at their cost."""

from __future__ import annotations

from dataclasses import replace

from bot.chat import order
from bot.chat.client import Interaction
from bot.chat.errors import UserError
from bot.chat.ids import Verb
from bot.chat.order import Order
from bot.chat.router import Feature
from bot.core.asking.wish import Wish
from bot.job import Action, Job
from bot.texts import problems


async def reroll(interaction: Interaction, job: Job, _image: int | None) -> None:
    if job.deleted_at is not None:
        raise UserError(problems.deleted_before)
    asker = await order.check(interaction)
    model = interaction.client.services.catalogue.model(job.request.model)
    request = replace(job.request, seed=order.new_seed())
    model.check(request)  # not resolved anew: it has the settings of its time
    wish = None if job.wish is None else Wish.of(job.wish).unseeded()
    await order.place(
        interaction,
        asker,
        Order(request=request, model=model, wish=wish, action=Action.REROLL, parent_id=job.id),
    )


FEATURE = Feature(presses={Verb.REROLL: reroll})

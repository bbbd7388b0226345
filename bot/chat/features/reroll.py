"""Reroll: the same request with another seed, for whoever presses, at their cost."""

from __future__ import annotations

import secrets
from dataclasses import replace

from bot.chat import order
from bot.chat.client import Interaction
from bot.chat.errors import UserError
from bot.chat.ids import Verb
from bot.chat.order import Order
from bot.chat.router import Feature
from bot.job import Action, Job, Wish
from engine.contract import SEEDS


async def reroll(interaction: Interaction, job: Job, _image: int | None) -> None:
    if job.deleted_at is not None:
        raise UserError("That image was deleted: ask for a new one with /imagine.")
    owner = await order.check(interaction)
    model = interaction.client.services.catalogue.model(job.request.model)
    request = replace(job.request, seed=secrets.randbelow(SEEDS))
    model.check(request)
    await order.place(
        interaction,
        owner,
        Order(request=request, model=model, wish=_again(job), action=Action.REROLL, parent_id=job.id),
    )


def _again(job: Job) -> Wish | None:
    """The same wish, but for a seed that its person gave."""
    if job.wish is None:
        return None
    return {option: value for option, value in job.wish.items() if option != "seed"}


FEATURE = Feature(presses={Verb.REROLL: reroll})
